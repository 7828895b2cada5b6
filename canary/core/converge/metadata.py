"""What the spec asks for on the Services and the route that we made: labels, annotations, traffic distribution.

It is written by itself and last: what the API server refuses of it keeps nothing else from being done.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from canary.api.service import Metadata, Service, UnmanagedMetadata
from canary.core.actions import Action, Patch
from canary.core.names import ASKED, NOT_PRUNED, PREFIX, is_ours
from canary.core.objects import Object, Ref, annotations_of, canonical, combined
from canary.core.view import View

_KINDS = ("labels", "annotations")
_DISTRIBUTION = "trafficDistribution"
_NONE = UnmanagedMetadata()


def metadata_actions(view: View, others: Iterable[Action]) -> tuple[Action, ...]:
    """Return the writes that follow the spec, but none to objects that other actions write anyway."""
    if view.snapshot.spec is None:
        return ()
    busy = {one.ref for one in others}
    return tuple(
        Patch(ref, patch, obj["metadata"]["resourceVersion"], f"metadata of {ref.resource.kind} {ref.name}")
        for ref, obj, patch in _followed(view, view.snapshot.spec.service)
        if patch and ref not in busy
    )


def _followed(view: View, service: Service) -> Iterator[tuple[Ref, Object, dict[str, Any]]]:
    """Yield what follows the spec, with the patch that makes it do so."""
    snapshot, names = view.snapshot, view.snapshot.names
    unmanaged, distribution = service.unmanaged_metadata or _NONE, service.traffic_distribution or ""
    services = (
        (names.apex_ref, snapshot.apex, service.apex),
        (names.service("primary"), snapshot.primary_service, service.primary),
        (names.service("canary"), snapshot.canary_service, service.canary),
    )
    for ref, obj, asked in services:
        if obj is not None and is_ours(obj):
            yield ref, obj, metadata_patch(obj, asked, unmanaged, distribution)
    route = snapshot.route
    if route is not None and is_ours(route):
        yield snapshot.route_ref, route, metadata_patch(route, service.apex, _NONE)


def metadata_patch(
    obj: Object, asked: Metadata | None, unmanaged: UnmanagedMetadata, distribution: str = ""
) -> dict[str, Any]:
    """Return the merge patch by which an object has what is asked for, and no more what was asked for before.

    Keys of others stay, and so does what is there of keys that are not managed; what we asked for is remembered
    in an annotation.
    """
    before, now = _remembered(obj), _memory(asked, distribution)
    metadata: dict[str, Any] = {}
    for kind in _KINDS:
        shown, wanted, free = obj["metadata"].get(kind) or {}, asked_metadata(asked, kind), getattr(unmanaged, kind)
        changed: dict[str, Any] = {key: None for key in before.get(kind, ()) if key in shown and key not in wanted}
        changed |= {key: value for key, value in wanted.items() if shown.get(key) != value}
        if part := {k: v for k, v in changed.items() if not ((k in free and k in shown) or _is_ours(k))}:
            metadata[kind] = part
    if before != now:
        metadata = combined(metadata, {"annotations": {ASKED: canonical(now) if now else None}})
    spec = _distributed(obj, before.get(_DISTRIBUTION), distribution or None)
    return {key: value for key, value in (("metadata", metadata), ("spec", spec)) if value}


def _distributed(service: Object, before: object, wanted: str | None) -> dict[str, Any]:
    """Return the change of a Service's traffic distribution.

    One that was asked for and is not there is unknown to the API server: it would be written for ever.
    """
    shown = (service.get("spec") or {}).get(_DISTRIBUTION)
    if shown == wanted or (wanted == before and shown is None) or (wanted is None and before is None):
        return {}
    return {_DISTRIBUTION: wanted}


def asked_metadata(asked: Metadata | None, kind: str) -> dict[str, str]:
    """Return the labels or annotations that the spec asks for, without keys that are ours."""
    given: Mapping[str, str] = (getattr(asked, kind) if asked is not None else None) or {}
    return {key: value for key, value in given.items() if not _is_ours(key)}


def _memory(asked: Metadata | None, distribution: str) -> dict[str, Any]:
    found: dict[str, Any] = {kind: sorted(asked_metadata(asked, kind)) for kind in _KINDS}
    found[_DISTRIBUTION] = distribution
    return {key: value for key, value in found.items() if value}


def _remembered(obj: Object) -> dict[str, Any]:
    """Return what was asked for when it was written last; nothing when that cannot be read."""
    try:
        found = json.loads(annotations_of(obj).get(ASKED) or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict) or not all(isinstance(found.get(kind, []), list) for kind in _KINDS):
        return {}
    return found


def _is_ours(key: str) -> bool:
    return key.startswith(PREFIX) or key in NOT_PRUNED
