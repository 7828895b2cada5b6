"""Hooks that hang: they keep nobody else waiting, and their own Canary only on its way up."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import MetricsFault
from canary.sim.scenario import Scenario, initialise, listing_5_1
from tests.sim.stories import V2, condition, harmed, steps, weights
from tests.sim.test_hooks import URL, begun, hook, told

HOUR = "1h"
"""A time-out that does not come."""
INTERVAL = 10.0
STUCK, HEALTHY = 50, 5


def member(name: str, rps: float, **analysis: Any) -> Scenario:
    """Return a service with a Canary of its name, quick, with its requests per second."""
    canary = listing_5_1(**{"interval": "10s", "stepWeight": 50, "drainSeconds": 1, **analysis})
    canary["metadata"] |= {"name": name, "namespace": name}
    canary["spec"]["targetRef"]["name"] = name
    canary["spec"]["service"] |= {"name": name, "hosts": [name]}
    return Scenario(canary, rps=rps, replicas=1)


def failing(sim: Simulation) -> list[float]:
    """Return when checks failed."""
    return [one.at for one in sim.history.events if one.event.reason == "CheckFailed"]


@pytest.mark.parametrize("kind", ["rollout", "rollback", "confirm-traffic-increase"])
def test_failing_metric_rolls_back_on_time_while_a_hook_hangs(kind: str) -> None:
    """Failures are counted at each interval, and the last one allowed is the end: nobody waits for the hook."""

    async def story(sim: Simulation) -> None:
        sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        await begun(sim, hook(kind, timeout=HOUR), threshold=3, state="closed" if kind == "rollback" else "open")
        await sim.until_weight(25)
        sim.hooks.states[URL] = "slow"
        await sim.until_phase("Failed", 120)
        await sim.rest(1)
        assert condition(sim, "Progressing")["reason"] == "ChecksFailed"
        moments = failing(sim)
        assert len(moments) == 3
        assert all(later - earlier == pytest.approx(INTERVAL, abs=0.5) for earlier, later in pairwise(moments))
        assert weights(sim) == (100, 0)

    simulate(story)


def test_hook_that_says_no_does_not_wait_for_one_that_hangs() -> None:
    """Whether a gate may open is no question any more."""

    async def story(sim: Simulation) -> None:
        slow = hook("confirm-traffic-increase", timeout=HOUR)
        await begun(sim, slow, hook("rollout", "http://no.test/"), threshold=2)
        await sim.until_weight(25)
        sim.hooks.states |= {URL: "slow", "http://no.test/": "closed"}
        await sim.until_phase("Failed", 120)
        await sim.rest(1)
        assert len(told(sim, "CheckFailed")) == 2
        assert failing(sim)[1] - failing(sim)[0] == pytest.approx(INTERVAL, abs=0.5)

    simulate(story)


def test_rollback_hook_that_takes_longer_than_an_interval_is_heard() -> None:
    """Ticks that fail meanwhile do not begin its call anew."""

    async def story(sim: Simulation) -> None:
        back = "http://back.test/"
        sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        await begun(sim, hook("rollback", back, timeout=HOUR), threshold=100)
        await sim.until_weight(25)
        asked, sim.hooks.states[back], sim.hooks.lasts[back] = len(sim.hooks.asked), "open", 25.0
        await sim.until_phase("Failed", 120)
        assert condition(sim, "Progressing")["reason"] == "RollbackHook"
        assert len(failing(sim)) == 3
        assert len(sim.hooks.asked) == asked + 1

    simulate(story)


def test_rollback_hook_does_not_wait_for_metrics_that_hang() -> None:
    """Nothing is asked for the way back."""

    async def story(sim: Simulation) -> None:
        back = "http://back.test/"
        await begun(sim, hook("rollback", back))
        await sim.until_weight(25)
        sim.faults.metrics.append(MetricsFault("slow", sim.now, sim.now + 1000))
        sim.hooks.states[back] = "open"
        await sim.until_phase("Failed", INTERVAL + 0.5)

    simulate(story)


def test_abort_does_not_wait_for_a_hook_that_hangs() -> None:
    """A person is obeyed at once, in the status too."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("rollout", timeout=HOUR), state="slow")
        await sim.until_weight(25)
        await sim.rest(INTERVAL + 1)
        assert len(sim.hooks.asked) == 1
        sim.user.command(scenario.ref, "abort")
        await sim.rest(1)
        assert (sim.state(), weights(sim)) == (("Failed", 0), (100, 0))

    simulate(story)


def test_checks_are_judged_on_time_while_a_rollback_hook_is_awaited() -> None:
    """A slow brake is asked beside the ticks, not before them."""

    async def story(sim: Simulation) -> None:
        back = "http://back.test/"
        sim.hooks.states[back], sim.hooks.lasts[back] = "closed", 8.0
        since = sim.now
        await begun(sim, hook("rollback", back, timeout=HOUR))
        await sim.until_phase("Succeeded", 400)
        assert [weight for phase, weight in steps(sim, since) if phase == "Progressing"] == [0, 25, 50]
        assert harmed(sim) == 0

    simulate(story)


def test_fifty_hooks_that_hang_make_no_other_canary_late() -> None:
    """Releases beside them take every step at its time."""

    async def story(sim: Simulation) -> None:
        stuck = [member(f"stuck-{n}", 0.0, webhooks=[hook("confirm-rollout", timeout=HOUR)]) for n in range(STUCK)]
        healthy = [member(f"healthy-{n}", 20.0) for n in range(HEALTHY)]
        sim.hooks.states[URL] = "slow"
        for one in (*stuck, *healthy):
            await initialise(sim, one, settle=0)
        await sim.rest(30)
        since = sim.now
        for one in (*stuck, *healthy):
            sim.user.apply(one.revised(f"{one.target.name}:v2"))
        await sim.until(lambda: all(sim.state(one.ref)[0] == "Succeeded" for one in healthy), 200, "all are released")
        assert {sim.state(one.ref) for one in stuck} == {("Waiting", 0)}
        rows = [[row.at for row in sim.rows(since, one.ref)] for one in healthy]
        late = [at - number * INTERVAL for times in rows for number, at in enumerate(times[:3])]
        assert len(late) == 3 * len(healthy)
        assert max(map(abs, late)) < 1.0

    simulate(story, judge=False)
