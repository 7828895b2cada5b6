"""What of an object matters when it changes: the rest wakes nobody."""

from __future__ import annotations

from canary.core.configuration import DIGEST, is_tracked
from canary.core.names import ALLOW_CANARY
from canary.core.objects import Object, annotations_of


def scaling(scaler: Object | None) -> tuple[object, ...]:
    """Return what matters of an autoscaler: its status, which changes all the time, does not."""
    if scaler is None:
        return (None,)
    metadata = scaler["metadata"]
    return scaler.get("spec"), metadata["uid"], annotations_of(scaler), metadata.get("managedFields")


def held(obj: Object | None) -> tuple[str, bool] | None:
    """Return what a ConfigMap or Secret holds, and whether it is pinned."""
    return (str(obj[DIGEST]), is_tracked(obj)) if obj is not None else None


def selection(service: Object | None) -> tuple[object, object]:
    """Return which pods a Service selects, and whether it may select a canary's."""
    if service is None:
        return None, None
    return (service.get("spec") or {}).get("selector"), annotations_of(service).get(ALLOW_CANARY)
