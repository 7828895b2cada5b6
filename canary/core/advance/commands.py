"""What each command does in each phase; outside of these it changes nothing and says so (I11)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from canary.api.command import ANNOTATION, Command, Verb, WrongCommand, read_command
from canary.api.status import CanaryStatus, Gate, LastCommand, Phase, Progress
from canary.core.actions import Event
from canary.core.advance import undo
from canary.core.advance.outcome import Advance, pending, without_condition
from canary.core.advance.recover import fall_back, going_back, promotion_failed
from canary.core.advance.run import roll_back
from canary.core.advance.waiting import turn_away
from canary.core.hooks import APPROVED
from canary.core.objects import annotations_of
from canary.core.obstacles import SUSPENDED
from canary.core.view import STEPPING, View

OBEYED, REFUSED = "CommandObeyed", "CommandRefused"
UNKNOWN = "someone"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a command: a new status when it was obeyed, and what to tell."""

    command: Command | WrongCommand
    result: str
    obeyed: Advance | None = None

    def recorded(self, view: View, advance: Advance) -> Advance:
        """Return an outcome with the answer in its status, and as an event."""
        done, one = self.obeyed is not None, self.command
        verb, by = (one.verb, one.by) if isinstance(one, Command) else ("", "")
        result = f"{'Obeyed' if done else 'Refused'}: {self.result}"
        answered = LastCommand(id=one.id, verb=verb, by=by, at=view.now, result=result)
        asked = f"{verb or 'Command'} of {by or UNKNOWN}"
        told = (
            Event(OBEYED, f"{asked}: {self.result}") if done else Event(REFUSED, f"{asked}: {self.result}", "Warning")
        )
        return Advance(advance.status.model_copy(update={"last_command": answered}), (told, *advance.events))


Outcome = tuple[Advance, str] | str
"""A new status with what was done, or why nothing was."""
Obey = Callable[[View, str], Outcome]


def answer_command(view: View) -> Answer | None:
    """Return the answer to the command on the Canary; None when there is none that was not answered before."""
    text = annotations_of(view.snapshot.canary or {}).get(ANNOTATION)
    command = read_command(text) if text else None
    answered = view.status.last_command
    if command is None or (answered is not None and answered.id == command.id):
        return None
    if isinstance(command, WrongCommand):
        return Answer(command, command.why)
    outcome = _refusal(view, command) or LEGAL[command.verb][view.status.phase](view, command.by or UNKNOWN)
    return Answer(command, outcome) if isinstance(outcome, str) else Answer(command, outcome[1], outcome[0])


def _refusal(view: View, command: Command) -> str | None:
    """Return why a command is not even looked at."""
    phase, known = view.status.phase, view.status.revisions
    if phase is Phase.NONE:
        return "it is older than the status of the Canary; send it again with another id"
    present = (known.pending if phase is Phase.WAITING else known.candidate) or known.primary
    if command.revision and command.revision != present:
        return f"it is meant for revision {command.revision}, the present one is {present}"
    if phase not in LEGAL[command.verb]:
        return f"nothing to {command.verb} in phase {phase}; it is for {', '.join(LEGAL[command.verb])}"
    if phase is Phase.WAITING and view.shown != known.pending:
        return f"the target does not show revision {known.pending} any more, but {view.shown or 'is gone'}"
    return _no_such_gate(view, command) if command.verb in ("approve", "reject") else None


def _no_such_gate(view: View, command: Command) -> str | None:
    gate = _closed_gate(view)
    if gate is None:
        return "no gate is closed"
    if command.gate not in ("", gate.name, gate.type):
        return f"gate {command.gate} is not closed; {gate.name} of type {gate.type} is"
    return None


def _closed_gate(view: View) -> Gate | None:
    return next((gate for gate in view.status.gates if gate.state != APPROVED), None)


def _approve(view: View, by: str) -> Outcome:
    gate, step = _closed_gate(view), view.status.step
    if gate is None or step is None:
        return "no gate is closed"
    gate = gate.model_copy(update={"state": APPROVED, "by": by, "message": f"opened by {by}"})
    # Judged once more, now: what is let on may be worse than when it was held.
    soon = {"next_tick_at": view.now} if view.place == 0 else _judged_soon(view)
    changed = {"gates": (gate,), "step": step.model_copy(update=soon)}
    return Advance(_going_on(view).model_copy(update=changed)), f"gate {gate.name} is open"


def _reject(view: View, by: str) -> Outcome:
    gate = _closed_gate(view)
    why = f"gate {gate.name if gate else ''} was rejected by {by}"
    return _given_up(view, "Rejected", why), "the run is rolled back"


def _given_up(view: View, reason: str, why: str) -> Advance:
    ends = turn_away(view, reason, why) if view.status.phase is Phase.WAITING else None
    return ends or roll_back(view, view.status, reason, why)


def _pause(view: View, by: str) -> Outcome:
    run = view.status.run
    if run is None or view.primary_touched:
        return f"the primary is being given revision {view.status.revisions.candidate}, which is not stopped half-way"
    if run.paused_by is not None:
        return f"the run is paused already, by {run.paused_by}"
    status = view.status.model_copy(update={"run": run.model_copy(update={"paused_by": by})})
    return Advance(status), f"the run holds at {view.label}"


