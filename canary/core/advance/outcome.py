"""What a phase function returns, and the status changes that all of them share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from canary.api.status import CanaryStatus, Condition, ConditionStatus, Phase, Revisions
from canary.core.actions import Event
from canary.core.moment import Change
from canary.core.view import View

_PROMOTED: dict[Phase, ConditionStatus] = {
    Phase.INITIALIZED: "True",
    Phase.SUCCEEDED: "True",
    Phase.FAILED: "False",
}


@dataclass(frozen=True, slots=True)
class Advance:
    """A new status with the events that tell of it."""

    status: CanaryStatus
    events: tuple[Event, ...] = ()


def with_condition(
    status: CanaryStatus, kind: str, value: ConditionStatus, reason: str, message: str, now: datetime
) -> CanaryStatus:
    """Return the status with one condition set; its transition time moves only with its value."""
    old = status.condition(kind)
    if old is not None and (old.status, old.reason, old.message) == (value, reason, message):
        return status
    moved = now if old is None or old.status != value else old.last_transition_time
    new = Condition(
        type=kind,
        status=value,
        reason=reason,
        message=message,
        last_transition_time=moved,
        last_update_time=now,
        observed_generation=status.observed_generation,
    )
    others = tuple(c for c in status.conditions if c.type != kind)
    return status.model_copy(update={"conditions": tuple(sorted((*others, new), key=lambda c: c.type))})


def without_condition(status: CanaryStatus, kind: str) -> CanaryStatus:
    """Return the status without one condition."""
    if status.condition(kind) is None:
        return status
    return status.model_copy(update={"conditions": tuple(c for c in status.conditions if c.type != kind)})


def row(view: View, status: CanaryStatus, phase: Phase, weight: int, message: str, **changes: Any) -> CanaryStatus:
    """Return the status at a new row of the history: phase, weight and transition time move together."""
    whole_second = view.now.replace(microsecond=0)
    status = status.model_copy(
        update={
            "phase": phase,
            "canary_weight": weight,
            "message": message,
            "last_transition_time": whole_second,
            "gates": (),
            "queued_at": None,
            **changes,
        }
    )
    return with_condition(status, "Promoted", _PROMOTED.get(phase, "Unknown"), str(phase), message, view.now)


def revisions(status: CanaryStatus, **changes: str | None) -> Revisions:
    """Return the revision ids with some of them changed."""
    return status.revisions.model_copy(update=changes)


def saying(status: CanaryStatus, message: str) -> CanaryStatus:
    """Return the status with another sentence for people, and no new row."""
    return status if status.message == message else status.model_copy(update={"message": message})


def pending(view: View, identity: str, why: str) -> CanaryStatus:
    """Return the status that remembers a newer template and says why its run has not begun."""
    status = view.status.model_copy(update={"revision": revisions(view.status, pending=identity)})
    message = f"Revision {identity} is waiting: {why}"
    return saying(with_condition(status, "RevisionPending", "True", "Waiting", message, view.now), message)


def remember_newer(view: View) -> CanaryStatus:
    """Return the status that remembers a template which must wait for the end of this run."""
    if view.change not in (Change.NEW, Change.REVERTED) or view.target is None:
        return view.status
    identity = view.shown
    if view.status.revisions.pending == identity:
        return view.status
    return pending(view, identity, f"revision {view.status.revisions.candidate} is being promoted")
