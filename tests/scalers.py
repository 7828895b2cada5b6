"""Autoscalers in short words, on their own or taken over by the Canary of listing 5.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canary.core.names import CHANGED, OWNER
from canary.core.objects import canonical
from canary.core.scaler import FIELDS, Scaler
from tests.builders import NS, OWNER_MARK, managed


def scaler(
    target: str = "catalog",
    low: int | None = 2,
    high: int = 9,
    *,
    changed: Mapping[str, Any] | None = None,
    by: tuple[str, ...] = ("kubectl",),
    kind: str = "Deployment",
    name: str = "sizes",
    **spec: Any,
) -> Scaler:
    """Return a HorizontalPodAutoscaler; one with ``changed`` was taken over."""
    metadata: dict[str, Any] = {"name": name, "namespace": NS, "uid": f"uid-{name}", "resourceVersion": "70"}
    metadata["managedFields"] = managed(*by, field="f:scaleTargetRef")
    if changed is not None:
        metadata["annotations"] = {OWNER: OWNER_MARK.to_text(), CHANGED: canonical(changed)}
    pointed = {"apiVersion": "apps/v1", "kind": kind, "name": target}
    bounds = {"maxReplicas": high} if low is None else {"minReplicas": low, "maxReplicas": high}
    fields = FIELDS["HorizontalPodAutoscaler"]
    body = {"apiVersion": "autoscaling/v2", "kind": fields.resource.kind, "metadata": metadata}
    return Scaler({**body, "spec": {"scaleTargetRef": pointed, **bounds, **spec}}, fields)


def scaled_object(target: str = "catalog", *, changed: Mapping[str, Any] | None = None, **spec: Any) -> Scaler:
    """Return a ScaledObject of KEDA with a trigger; one with ``changed`` was taken over."""
    found = scaler(target, changed=changed).raw["metadata"]
    body = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": found}
    trigger = {"type": "prometheus", "name": "rps", "metadata": {"query": "sum(rate(requests[1m]))"}}
    return Scaler(
        {**body, "spec": {"scaleTargetRef": {"name": target}, "triggers": [trigger], **spec}}, FIELDS["ScaledObject"]
    )


def named(found: Scaler) -> dict[str, Any]:
    """Return the change of a Canary that names an autoscaler."""
    ref = {"apiVersion": found.fields.resource.api_version, "kind": found.kind, "name": found.name}
    return {"spec.autoscalerRef": ref}
