"""Drift: fields of ours that others change, and when to stop putting them back at once."""

from __future__ import annotations

from datetime import timedelta

from canary.api.status import CanaryStatus, Drift, Phase, Traffic
from canary.core.actions import Event
from canary.core.advance.recover import promotion_failed
from canary.core.names import MANAGER
from canary.core.obstacles import CONTESTED_AFTER
from canary.core.routes.istio import mirrors
from canary.core.view import IDLE, Change, View
from canary.core.workload import field_managers

CONTEST_WINDOW = timedelta(minutes=10)
LONGEST_CONTEST = timedelta(minutes=5)
DRIFTED = "TrafficDrift"


def count_drift(view: View, status: CanaryStatus) -> tuple[CanaryStatus, list[Event]]:
    """Count the fields of ours that somebody else changed since they were read back."""
    events: list[Event] = []
    drift = tuple(d for d in status.drift if _recent(view, d))
    if status.phase is Phase.FAILED and view.status.phase is not Phase.FAILED:
        # The write that rolls back is not put off.
        drift = tuple(d.model_copy(update={"retry_at": None}) for d in drift)
        return status.model_copy(update={"drift": drift}), events
    for field, message, manager in _found_drift(view):
        known = next((d for d in drift if (d.field, d.manager) == (field, manager)), None)
        if known is not None and known.retry_at is not None and view.now < known.retry_at:
            continue
        if known is not None and known.retry_at is not None and field != "replicas":
            # Time to put it back once more; undone again, it is put off for longer.
            again = known.model_copy(update={"retry_at": None, "since": view.now})
            drift = tuple(again if d == known else d for d in drift)
            continue
        count = (known.count if known else 0) + 1
        retry = None
        if count >= CONTESTED_AFTER:
            retry = view.now + min(LONGEST_CONTEST, timedelta(seconds=10) * 2 ** (count - CONTESTED_AFTER))
        since = known.since if known else view.now
        drift = (
            *(d for d in drift if d != known),
            Drift(field=field, manager=manager, count=count, since=since, retry_at=retry),
        )
        if message:
            events.append(Event(DRIFTED, f"{message}; it is put back", "Warning"))
    return status.model_copy(update={"drift": drift}), events


def _recent(view: View, drift: Drift) -> bool:
    last = drift.retry_at or drift.since
    return last is None or view.now - last < CONTEST_WINDOW


def _found_drift(view: View) -> list[tuple[str, str, str]]:
    """Return (field, message, manager) for what differs from what was last read back as wanted."""
    status, names = view.status, view.snapshot.names
    known = status.traffic
    if status.phase in IDLE and not promotion_failed(view):
        known = Traffic(primary=100, canary=0)
    if known is None or status.phase in (Phase.NONE, Phase.INITIALIZING):
        return []
    found = []
    route, weights = view.snapshot.route, view.weights
    mirrored = route is not None and mirrors(route, names)
    moved = weights is None or (weights.primary, weights.canary) != (known.primary, known.canary)
    if route is not None and (moved or mirrored):
        manager = _other(field_managers(route, "f:spec", "f:http"))
        if manager:
            shown = f"{weights.primary}/{weights.canary}" if weights else "no weighted route"
            shown += " with a mirror" if mirrored else ""
            found.append(("route", f"VirtualService {names.apex} was changed to {shown} by {manager}", manager))
    wanted_role = "canary" if known.canary == 100 else "primary"
    # What Promoting read back is all on the canary, route and Service alike.
    promoting = status.phase is Phase.PROMOTING and known.canary == 100
    settled = status.phase in (*IDLE, Phase.PROGRESSING) or promoting
    if view.apex_role is not None and view.apex_role != wanted_role and settled:
        manager = _other(field_managers(view.snapshot.apex or {}, "f:spec", "f:selector"))
        if manager:
            # Else it is our own write of before, not yet followed by the next.
            found.append(("selector", f"selector of Service {names.apex} was changed by {manager}", manager))
    if manager := _resizes_target(view):
        found.append(("replicas", "", manager))
    return found


def _resizes_target(view: View) -> str | None:
    """Return who gave the target pods again, when nothing else was asked for with it.

    The same manifest applied again and again is a contest; a new template with replicas is a release.
    """
    target, drain = view.target, view.status.drain
    known = drain is not None and drain.role == "target"
    if target is None or target.replicas == 0 or known or view.change is not Change.SAME:
        return None
    return _other(field_managers(target.raw, "f:spec", "f:replicas"))


def _other(managers: tuple[str, ...]) -> str | None:
    others = [m for m in managers if m != MANAGER]
    return others[-1] if others else None
