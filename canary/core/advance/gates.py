"""Gates that are not open: the release holds where it is, neither failing nor going on."""

from __future__ import annotations

from canary.api.status import CanaryStatus, Gate, Phase, StepStatus
from canary.core.actions import Event
from canary.core.advance.outcome import Advance, revisions, row, saying, with_condition, without_condition
from canary.core.hooks import said
from canary.core.measurement import HookAnswer, HookType, Unavailable
from canary.core.view import View

CLOSED, UNANSWERED = "GateClosed", "GateUnanswered"
GATE: HookType = "confirm-rollout"


def wait_for_gate(view: View) -> Advance:
    """Enter Waiting with what the target shows; whatever ran before is off its traffic."""
    identity = view.shown
    message = f"New revision {identity} detected, waiting for {GATE}"
    step = StepStatus(index=0, count=view.plan.count, description=GATE, started_at=view.now, next_tick_at=view.now)
    status = row(
        view,
        view.status,
        Phase.WAITING,
        0,
        message,
        revision=revisions(view.status, pending=identity),
        step=step,
        run=None,
        gates=(),
        traffic_since=None,
        progress=None,
    )
    for kind in ("Held", "TrafficDiverted", "MetricsAvailable", "RevisionPending"):
        status = without_condition(status, kind)
    return Advance(status, (Event("Waiting", message),))


def gate_closed(view: View, status: CanaryStatus, kind: HookType, answer: HookAnswer | Unavailable) -> Advance:
    """Hold at this weight and ask again an interval later; one event tells of it, not one each time."""
    reason = UNANSWERED if isinstance(answer, Unavailable) else CLOSED
    message = f"Holding at {view.label}: {said(kind, answer)}"
    before = view.status.condition("Held")
    told = before is not None and before.reason == reason
    name = answer.name if isinstance(answer, HookAnswer) else kind
    old = next((one for one in view.status.gates if one.type == kind), None)
    since = old.since if old is not None else view.now
    gate = Gate(name=name, type=kind, state="Closed" if reason == CLOSED else "Unknown", since=since, message=message)
    step = status.step
    if step is not None:
        # What passed while pods were awaited, or by a command, is judged again: it does not open the gate.
        again = {"next_tick_at": view.now + view.interval, "passed_at": None, "skipped": None}
        step = step.model_copy(update=again)
    if kind == "confirm-promotion" and status.phase is Phase.PROGRESSING:
        status = row(view, status, Phase.WAITING_PROMOTION, status.canary_weight, message)
    status = status.model_copy(update={"gates": (gate,), "step": step})
    status = saying(with_condition(status, "Held", "True", reason, message, view.now), message)
    return Advance(status, () if told else (Event(reason, message, "Warning"),))
