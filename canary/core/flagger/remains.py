"""What Flagger left of a Canary in the cluster: which objects those are, by proof of ownership."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from canary.core.names import PREFIX
from canary.core.objects import FLAGGER_CANARY, Object, Ref, annotations_of
from canary.core.snapshot import Snapshot
from canary.core.workload import Workload

TAKE_OVER = PREFIX + "take-over"
"""On a Canary: its user says that Flagger is stopped, and that what it left may be taken over."""
FLAGGER = "flagger"
TAKEN = PREFIX + "taken-over"
"""On what Flagger made, in place of its owner reference: the name of the Canary it was made for."""


def is_asked(snapshot: Snapshot) -> bool:
    """Return whether the user wants what Flagger left of this Canary to be taken over."""
    canary = snapshot.canary
    asked = canary is not None and annotations_of(canary).get(TAKE_OVER) == FLAGGER
    return asked and snapshot.key.group == FLAGGER_CANARY.group


def refers_to(snapshot: Snapshot, obj: Object) -> bool:
    """Return whether an object goes when the Canary goes: it names it as its owner."""
    return any(one.get("uid") == _uid(snapshot) for one in obj["metadata"].get("ownerReferences") or ())


def other_references(snapshot: Snapshot, obj: Object) -> list[Any]:
    """Return the owner references of an object without those to the Canary."""
    return [one for one in obj["metadata"].get("ownerReferences") or () if one.get("uid") != _uid(snapshot)]


def is_left(snapshot: Snapshot, obj: Object) -> bool:
    """Return whether Flagger made an object for this very Canary."""
    return refers_to(snapshot, obj) or annotations_of(obj).get(TAKEN) == snapshot.key.name


def former_primary(snapshot: Snapshot) -> Workload | None:
    """Return Flagger's primary; None when there is none, or what has its name is not Flagger's."""
    primary = snapshot.primary
    return primary if primary is not None and is_left(snapshot, primary.raw) else None


def replaced(snapshot: Snapshot) -> Iterator[tuple[Ref, Object]]:
    """Yield what Flagger made that ours takes the place of; the primary comes after what scales it."""
    names = snapshot.names
    found: list[tuple[Ref, Object | None]] = [(one.ref, one.raw) for one in snapshot.scalers]
    found.append((names.workload("primary"), snapshot.primary.raw if snapshot.primary else None))
    found.append((names.service("primary"), snapshot.primary_service))
    found.append((names.service("canary"), snapshot.canary_service))
    found += [(names.rule(role), snapshot.rules.get(names.rule(role).name)) for role in ("primary", "canary")]
    yield from ((ref, obj) for ref, obj in found if obj is not None and is_left(snapshot, obj))


def kept(snapshot: Snapshot) -> Iterator[tuple[Ref, Object]]:
    """Yield what callers reach the application by, which stays."""
    if snapshot.apex is not None:
        yield snapshot.names.apex_ref, snapshot.apex
    if snapshot.route is not None:
        yield snapshot.route_ref, snapshot.route


def _uid(snapshot: Snapshot) -> str:
    return str((snapshot.canary or {})["metadata"]["uid"])
