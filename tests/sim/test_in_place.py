"""`promotion.strategy: InPlace`: the primary rolls under its share of traffic."""

from __future__ import annotations

from typing import Any

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import Scenario, initialise, listing_5_1, release
from tests.sim.stories import (
    CANARY,
    NAMESPACE,
    PRIMARY,
    V2,
    V3,
    apex_role,
    condition,
    harmed,
    image,
    ready,
    replicas,
    route_writes,
    steps,
    weights,
)

NEVER_READY = Behaviour(ready_after=None)


def in_place(**analysis: object) -> Scenario:
    """Return a release at an interval of 10 s whose primary rolls in place at 50 %."""
    changes = {"interval": "10s", "drainSeconds": 5, "threshold": 2, "stepWeight": 50, **analysis}
    canary = listing_5_1(**changes)
    canary["spec"]["promotion"] = {"strategy": "InPlace"}
    return Scenario(canary, replicas=4)


def test_primary_rolls_under_its_share() -> None:
    """No cut-over, no canary at full size, nobody harmed."""
    scenario = in_place()

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        sizes = set()
        while sim.state()[0] != "Succeeded":
            await sim.rest(0.5)
            sizes.add(replicas(sim, CANARY))
            assert sim.now < begun + 200, sim.picture()
        assert steps(sim, begun) == [
            ("Progressing", 0),
            ("Progressing", 50),
            ("Promoting", 0),
            ("Finalising", 0),
            ("Succeeded", 0),
        ]
        assert route_writes(sim, begun) == [(50, 50), (100, 0)]
        assert max(sizes) == 2
        assert image(sim, PRIMARY) == V2
        assert harmed(sim) == 0

    simulate(story, seed=1)


def test_primary_that_does_not_get_ready_hands_its_share_to_the_judged_canary() -> None:
    """Only once the canary is at full size does the share leave the old pods."""
    scenario = in_place()

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until(lambda: sim.state()[0] == "Promoting", 200, "the promotion")
        sim.behaviours.put(Behaviour(ready_after=None), image=V2, deployment="catalog-primary")
        await sim.until_phase("Failed", 300)
        assert condition(sim, "Progressing")["reason"] == "PromotionFailed"
        assert weights(sim) == (50, 50)
        await sim.until(lambda: weights(sim) == (0, 100), 60, "all on the canary")
        assert replicas(sim, CANARY) == 4
        await sim.rest(30)
        assert apex_role(sim) == "canary"
        sim.behaviours.heal()
        await release(sim, scenario, V3)
        await sim.until_phase("Succeeded", 400)
        assert image(sim, PRIMARY) == V3
        assert route_writes(sim, begun)[:2] == [(50, 50), (0, 100)]
        assert harmed(sim) == 0

    simulate(story, seed=1)


async def fail_roll(sim: Simulation, scenario: Scenario, behaviour: Behaviour = NEVER_READY) -> float:
    """Release v2, whose pods do not get ready in the primary, up to the promotion; return when it began."""
    await initialise(sim, scenario)
    begun = await release(sim, scenario, V2)
    await sim.until_phase("Promoting", 200)
    sim.behaviours.put(behaviour, image=V2, deployment="catalog-primary")
    return begun


def test_failed_roll_leaves_a_split_until_the_canary_has_room_for_all() -> None:
    """A canary that cannot grow keeps its share; one that loses its pods gives it to what the primary has left."""
    scenario = in_place()

    async def story(sim: Simulation) -> None:
        await fail_roll(sim, scenario)
        sim.behaviours.put(NEVER_READY, image=V2)
        await sim.until_phase("Failed", 300)
        await sim.rest(120)
        assert (weights(sim), replicas(sim, CANARY), ready(sim, CANARY)) == ((50, 50), 4, 2)
        assert ready(sim, PRIMARY) == 3
        sim.kill_pods(NAMESPACE, "catalog-canary")
        await sim.until(lambda: weights(sim) == (100, 0), 2, "all to the primary")
        sim.behaviours.heal()
        await sim.until(lambda: weights(sim) == (0, 100), 60, "all to the canary")
        assert ready(sim, CANARY) == 4

    simulate(story, seed=3)


