"""Traffic that goes back to the promoted primary in steps: it is judged there, and the canary takes it again."""

from __future__ import annotations

import itertools

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import MetricsFault
from canary.sim.scenario import Scenario, initialise, listing_5_1, release
from tests.sim.stories import (
    CANARY,
    NAMESPACE,
    PRIMARY,
    ROUTE,
    V1,
    V2,
    V3,
    apex_role,
    condition,
    harmed,
    image,
    replicas,
    route_writes,
    steps,
    weights,
)

BEGUN = [("Progressing", 0), ("Progressing", 50), ("Promoting", 0)]
BACK = [("Finalising", 60), ("Finalising", 20), ("Finalising", 0)]
WAY_BACK = [(40, 60), (80, 20), (100, 0)]


def stepping() -> Scenario:
    """Return a release at an interval of 10 s whose traffic goes back by 40 %."""
    changes = {"interval": "10s", "drainSeconds": 5, "threshold": 2, "stepWeight": 50, "stepWeightPromotion": 40}
    return Scenario(listing_5_1(**changes), replicas=2)


async def until_back(sim: Simulation, scenario: Scenario, share: int) -> float:
    """Release v2 and wait until so much is still on the canary; return when the release was seen."""
    await initialise(sim, scenario)
    begun = await release(sim, scenario, V2)
    await sim.until(lambda: sim.state() == ("Finalising", share), 200, "the way back")
    await sim.until(lambda: weights(sim) == (100 - share, share), 5, "its weights")
    return begun


def test_traffic_goes_back_in_steps_of_an_interval() -> None:
    """Each share is one row and one write; callers without sidecar go back with the last one."""
    scenario = stepping()

    async def story(sim: Simulation) -> None:
        begun = await until_back(sim, scenario, 20)
        assert apex_role(sim) == "canary"
        assert replicas(sim, CANARY) == 2
        await sim.until_phase("Succeeded", 100)
        assert steps(sim, begun) == [*BEGUN, *BACK, ("Succeeded", 0)]
        assert route_writes(sim, begun) == [(50, 50), (0, 100), *WAY_BACK]
        rows = [row.at for row in sim.rows(begun) if row.phase == "Finalising"]
        assert [round(later - earlier) for earlier, later in itertools.pairwise(rows)] == [10, 10]
        assert harmed(sim) == 0

    simulate(story, seed=1)


def test_primary_that_fails_its_checks_on_the_way_back_loses_its_traffic() -> None:
    """What passed its analysis takes all of it again, and the next template recovers as after any such failure."""
    scenario = stepping()

    async def story(sim: Simulation) -> None:
        await until_back(sim, scenario, 60)
        sim.behaviours.put(Behaviour(errors=50), deployment="catalog-primary")
        await sim.until_phase("Failed", 60)
        await sim.until(lambda: weights(sim) == (0, 100), 2, "all on the canary")
        told = condition(sim, "Progressing")
        assert told["reason"] == "PromotionFailed"
        assert "Deployment catalog-primary failed its checks on the way back: 2 failed checks" in told["message"]
        assert "all traffic goes to the canary" in told["message"]
        await sim.rest(60)
        assert (weights(sim), replicas(sim, CANARY)) == ((0, 100), 2)
        sim.user.apply(scenario.revised(V3))
        # Whole as it is, a primary that failed its checks gets no traffic before it runs the former revision.
        await sim.until(lambda: image(sim, PRIMARY) == V1, 20, "the former revision")
        assert weights(sim) == (0, 100)
        sim.behaviours.heal()
        await sim.until(lambda: image(sim, PRIMARY) == V3, 300, "the new one")
        await sim.until_phase("Succeeded", 100)

    simulate(story, seed=2)


def test_canary_that_dies_on_the_way_back_gives_up_its_share_at_once() -> None:
    """The primary is whole and takes everything; the promotion succeeds."""
    scenario = stepping()

    async def story(sim: Simulation) -> None:
        begun = await until_back(sim, scenario, 60)
        sim.behaviours.put(Behaviour(ready_after=None), deployment="catalog-canary")
        sim.kill_pods(NAMESPACE, "catalog-canary")
        await sim.until(lambda: weights(sim) == (100, 0), 2, "all on the primary")
        await sim.until_phase("Succeeded", 60)
        assert steps(sim, begun)[-2:] == [("Finalising", 0), ("Succeeded", 0)]

    simulate(story, seed=3)


def test_way_back_holds_without_metrics() -> None:
    """No data is no success: the shares stay until metrics answer again."""
    scenario = stepping()

    async def story(sim: Simulation) -> None:
        await until_back(sim, scenario, 60)
        sim.faults.metrics = [MetricsFault("down")]
        await sim.rest(50)
        assert (sim.state(), weights(sim)) == (("Finalising", 60), (40, 60))
        assert condition(sim, "MetricsAvailable")["status"] == "False"
        sim.faults.metrics = []
        await sim.until_phase("Succeeded", 100)

    simulate(story, seed=4)


def test_controller_restarted_on_the_way_back_goes_on_from_its_share() -> None:
    """No step is taken twice, early or left out."""
    scenario = stepping()

    async def story(sim: Simulation) -> None:
        begun = await until_back(sim, scenario, 60)
        await sim.restart_controller(after=20)
        await sim.until_phase("Succeeded", 100)
        assert steps(sim, begun) == [*BEGUN, *BACK, ("Succeeded", 0)]
        assert harmed(sim) == 0

    simulate(story, seed=5)


def test_weights_edited_on_the_way_back_are_put_back() -> None:
    """The share of the step is the controller's, in this phase as in any other."""
    scenario = stepping()

    async def story(sim: Simulation) -> None:
        await until_back(sim, scenario, 60)
        sim.user.set_weights(ROUTE, {"catalog-primary": 90, "catalog-canary": 10})
        await sim.until(lambda: weights(sim) == (40, 60), 2, "the share of the step")
        await sim.until_phase("Succeeded", 100)

    simulate(story, seed=6)
