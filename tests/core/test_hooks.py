"""Hooks of a release: when they are asked, and what their answers must not delay."""

from __future__ import annotations

from canary.core.decide import SHORTEST_WAIT, decide, questions
from canary.core.measurement import HookAnswer, HookQuery, Measurement
from tests.builders import INTERVAL, at, running

ROLLBACK = {"spec.analysis.webhooks": [{"name": "back", "type": "rollback", "url": "http://gate/"}]}


def test_tick_that_comes_due_while_a_hook_is_awaited_is_asked_at_once() -> None:
    """A slow rollback hook puts off the checks by its answer, not by an interval."""
    world = running(10, changes=ROLLBACK)
    before = INTERVAL.total_seconds() - 1
    (query,) = questions(world, at(before))
    assert isinstance(query, HookQuery)
    late = decide(world, (Measurement(query, HookAnswer(False, "back", "HTTP 403")),), at(before + 3))
    assert late.requeue_after is not None
    assert late.requeue_after == SHORTEST_WAIT
