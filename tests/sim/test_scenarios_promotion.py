"""Promotions that fail, pods and controllers that die, and proxies that are not told (items 9, 10 and 11)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import ApiFault
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise, release
from tests.sim.stories import (
    CANARY,
    NAMESPACE,
    PRIMARY,
    V1,
    V2,
    V3,
    apex_role,
    condition,
    harmed,
    image,
    ours,
    quick,
    ready,
    received,
    replicas,
    steps,
    version,
    weights,
)

SICK = Behaviour(ready_after=None)


async def fail_promotion(sim: Simulation, scenario: Scenario) -> None:
    """Come to a promotion whose primary never gets ready with v2."""
    sim.behaviours.put(SICK, image=V2, deployment="catalog-primary")
    await initialise(sim, scenario)
    await release(sim, scenario, V2)
    await sim.until_phase("Failed", 900)


def test_failed_promotion_leaves_all_traffic_on_the_canary() -> None:
    """PromotionFailed: the canary at full size serves everyone, for as long as nobody does anything."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3)
        await fail_promotion(sim, scenario)
        assert condition(sim, "Progressing")["reason"] == "PromotionFailed"
        since = sim.now
        await sim.rest(900)
        assert sim.state() == ("Failed", 0)
        assert (weights(sim), apex_role(sim)) == ((0, 100), "canary")
        assert ready(sim, CANARY) == 3
        assert len(ours(sim, since)) <= 2
        assert harmed(sim) == 0

    simulate(story)


def test_failed_promotion_recovers_with_the_serving_revision() -> None:
    """A new template: the primary gets v2 again, is healthy now, and v3 starts at 0 only after 100/0."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3)
        await fail_promotion(sim, scenario)
        sim.behaviours.heal()
        sim.kill_pods(NAMESPACE, PRIMARY.name)
        since = sim.now
        await sim.rest(30)
        assert sim.state()[0] == "Failed"
        sim.user.apply(scenario.revised(V3))
        await sim.until_phase("Progressing", 300)
        assert (weights(sim), image(sim, PRIMARY), received(sim, version(scenario, V3))) == ((100, 0), V2, 0)
        await sim.until_phase("Succeeded", 600)
        await sim.rest(400)
        assert "Recovered" in sim.history.reasons(since)
        assert image(sim, PRIMARY) == V3
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == 0

    simulate(story)


def test_failed_promotion_falls_back_to_the_former_revision() -> None:
    """v2 never gets ready on the primary: after the deadline v1 comes back, then v3 is released."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3)
        await fail_promotion(sim, scenario)
        sim.user.apply(scenario.revised(V3))
        await sim.rest(30)
        assert image(sim, PRIMARY) == V2
        await sim.until(lambda: image(sim, PRIMARY) == V1, 120, "v1 comes back")
        await sim.until_phase("Progressing", 120)
        assert weights(sim) == (100, 0)
        await sim.until_phase("Succeeded", 600)
        await sim.rest(400)
        assert image(sim, PRIMARY) == V3
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == 0

    simulate(story)


def test_failed_promotion_without_any_ready_revision_stays_on_the_canary() -> None:
    """Neither v2 nor v1 gets ready on the primary: traffic stays, a condition says so, v3 never enters it."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await fail_promotion(sim, scenario)
        sim.behaviours.put(SICK, image=V1, deployment="catalog-primary")
        sim.kill_pods(NAMESPACE, PRIMARY.name)
        sim.user.apply(scenario.revised(V3))
        await sim.rest(900)
        assert (weights(sim), apex_role(sim), ready(sim, CANARY)) == ((0, 100), "canary", 2)
        assert condition(sim, "Ready")["status"] == "False"
        assert image(sim, PRIMARY) == V1
        assert received(sim, version(scenario, V3)) == harmed(sim) == 0

    simulate(story)


def test_failed_promotion_reverted_falls_back_without_a_run() -> None:
    """The user takes v2 back: v1 returns to the primary, Failed until it is ready and 100/0, then Initialized."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await fail_promotion(sim, scenario)
        sim.behaviours.put(Behaviour(ready_after=20), image=V1, deployment=PRIMARY.name)
        sim.kill_pods(NAMESPACE, PRIMARY.name)
        sim.user.apply(scenario.revised(V1))
        await sim.until(lambda: image(sim, PRIMARY) == V1, 200, "v1 comes back")
        await sim.rest(5)
        assert (sim.state(), weights(sim), apex_role(sim)) == (("Failed", 0), (0, 100), "canary")
        assert "all traffic stays on the canary" in sim.status()["message"]
        await sim.until_phase("Initialized", 300)
        assert (weights(sim), apex_role(sim), ready(sim, PRIMARY)) == ((100, 0), "primary", 2)
        assert condition(sim, "RevisionPending") == condition(sim, "Progressing") == {}
        await sim.rest(400)
        assert sim.state() == ("Initialized", 0)
        assert image(sim, PRIMARY) == V1
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == 0

    simulate(story)


