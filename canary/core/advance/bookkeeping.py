"""What every status records besides the phase: what was read back, drains, drift and readiness."""

from __future__ import annotations

from canary.api.status import CanaryStatus, Drain, Phase, Progress, Replicas, TargetSeen, Traffic
from canary.core.actions import Event
from canary.core.advance.drift import count_drift, moved_since
from canary.core.advance.initialise import handed_over
from canary.core.advance.outcome import Advance, with_condition, without_condition
from canary.core.advance.readiness import readiness
from canary.core.advance.recover import going_back, promotion_failed
from canary.core.advance.sessions import remember_cookies
from canary.core.advance.waits import tell_waits
from canary.core.deliveries import undelivered
from canary.core.flagger.take_over import without_flagger
from canary.core.measurement import HookQuery
from canary.core.moment import Change
from canary.core.routes.routing import CANARY_ONLY, PRIMARY_ONLY, Weights
from canary.core.view import GRID_SLACK, IDLE, STEPPING, View
from canary.core.workload import Workload


def record(view: View, advance: Advance) -> Advance:
    """Return the outcome of a phase with the world read back into its status."""
    status, events = advance.status, list(advance.events)
    status = _wished(view, _seen(view, status))
    status, drifted = count_drift(view, status)
    events += drifted
    status = remember_cookies(view, _read_back(view, status))
    status = _replaced(view, status.model_copy(update={"drain": _drain(view, status)}))
    status, diverted = _diversion(view, status)
    events += diverted
    status, waits = tell_waits(view, status)
    events += waits
    status = undelivered(view.snapshot, _asked(view, _tracked(view, status)))
    return Advance(status, tuple(events))


def tell(view: View, advance: Advance) -> Advance:
    """Return a recorded outcome with what people are told beside it: condition Ready, and ready counts."""
    status, told = readiness(view, advance.status)
    return Advance(_counted(view, status), (*advance.events, *told))


def _seen(view: View, status: CanaryStatus) -> CanaryStatus:
    generation = (view.snapshot.canary or {}).get("metadata", {}).get("generation")
    status = status.model_copy(update={"observed_generation": generation})
    target = view.target
    if target is None or not _answered(view, status, target):
        return status
    over = status.revisions.pending not in (None, view.shown)
    if view.change is Change.SAME and over and status.phase in IDLE:
        status = status.model_copy(update={"revision": status.revisions.model_copy(update={"pending": None})})
        status = without_condition(status, "RevisionPending")
    return status.model_copy(update={"target": TargetSeen(uid=target.uid, generation=target.generation)})


def _asked(view: View, status: CanaryStatus) -> CanaryStatus:
    """Remember when the rollback hooks were asked."""
    asked = any(isinstance(m.query, HookQuery) and m.query.type == "rollback" for m in view.measurements)
    if not asked or status.run is None:
        return status
    return status.model_copy(update={"run": status.run.model_copy(update={"hooks_asked_at": view.now})})


def _tracked(view: View, status: CanaryStatus) -> CanaryStatus:
    """Record what the target's references come to; a change of any of them wakes the Canary."""
    tracked = view.snapshot.configuration.tracked(view.tracked_kinds)
    return status.model_copy(update={"tracked_configs": tracked or None})


def _wished(view: View, status: CanaryStatus) -> CanaryStatus:
    """Remember the wish: the target that named it goes back to 0, in a run too (section 2)."""
    if status.replicas is None or view.wish == status.replicas.desired:
        return status
    return status.model_copy(update={"replicas": status.replicas.model_copy(update={"desired": view.wish})})


def _answered(view: View, status: CanaryStatus, target: Workload) -> bool:
    """Return whether this decision answers the target's present template, so that it is not asked about again."""
    if view.status.revisions.primary is None:
        # Nothing was compared: a world taken up may hold a target that differs.
        return False
    if view.change is Change.NEW:
        return status.revisions.candidate == view.shown
    ended = status.phase is Phase.INITIALIZED and status.revisions.pending is None
    return view.change is Change.SAME or (view.change is Change.REVERTED and ended)


def _read_back(view: View, status: CanaryStatus) -> CanaryStatus:
    """Record the weights read from the routes, wanted or not, and with them since when a step is in force."""
    weights = view.weights
    if weights is None:
        return status.model_copy(update={"traffic": None})
    # No write of its own in a release: route and apex Service are written before the next look, and
    # whatever else a step has to record is read back with them.
    traffic = Traffic(primary=weights.primary, canary=weights.canary, mirror=weights.mirror)
    return _in_force(view, status.model_copy(update={"traffic": traffic}), weights)


