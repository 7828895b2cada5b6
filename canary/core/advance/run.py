"""Phase Progressing: the canary takes its steps, is judged at each, and goes on or back."""

from __future__ import annotations

from datetime import datetime, timedelta

from canary.api.status import CanaryStatus, Phase, Progress, StepStatus
from canary.core.actions import Event
from canary.core.advance.gates import TIMED_OUT, gate_closed, opens, shut_for_good
from canary.core.advance.idle import begin, end_reverted
from canary.core.advance.outcome import Advance, row, saying, with_condition, without_condition
from canary.core.advance.tick import PAUSED, Verdict, hold, judge_tick
from canary.core.advance.waits import unled, unled_cohorts, unreached
from canary.core.hooks import APPROVED, gate_before, heard, rollback_wanted
from canary.core.measurement import HookAnswer, HookType, Unavailable
from canary.core.moment import Change
from canary.core.obstacles import SUSPENDED, contested
from canary.core.plan import Step
from canary.core.routes.marks import read_roll_back
from canary.core.service_obstacles import foreign_service
from canary.core.view import GRID_SLACK, View


def progressing(view: View) -> Advance:
    """Answer what ends or restarts the run first; then, when due, judge and take the next step."""
    step = view.status.step
    if step is None or step.next_tick_at is None:
        return roll_back(view, view.status, "StatusLost", "the step of this run is missing from its status")
    if mark := read_roll_back(view.snapshot.route, view.status.revisions.candidate, run_id(view.status)):
        return roll_back(view, view.status, *mark)
    if view.snapshot.refusals:
        return roll_back(view, view.status, "SpecInvalid", "; ".join(view.snapshot.refusals))
    if view.change is Change.REVERTED:
        return end_reverted(view)
    if view.change is Change.NEW and view.target is not None:
        return begin(view, restarted=True)
    if fought := contested(view.status, "route", "selector"):
        return roll_back(view, view.status, fought.reason, fought.message)
    if why := rollback_wanted(view):
        return roll_back(view, view.status, "RollbackHook", why)
    if view.paused:
        return Advance(paused(view, view.status))
    if reason := canary_given_up(view):
        return roll_back(view, view.status, "CanaryNotReady", reason)
    if awaited_pods_came(view):
        return _leave(view, Advance(view.status), step)
    if view.now < step.next_tick_at:
        return Advance(view.status)
    return _tick(view, step)


def paused(view: View, status: CanaryStatus) -> CanaryStatus:
    """Return the status of a run that holds because somebody said so, in the spec or by a command."""
    if view.suspended:
        reason, why = "Suspended", SUSPENDED
    else:
        by = status.run.paused_by if status.run is not None else None
        reason, why = PAUSED, f"paused by {by}; the command resume goes on"
    message = f"Holding at {view.label}: {why}"
    # Its deadline begins anew with what follows.
    status = status.model_copy(update={"progress": None})
    return saying(with_condition(status, "Held", "True", reason, message, view.now), message)


def run_id(status: CanaryStatus) -> str:
    """Return what tells this run from others of the same revision."""
    return status.run.started_at.isoformat() if status.run else ""


def _tick(view: View, step: StepStatus) -> Advance:
    found = foreign_service(view) if view.place == 0 else None
    if found is not None:
        return hold(view, view.status, found.reason, found.message)
    if view.place == 0 and not capacity_ready(view):
        return Advance(_waiting_for_capacity(view, view.status))
    if view.taken_as_passed:
        return _leave(view, Advance(view.status), step)
    verdict, advance = judge_tick(view)
    if ended := spent(view, verdict, advance):
        return ended
    if verdict is not Verdict.PASSED:
        return advance
    if view.awaits_resume:
        return _await_resume(view, advance, step)
    if (over := _step_over_at(view, step)) is not None and view.now < over:
        return _stay(view, advance, step, over)
    return _leave(view, advance, step)


