"""The decision: snapshot, measurements and time in; status, actions, events and a timer out."""

from __future__ import annotations

from datetime import datetime, timedelta

from canary.api.status import CanaryStatus, Phase, Replicas, TargetSeen
from canary.core.actions import Decision, Event
from canary.core.advance import advance, foresee
from canary.core.advance.drift import CONTEST_WINDOW
from canary.core.advance.recover import RETRYING
from canary.core.converge import converge, protections
from canary.core.converge.keeper import keeper_ends
from canary.core.drains import UNANSWERED_DRAINS
from canary.core.due import due, images_awaited
from canary.core.flagger.begin import LEFT_ALONE, begun, keeps_from_taking_over
from canary.core.flagger.remains import is_asked
from canary.core.flagger.take_over import take_over_waits
from canary.core.give_back import give_back
from canary.core.hooks import post_rollout_at, rollback_asked_at
from canary.core.measurement import (
    CheckQuery,
    CustomQuery,
    HookQuery,
    LabelsQuery,
    Measurement,
    PodsQuery,
    Query,
    TemplateQuery,
)
from canary.core.moment import Change
from canary.core.names import MANAGER
from canary.core.objects import Object
from canary.core.obstacles import CONTESTED_AFTER
from canary.core.pinning import content_awaited
from canary.core.snapshot import Snapshot
from canary.core.view import RUNNING, View

SHORTEST_WAIT = timedelta(milliseconds=50)
ASK_AGAIN = timedelta(seconds=5)
LOOK_AGAIN = timedelta(seconds=30)
"""How often a Canary in the queue looks for its turn, should nobody have told it."""
EVIDENCE = (CheckQuery, CustomQuery, LabelsQuery, HookQuery, PodsQuery)
"""Questions that a tick rests on."""


def questions(snapshot: Snapshot, now: datetime) -> tuple[Query, ...]:
    """Return which measurements the decision on this snapshot needs now."""
    return () if is_foreign(snapshot) else due(View(snapshot, (), now))


def overtaking(snapshot: Snapshot, asked: tuple[Query, ...], now: datetime) -> tuple[Query, ...]:
    """Return what a tick rests on that came due while other questions are being answered."""
    subjects = {_subject(query) for query in asked}
    return tuple(q for q in questions(snapshot, now) if isinstance(q, EVIDENCE) and _subject(q) not in subjects)


def next_tick(snapshot: Snapshot, now: datetime) -> timedelta | None:
    """Return the time until the next tick; None when there is none ahead."""
    step = snapshot.status.step
    due = step.next_tick_at if step is not None else None
    return due - now if due is not None and due > now else None


def goes_back(snapshot: Snapshot, measurements: tuple[Measurement, ...], now: datetime) -> bool:
    """Return whether answers count against the canary, whatever those are that still lack.

    The way up waits for every answer, the way back for none (I22).
    """
    if snapshot.canary is None or is_foreign(snapshot):
        return False
    before, after = snapshot.status, advance(View(snapshot, measurements, now)).status
    ends = after.phase is Phase.FAILED and before.phase is not Phase.FAILED
    return ends or after.failed_checks > before.failed_checks


def decide(snapshot: Snapshot, measurements: tuple[Measurement, ...], now: datetime) -> Decision:
    """Return what to record and do about one Canary."""
    view = View(snapshot, measurements, now)
    if is_foreign(snapshot):
        if not is_asked(snapshot):
            return Decision(status=None, notes=(LEFT_ALONE,))
        if found := keeps_from_taking_over(view):
            told = Event(found.reason, found.message, "Warning")
            return Decision(status=None, notes=(found.message,), events=(told,))
        view = begun(view)
    if snapshot.canary is None:
        return give_back(view)
    advanced = advance(view)
    settled = view.with_status(advanced.status)
    gap = converge(settled)
    return Decision(
        status=advanced.status if _worth_writing(settled, snapshot.status) else None,
        urgent=gap.urgent,
        actions=gap.actions,
        events=advanced.events,
        requeue_after=_wait(settled),
    )


def needs_protection(snapshot: Snapshot, now: datetime) -> bool:
    """Return whether a decision without measurements does anything urgent (I22)."""
    if snapshot.canary is None or is_foreign(snapshot):
        return bool(decide(snapshot, (), now).urgent)
    view = View(snapshot, (), now)
    return bool(protections(view.with_status(foresee(view))))


def is_foreign(snapshot: Snapshot) -> bool:
    """Return whether another controller, not ours, keeps the status of this Canary."""
    return snapshot.canary is not None and snapshot.status.phase is not Phase.NONE and kept_by_another(snapshot.canary)


def kept_by_another(canary: Object) -> bool:
    """Return whether a Canary's status was written, and never by this controller."""
    entries = canary["metadata"].get("managedFields") or []
    writers = {e.get("manager") for e in entries if e.get("subresource") == "status"}
    return bool(writers) and MANAGER not in writers


