"""Condition Ready: whether the Canary is served, what stands in its way, and what may spoil a release."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from canary.api.status import CanaryStatus, Condition, ConditionStatus, Phase
from canary.api.warnings import Caution
from canary.core.actions import Event
from canary.core.advance.outcome import with_condition
from canary.core.advance.recover import promotion_failed
from canary.core.autoscaling import WHILE_SERVING
from canary.core.flagger.take_over import TAKING_OVER
from canary.core.obstacle import Obstacle, find_obstacle
from canary.core.obstacles import BEFORE_A_RUN, BEFORE_INITIALISATION, contested
from canary.core.pinning import what_cannot_be_copied
from canary.core.refusal import READY, WRITE_REFUSED, shows_refusal
from canary.core.routes.routing import PRIMARY_ONLY
from canary.core.view import View
from canary.core.warnings.finders import find_warnings

SERVED, IN_PLACE = "Served", "objects are in place"


def readiness(view: View, status: CanaryStatus) -> tuple[CanaryStatus, list[Event]]:
    """Set condition Ready; one event tells of an obstacle or a warning that was not there before.

    The condition names all warnings, and so is the memory of what was told, also for the next process.
    """
    if not view.snapshot.tried and shows_refusal(status):
        # What a former process was refused stands until this one has tried.
        return status, []
    begins = status.phase in (Phase.NONE, Phase.INITIALIZING)
    finders = BEFORE_INITIALISATION if begins else BEFORE_A_RUN
    stops = find_obstacle(view, finders)
    obstacle = (
        stops
        or _refused(view)
        or _primary_in_trouble(view, status)
        or _not_copied(view, status)
        or contested(status)
        or find_obstacle(view, WHILE_SERVING)
    )
    warnings = find_warnings(view)
    before = status.condition(READY)
    events = [Event(one.reason, one.message, _type(one)) for one in _untold(obstacle, warnings, before)]
    value, reason, said = _verdict(status, begins, obstacle)
    if warnings and reason == SERVED:
        reason = warnings[0].reason
    message = ". ".join((said, *map(_in_words, warnings)))
    if stops is not None and begins:
        status = status.model_copy(update={"message": said})
    return with_condition(status, READY, value, reason, message, view.now), events


def _verdict(status: CanaryStatus, begins: bool, obstacle: Obstacle | None) -> tuple[ConditionStatus, str, str]:
    if obstacle is not None:
        return "False", obstacle.reason, obstacle.message
    return ("False", "Initializing", status.message or "") if begins else ("True", SERVED, IN_PLACE)


def _untold(
    obstacle: Obstacle | None, warnings: Sequence[Caution], before: Condition | None
) -> list[Obstacle | Caution]:
    known = before.message if before is not None else ""
    found: list[Obstacle | Caution] = [one for one in warnings if _in_words(one) not in known]
    stays = before is not None and obstacle is not None and before.reason == obstacle.reason
    if obstacle is not None and not (stays and known.startswith(obstacle.message)):
        found.insert(0, obstacle)
    return found


def _type(one: Obstacle | Caution) -> Literal["Normal", "Warning"]:
    """Return of what type the Event is: what is on its way is nothing to worry about."""
    return "Normal" if one.reason == TAKING_OVER else "Warning"


def _in_words(warning: Caution) -> str:
    return f"{warning.reason}: {warning.message}"


def _refused(view: View) -> Obstacle | None:
    refused = view.snapshot.refused
    return Obstacle(WRITE_REFUSED, refused.sentence) if refused is not None else None


def _not_copied(view: View, status: CanaryStatus) -> Obstacle | None:
    message = what_cannot_be_copied(view.with_status(status))
    return Obstacle("ConfigNotPinned", message) if message else None


def _primary_in_trouble(view: View, status: CanaryStatus) -> Obstacle | None:
    if view.primary is None or status.revisions.primary is None:
        return None
    stays = status.phase is Phase.FAILED and view.primary.ready == 0 and view.weights not in (None, PRIMARY_ONLY)
    if stays and not promotion_failed(view):
        name = view.primary.ref.name
        return Obstacle("PrimaryNotReady", f"{view.kind} {name} has no ready pod; weights stay until it has one")
    # A DaemonSet does not say that it is stuck: the record that its promotion failed does.
    given_up = view.snapshot.daemons and promotion_failed(view) and not view.primary_complete
    if not view.primary_stuck and not given_up:
        return None
    reason = "PromotionFailed" if status.phase is Phase.FAILED else "PrimaryNotReady"
    return Obstacle(reason, status.message or f"{view.kind} {view.primary.ref.name} is not ready")
