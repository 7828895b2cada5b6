"""Phases Initialized, Succeeded and Failed: production runs, and a changed target starts a run."""

from __future__ import annotations

from canary.api.status import Phase, Run, StepStatus
from canary.core.actions import Event
from canary.core.advance.gates import GATE, wait_for_gate, wait_for_turn
from canary.core.advance.outcome import Advance, pending, revisions, row, without_condition
from canary.core.advance.recover import going_back, is_back, promotion_failed, recover, tell_back
from canary.core.hooks import hooks_of
from canary.core.moment import Change
from canary.core.obstacle import find_obstacle
from canary.core.obstacles import BEFORE_A_RUN, SUSPENDED
from canary.core.routes.routing import PRIMARY_ONLY
from canary.core.turns import turn
from canary.core.view import View


def idle(view: View) -> Advance:
    """Answer a change of the target; else stay."""
    status = view.status
    if promotion_failed(view):
        return recover(view)
    if view.change is Change.SAME and is_back(view):
        return tell_back(view)
    if view.change is Change.REVERTED:
        return _answer_revert(view)
    if view.change is Change.NEW and view.target is not None:
        return _answer_change(view)
    return Advance(status)


def _answer_change(view: View) -> Advance:
    if view.suspended:
        return Advance(pending(view, view.shown, SUSPENDED))
    obstacle = find_obstacle(view, BEFORE_A_RUN)
    if obstacle is not None:
        return Advance(pending(view, view.shown, obstacle.message))
    if view.weights is not None and view.weights != PRIMARY_ONLY:
        return Advance(pending(view, view.shown, "waits until all traffic is back on the primary"))
    return begin(view)


def begin(view: View, restarted: bool = False) -> Advance:
    """Begin a run of what the target shows, or wait for the gate before it, or for others to end."""
    if hooks_of(view, GATE):
        return wait_for_gate(view)
    place = turn(view)
    return start_run(view, restarted) if place is None else wait_for_turn(view, place)


def _answer_revert(view: View) -> Advance:
    """Stay until all traffic is back on the primary: only then nothing is under way any more."""
    promoted = view.status.revisions.primary
    if promoted is None or (view.weights in (None, PRIMARY_ONLY) and view.apex_role != "canary"):
        return end_reverted(view)
    why = "traffic is still on the canary, it goes back to the primary"
    if going_back(view) and not view.primary_complete:
        why = "the primary goes back to it, all traffic stays on the canary until it is ready"
    return Advance(pending(view, promoted, why))


def start_run(view: View, restarted: bool = False) -> Advance:
    """Begin a run of what the target shows at weight 0."""
    identity = view.shown
    message = f"New revision {identity} detected, canary analysis {'restarted' if restarted else 'started'}"
    step = StepStatus(
        index=0,
        count=view.plan.count,
        description=f"0 of {view.plan.count}: canary at 0 %",
        started_at=view.now,
        next_tick_at=view.now + view.step_time,
    )
    status = row(
        view,
        view.status,
        Phase.PROGRESSING,
        0,
        message,
        revision=revisions(view.status, candidate=identity, pending=None),
        last_applied_spec=identity,
        failed_checks=0,
        iterations=0,
        checks=(),
        step=step,
        run=Run(started_at=view.now, size=view.size),
        traffic_since=None,
        progress=None,
    )
    for kind in ("MetricsAvailable", "TrafficDiverted", "RevisionPending", "Held", "Progressing"):
        status = without_condition(status, kind)
    return Advance(status, (Event("RevisionDetected", message),))


def end_reverted(view: View) -> Advance:
    """Return to idle because the target is back at the promoted template; a run under way is over."""
    promoted = view.status.revisions.primary
    over = "no run" if view.status.phase is Phase.FAILED else "the run is ended"
    message = f"Target reverted to promoted revision {promoted}, {over}"
    changed = revisions(view.status, candidate=promoted, pending=None)
    status = row(
        view,
        view.status,
        Phase.INITIALIZED,
        0,
        message,
        revision=changed,
        last_applied_spec=promoted,
        step=None,
        run=None,
        traffic_since=None,
        progress=None,
    )
    for kind in ("RevisionPending", "Held", "Progressing"):
        status = without_condition(status, kind)
    return Advance(status, (Event("Reverted", message),))
