"""Gates that are not open: the release holds where it is, neither failing nor going on."""

from __future__ import annotations

from datetime import datetime

from canary.api.status import CanaryStatus, Gate, Phase, StepStatus
from canary.core.actions import Event
from canary.core.advance.outcome import Advance, revisions, row, saying, with_condition, without_condition
from canary.core.hooks import overdue, said
from canary.core.measurement import HookAnswer, HookType, Unavailable
from canary.core.runs import Place
from canary.core.view import View

CLOSED, UNANSWERED, TIMED_OUT = "GateClosed", "GateUnanswered", "GateTimedOut"
GATE: HookType = "confirm-rollout"
A_FREE_RUN, QUEUED = "a free run", "Queued"


def wait_for_gate(view: View) -> Advance:
    """Enter Waiting with what the target shows; whatever ran before is off its traffic."""
    return _wait(view, GATE, f"New revision {view.shown} detected, waiting for {GATE}")


def wait_for_turn(view: View, place: Place) -> Advance:
    """Enter the queue with what the target shows, at the place that the Canary has there already if any.

    The place is told once: to write it whenever one ahead is gone would cost a write for each that waits.
    """
    message = f"Revision {view.shown} is waiting for a free run: {place}"
    queued = _wait(view, A_FREE_RUN, message, view.status.queued_at or view.now)
    return Advance(with_condition(queued.status, "Held", "True", QUEUED, message, view.now), queued.events)


def _wait(view: View, awaited: str, message: str, queued_at: datetime | None = None) -> Advance:
    step = StepStatus(index=0, count=view.plan.count, description=awaited, started_at=view.now, next_tick_at=view.now)
    status = row(
        view,
        view.status,
        Phase.WAITING,
        0,
        message,
        revision=revisions(view.status, pending=view.shown),
        step=step,
        run=None,
        queued_at=queued_at,
        traffic_since=None,
        progress=None,
    )
    for kind in ("Held", "TrafficDiverted", "MetricsAvailable", "RevisionPending"):
        status = without_condition(status, kind)
    return Advance(status, (Event("Waiting", message),))


def opens(view: View, kind: HookType, answer: HookAnswer | Unavailable) -> tuple[Event, ...] | None:
    """Return what to tell of a gate that lets the release go on, None while it does not."""
    if isinstance(answer, HookAnswer) and answer.passed:
        return ()
    timed = overdue(view, kind)
    if timed is None or timed.on_timeout != "Approve":
        return None
    message = f"{kind} hook {timed.name} left its gate shut for {timed.gate_timeout}, which counts as a yes"
    return (Event(TIMED_OUT, message, "Warning"),)


def shut_for_good(view: View, kind: HookType, answer: HookAnswer | Unavailable) -> str | None:
    """Return why a gate that is still shut ends the release, None when it does not."""
    timed = overdue(view, kind)
    if timed is None or timed.on_timeout != "Reject":
        return None
    return f"its gate was shut for {timed.gate_timeout}: {said(kind, answer)}"


def gate_closed(view: View, status: CanaryStatus, kind: HookType, answer: HookAnswer | Unavailable) -> Advance:
    """Hold at this weight and ask again an interval later; one event tells of it, not one each time."""
    state, reason = ("Unknown", UNANSWERED) if isinstance(answer, Unavailable) else ("Closed", CLOSED)
    message = f"Holding at {view.label}: {said(kind, answer)}"
    if overdue(view, kind):
        state, reason = "TimedOut", TIMED_OUT
    name = answer.name if isinstance(answer, HookAnswer) else kind
    old = next((one for one in view.status.gates if one.type == kind), None)
    # A check that failed meanwhile took the condition away; the gate is still the same.
    told = old is not None and old.state == state
    since = old.since if old is not None else view.now
    gate = Gate(name=name, type=kind, state=state, since=since, message=message)
    step = status.step
    if step is not None:
        # What passed while pods were awaited, or by a command, is judged again: it does not open the gate.
        again = {"next_tick_at": view.now + view.interval, "passed_at": None, "skipped": None}
        step = step.model_copy(update=again)
    if kind == "confirm-promotion" and status.phase is Phase.PROGRESSING:
        status = row(view, status, Phase.WAITING_PROMOTION, status.canary_weight, message)
    status = status.model_copy(update={"gates": (gate,), "step": step, "queued_at": None})
    status = saying(with_condition(status, "Held", "True", reason, message, view.now), message)
    return Advance(status, () if told else (Event(reason, message, "Warning"),))
