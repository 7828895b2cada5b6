"""A tag that moves during a run: production gets the very image that was judged, or no traffic."""

from __future__ import annotations

from typing import Any

import pytest

from canary.sim.driver import Simulation, simulate
from canary.sim.faults import ApiFault
from canary.sim.scenario import Scenario, initialise, release
from tests.sim.stories import (
    CANARY,
    PRIMARY,
    V1,
    V2,
    V3,
    condition,
    harmed,
    image,
    quick,
    replicas,
    steps,
    weights,
)


async def promote(sim: Simulation, scenario: Scenario) -> float:
    """Release v2, push another build under its tag at the last weight, and return when the release was seen."""
    await initialise(sim, scenario)
    begun = await release(sim, scenario, V2)
    await sim.until_phase("Promoting", 200)
    sim.pods.move_tag(V2)
    return begun


def test_tag_that_moved_before_the_primary_rolled_fails_the_promotion() -> None:
    """All traffic stays on what was judged; the next template first brings the former revision back."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await promote(sim, scenario)
        await sim.until_phase("Failed", 100)
        assert (weights(sim), replicas(sim, CANARY)) == ((0, 100), 2)
        told = condition(sim, "Progressing")
        assert told["reason"] == "ImageMoved"
        assert "catalog:v2@build-1 in container" in told["message"]
        assert "the canary runs catalog:v2@build-0" in told["message"]
        await sim.rest(60)
        assert weights(sim) == (0, 100)
        sim.user.apply(scenario.revised(V3))
        await sim.until(lambda: image(sim, PRIMARY) == V1, 30, "the former revision")
        await sim.until(lambda: image(sim, PRIMARY) == V3, 300, "the new one")
        await sim.until_phase("Succeeded", 100)
        assert harmed(sim) == 0

    simulate(story, seed=1)


def test_tag_that_moved_once_the_primary_rolled_is_no_matter() -> None:
    """What runs is what was judged: the promotion succeeds."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Finalising", 300)
        sim.pods.move_tag(V2)
        await sim.until_phase("Succeeded", 100)
        assert steps(sim, begun)[-1] == ("Succeeded", 0)

    simulate(story, seed=2)


@pytest.mark.parametrize("times", [1, 3])
def test_images_that_cannot_be_read_are_waited_for(times: int) -> None:
    """Traffic stays on the canary, the status says what is awaited, and the next answer decides."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        sim.faults.api = [ApiFault("refused", verb="list", kind_of_object="Pod", times=times)]
        await release(sim, scenario, V2)
        message: Any = None

        def waits() -> bool:
            nonlocal message
            message = sim.status().get("message", "")
            return "Waiting to see which images the promoted pods run" in message

        await sim.until(waits, 300, "the wait")
        assert weights(sim) == (0, 100)
        await sim.until_phase("Succeeded", 100)

    simulate(story, seed=3)
