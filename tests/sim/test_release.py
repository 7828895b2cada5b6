"""Whole releases, as the book's listing 5.1 has them."""

from __future__ import annotations

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import Scenario, initialise, release

TIMELINE = [
    (0, "Progressing", 0),
    (45, "Progressing", 10),
    (90, "Progressing", 20),
    (135, "Progressing", 30),
    (180, "Progressing", 40),
    (225, "Progressing", 50),
    (270, "Promoting", 0),
    (315, "Finalising", 0),
    (360, "Succeeded", 0),
]


def rounded(sim: Simulation, since: float) -> list[tuple[int, str, int]]:
    """Return the rows with whole seconds."""
    return [(round(row.at), row.phase, row.weight) for row in sim.rows(since)]


@pytest.mark.parametrize(("seed", "replicas"), [(1, 1), (2, 2), (3, 5)])
def test_listing_5_1_keeps_the_timeline_and_harms_nobody(seed: int, replicas: int) -> None:
    """A good canary goes through the rows of the book, 45 s apart, without a failed request."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(replicas=replicas)
        await initialise(sim, scenario)
        begun = await release(sim, scenario, "catalog:v2")
        await sim.until_phase("Succeeded", 600)
        await sim.rest(400)
        assert rounded(sim, begun) == TIMELINE
        assert all(abs(row.at - at) < 0.1 for row, (at, _, _) in zip(sim.rows(begun), TIMELINE, strict=True))
        assert sim.dataplane.requests.failed == 0

    simulate(story, seed=seed)


def test_bad_canary_is_rolled_back_at_its_threshold() -> None:
    """Five failed checks, the first at the second tick, end the run; the primary is untouched."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        sim.behaviours.put(Behaviour(errors=10), image="catalog:v2")
        await initialise(sim, scenario)
        begun = await release(sim, scenario, "catalog:v2")
        await sim.until_phase("Failed", 600)
        await sim.rest(60)
        assert rounded(sim, begun) == [(0, "Progressing", 0), (45, "Progressing", 10), (270, "Failed", 0)]
        assert {pod.image for pod in sim.pods.all()} == {"catalog:v1"}

    simulate(story)


def test_equal_seeds_give_equal_releases() -> None:
    """Every write and every request comes back with the seed."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        await release(sim, scenario, "catalog:v2")
        await sim.until_phase("Succeeded", 600)

    def trace(seed: int) -> list[object]:
        sim = simulate(story, seed=seed)
        calls = [(call.at, call.verb, str(call.ref), call.outcome) for call in sim.calls]
        return [calls, sim.dataplane.requests.as_dict(), sorted(sim.dataplane.received.items())]

    assert trace(5) == trace(5)