def _leave(view: View, advance: Advance, step: StepStatus) -> Advance:
    """Take the next step, if its gate is open and its pods are there."""
    if kind := gate_before(view):
        answer = heard(view, kind)
        if answer is None:
            return Advance(view.status)
        events = opens(view, kind, answer)
        if events is None:
            return _kept_back(view, advance, kind, answer)
        advance = Advance(advance.status, advance.events + events)
    if capacity_ready(view):
        taken = take_step(view, advance.status)
        return Advance(taken.status, advance.events + taken.events)
    later = step.model_copy(update={"passed_at": view.now, "next_tick_at": view.now + view.interval})
    open_ones = tuple(gate for gate in advance.status.gates if gate.state == APPROVED)
    status = advance.status.model_copy(update={"step": later, "gates": open_ones})
    return Advance(_waiting_for_capacity(view, status), advance.events)


def _kept_back(view: View, advance: Advance, kind: HookType, answer: HookAnswer | Unavailable) -> Advance:
    """Hold at a gate that is shut, or end the run when it was for too long."""
    if why := shut_for_good(view, kind, answer):
        kept = roll_back(view, advance.status, TIMED_OUT, why)
    else:
        kept = gate_closed(view, advance.status, kind, answer)
    return Advance(kept.status, advance.events + kept.events)


def spent(view: View, verdict: Verdict, advance: Advance) -> Advance | None:
    """Return the roll-back when this failure was the last one allowed."""
    why = budget_spent(view, verdict, advance)
    if why is None:
        return None
    ended = roll_back(view, advance.status, "ChecksFailed", why)
    return Advance(ended.status, advance.events + ended.events)


def budget_spent(view: View, verdict: Verdict, advance: Advance) -> str | None:
    """Return why no further failure is allowed in this run; None while one is."""
    spec = view.snapshot.spec
    threshold = spec.analysis.threshold if spec else 1
    if verdict is not Verdict.FAILED or advance.status.failed_checks < threshold:
        return None
    return f"{threshold} failed checks, the last: {_last_failure(advance.status)}"


def _step_over_at(view: View, step: StepStatus) -> datetime | None:
    """Return when a step of its own length is over; None for one that lasts an interval."""
    lasts = view.plan.step(view.place).lasts
    began = step.in_force_at or step.started_at
    return began + lasts if lasts is not None and began is not None else None


def _stay(view: View, advance: Advance, step: StepStatus, over: datetime) -> Advance:
    """Go on at the same step, judged at each interval and once more at its end."""
    later = step.model_copy(update={"next_tick_at": min(view.now + view.interval, over)})
    message = f"Staying at {view.label} until {over:%H:%M:%S} UTC"
    return Advance(saying(advance.status.model_copy(update={"step": later}), message), advance.events)


def _await_resume(view: View, advance: Advance, step: StepStatus) -> Advance:
    """Go on at a step that the plan has paused, judged at each interval, until a command goes on."""
    later = step.model_copy(update={"next_tick_at": view.now + view.interval})
    status = advance.status.model_copy(update={"step": later})
    message = f"Paused at {view.label} by the plan; the command resume goes on"
    status = saying(with_condition(status, "Held", "True", PAUSED, message, view.now), message)
    before = view.status.condition("Held")
    told = before is not None and before.reason == PAUSED
    return Advance(status, advance.events if told else (*advance.events, Event("Paused", message)))


def _last_failure(status: CanaryStatus) -> str:
    failed = [c.message for c in status.checks if c.verdict == "Fail"]
    return failed[0] if failed else status.message or ""


def capacity_ready(view: View) -> bool:
    """Return whether the canary has the pods that the next step needs (I8)."""
    return view.canary_fresh >= view.enough_next and not unled_cohorts(view)


def awaited_pods_came(view: View) -> bool:
    """Return whether the step has passed, and the pods it waited for since are there: its gate is asked again."""
    step = view.status.step
    exposed = view.place == 0 and foreign_service(view) is not None
    return step is not None and step.passed_at is not None and capacity_ready(view) and not exposed