def _in_force(view: View, status: CanaryStatus, weights: Weights) -> CanaryStatus:
    """Record since when the step's weight is in force, or that it no longer is."""
    step = status.step
    started = step.started_at if step is not None else None
    later = view.with_status(status)
    waits = later.place == 0 if status.phase in STEPPING else not later.returning
    if later.bakes is not None and weights == CANARY_ONLY and status.traffic_since is None:
        # Promoted by a command before its first weight: its windows begin with the bake.
        return status.model_copy(update={"traffic_since": view.now})
    if step is None or started is None or waits:
        return status
    if weights != later.routing.weights:
        # Diverted or edited: the step's soak begins anew, without any traffic the windows do too.
        step = step.model_copy(update={"in_force_at": None})
        served = weights.primary if later.returning else weights.exposes
        since = status.traffic_since if served else None
        return status.model_copy(update={"step": step, "traffic_since": since})
    if step.in_force_at is None:
        late = view.now - started > GRID_SLACK
        tick = view.now + view.interval if late else step.next_tick_at
        step = step.model_copy(update={"in_force_at": view.now, "next_tick_at": tick})
        status = status.model_copy(update={"step": step, "traffic_since": status.traffic_since or view.now})
    return status


def _drain(view: View, status: CanaryStatus) -> Drain | None:
    """Return the set that is off the routes and waits to shrink or roll, with since when."""
    role = _draining_role(view, status)
    if role is None:
        return None
    old = status.drain
    # What was put back while an answer was awaited is known by its record alone.
    stays = old is not None and old.role == role and not moved_since(view, status, old.since)
    return old if stays else Drain(role=role, since=view.now)


def _replaced(view: View, status: CanaryStatus) -> CanaryStatus:
    """Restart the progress deadline when the superseded canary has settled and is replaced."""
    settled = view.status.drain is not None and view.status.drain.role == "canary" and status.drain is None
    if not settled or status.phase not in STEPPING:
        return status
    progress = Progress(role="canary", since=view.now, available=view.canary_progress)
    return status.model_copy(update={"progress": progress})


def _draining_role(view: View, status: CanaryStatus) -> str | None:
    if status.phase is Phase.INITIALIZING:
        if without_flagger(view):
            return "primary"
        return "target" if handed_over(view) and _target_has_pods(view) else None
    off_primary = view.weights == CANARY_ONLY and view.apex_role == "canary"
    if off_primary and (_promotes(view, status) or _falls_back(view, status)):
        return "primary"
    off_canary = view.weights == PRIMARY_ONLY and view.apex_role in ("primary", None)
    if off_canary and view.canary_has_pods and _canary_ends(view, status):
        return "canary"
    off_target = view.weights is not None and view.apex_role in ("primary", "canary")
    return "target" if off_target and _target_has_pods(view) else None


def _target_has_pods(view: View) -> bool:
    return view.target is not None and view.target.replicas > 0


def _promotes(view: View, status: CanaryStatus) -> bool:
    return status.phase is Phase.PROMOTING and not view.primary_touched


def _falls_back(view: View, status: CanaryStatus) -> bool:
    later = view.with_status(status)
    return going_back(later) and promotion_failed(later)


def _canary_ends(view: View, status: CanaryStatus) -> bool:
    """Return whether the present canary pods are to go: after a run, or superseded in one."""
    if status.phase is Phase.FINALISING or status.phase in IDLE:
        return True
    candidate = view.candidate
    superseded = candidate is not None and candidate.revision != status.revisions.candidate
    return status.phase in STEPPING and superseded


def _diversion(view: View, status: CanaryStatus) -> tuple[CanaryStatus, list[Event]]:
    exposed = view.with_status(status).routing.weights.exposes
    carries = status.phase is Phase.PROMOTING or (status.phase in STEPPING and exposed)
    now_lost = carries and view.canary_lost
    was_lost = (found := status.condition("TrafficDiverted")) is not None and found.status == "True"
    if now_lost and view.primary_touched and not view.in_place:
        return status, []
    if now_lost and not was_lost:
        ready = view.candidate.ready if view.candidate else 0
        message = f"Only {ready} canary pods are ready, all traffic goes to the primary until they are back"
        status = with_condition(status, "TrafficDiverted", "True", "CanaryLost", message, view.now)
        return status, [Event("Diverted", message, "Warning")]
    if was_lost and not carries:
        return without_condition(status, "TrafficDiverted"), []
    if was_lost and not now_lost:
        message = "The canary is back"
        status = with_condition(status, "TrafficDiverted", "False", "CanaryReady", message, view.now)
        return status, [Event("Undiverted", message)]
    return status, []


def _counted(view: View, status: CanaryStatus) -> CanaryStatus:
    """Record ready counts; they ride along with other changes and never cause a write alone."""
    if status.replicas is None:
        return status
    counts = Replicas(
        desired=status.replicas.desired,
        primary=view.primary.ready if view.primary else 0,
        canary=view.candidate.ready if view.candidate else 0,
    )
    return status.model_copy(update={"replicas": counts})