def _resume(view: View, by: str) -> Outcome:
    run, step = view.status.run, view.status.step
    if not view.awaits_resume and (run is None or run.paused_by is None):
        return SUSPENDED if view.suspended else "the run is not paused"
    status = _going_on(view)
    if view.awaits_resume and step is not None:
        # Judged once more, now: what is resumed may be worse than when it was paused.
        status = status.model_copy(update={"step": step.model_copy(update={"resumed": True, **_judged_soon(view)})})
    return Advance(status), f"the run goes on from {view.label}" + (f"; {SUSPENDED}" if view.suspended else "")


def _judged_soon(view: View) -> dict[str, datetime]:
    """Return the step's next tick: now, if its weight was in force for an interval (I18)."""
    step = view.status.step
    if step is None or step.in_force_at is None or step.next_tick_at is None:
        return {}
    return {"next_tick_at": min(step.next_tick_at, max(view.now, step.in_force_at + view.interval))}


def _promote(view: View, by: str) -> Outcome:
    status, run = _going_on(view), view.status.run
    if view.suspended or run is None:
        return SUSPENDED
    if run.promoted_by is not None:
        return f"the rest of the plan is taken as passed already, on the word of {run.promoted_by}"
    run = run.model_copy(update={"promoted_by": by, "paused_by": None})
    step = view.status.step.model_copy(update={"next_tick_at": view.now}) if view.status.step else None
    going = status.model_copy(update={"run": run, "step": step})
    return Advance(going), f"the rest of the plan is taken as passed at {view.label}"


def _skip_step(view: View, by: str) -> Outcome:
    if _may_end_settling(view):
        return _end_settling(view, by)
    step = view.status.step
    if view.suspended or step is None:
        return SUSPENDED
    if view.taken_as_passed:
        return f"{view.label} is taken as passed already"
    step = step.model_copy(update={"skipped": True, "next_tick_at": view.now})
    status = _going_on(view).model_copy(update={"step": step})
    return Advance(status), f"{view.label} is taken as passed"


def _end_bake(view: View, by: str) -> Outcome:
    step = view.status.step
    if view.bakes is None or step is None:
        return _end_settling(view, by)
    if view.suspended:
        return SUSPENDED
    done = step.model_copy(update={"passed_at": view.now, "next_tick_at": view.now})
    return Advance(_going_on(view).model_copy(update={"step": done})), "the bake is taken as passed"


def _end_settling(view: View, by: str) -> Outcome:
    drain = view.status.drain
    if drain is None or not _may_end_settling(view):
        return "nothing waits for requests to end that has waited for its settle time"
    status = view.status.model_copy(update={"drain": drain.model_copy(update={"skipped": True})})
    return Advance(status), f"requests seen at the {drain.role} do not matter any more"


def _may_end_settling(view: View) -> bool:
    drain = view.status.drain
    return drain is not None and not drain.skipped and view.now - drain.since >= view.shortest_settle


def _abort(view: View, by: str) -> Outcome:
    if not view.primary_touched:
        return _given_up(view, "Aborted", f"aborted by {by}"), "the run is rolled back"
    former = view.status.revisions.primary
    return fall_back(view, f"was aborted by {by}"), f"the primary goes back to revision {former}"


def _retry(view: View, by: str) -> Outcome:
    if view.undoes is not None and not promotion_failed(view):
        return _rollback(view, by)
    # Of a way back, the target shows what it takes back.
    candidate, latest = view.status.revisions.candidate, view.undoes or view.status.revisions.candidate
    if view.shown != latest:
        return f"the target does not show revision {latest} any more, but {view.shown}"
    why = f"tried again, asked by {by}"
    return Advance(pending(view, view.shown, why)), f"revision {candidate} is {why}"


def _rollback(view: View, by: str) -> Outcome:
    former = view.status.revisions.primary
    if promotion_failed(view):
        if going_back(view):
            return f"the primary goes back to revision {former} already"
        return fall_back(view, f"is rolled back by {by}"), f"the primary goes back to revision {former}"
    if view.status.phase is Phase.FAILED and view.undoes is None:
        return f"production runs revision {former}, the failed one is not in it"
    if why := undo.what_hinders(view):
        return why
    return undo.start(view, by), f"production goes back to revision {undo.destination(view)}"


def _going_on(view: View) -> CanaryStatus:
    """Return the status of a run that nobody has paused any more; its deadline begins anew."""
    status, run = without_condition(view.status, "Held"), view.status.run
    progress = Progress(role="canary", since=view.now, available=view.canary_progress)
    going = run.model_copy(update={"paused_by": None}) if run is not None else None
    return status.model_copy(update={"run": going, "progress": progress})


_RUN = (*STEPPING, Phase.PROMOTING)
_IDLE = (Phase.INITIALIZED, Phase.SUCCEEDED, Phase.FAILED)
LEGAL: Mapping[Verb, Mapping[Phase, Obey]] = {
    "pause": dict.fromkeys(_RUN, _pause),
    "resume": dict.fromkeys(_RUN, _resume),
    "promote": {Phase.PROGRESSING: _promote, Phase.PROMOTING: _end_bake},
    "skip": {
        **dict.fromkeys((Phase.INITIALIZING, Phase.WAITING, Phase.FINALISING, *_IDLE), _end_settling),
        Phase.PROGRESSING: _skip_step,
        Phase.PROMOTING: _end_bake,
    },
    "abort": dict.fromkeys((Phase.WAITING, *_RUN), _abort),
    "retry": {Phase.FAILED: _retry},
    "rollback": dict.fromkeys(_IDLE, _rollback),
    "approve": dict.fromkeys((Phase.WAITING, *STEPPING), _approve),
    "reject": dict.fromkeys((Phase.WAITING, *STEPPING), _reject),
}
"""Per verb the phases it has a meaning in, with what it does there."""
