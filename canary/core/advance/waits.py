"""Waits that last: what people are told while a set does not settle or a change cannot be told."""

from __future__ import annotations

from datetime import timedelta

from canary.api.status import CanaryStatus
from canary.core.actions import Event
from canary.core.advance.outcome import with_condition, without_condition
from canary.core.drains import UNANSWERED_DRAINS
from canary.core.measurement import TemplateQuery, Unavailable
from canary.core.moment import Change
from canary.core.names import Role
from canary.core.view import View

SETTLING, STILL_SERVED, CANNOT_COMPARE = "Settling", "StillServed", "CannotCompare"
ALARMING = timedelta(minutes=10)


def unreached(view: View, role: Role) -> str:
    """Return the end of a sentence about a set that is waited for: that its Service does not lead to all of it."""
    clone = view.primary if role == "primary" else view.candidate
    if clone is None or clone.unreached == 0:
        return ""
    return f", Service {view.snapshot.names.service(role).name} does not lead to {clone.unreached} of its pods yet"


def unled_cohorts(view: View) -> list[int]:
    """Return the cohorts of the next step whose Services do not lead to the canary's pods yet."""
    routing = view.following.routing if view.following else view.promotion
    return [one for one in routing.apart if not view.leads_apart(one, routing)]


def unled(view: View) -> str:
    """Return the end of a sentence about a canary that is waited for: that cohorts cannot be led to it yet."""
    names = [view.snapshot.names.cohort_service(one).name for one in unled_cohorts(view)]
    return f", Service {', '.join(names)} {'do' if len(names) > 1 else 'does'} not lead to them yet" if names else ""


def tell_waits(view: View, status: CanaryStatus) -> tuple[CanaryStatus, list[Event]]:
    """Return the status with conditions about what is waited for, and the events when that turns alarming."""
    status, events = _tell_settling(view, status)
    return _tell_undecided(view, status), events


def _tell_settling(view: View, status: CanaryStatus) -> tuple[CanaryStatus, list[Event]]:
    """Say that requests still arrive at a set that left the routes (I3); the cluster is safe meanwhile."""
    old, drain = status.condition("Held"), status.drain
    later = view.with_status(status)
    waited = view.now - drain.since if drain is not None else timedelta(0)
    if drain is None or waited < UNANSWERED_DRAINS * view.drain or later.drained(drain.role):
        ours = old is not None and old.reason in (SETTLING, STILL_SERVED)
        return (without_condition(status, "Held") if ours else status), []
    names = view.snapshot.names
    name = names.target if drain.role == "target" else names.workload(drain.role).name
    reason = STILL_SERVED if waited >= ALARMING else SETTLING
    what = "new connections to" if view.carries_connections else "requests at"
    message = f"{view.kind} {name} left the routes but it is not yet seen that {what} it have ended"
    status = with_condition(status, "Held", "True", reason, message, view.now)
    # As read: a verdict of this tick may have taken the condition of a hold away.
    before = view.status.condition("Held")
    told = before is not None and before.reason == STILL_SERVED
    return status, [Event(reason, message, "Warning")] if reason == STILL_SERVED and not told else []


def _tell_undecided(view: View, status: CanaryStatus) -> CanaryStatus:
    """Say why a target that moved neither starts a run nor counts as unchanged (I15)."""
    refused = [
        m.answer.reason
        for m in view.measurements
        if isinstance(m.query, TemplateQuery) and isinstance(m.answer, Unavailable)
    ]
    if view.change is Change.UNKNOWN and refused:
        name = view.snapshot.names.target
        message = f"cannot tell whether the template of {view.kind} {name} changed: {refused[0]}"
        return with_condition(status, "RevisionPending", "Unknown", CANNOT_COMPARE, message, view.now)
    old = status.condition("RevisionPending")
    decided = old is not None and old.reason == CANNOT_COMPARE and view.change is not Change.UNKNOWN
    return without_condition(status, "RevisionPending") if decided else status
