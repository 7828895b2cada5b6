"""Pods that get no sidecar: no share is measured at them, and callers without one are not split.

Told from labels, by the rules of Istio's injection, and from what the injector left on the pods that run.
"""

from __future__ import annotations

from typing import Any

from canary.api.warnings import Caution
from canary.core.objects import Object, annotations_of, labels_of
from canary.core.view import View
from canary.core.warnings.wording import listed

INJECT = "sidecar.istio.io/inject"
NAMESPACE_INJECTION = "istio-injection"
REVISION = "istio.io/rev"
INJECTION_LABELS = (NAMESPACE_INJECTION, REVISION)
PROXY = "istio-proxy"
INJECTED = "sidecar.istio.io/status"
"""The annotation that Istio's injector leaves on every pod it gave a sidecar."""


def namespace_not_injected(view: View) -> Caution | None:
    """Find a namespace whose pods Istio leaves alone (R-SCOPE-3, R-SCOPE-4)."""
    namespace, template = view.snapshot.surroundings.namespace, _template(view)
    if namespace is None or template is None or _has_proxy(template) or _refuses(template):
        return None
    labels, name = labels_of(namespace), namespace["metadata"]["name"]
    injection = labels.get(NAMESPACE_INJECTION)
    if injection == "enabled" or (injection is None and (REVISION in labels or _asks(template))):
        return None
    said = f"label {NAMESPACE_INJECTION}: {injection}" if injection else f"no label {NAMESPACE_INJECTION}"
    return Caution(
        "NamespaceNotInjected",
        f"Namespace {name} has {said}: its pods get no sidecar, so no request is split by callers there and none "
        f"is measured; label it {NAMESPACE_INJECTION}=enabled, or {REVISION} with a revision, and restart the pods",
    )


def pods_without_sidecar(view: View) -> Caution | None:
    """Find a pod template that asks for no sidecar."""
    template = _template(view)
    if template is None or _has_proxy(template) or not (why := _refuses(template)):
        return None
    return Caution(
        "NoSidecar",
        f"pods of {view.kind} {view.snapshot.names.target} get no sidecar, their template has {why}: requests are "
        "measured at callers with a sidecar alone; remove it",
    )


def pods_still_without_sidecar(view: View) -> Caution | None:
    """Find pods that run without the sidecar that new ones get."""
    template, bare = _template(view), view.snapshot.surroundings.bare
    if not bare or template is None or _has_proxy(template) or _refuses(template) or namespace_not_injected(view):
        return None
    kind, name = view.kind, view.snapshot.names.target
    return Caution(
        "NoSidecar",
        f"pods of {listed(bare)} run without a sidecar, which new ones get: they are older than the label of their "
        "Namespace, or Istio's injector did not answer when they were made; requests are measured at callers with a "
        f"sidecar alone; replace them, with kubectl rollout restart {kind.lower()}/{name} by a release",
    )


def is_bare(pod: Object) -> bool:
    """Return whether a pod, of which only the metadata need be known, got no sidecar and is to stay."""
    return INJECTED not in annotations_of(pod) and "deletionTimestamp" not in pod["metadata"]


def _template(view: View) -> dict[str, Any] | None:
    return view.target.template if view.target is not None else None


def _has_proxy(template: dict[str, Any]) -> bool:
    spec = template.get("spec") or {}
    return any(one.get("name") == PROXY for kind in ("containers", "initContainers") for one in spec.get(kind) or ())


def _refuses(template: dict[str, Any]) -> str:
    """Return what in a template keeps Istio from injecting, empty when nothing does."""
    metadata = template.get("metadata") or {}
    for place in ("labels", "annotations"):
        if (metadata.get(place) or {}).get(INJECT) == "false":
            return f'{INJECT}: "false" among its {place}'
    return "hostNetwork: true" if (template.get("spec") or {}).get("hostNetwork") else ""


def _asks(template: dict[str, Any]) -> bool:
    """Return whether a template asks for a sidecar in a namespace that says nothing."""
    labels = (template.get("metadata") or {}).get("labels") or {}
    return labels.get(INJECT) == "true" or REVISION in labels
