"""Hooks of a release: when they are asked, and what their answers must not delay."""

from __future__ import annotations

from canary.core.decide import SHORTEST_WAIT, decide, goes_back, questions
from canary.core.measurement import HookAnswer, HookQuery, Measurement
from tests.answers import answer
from tests.builders import INTERVAL, KEY, at, running

ROLLBACK = {"spec.analysis.webhooks": [{"name": "back", "type": "rollback", "url": "http://gate/"}]}

GUARDED = {
    "spec.analysis.webhooks": [
        {
            "name": "back",
            "type": "rollback",
            "url": "http://gate/",
            "headers": [{"name": "X-Team", "value": "a"}],
            "secretRef": {"name": "access"},
        }
    ]
}


def test_call_says_where_its_credentials_are() -> None:
    """By name, in the Canary's namespace: the core never sees them."""
    (query,) = questions(running(10, changes=GUARDED), at(INTERVAL.total_seconds() - 1))
    assert isinstance(query, HookQuery)
    (call,) = query.calls
    assert (call.headers, call.namespace, call.secret) == ((("X-Team", "a"),), KEY.namespace, "access")


def test_failure_goes_back_without_the_answers_that_lack() -> None:
    """A check that fails is enough, one that passes is not, and nothing answered is nothing."""
    hooks = {"spec.analysis.webhooks": [{"name": "smoke", "type": "rollout", "url": "http://gate/"}]}
    world, now = running(10, changes=hooks), at(INTERVAL.total_seconds())
    checks = [query for query in questions(world, now) if not isinstance(query, HookQuery)]
    for errors, back in ((50.0, True), (0.0, False)):
        answers = tuple(Measurement(query, answer(query, errors=errors)) for query in checks)
        assert goes_back(world, answers, now) is back
    assert not goes_back(world, (), now)


def test_tick_that_comes_due_while_a_hook_is_awaited_is_asked_at_once() -> None:
    """A slow rollback hook puts off the checks by its answer, not by an interval."""
    world = running(10, changes=ROLLBACK)
    before = INTERVAL.total_seconds() - 1
    (query,) = questions(world, at(before))
    assert isinstance(query, HookQuery)
    late = decide(world, (Measurement(query, HookAnswer(False, "back", "HTTP 403")),), at(before + 3))
    assert late.requeue_after is not None
    assert late.requeue_after == SHORTEST_WAIT
