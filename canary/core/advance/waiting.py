"""Phase Waiting: a new revision stays outside until its `confirm-rollout` gate is open and a run is free."""

from __future__ import annotations

from canary.api.status import CanaryStatus, Phase
from canary.core.actions import Event
from canary.core.advance.gates import GATE, QUEUED, TIMED_OUT, gate_closed, opens, shut_for_good, wait_for_turn
from canary.core.advance.idle import begin, end_reverted, start_run
from canary.core.advance.outcome import Advance, revisions, row, saying, without_condition
from canary.core.advance.run import roll_back
from canary.core.hooks import APPROVED, heard, rollback_wanted
from canary.core.moment import Change
from canary.core.obstacle import find_obstacle
from canary.core.obstacles import BEFORE_A_RUN, SUSPENDED
from canary.core.routes.routing import PRIMARY_ONLY
from canary.core.runs import Place
from canary.core.turns import turn
from canary.core.view import View


def waiting(view: View) -> Advance:
    """Begin the run once the gate is open and it is its turn; answer a target that moves meanwhile."""
    status, step = view.status, view.status.step
    if view.change is Change.UNKNOWN or view.target is None:
        return Advance(_passed_over(status))
    if view.change is not Change.NEW:
        return _turned_back(view)
    if step is None or view.shown != status.revisions.pending:
        return begin(view)
    if why := rollback_wanted(view):
        return turn_away(view, "RollbackHook", why)
    if why := _not_yet(view):
        later = {"step": step.model_copy(update={"next_tick_at": view.now + view.interval})} if view.tick_is_due else {}
        status = _passed_over(status.model_copy(update=later))
        return Advance(saying(status, f"Revision {view.shown} is waiting: {why}"))
    if view.weights is not None and view.weights != PRIMARY_ONLY:
        return Advance(_passed_over(status))
    place = turn(view)
    if place is not None and status.queued_at is not None:
        return Advance(status)
    return _at_gate(view, place)


def _at_gate(view: View, place: Place | None) -> Advance:
    """Begin the run, or enter the queue, if the gate is open: it is asked again when the turn has come."""
    answer = heard(view, GATE)
    if answer is None:
        return Advance(view.status)
    if (events := opens(view, GATE, answer)) is not None:
        follows = start_run(view) if place is None else _to_queue(view, place, events)
        return Advance(follows.status, events + follows.events)
    if why := shut_for_good(view, GATE, answer):
        return turn_away(view, TIMED_OUT, why)
    return gate_closed(view, view.status, GATE, answer)


def _to_queue(view: View, place: Place, by_timeout: tuple[Event, ...]) -> Advance:
    """Enter the queue; a gate that a person or its timeout opened is open when the turn comes."""
    gates = view.status.gates
    if by_timeout:
        opened = {"state": APPROVED, "message": by_timeout[0].message}
        gates = tuple(gate.model_copy(update=opened) for gate in gates)
    queued = wait_for_turn(view, place)
    kept = tuple(gate for gate in gates if gate.state == APPROVED)
    return Advance(queued.status.model_copy(update={"gates": kept}), queued.events)


def _passed_over(status: CanaryStatus) -> CanaryStatus:
    """Return the status of a Canary whose run cannot begin for now: those behind it must not wait for it."""
    held = status.condition("Held")
    status = without_condition(status, "Held") if held is not None and held.reason == QUEUED else status
    return status.model_copy(update={"queued_at": None})


def turn_away(view: View, reason: str, why: str) -> Advance:
    """Let what waits count as failed before it began."""
    shown = {"revision": revisions(view.status, candidate=view.shown, pending=None), "last_applied_spec": view.shown}
    return roll_back(view, view.status.model_copy(update=shown), reason, why)


def _not_yet(view: View) -> str | None:
    """Return what keeps a run from beginning whatever its gate says."""
    if view.suspended:
        return SUSPENDED
    obstacle = find_obstacle(view, BEFORE_A_RUN)
    return obstacle.message if obstacle is not None else None


def _turned_back(view: View) -> Advance:
    """Return to the phase before: the target shows what it did then, or what production runs."""
    known = view.status.revisions
    if view.change is Change.REVERTED or known.candidate in (None, known.primary):
        return end_reverted(view)
    message = f"Target is back at revision {known.candidate}, which failed before"
    status = row(view, view.status, Phase.FAILED, 0, message, revision=revisions(view.status, pending=None), step=None)
    return Advance(without_condition(status, "Held"), (Event("Reverted", message),))