def take_step(view: View, status: CanaryStatus) -> Advance:
    """Enter the next step; after the last one, the promotion."""
    old, following = status.step, view.following
    index = view.place + 1 if following else view.plan.count
    due = old.next_tick_at if old and old.next_tick_at else view.now
    # A step that was late for capacity has its next tick in the future: it is on no grid.
    on_grid = timedelta(0) <= view.now - due <= GRID_SLACK
    step = StepStatus(
        index=index,
        count=view.plan.count,
        description=f"{index} of {view.plan.count}: {following.label}" if following else "promotion",
        started_at=view.now,
        next_tick_at=(due if on_grid else view.now) + _first_wait(view, following),
    )
    candidate, status = status.revisions.candidate, without_condition(status, "Held")
    if following is None:
        message = f"Revision {candidate} {_passed(view)}, promoting it"
        status = row(view, status, Phase.PROMOTING, 0, message, step=step, progress=None)
        return Advance(status, (Event("Promoting", message),))
    message = f"Advancing revision {candidate} to {following.label}"
    weight, tested = following.routing.canary, min(index, view.iterations)
    status = row(view, status, Phase.PROGRESSING, weight, message, step=step, progress=None, iterations=tested)
    return Advance(status, (Event("StepPassed", message),))


def _passed(view: View) -> str:
    """Return what a revision has behind it that is promoted."""
    if view.undoes is not None:
        return f"was production before {view.undoes}"
    if (run := view.status.run) is not None and run.promoted_by is not None:
        return f"needs no further analysis, says {run.promoted_by}"
    return "is ready, no analysis was asked for" if view.skips_analysis else "passed its analysis"


def _first_wait(view: View, step: Step | None) -> timedelta:
    """Return the time to a step's first judgement: an interval, or all of a shorter step."""
    return min(view.interval, step.lasts) if step is not None and step.lasts is not None else view.step_time


def _waiting_for_capacity(view: View, status: CanaryStatus) -> CanaryStatus:
    """Return the status while pods are awaited, with the time of the last progress."""
    need, have = view.enough_next, view.canary_fresh
    since = status.step.started_at if status.step and status.step.started_at else view.now
    if status.condition("Held") is not None:
        # The canary was not scaled while the run was held.
        since, status = view.now, without_condition(status, "Held")
    progress, come = status.progress, view.canary_progress
    if status.drain is not None and status.drain.role == "canary":
        # The one before it settles: the deadline begins with its replacement.
        progress = Progress(role="settling", since=status.drain.since, available=come)
    elif progress is not None and progress.role == "settling":
        progress = Progress(role="canary", since=view.now, available=come)
    elif progress is None or progress.role != "canary":
        progress = Progress(role="canary", since=since, available=come)
    elif come > progress.available:
        progress = Progress(role="canary", since=view.now, available=come)
    name = view.snapshot.names.workload("canary").name
    message = f"Waiting for {view.kind} {name}: {have} of {need} pods are ready{unreached(view, 'canary')}{unled(view)}"
    return saying(status.model_copy(update={"progress": progress}), message)


def canary_given_up(view: View) -> str | None:
    """Return why the canary counts as never getting ready, None while it may."""
    candidate, status = view.candidate, view.status
    name = view.snapshot.names.workload("canary").name
    seconds = f"{view.deadline.total_seconds():.0f} s"
    if candidate is None or candidate.revision != status.revisions.candidate or capacity_ready(view):
        return None
    if status.drain is not None and status.drain.role == "canary":
        # The one before it has just settled and been replaced: the deadline begins now.
        return None
    if view.canary_stuck:
        have = f"{view.canary_fresh} pods are ready{unreached(view, 'canary')}{unled(view)}"
        return f"{view.kind} {name} made no progress for {seconds}: {have}"
    return None


def roll_back(view: View, status: CanaryStatus, reason: str, why: str) -> Advance:
    """End the run: all traffic to the primary, the canary down once settled, the primary untouched."""
    candidate = status.revisions.candidate
    message = f"Rolled back revision {candidate}: {why}"
    status = row(view, status, Phase.FAILED, 0, message, traffic_since=None, progress=None)
    status = with_condition(without_condition(status, "Held"), "Progressing", "False", reason, message, view.now)
    return Advance(status, (Event("RolledBack", message, "Warning"),))
