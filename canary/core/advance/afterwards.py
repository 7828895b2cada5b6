"""The end of a run is told to its post-rollout hooks, until they answer or nobody can be waiting for it any more."""

from __future__ import annotations

from canary.api.status import CanaryStatus, PostRollout
from canary.core.actions import Event
from canary.core.advance.outcome import Advance
from canary.core.ended import ENDS, ended_run
from canary.core.hooks import heard, hooks_of, said
from canary.core.measurement import HookAnswer, HookType, Unavailable
from canary.core.view import View

HOOK: HookType = "post-rollout"
NO, UNANSWERED, GIVEN_UP = "PostRolloutRefused", "PostRolloutUnanswered", "PostRolloutGivenUp"


def tell_end(view: View, advance: Advance) -> Advance:
    """Record that the end of a run is to be told, or what came of telling it; a new run puts an end to it."""
    status, owed = advance.status, view.status.post_rollout
    if status.phase not in ENDS:
        return Advance(_without(status), advance.events)
    if ended_run(view.status, status) is not None and hooks_of(view, HOOK):
        changed = status.model_copy(update={"post_rollout": PostRollout(since=view.now)})
        return Advance(changed, advance.events)
    answer = heard(view, HOOK) if owed is not None else None
    if owed is None or answer is None:
        return advance
    if not isinstance(answer, Unavailable):
        return Advance(_without(status), (*advance.events, *_refusal(answer)))
    if view.now - owed.since >= view.deadline:
        return Advance(_without(status), (*advance.events, Event(GIVEN_UP, _given_up(view, answer), "Warning")))
    later = status.model_copy(update={"post_rollout": owed.model_copy(update={"asked_at": view.now})})
    first = (Event(UNANSWERED, said(HOOK, answer), "Warning"),) if owed.asked_at is None else ()
    return Advance(later, (*advance.events, *first))


def _without(status: CanaryStatus) -> CanaryStatus:
    return status if status.post_rollout is None else status.model_copy(update={"post_rollout": None})


def _refusal(answer: HookAnswer) -> tuple[Event, ...]:
    return () if answer.passed else (Event(NO, said(HOOK, answer), "Warning"),)


def _given_up(view: View, answer: Unavailable) -> str:
    return f"Nobody is told of the end after {view.deadline.total_seconds():.0f} s: {said(HOOK, answer)}"
