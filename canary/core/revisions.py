"""Revisions: a pinned pod template and what is derived from it for the two sides."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, field
from typing import Any

from canary.core.configuration import DIGEST, Pins, Source, copies_of, pinned_by, renamed
from canary.core.names import REVISION_LABEL, ROLE_LABEL, Names, Owner, Role, is_ours, owned_metadata
from canary.core.objects import CONTROLLER_REVISION, Object, canonical, labels_of
from canary.core.workload import Workload


@dataclass(frozen=True, slots=True)
class Revision:
    """A pinned template and configuration: the user's as read, and the templates of the two sides as written."""

    id: str
    template: Object
    primary: Object
    canary: Object
    number: int
    raw: Object | None = None
    pins: Pins = field(default_factory=dict)

    def derived(self, role: Role) -> Object:
        """Return the template written for one side."""
        return self.primary if role == "primary" else self.canary


def revision_id(template: Object, pins: Pins | None = None) -> str:
    """Return the name of what is pinned: a short hash of its canonical JSON.  Never compared for change.

    A template that refers to no configuration goes by its own hash.
    """
    held = {kind: names for kind, names in (pins or {}).items() if names}
    content = {"template": template, "configuration": held} if held else template
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:10]


def pin(target: Workload, number: int, pins: Pins | None = None) -> Revision:
    """Pin the target's present template with the configuration it refers to."""
    template = target.template
    identity, namespace = revision_id(template, pins), target.ref.namespace
    return Revision(
        id=identity,
        template=template,
        primary=derive(template, "primary", identity, pins, namespace),
        canary=derive(template, "canary", identity, pins, namespace),
        number=number,
        pins=pins or {},
    )


def derive(
    template: Object, role: Role, revision: str, pins: Pins | None = None, namespace: str = ""
) -> dict[str, Any]:
    """Return the template of one side: the user's with all its labels, plus role and revision.

    References to pinned configuration name the revision's copies instead.  Anti-affinity and topology
    spread that select the template's own pods are narrowed to the role, or the two sides would push each
    other off the nodes; those that keep it apart from pods of other namespaces too stay as they are.
    """
    derived: dict[str, Any] = copy.deepcopy(dict(template))
    labels = dict((derived.get("metadata") or {}).get("labels") or {})
    derived["metadata"] = {
        **(derived.get("metadata") or {}),
        "labels": {**labels, ROLE_LABEL: role, REVISION_LABEL: revision},
    }
    for selector in _own_pod_selectors(derived.get("spec") or {}, labels, namespace):
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), ROLE_LABEL: role}
    return renamed(derived, {one.source: one.name for one in copies_of(pins or {}, revision)})


def reconstruct(primary: Workload, number: int, copies: tuple[Object, ...] = ()) -> Revision:
    """Return the revision a primary was written from, when its record was deleted by hand."""
    found = pinned_by(copies, primary.revision)
    originals = {Source(one.resource, str(obj["metadata"]["name"])): one.name for one, obj in found.items()}
    template = renamed(copy.deepcopy(primary.template), originals)
    for key in (ROLE_LABEL, REVISION_LABEL):
        template["metadata"]["labels"].pop(key, None)
    namespace, labels = primary.ref.namespace, primary.template["metadata"]["labels"]
    for selector in _own_pod_selectors(template.get("spec") or {}, labels, namespace):
        if (selector.get("matchLabels") or {}).pop(ROLE_LABEL, None) and not selector["matchLabels"]:
            del selector["matchLabels"]
    identity = primary.revision
    pins: dict[str, dict[str, str]] = {}
    for source, obj in found.items():
        pins.setdefault(source.resource.kind, {})[source.name] = str(obj[DIGEST])
    return Revision(
        id=identity,
        template=template,
        primary=primary.template,
        canary=derive(template, "canary", identity, pins, namespace),
        number=number,
        pins=pins,
    )


def _own_pod_selectors(pod_spec: dict[str, Any], labels: dict[str, str], namespace: str) -> list[dict[str, Any]]:
    """Return the label selectors of anti-affinity and spread among pods like this one, of its own namespace."""
    anti = (pod_spec.get("affinity") or {}).get("podAntiAffinity") or {}
    terms = list(anti.get("requiredDuringSchedulingIgnoredDuringExecution") or [])
    preferred = anti.get("preferredDuringSchedulingIgnoredDuringExecution") or []
    terms += [weighted["podAffinityTerm"] for weighted in preferred]
    terms += pod_spec.get("topologySpreadConstraints") or []
    here = [t for t in terms if "namespaceSelector" not in t and set(t.get("namespaces") or ()) <= {namespace}]
    selectors = [term.get("labelSelector") or {} for term in here]
    return [s for s in selectors if any(s.values()) and _selects(s, labels)]


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Return whether a label selector matches these labels."""
    return (selector.get("matchLabels") or {}).items() <= labels.items() and all(
        (labels.get(e["key"]) in e["values"]) == (e["operator"] == "In")
        if e.get("values")
        else (e["key"] in labels) == (e["operator"] == "Exists")
        for e in selector.get("matchExpressions") or []
    )


def to_object(revision: Revision, names: Names, owner: Owner) -> dict[str, Any]:
    """Return the ControllerRevision that keeps a revision."""
    ref = names.revision(revision.id)
    return {
        "apiVersion": CONTROLLER_REVISION.api_version,
        "kind": CONTROLLER_REVISION.kind,
        "metadata": owned_metadata(ref.name, ref.namespace, owner, revision=revision.id),
        "revision": revision.number,
        "data": {
            "template": revision.template,
            "primary": revision.primary,
            "canary": revision.canary,
            "configuration": revision.pins,
        },
    }


def from_object(obj: Object) -> Revision | None:
    """Return the revision kept in a ControllerRevision of ours; None when it is not one."""
    data = obj.get("data") or {}
    if not is_ours(obj) or not {"template", "primary", "canary"} <= data.keys():
        return None
    return Revision(
        id=labels_of(obj).get(REVISION_LABEL, ""),
        template=data["template"],
        primary=data["primary"],
        canary=data["canary"],
        number=int(obj.get("revision") or 0),
        raw=obj,
        pins=data.get("configuration") or {},
    )


def may_be_defaulted(pinned: Object, shown: Object) -> bool:
    """Return whether a template may be the pinned one with fields a newer API server filled in.

    Defaults only add fields, and only to the pod's spec; whatever else differs is a change.
    """
    same = canonical(pinned.get("metadata") or {}) == canonical(shown.get("metadata") or {})
    return same and _contains(shown.get("spec") or {}, pinned.get("spec") or {})


def _contains(shown: Any, pinned: Any) -> bool:
    if isinstance(pinned, dict) and isinstance(shown, dict):
        return all(key in shown and _contains(shown[key], value) for key, value in pinned.items())
    if isinstance(pinned, list) and isinstance(shown, list):
        return len(pinned) == len(shown) and all(map(_contains, shown, pinned))
    return bool(pinned == shown)