def test_moved_image_is_seen_at_the_first_new_pod() -> None:
    """What was not judged loses its traffic to the canary as soon as that can carry it."""
    scenario = in_place()

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until(lambda: sim.state() == ("Progressing", 50), 100, "the last step")
        await sim.until(lambda: ready(sim, CANARY) == 2, 30, "its pods")
        sim.pods.move_tag(V2)
        await sim.until_phase("Failed", 100)
        assert condition(sim, "Progressing")["reason"] == "ImageMoved"
        assert sim.world.find(PRIMARY)["status"]["updatedReplicas"] < 4
        assert weights(sim) == (50, 50)
        sim.pods.move_tag(V2)
        await sim.rest(60)
        assert harmed(sim) == 0

    simulate(story, seed=4)


def test_canary_that_dies_meanwhile_gives_its_share_to_the_primary() -> None:
    """It is diverted and comes back; the roll goes on."""
    scenario = in_place()

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        sim.behaviours.put(Behaviour(ready_after=8), image=V2, deployment="catalog-primary")
        await sim.until_phase("Promoting", 200)
        await sim.rest(1)
        sim.kill_pods(NAMESPACE, "catalog-canary")
        await sim.until(lambda: weights(sim) == (100, 0), 2, "the diversion")
        await sim.until_phase("Succeeded", 200)
        assert route_writes(sim, begun)[:3] == [(50, 50), (100, 0), (50, 50)]

    simulate(story, seed=5)


def test_recreate_is_not_followed_while_the_primary_rolls() -> None:
    """The edit is refused, and the primary goes on as it was."""
    scenario = in_place()

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        sim.behaviours.put(Behaviour(ready_after=8), image=V2, deployment="catalog-primary")
        await sim.until_phase("Promoting", 200)
        sim.user.edit(scenario.target, {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}})
        await sim.until_phase("Succeeded", 200)
        assert condition(sim, "Ready")["reason"] == "StrategyRecreate"
        assert harmed(sim) == 0

    simulate(story, seed=6)


def test_traffic_goes_back_from_the_last_weight_in_steps() -> None:
    """With stepWeightPromotion the primary that rolled is judged on its way to all traffic."""
    scenario = in_place(stepWeightPromotion=20)

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 300)
        assert [row for row in steps(sim, begun) if row[0] == "Finalising"] == [
            ("Finalising", 30),
            ("Finalising", 10),
            ("Finalising", 0),
        ]
        assert route_writes(sim, begun) == [(50, 50), (70, 30), (90, 10), (100, 0)]
        assert apex_role(sim) == "primary"
        assert harmed(sim) == 0

    simulate(story, seed=7)


def test_last_weight_of_100_is_a_cut_over() -> None:
    """There is no share left to roll under."""
    scenario = in_place(stepWeight=None, stepWeights=[50, 100])

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 300)
        assert route_writes(sim, begun) == [(50, 50), (0, 100), (100, 0)]
        assert harmed(sim) == 0

    simulate(story, seed=8)


@pytest.mark.parametrize("plan", [{"iterations": 2, "metrics": [], "mirror": True}, {"iterations": 2, "metrics": []}])
def test_blue_green_release_rolls_under_all_of_the_traffic(plan: dict[str, Any]) -> None:
    """Mirroring ends with the promotion, in one write that is part of it."""
    scenario = in_place(stepWeight=None, maxWeight=None, **plan)

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 300)
        assert [row[0] for row in steps(sim, begun)] == ["Progressing", "Promoting", "Finalising", "Succeeded"]
        assert len(route_writes(sim, begun)) == (2 if plan.get("mirror") else 0)
        assert harmed(sim) == 0

    simulate(story, seed=9)


def test_canary_deleted_in_the_roll_is_given_back_unharmed() -> None:
    """The target serves what the primary was given, which passed its analysis, before anything of ours goes."""
    scenario = in_place()

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        sim.behaviours.put(Behaviour(ready_after=8), image=V2, deployment="catalog-primary")
        await sim.until_phase("Promoting", 200)
        await sim.rest(3)
        sim.user.delete(scenario.ref)
        await sim.rest(300)
        assert sim.world.find(PRIMARY) is None
        assert (image(sim, scenario.target), ready(sim, scenario.target)) == (V2, 4)
        assert harmed(sim) == 0

    simulate(story, seed=10)
