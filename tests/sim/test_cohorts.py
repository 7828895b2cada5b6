"""Cohorts in order: each is told from all others of the canary, and none passes on the requests of those before it."""

from __future__ import annotations

from typing import Any

import pytest

from canary.core.objects import DESTINATION_RULE, SERVICE, VIRTUAL_SERVICE, Ref
from canary.sim.driver import Simulation, simulate
from canary.sim.outcome import left_behind
from canary.sim.scenario import initialise, release, serve
from canary.sim.user import User
from tests.sim.plans import END, FREE, INSIDER, STAFF, VISITOR, begin, http, planned, versions_seen_by
from tests.sim.stories import (
    NAMESPACE,
    ROUTE,
    V2,
    condition,
    found,
    harmed,
    ours,
    route_writes,
    steps,
    weights,
)

IN_ORDER = [{"match": [STAFF]}, {"match": [FREE]}, {"setWeight": 50}]
COHORT = Ref(SERVICE, NAMESPACE, "catalog-cohort2")
RULE = Ref(DESTINATION_RULE, NAMESPACE, "catalog-cohort2")
POLICY = {"connectionPool": {"http": {"http2MaxRequests": 100}}}


async def stands_at(sim: Simulation, index: int) -> None:
    """Wait until a step is under way."""
    await sim.until(lambda: sim.status()["step"]["index"] == index, 100, f"step {index}")


def hosts(sim: Simulation) -> list[str]:
    """Return where the cohorts are led to, in their order."""
    cohorts = [one for one in http(sim) if one.get("name", "").startswith("canary-cohort")]
    return [leg["destination"]["host"] for one in cohorts for leg in one["route"]]


def gone(sim: Simulation) -> bool:
    """Return whether nothing is left of what was made for a cohort."""
    return sim.world.find(COHORT) is None and sim.world.find(RULE) is None


def test_later_cohort_that_nobody_belongs_to_holds_until_it_is_called() -> None:
    """The first cohort's requests do not pass the second one's step; with a caller of its own the run goes on."""
    scenario = planned(steps=IN_ORDER)

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario, INSIDER)
        await sim.rest(90)
        assert (sim.status()["step"]["index"], steps(sim, begun)) == (2, [("Progressing", 0)])
        told = condition(sim, "MetricsAvailable")["message"]
        assert "has no data of this cohort: 0 requests to Service catalog-cohort2 in 60 s, minSamples is 1" in told
        assert "no request matched cohort 2: does every service on the way pass on header x-plan?" in told
        assert sim.status()["failedChecks"] == 0
        assert hosts(sim) == ["catalog-canary", "catalog-cohort2"]
        sim.dataplane.call(VISITOR)
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, begun) == [("Progressing", 0), ("Progressing", 50), *END]
        assert route_writes(sim, begun) == [(100, 0), (100, 0), (50, 50), (0, 100), (100, 0)]
        await sim.rest(30)
        assert gone(sim)
        assert harmed(sim) == 0

    simulate(story, seed=1)


def test_cohort_after_a_weight_is_told_from_those_who_follow_it() -> None:
    """The first cohort of a plan is not the first to reach the canary when a weight came before it."""
    scenario = planned(steps=[{"setWeight": 20}, {"match": [FREE]}, {"setWeight": 50}])

    async def story(sim: Simulation) -> None:
        await begin(sim, scenario)
        await sim.rest(90)
        assert sim.status()["step"]["index"] == 2
        assert "no request matched the cohort: does every" in condition(sim, "MetricsAvailable")["message"]
        assert hosts(sim) == ["catalog-cohort1"]
        sim.dataplane.call(VISITOR)
        await sim.until_phase("Succeeded", 300)
        assert harmed(sim) == 0

    simulate(story, seed=2)


def test_later_cohort_holds_when_only_pods_are_scraped() -> None:
    """No caller's proxy says by which Service a request came: the count is unknown, which never passes."""
    scenario = planned(steps=IN_ORDER)

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        for caller in (INSIDER, VISITOR):
            sim.dataplane.call(caller)
        sim.measurer.unscraped = "source"
        await release(sim, scenario, V2)
        await sim.rest(120)
        assert sim.status()["step"]["index"] == 2
        told = condition(sim, "MetricsAvailable")["message"]
        assert "only series of reporter source do, and there are none; are callers' proxies scraped?" in told
        assert "no request matched" not in told
        sim.measurer.unscraped = ""
        await sim.until_phase("Succeeded", 300)

    simulate(story, seed=3)


def test_policy_reaches_later_cohorts_before_they_are_led_there() -> None:
    """The Service of a cohort and its DestinationRule are there before a route names them, and go after the run."""
    scenario = planned(steps=IN_ORDER)
    scenario.canary["spec"]["service"]["trafficPolicy"] = POLICY

    async def story(sim: Simulation) -> None:
        await begin(sim, scenario, INSIDER, VISITOR)
        await stands_at(sim, 2)
        assert found(sim, RULE)["spec"] == {"host": "catalog-cohort2", "trafficPolicy": POLICY}
        assert (
            found(sim, COHORT)["spec"]["selector"]
            == found(sim, Ref(SERVICE, NAMESPACE, "catalog-canary"))["spec"]["selector"]
        )
        await sim.rest(1)
        made = [one.at for one in ours(sim, 0, RULE)]
        named = [one.at for one in ours(sim, 0, ROUTE) if "catalog-cohort2" in str(one.after)]
        assert made[0] < named[0]
        await sim.until_phase("Succeeded", 300)
        await sim.rest(30)
        assert gone(sim)

    simulate(story, seed=4)


