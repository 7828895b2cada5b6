"""Copies of live requests: judged before any caller is answered by the canary, alone and beside cohorts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import initialise, release
from tests.sim.plans import END, INSIDER, STAFF, VISITOR, begin, copied_to, http, planned, versions_seen_by
from tests.sim.stories import (
    CANARY,
    V2,
    condition,
    harmed,
    ready,
    received,
    route_writes,
    steps,
    version,
    weights,
)


@pytest.mark.parametrize("weight", [100, 40])
def test_mirrored_copies_are_judged_before_the_first_weight(weight: int) -> None:
    """Primary 100, canary 0 and copies; the mirror goes in the write that sets the first weight (R-MIR-1)."""
    scenario = planned(stepWeight=50, maxWeight=50, mirror=True, mirrorWeight=weight)

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario)
        await sim.until(lambda: "mirror" in http(sim)[0], 60, "a mirror")
        assert http(sim)[0]["mirror"] == {"host": "catalog-canary"}
        assert http(sim)[0]["mirrorPercentage"] == {"value": weight}
        assert weights(sim) == (100, 0)
        await sim.rest(5)
        assert sim.status()["traffic"] == {"primary": 100, "canary": 0, "mirror": weight}
        assert received(sim, version(scenario, V2)) > 0
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, begun) == [("Progressing", 0), ("Progressing", 50), *END]
        assert route_writes(sim, begun) == [(100, 0), (50, 50), (0, 100), (100, 0)]
        assert "mirror" not in http(sim)[0]
        assert sim.dataplane.requests.failed == 0

    simulate(story, seed=5)


def test_written_steps_mirror_by_their_own_shares_until_the_first_weight() -> None:
    """`steps[].mirror` copies its share, the next one more, a soak keeps it, and the first weight ends it in one write.

    Callers see the primary alone until then.
    """
    plan = [{"mirror": {"percentage": 25}}, {"mirror": {"percentage": 75}}, {"analysis": {"duration": "20s"}}]
    scenario = replace(planned(steps=[*plan, {"setWeight": 50}]), replicas=4)

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario, VISITOR)
        seen: list[tuple[int, int]] = []
        for index in (1, 2, 3):
            await sim.until(lambda i=index: sim.status()["step"]["index"] == i, 60, f"step {index}")  # type: ignore[misc]
            await sim.rest(1)
            seen.append((http(sim)[0]["mirrorPercentage"]["value"], ready(sim, CANARY)))
            assert versions_seen_by(sim.dataplane, VISITOR) == {"catalog-primary"}
        assert [share for share, _ in seen] == [25, 75, 75]
        assert all(pods >= share / 25 for share, pods in seen), seen
        assert received(sim, version(scenario, V2)) > 0
        await sim.until_phase("Succeeded", 300)
        rows = [(round(row.at), row.weight) for row in sim.rows(begun) if row.phase == "Progressing"]
        assert rows == [(0, 0), (50, 50)]
        assert route_writes(sim, begun) == [(100, 0), (100, 0), (50, 50), (0, 100), (100, 0)]
        assert "mirror" not in http(sim)[0]
        assert harmed(sim) == 0

    simulate(story, seed=16)


@pytest.mark.parametrize(
    "plan",
    [{"stepWeight": 50, "mirror": True}, {"steps": [{"mirror": {"percentage": 100}}, {"setWeight": 50}]}],
    ids=["mirror", "steps"],
)
def test_clients_never_see_what_mirrored_copies_come_to(plan: dict[str, Any]) -> None:
    """A canary that fails every copy is rolled back without one failed request."""
    scenario = planned(**plan)

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        sim.pods.behaviours.put(Behaviour(errors=100.0), image=V2)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Failed", 200)
        await sim.rest(20)
        assert sim.dataplane.requests.failed == 0
        assert route_writes(sim, begun) == [(100, 0), (100, 0)]
        assert "mirror" not in http(sim)[0]
        assert "as the destination reports" in condition(sim, "Progressing")["message"]

    simulate(story, seed=6)


def test_mirror_beside_a_cohort_copies_the_requests_of_all_others() -> None:
    """The cohort is answered by the canary and not copied, the others by the primary alone (W59)."""
    scenario = planned(iterations=3, match=[STAFF], mirror=True)

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario, INSIDER, VISITOR)
        for iteration in (1, 2):
            await sim.until(lambda n=iteration: sim.status().get("iterations") == n, 100, "an iteration")  # type: ignore[misc]
            await sim.rest(1)
            assert versions_seen_by(sim.dataplane, INSIDER) == {"catalog-canary"}
            assert copied_to(sim.dataplane, INSIDER) == set()
            assert versions_seen_by(sim.dataplane, VISITOR) == {"catalog-primary"}
            assert copied_to(sim.dataplane, VISITOR) == {"catalog-canary"}
        assert ready(sim, CANARY) == 2, "copies of all and a cohort need its full size"
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, begun) == [("Progressing", 0), *END]
        assert route_writes(sim, begun) == [(100, 0), (0, 100), (100, 0)]
        assert [one for one in http(sim) if "mirror" in one or "match" in one] == []
        assert harmed(sim) == 0

    simulate(story, seed=16)


def test_cohort_alone_meets_a_canary_that_fails_every_copy() -> None:
    """Nobody belongs to the cohort: the copies roll the canary back without one failed request."""
    scenario = planned(iterations=3, match=[STAFF], mirror=True)

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        sim.pods.behaviours.put(Behaviour(errors=100.0), image=V2)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Failed", 200)
        await sim.rest(20)
        assert received(sim, version(scenario, V2)) > 0
        assert sim.dataplane.requests.failed == 0
        assert route_writes(sim, begun) == [(100, 0), (100, 0)]
        assert len(http(sim)) == 1

    simulate(story, seed=17)