def _worth_writing(view: View, old: CanaryStatus) -> bool:
    """Return whether anything changed that is worth a write of its own.

    Ready counts ride along while a release moves, and so do a target's generation and the end of a drain
    once its set has shrunk or rolled.  A drain that ended because traffic came back is written: it begins anew.
    """
    new = view.status
    if old.target is not None and _moved_alone(view, old.target):
        old = old.model_copy(update={"target": new.target})
    if new.drain is None and old.drain is not None and _served_its_purpose(view, old.drain.role):
        old = old.model_copy(update={"drain": None})
    # Drift that is merely forgotten is no reason to write (I5).
    old = old.model_copy(update={"drift": tuple(d for d in old.drift if d in new.drift)})
    if all(one in old.drift for one in new.drift):
        # Drift that lies too far back is dropped with the next write, not by one of its own (I5).
        old = old.model_copy(update={"drift": new.drift})
    if _without_counts(old) != _without_counts(new):
        return True
    before, after = old.replicas or Replicas(), new.replicas or Replicas()
    idle = new.phase not in (*RUNNING, Phase.INITIALIZING)
    return idle and before != after


def _moved_alone(view: View, seen: TargetSeen) -> bool:
    """Return whether only the generation of the target moved, in a run that will write its status again.

    The Deployment controller moves it by an annotation soon after every new template.  What a dry run
    told is recorded, or it would be asked again.
    """
    new = view.status.target
    told = any(isinstance(m.query, TemplateQuery) for m in view.measurements)
    return new is not None and new.uid == seen.uid and view.status.phase in RUNNING and not told


def _served_its_purpose(view: View, role: str) -> bool:
    if role == "primary":
        return view.primary_touched
    # The target may get pods again before the next row: they settle anew.
    return role == "canary" and not view.canary_has_pods


def _without_counts(status: CanaryStatus) -> CanaryStatus:
    if status.replicas is None:
        return status
    kept = Replicas(desired=status.replicas.desired)
    return status.model_copy(update={"replicas": kept})


def _wait(view: View) -> timedelta | None:
    """Return the time until the next moment at which something may be owed; None waits for a change."""
    clocks = (_ticks(view), _drains(view), _deadlines(view), _retries(view), _unanswered(view))
    owed = (keeper_ends(view), take_over_waits(view), _hooks(view), *(one for times in clocks for one in times))
    times = [t for t in owed if t is not None]
    return max(SHORTEST_WAIT, min(times) - view.now) if times else None


def _ticks(view: View) -> list[datetime | None]:
    step, phase = view.status.step, view.status.phase
    if step is None or phase not in (*RUNNING, Phase.WAITING):
        return []
    if phase is Phase.WAITING and view.status.queued_at is not None:
        return [view.now + LOOK_AGAIN]
    # A tick that is past waits for the world, whose changes come by watch.
    return [step.next_tick_at] if step.next_tick_at and step.next_tick_at > view.now else []


def _hooks(view: View) -> datetime | None:
    times = [at for at in (rollback_asked_at(view), post_rollout_at(view)) if at is not None]
    # A tick that is past is asked at once, or waits for the world.
    return min((at for at in times if at > view.now), default=None)


def _drains(view: View) -> list[datetime | None]:
    drain = view.status.drain
    if drain is None:
        return []
    first = drain.since + view.shortest_settle
    if view.now < first:
        return [first]
    again = view.now + max(timedelta(seconds=1), view.drain / 3)
    last = drain.since + UNANSWERED_DRAINS * view.drain
    return [min(again, last) if view.now < last else again]


def _deadlines(view: View) -> list[datetime | None]:
    progress = view.status.progress
    if progress is None or (progress.role not in ("canary", "primary", RETRYING)):
        return []
    end = progress.since + view.deadline
    return [end] if end > view.now else []


def _unanswered(view: View) -> list[datetime | None]:
    """Ask again what the API server did not answer, as no watch tells when it will, and at once what nobody asked."""
    unknown = view.change is Change.UNKNOWN or content_awaited(view) or images_awaited(view)
    # The tick came due while other questions were answered.
    overtaken = bool(overtaking(view.snapshot, tuple(m.query for m in view.measurements), view.now))
    return [view.now if overtaken else view.now + ASK_AGAIN] if unknown or overtaken else []


def _subject(query: Query) -> tuple[str, ...]:
    """Return what a question is about, whenever it is asked."""
    about = (query.check, query.canary) if isinstance(query, CheckQuery) else ()
    if isinstance(query, CustomQuery):
        about = (query.check, str(query.number))
    return (type(query).__name__, *about, query.type if isinstance(query, HookQuery) else "")


def _retries(view: View) -> list[datetime | None]:
    fought = [d for d in view.status.drift if d.count >= CONTESTED_AFTER and d.since]
    ends = [max(d.since, d.retry_at or d.since) + CONTEST_WINDOW for d in fought if d.since]
    return [t for t in (*(d.retry_at for d in view.status.drift), *ends) if t and t > view.now]
