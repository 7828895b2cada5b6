"""What of all that happens is an alert, and how loud: each cause once, not once a tick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from canary.api.status import CanaryStatus, Condition, Gate
from canary.core.actions import Event
from canary.core.advance.gates import CLOSED, TIMED_OUT, UNANSWERED
from canary.core.advance.recover import IMAGE_MOVED, PROMOTION_FAILED, ROLLED_BACK
from canary.core.advance.tick import REPEAT_AFTER
from canary.core.advance.waits import STILL_SERVED
from canary.core.hooks import APPROVED
from canary.core.obstacles import NOTHING_BEGUN
from canary.core.refusal import READY
from canary.core.snapshot import Snapshot

Severity = Literal["info", "warn", "error"]
SEVERITIES: tuple[Severity, ...] = ("info", "warn", "error")
"""From what may be missed to what may not."""
QUIET: Literal["quiet"] = "quiet"
_Answer = Severity | Literal["quiet"] | None
"""How loud an event is; None leaves the answer to the next policy."""
BY_HAND = ("RollbackHook", "Aborted", "Rejected", ROLLED_BACK)
"""Reasons of a roll-back that somebody asked for, as in Flagger no error."""
LOUDNESS: Mapping[str, Severity | Literal["quiet"]] = {
    "Initialized": "info",
    "RevisionDetected": "info",
    "GoingBack": "info",
    "Promoted": "info",
    "Reverted": "info",
    "Recovered": "info",
    "Paused": "warn",
    "Diverted": "warn",
    STILL_SERVED: "warn",
    TIMED_OUT: "warn",
    "PostRolloutRefused": "warn",
    "PostRolloutGivenUp": "warn",
    ROLLED_BACK: "error",
    PROMOTION_FAILED: "error",
    IMAGE_MOVED: "error",
    # The first steps of what is told above, or news of a run that goes on.
    "Waiting": QUIET,
    "Initializing": QUIET,
    "TakenUp": QUIET,
    "StepPassed": QUIET,
    "Promoting": QUIET,
    "Baked": QUIET,
    "Finalising": QUIET,
    "Recovering": QUIET,
    "CheckFailed": QUIET,
    "Undiverted": QUIET,
    "TrafficDrift": QUIET,
    "CommandObeyed": QUIET,
    "CommandRefused": QUIET,
    "PostRolloutUnanswered": QUIET,
    NOTHING_BEGUN: QUIET,
    # Comes again with each tick of Flagger, to whoever has just taken a Canary over.
    "FlaggerActive": QUIET,
}
"""How loud an event is told whose reason says all; others are looked at more closely."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """An event that is an alert."""

    severity: Severity
    event: Event


@dataclass(frozen=True, slots=True)
class _Told:
    """An event with the status before it and with it."""

    event: Event
    snapshot: Snapshot
    after: CanaryStatus
    now: datetime

    @property
    def before(self) -> CanaryStatus:
        return self.snapshot.status


def alarms(snapshot: Snapshot, status: CanaryStatus, events: Sequence[Event], now: datetime) -> tuple[Alarm, ...]:
    """Return the alerts among the events of a decision; what another one says as well is told once."""
    told = [(event, _loudness(_Told(event, snapshot, status, now))) for event in events]
    found = [Alarm(loudness, event) for event, loudness in told if loudness is not None and loudness != QUIET]
    return tuple(one for number, one in enumerate(found) if not _said_elsewhere(one, number, found))


def _said_elsewhere(one: Alarm, number: int, found: Sequence[Alarm]) -> bool:
    """Return whether the words of an alert are part of another one's, as an obstacle's are of a roll-back's."""
    words = one.event.message
    others = [(place, other.event.message) for place, other in enumerate(found) if place != number]
    return any(words in said and (words != said or place < number) for place, said in others)


def _loudness(told: _Told) -> _Answer:
    """Return what the first policy says that knows the event; nobody knows a warning, which is no alert."""
    return next((answer for policy in POLICIES if (answer := policy(told)) is not None), None)


def _gate(told: _Told) -> _Answer:
    """A gate that is shut is told once until it opens, unless its hook wants no alert."""
    if told.event.reason not in (CLOSED, UNANSWERED):
        return None
    gate = _shut(told.after)
    before = _shut(told.before)
    known = gate is not None and before is not None and before.type == gate.type
    return QUIET if known or gate is None or _muted(told, gate) else "warn"


def _shut(status: CanaryStatus) -> Gate | None:
    return next((one for one in status.gates if one.state != APPROVED), None)


def _muted(told: _Told, gate: Gate) -> bool:
    spec = told.snapshot.spec
    hooks = [one for one in spec.analysis.webhooks if one.type == gate.type] if spec is not None else []
    named = [one for one in hooks if one.name == gate.name] or hooks
    return bool(named) and all(one.mute_alert for one in named)


def _known_obstacle(told: _Told) -> _Answer:
    """What stands in the way is told once until it is gone, in whatever words."""
    before = told.before.condition(READY)
    stays = before is not None and (before.status, before.reason) == ("False", told.event.reason)
    return QUIET if stays and told.before.phase is told.after.phase else None


def _listed(told: _Told) -> _Answer:
    """Most reasons say all."""
    if told.event.reason not in LOUDNESS:
        return None
    progressing = told.after.condition("Progressing")
    asked = progressing is not None and progressing.reason in BY_HAND
    return "warn" if told.event.reason == ROLLED_BACK and asked else LOUDNESS[told.event.reason]


def _obstacle(told: _Told) -> _Answer:
    """What keeps a Canary from being served; a warning that stands beside it, or alone, is none."""
    ready = told.after.condition(READY)
    found = ready is not None and (ready.status, ready.reason) == ("False", told.event.reason)
    return "warn" if found else None


def _hold(told: _Told) -> _Answer:
    """A run that holds by itself is told once, when that has lasted; the next tick may pass."""
    for kind, value in (("Held", "True"), ("MetricsAvailable", "False")):
        held = told.after.condition(kind)
        if held is not None and (held.status, held.reason) == (value, told.event.reason):
            return "warn" if _lasts(told.before.condition(kind), held, told.now) else QUIET
    return None


def _lasts(before: Condition | None, held: Condition, now: datetime) -> bool:
    """Return whether a hold has just become a long one: people were last told of it when it was not."""
    since = held.last_transition_time
    if before is None or since is None or before.last_update_time is None or before.status != held.status:
        return False
    return before.last_update_time - since < REPEAT_AFTER <= now - since


POLICIES: tuple[Callable[[_Told], _Answer], ...] = (_gate, _known_obstacle, _listed, _obstacle, _hold)