def test_canary_pods_that_die_at_30_percent_divert_and_return() -> None:
    """All canary pods gone: 100/0 within a second; back at 30 when they are, and the step goes on."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(replicas=3)
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_weight(30)
        await sim.rest(5)
        died = sim.now
        sim.kill_pods(NAMESPACE, CANARY.name)
        await sim.until(lambda: weights(sim) == (100, 0), 1, "diverted")
        await sim.until(lambda: weights(sim) == (70, 30), 5, "back")
        assert sim.history.reasons(died)[:2] == ["Diverted", "Undiverted"]
        await sim.until_phase("Succeeded")
        shown = [weight for phase, weight in steps(sim, begun) if phase == "Progressing"]
        assert shown == [0, 10, 20, 30, 40, 50]
        rows = sim.rows(begun)
        assert all(new.at - old.at > 44.9 for old, new in pairwise(rows))

    simulate(story)


def test_canary_that_loses_a_minority_of_its_pods_keeps_its_weight() -> None:
    """More than half of what its weight needs is enough (I13)."""

    async def story(sim: Simulation) -> None:
        scenario = quick(6, stepWeight=50)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(50)
        await sim.rest(1)
        since = sim.now
        sim.kill_pods(NAMESPACE, CANARY.name, 1)
        await sim.until_phase("Succeeded")
        assert "Diverted" not in sim.history.reasons(since)

    simulate(story)


def test_primary_without_pods_moves_nothing_to_unjudged_code() -> None:
    """Between a dead primary and a canary that was not judged nothing is moved (I6)."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(25)
        await sim.rest(2)
        sim.kill_pods(NAMESPACE, PRIMARY.name)
        await sim.rest(1)
        assert weights(sim) == (75, 25)
        await sim.until_phase("Succeeded")

    simulate(story)


@pytest.mark.parametrize("away", [20.0, 100.0])
def test_controller_killed_at_30_percent_goes_on_where_it_was(away: float) -> None:
    """Same weight while it is away, no step early, none skipped."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_weight(30)
        await sim.rest(10)
        sim.kill_controller()
        await sim.rest(away)
        assert weights(sim) == (70, 30)
        sim.start_controller()
        await sim.until_phase("Succeeded")
        assert_whole(sim, begun, [0, 10, 20, 30, 40, 50], 45)
        assert harmed(sim) == 0

    simulate(story)


def assert_whole(sim: Simulation, begun: float, shown: list[int], interval: float) -> None:
    """Assert that no step was skipped and none came early."""
    rows = sim.rows(begun)
    assert [row.weight for row in rows if row.phase == "Progressing"] == shown
    assert [row.phase for row in rows[len(shown) :]] == ["Promoting", "Finalising", "Succeeded"]
    early = [(old, new) for old, new in pairwise(rows) if new.at - old.at < interval - 2.1]
    assert not early


@pytest.mark.parametrize("kind", ["crash before", "crash after"])
@pytest.mark.parametrize("away", [0.0, 25.0])
def test_controller_killed_between_any_two_writes_of_a_release(kind: Any, away: float) -> None:
    """Before or after each single write of a release: no step early, none skipped, nobody harmed."""

    def story(skip: int, written: list[int]) -> Any:
        async def play(sim: Simulation) -> None:
            scenario = quick(2)
            await initialise(sim, scenario)
            sim.back_after = away
            fault = ApiFault(kind, skip=skip)
            sim.faults.api.append(fault)
            begun = await release(sim, scenario, V2)
            await sim.until_phase("Succeeded", 600)
            written.append(fault.skip)
            sim.faults.api.clear()
            await sim.rest(60)
            assert_whole(sim, begun, [0, 25, 50], 10)
            assert wrong_at_rest(sim, scenario) is None
            assert harmed(sim) == 0

        return play

    left: list[int] = []
    skip = 0
    while not any(left):
        simulate(story(skip, left), seed=skip)
        skip += 1
    assert skip > 15, "so many writes has a release"


@pytest.mark.parametrize("phase", ["Progressing", "Promoting", "Finalising"])
def test_controller_stopped_for_good_leaves_everything_serving(phase: str) -> None:
    """Plain Deployments, Services and routes serve without it (I16)."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_phase(phase)
        if phase == "Progressing":
            await sim.until_weight(25)
        await sim.rest(1)
        sim.kill_controller()
        before = sim.dataplane.requests.sent
        await sim.rest(1800)
        assert sim.dataplane.requests.sent > before + 1000
        assert harmed(sim) == sim.dataplane.requests.failed == 0

    simulate(story)


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_nothing_shrinks_while_proxies_still_send(share: float) -> None:
    """istiod is down from Finalising on: the canary keeps its pods until the proxies are told (I3)."""

    async def story(sim: Simulation) -> None:
        from canary.sim.dataplane import PROPAGATION, Proxies

        scenario = quick(2)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_phase("Promoting")
        await sim.rest(3)
        sim.dataplane.split(Proxies(1 - share), Proxies(share, None))
        await sim.until_phase("Finalising")
        await sim.rest(300)
        assert sim.state()[0] == "Finalising"
        assert (replicas(sim, CANARY), ready(sim, CANARY)) == (2, 2)
        sim.dataplane.delay(PROPAGATION)
        await sim.until_phase("Succeeded", 120)
        await sim.rest(60)
        assert ready(sim, CANARY) == 0
        assert harmed(sim) == 0

    simulate(story)


def test_proxies_not_told_of_the_cut_over_keep_the_primary_as_it_is() -> None:
    """istiod is down from Promoting on: the primary does not roll while proxies send to it."""

    async def story(sim: Simulation) -> None:
        from canary.sim.dataplane import PROPAGATION

        scenario = quick(2)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(50)
        await sim.rest(2)
        sim.dataplane.delay(None)
        await sim.until_phase("Promoting")
        await sim.rest(300)
        assert image(sim, PRIMARY) == V1
        sim.dataplane.delay(PROPAGATION)
        await sim.until_phase("Succeeded", 200)
        assert harmed(sim) == 0

    simulate(story)