def test_roll_back_takes_what_was_made_for_a_cohort_away() -> None:
    """An abort in the step of a later cohort moves everybody in one write; its Service goes once all have settled."""
    scenario = planned(steps=IN_ORDER)

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario, INSIDER, VISITOR)
        await stands_at(sim, 2)
        await sim.rest(2)
        sim.user.command(scenario.ref, "abort")
        await sim.until_phase("Failed", 30)
        assert sim.world.find(COHORT) is not None, "proxies that were not told yet may still send to it"
        assert len(ours(sim, begun, ROUTE)) == 3
        await sim.until(lambda: gone(sim), 100, "the end of what was made for the cohort")
        assert harmed(sim) == 0

    simulate(story, seed=5)


def test_canary_deleted_in_a_later_cohort_leaves_nothing() -> None:
    """The give-back takes the Service and its policy along with the rest, without a failed request."""
    scenario = planned(steps=IN_ORDER)
    scenario.canary["spec"]["service"]["trafficPolicy"] = POLICY

    async def story(sim: Simulation) -> None:
        await begin(sim, scenario, INSIDER, VISITOR)
        await stands_at(sim, 2)
        await sim.rest(2)
        sim.user.delete(scenario.ref)
        await sim.rest(200)
        assert left_behind(sim, scenario) is None
        assert gone(sim)
        assert harmed(sim) == 0

    simulate(story, seed=6)


def test_cohort_service_deleted_by_hand_is_made_again() -> None:
    """It is there again within a second, and the run goes on with the cohort at it."""
    scenario = planned(steps=IN_ORDER)
    scenario.canary["spec"]["analysis"]["threshold"] = 5

    async def story(sim: Simulation) -> None:
        await begin(sim, scenario, INSIDER, VISITOR)
        await stands_at(sim, 2)
        await sim.rest(2)
        User(sim.world, "kubectl").delete(COHORT)
        await sim.until(lambda: sim.world.find(COHORT) is not None, 1, "the Service")
        await sim.rest(5)
        assert (hosts(sim)[1], versions_seen_by(sim.dataplane, VISITOR)) == ("catalog-cohort2", {"catalog-canary"})
        await sim.until_phase("Succeeded", 300)

    simulate(story, seed=7)


def test_cohort_added_to_a_run_waits_for_its_service() -> None:
    """A plan edited in mid-run makes the Service first; callers of the cohorts before stay where they are."""
    scenario = planned(steps=[{"match": [STAFF]}, {"setWeight": 50}])

    async def story(sim: Simulation) -> None:
        await begin(sim, scenario, INSIDER, VISITOR)
        await stands_at(sim, 1)
        await sim.rest(2)
        sim.endpoints.lag = 3.0
        edited: dict[str, Any] = {"spec": {"analysis": {"steps": IN_ORDER}}}
        sim.user.edit(scenario.ref, edited)
        await stands_at(sim, 2)
        await sim.rest(1)
        assert hosts(sim) == ["catalog-canary", "catalog-cohort2"]
        await sim.until_phase("Succeeded", 300)
        assert harmed(sim) == 0

    simulate(story, seed=8)


@pytest.mark.parametrize("kind", [SERVICE, DESTINATION_RULE])
def test_name_of_a_cohort_service_taken_by_others_is_an_obstacle(kind: Any) -> None:
    """Nothing of others is written, and nothing is begun that could not go on."""
    scenario = planned(steps=IN_ORDER)
    spec: dict[str, Any] = {"selector": {"app": "other"}, "ports": [{"port": 80}]}
    theirs = spec if kind == SERVICE else {"host": "other"}
    metadata = {"name": COHORT.name, "namespace": NAMESPACE}
    obstacle = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": theirs}

    async def story(sim: Simulation) -> None:
        await serve(sim, scenario)
        sim.user.apply(obstacle)
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.rest(20)
        told = condition(sim, "Ready")
        assert told["reason"] == "NameTaken"
        assert f"{kind.kind} catalog-cohort2 exists and is not ours" in told["message"]
        sim.user.delete(Ref(kind, NAMESPACE, COHORT.name))
        await sim.until_phase("Initialized", 200)

    simulate(story, seed=9)


def test_route_of_a_run_begun_by_a_former_version_is_led_apart_once_the_service_is_there() -> None:
    """A cohort at the canary's own Service stays on the canary while its Service is made; weights do not move."""
    scenario = planned(steps=IN_ORDER)

    async def story(sim: Simulation) -> None:
        await begin(sim, scenario, INSIDER, VISITOR)
        await stands_at(sim, 2)
        await sim.rest(2)
        sim.kill_controller()
        body = found(sim, ROUTE)["spec"]
        for leg in body["http"][1]["route"]:
            leg["destination"]["host"] = "catalog-canary"
        User(sim.world, "former").edit(Ref(VIRTUAL_SERVICE, NAMESPACE, "catalog"), {"spec": body})
        User(sim.world, "former").delete(COHORT)
        await sim.rest(5)
        sim.start_controller()
        await sim.until(lambda: hosts(sim) == ["catalog-canary", "catalog-cohort2"], 30, "the cohort's route")
        assert versions_seen_by(sim.dataplane, VISITOR) == {"catalog-canary"}
        await sim.until_phase("Succeeded", 300)
        assert weights(sim) == (100, 0)
        assert harmed(sim) == 0

    simulate(story, seed=10)
