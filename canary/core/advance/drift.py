"""Drift: fields of ours that others change, and when to stop putting them back at once."""

from __future__ import annotations

from datetime import datetime, timedelta

from canary.api.status import CanaryStatus, Drift, Phase, Traffic
from canary.core.actions import Event
from canary.core.advance.recover import promotion_failed
from canary.core.moment import Change
from canary.core.names import MANAGER
from canary.core.obstacles import CONTESTED_AFTER
from canary.core.routes.entries import touched
from canary.core.routes.routing import CANARY_ONLY, PRIMARY_ONLY, Weights
from canary.core.routes.sections import entries_of, shared_sections
from canary.core.scaler import Scaler
from canary.core.view import STEPPING, View
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
        fought = known is not None and known.count >= CONTESTED_AFTER and known.retry_at is not None
        if known is not None and fought and field != "replicas":
            # Time to put it back once more; undone again, it is put off for longer.
            again = known.model_copy(update={"retry_at": None, "since": view.now})
            drift = tuple(again if d == known else d for d in drift)
            continue
        count = (known.count if known else 0) + 1
        retry = view.now
        if count >= CONTESTED_AFTER:
            retry += min(LONGEST_CONTEST, timedelta(seconds=10) * 2 ** (count - CONTESTED_AFTER))
        since = known.since if known else view.now
        drift = (
            *(d for d in drift if d != known),
            Drift(field=field, manager=manager, count=count, since=since, retry_at=retry),
        )
        if message:
            events.append(Event(DRIFTED, f"{message}; it is put back", "Warning"))
    return status.model_copy(update={"drift": drift}), events


def _recent(view: View, drift: Drift) -> bool:
    last = drift.since if drift.count < CONTESTED_AFTER else drift.retry_at or drift.since
    return last is None or view.now - last < CONTEST_WINDOW


def moved_since(view: View, status: CanaryStatus, moment: datetime) -> bool:
    """Return whether route or apex Service were put back after a moment, so that traffic was elsewhere then."""
    times = [d.retry_at or d.since for d in status.drift if d.field in ("route", "selector")]
    return any(moment < t <= view.now for t in times if t is not None)


def _found_drift(view: View) -> list[tuple[str, str, str]]:
    """Return (field, message, manager) for what somebody else changed and is not as the plan has it."""
    if view.status.phase in (Phase.NONE, Phase.INITIALIZING):
        return []
    names, found = view.snapshot.names, []
    if manager := _moves_route(view):
        shown = view.weights.label if view.weights else "no weighted route"
        route = view.snapshot.route_label
        found.append(("route", f"VirtualService {route} was changed to {shown} by {manager}", manager))
    if manager := _moves_selector(view):
        found.append(("selector", f"selector of Service {names.apex} was changed by {manager}", manager))
    scaler = view.snapshot.scaler
    if scaler is not None and (manager := _moves_scaler(view, scaler)):
        elsewhere = f"scaleTargetRef of {scaler} was changed to {scaler.points_at} by {manager}"
        found.append(("scaleTargetRef", elsewhere, manager))
    if manager := _resizes_target(view):
        found.append(("replicas", "", manager))
    return found


def _moves_route(view: View) -> str | None:
    """Return who moved the weights, the mirror or the cohorts.

    Weights that are not the plan's and stand as recorded are on their way, though somebody else may have
    written the route last for another field, unless it is known that they were moved.
    """
    route, weights = view.snapshot.route, view.weights
    if route is None:
        return None
    undone = any(d.field == "route" for d in view.status.drift)
    if weights is not None and weights.even:
        on_its_way = not undone and _as_recorded(view, weights)
        if on_its_way or weights == _planned_weights(view):
            return None
    sections, names = shared_sections(route).names, view.snapshot.names
    written = [one for one in sections if touched(entries_of(route, one), names)] or sections
    return _other(tuple(m for one in written for m in field_managers(route, "f:spec", f"f:{one}")))


def _as_recorded(view: View, weights: Weights) -> bool:
    """Return whether the routes show what the status records; of cohorts it records the step alone."""
    step, known = view.status.step, view.status.traffic
    in_force = view.status.phase in STEPPING and step is not None and step.in_force_at is not None
    sticky = view.status.session_affinity_cookie is not None
    alike = not in_force or (weights.cohorts, weights.sticky) == (len(view.routing.cohorts), sticky)
    return alike and known == Traffic(primary=weights.primary, canary=weights.canary, mirror=weights.mirror)


def _planned_weights(view: View) -> Weights:
    """Return the weights that the plan comes to in the present step."""
    phase = view.status.phase
    untouched = not view.primary_touched or view.in_place
    if phase in (*STEPPING, Phase.PROMOTING) and view.canary_lost and untouched:
        return PRIMARY_ONLY
    if phase in STEPPING or view.returning:
        return view.routing.weights
    if phase is Phase.PROMOTING:
        return view.promotion.weights
    return CANARY_ONLY if promotion_failed(view) else PRIMARY_ONLY


def _moves_selector(view: View) -> str | None:
    """Return who moved the apex Service away from what goes with the shares last recorded."""
    phase, known = view.status.phase, view.status.traffic
    shares = Weights(known.primary, known.canary) if known is not None else None
    # Towards the canary the route goes first, back the apex Service does.
    on_its_way = (phase, shares == CANARY_ONLY) == (Phase.PROMOTING, False)
    on_its_way |= (phase, shares == PRIMARY_ONLY) == (Phase.FINALISING, False)
    if on_its_way or view.apex_role in (None, "canary" if shares == CANARY_ONLY else "primary"):
        return None
    return _other(field_managers(view.snapshot.apex or {}, "f:spec", "f:selector"))


def _moves_scaler(view: View, scaler: Scaler) -> str | None:
    """Return who let the autoscaler we took over scale something else than the primary."""
    if view.autoscaled or not scaler.bears_mark_of(view.snapshot.key):
        return None
    return _other(field_managers(scaler.raw, "f:spec", "f:scaleTargetRef"))


def _resizes_target(view: View) -> str | None:
    """Return who gave the target pods again, when nothing else was asked for with it.

    The same manifest applied again and again is a contest; a new template with replicas is a release.
    """
    target = view.target
    # Known already, or its turn to settle has not come: nothing was undone since the last look.
    waits = view.status.drain is not None
    if target is None or target.replicas == 0 or waits or view.change is not Change.SAME:
        return None
    if target.is_daemon:
        # The key that kept it off the nodes is gone, and with it who took it away.
        return "somebody"
    return _other(field_managers(target.raw, "f:spec", "f:replicas"))


def _other(managers: tuple[str, ...]) -> str | None:
    others = [m for m in managers if m != MANAGER]
    return others[-1] if others else None
