"""What holds a run, and what its conditions say about that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import Condition, Drain, Phase, StepStatus
from canary.core.actions import Event
from canary.core.decide import decide, questions
from canary.core.measurement import DrainQuery, Measurement, Query
from canary.core.snapshot import Snapshot
from tests.answers import bad, busy, down, empty, good
from tests.builders import (
    INTERVAL,
    NOW,
    V1,
    V2,
    at,
    clone,
    new_status,
    new_target,
    route,
    running,
    service,
    with_status,
)
from tests.core.test_obstacles import beside


class Run:
    """A run that is looked at once per interval."""

    def __init__(self, world: Snapshot) -> None:
        self.world = world
        self.ticks = 0

    def tick(self, answers: Any = good, **parts: Any) -> tuple[Event, ...]:
        """Let the world change, decide an interval later, keep the status, and return the events."""
        self.ticks += 1
        now = at(45 * self.ticks)
        self.world = replace(self.world, **parts)
        decision = decide(self.world, answers(questions(self.world, now)), now)
        self.world = with_status(self.world, new_status(self.world, decision))
        return decision.events

    def condition(self, kind: str) -> Condition | None:
        """Return a condition, None without it."""
        return self.world.status.condition(kind)


def late() -> Run:
    """Return a run held at 10 % because its weight is not in force."""
    step = StepStatus(index=1, count=5, started_at=NOW, next_tick_at=NOW + INTERVAL)
    run = Run(running(10, shown=0, status={"step": step}))
    run.tick()
    held = run.condition("Held")
    assert held is not None
    assert held.reason == "RouteNotInForce"
    return run


def test_hold_tells_its_present_cause() -> None:
    """A cause that changes within ten minutes is in the condition, and comes without another event."""
    run, told = Run(running(10)), 0
    for answers, says in ((down, "refused"), (empty, "no data"), (down, "refused")):
        told += len(run.tick(answers))
        found = run.condition("MetricsAvailable")
        assert found is not None
        assert says in found.message
        assert found.message == run.world.status.message
    assert told == 1


def test_hold_that_changes_is_told_again_after_ten_minutes() -> None:
    """However often its words change, the event comes once in ten minutes."""
    run = Run(running(10))
    told = [tick for tick in range(1, 29) if run.tick((down, empty)[tick % 2])]
    assert told == [1, 15]


def test_hold_for_metrics_is_no_hold_for_what_was_before() -> None:
    """A weight that came into force late, then metrics that do not answer: only the latter is told."""
    run = late()
    run.tick(route=route(10))
    run.tick(down)
    run.tick(down)
    missing = run.condition("MetricsAvailable")
    assert missing is not None
    assert missing.status == "False"
    assert run.condition("Held") is None


@pytest.mark.parametrize(("answers", "failed"), [(bad, 1), (good, 0)])
def test_step_that_is_judged_is_not_held(answers: Any, failed: int) -> None:
    """For good or ill: a verdict ends the hold."""
    run = late()
    run.tick(answers, route=route(10))
    run.tick(answers)
    assert (run.world.status.failed_checks, run.condition("Held")) == (failed, None)


def test_first_weight_leaves_no_hold_behind() -> None:
    """What held the run at 0 is gone from its conditions when the first weight is taken."""
    run = Run(beside(services=[service("stray", ours=False)])(running(0)))
    run.tick()
    held = run.condition("Held")
    assert held is not None
    assert held.reason == "ForeignService"
    run.tick(down, neighbours=running(0).neighbours)
    missing = run.condition("MetricsAvailable")
    assert missing is not None
    assert (missing.status, run.condition("Held")) == ("False", None)
    run.tick()
    assert run.world.status.canary_weight == 10
    assert (run.condition("MetricsAvailable"), run.condition("Held")) == (None, None)


@pytest.mark.parametrize(
    ("parts", "phase"),
    [
        ({"target": new_target(V1, generation=9)}, Phase.INITIALIZED),
        ({"candidate": clone("canary", V2, 1, ready=0, stuck=True)}, Phase.FAILED),
    ],
)
def test_run_that_ended_is_not_held(parts: dict[str, Any], phase: Phase) -> None:
    """Neither a revert nor a rollback leaves the condition of a hold behind."""
    run = late()
    run.tick(**parts)
    assert (run.world.status.phase, run.condition("Held")) == (phase, None)


@pytest.mark.parametrize("verdict", [good, bad, down])
def test_set_that_is_still_called_is_told_once_whatever_the_ticks_say(verdict: Any) -> None:
    """A target that does not settle beside a run: one event, and the condition stays."""

    def answers(queries: tuple[Query, ...]) -> tuple[Measurement, ...]:
        return tuple(m for q in queries for m in (busy if isinstance(q, DrainQuery) else verdict)((q,)))

    drain = Drain(role="target", since=at(-600))
    run = Run(running(10, pods=2, target=new_target(V2, 2, generation=3), status={"drain": drain}))
    told = [e.reason for _ in range(4) for e in run.tick(answers)]
    held = run.condition("Held")
    assert held is not None
    assert (held.reason, told.count("StillServed")) == ("StillServed", 1)
