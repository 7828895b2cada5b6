"""Every way to shift traffic: cohorts, mirroring, A/B, blue/green, explicit steps, none, and holds by hand."""

from __future__ import annotations

from typing import Any

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import Scenario, initialise, listing_5_1, release, serve
from tests.sim.plans import END, FREE, INSIDER, STAFF, VISITOR, begin, http, planned, versions_seen_by
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
    ours,
    ready,
    replicas,
    route_writes,
    steps,
    weights,
)


def test_ab_release_keeps_the_cohort_on_the_canary_and_all_others_off_it() -> None:
    """Each iteration is one interval; the others stay on the primary throughout, then everybody moves."""
    scenario = planned(iterations=3, match=[STAFF])

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario, INSIDER, VISITOR)
        await sim.until(lambda: sim.status().get("iterations") == 2, 100, "the second iteration")
        await sim.rest(1)
        assert versions_seen_by(sim.dataplane, INSIDER) == {"catalog-canary"}
        assert versions_seen_by(sim.dataplane, VISITOR) == {"catalog-primary"}
        assert [one.get("match") for one in http(sim)] == [[STAFF], None]
        assert ready(sim, CANARY) == 2, "a cohort's share is unknown, so the canary has its full size"
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, begun) == [("Progressing", 0), *END]
        assert [round(row.at) for row in sim.rows(begun)][:2] == [0, 40]
        assert len(http(sim)) == 1
        assert harmed(sim) == 0

    simulate(story, seed=1)


@pytest.mark.parametrize("mirror", [False, True])
def test_cohort_that_nobody_belongs_to_holds_and_names_the_header(mirror: bool) -> None:
    """Zero matched requests never count as success, whatever copies say; the status says what callers may forget."""
    scenario = planned(iterations=2, match=[STAFF], mirror=mirror)

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario)
        await sim.rest(60)
        assert steps(sim, begun) == [("Progressing", 0)]
        told = condition(sim, "MetricsAvailable")
        assert told["status"] == "False"
        assert "does every service on the way pass on header x-group?" in told["message"]
        sim.dataplane.call(INSIDER)
        await sim.until_phase("Succeeded", 300)

    simulate(story, seed=2)


@pytest.mark.parametrize(
    ("cohort", "words"),
    [
        ({"sourceLabels": {"app": "insider"}}, "beside gateways Istio heeds no sourceLabels"),
        ({"gateways": ["edge/public"]}, "no http route to catalog takes a request of cohort 1"),
    ],
)
def test_cohort_that_the_routes_have_no_place_for_is_refused_until_corrected(
    cohort: dict[str, Any], words: str
) -> None:
    """Neither is the whole mesh sent to the canary, nor does a run wait for ever for routes that cannot be."""
    scenario = planned(iterations=2, match=[cohort])
    scenario.canary["spec"]["service"]["match"] = [{"gateways": ["mesh"]}]

    async def story(sim: Simulation) -> None:
        await serve(sim, scenario)
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.rest(20)
        told = condition(sim, "Ready")
        assert told["reason"] == "RouteNotPossible"
        assert words in told["message"]
        assert sim.world.find(ROUTE) is None
        del scenario.canary["spec"]["service"]["match"]
        sim.user.apply(scenario.canary)
        await sim.until_phase("Initialized", 300)

    simulate(story, seed=5)


def test_failing_cohort_is_rolled_back_and_only_the_cohort_was_harmed() -> None:
    """The canary's errors reach its cohort alone, until the route is gone in one write."""
    scenario = planned(iterations=5, match=[STAFF])

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        sim.dataplane.call(INSIDER)
        sim.pods.behaviours.put(Behaviour(errors=50.0), image=V2)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Failed", 200)
        await sim.rest(30)
        assert len(http(sim)) == 1
        assert weights(sim) == (100, 0)
        assert replicas(sim, CANARY) == 0
        assert image(sim, PRIMARY) == V1
        assert len(ours(sim, begun, ROUTE)) == 2
        assert versions_seen_by(sim.dataplane, INSIDER) == {"catalog-primary"}

    simulate(story, seed=3)


def test_cohorts_come_in_order_and_never_fall_back_while_weights_go_up() -> None:
    """Internal, then non-paying, then everybody by weight: a matched user stays on the canary (R-REL-6, R-DARK-7)."""
    plan = [{"match": [STAFF]}, {"match": [FREE]}, {"setWeight": 30}, {"setWeight": 60}]
    scenario = planned(steps=plan)

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario, INSIDER, VISITOR)
        seen: list[tuple[set[str], set[str]]] = []
        for index in (1, 2, 3, 4):
            await sim.until(lambda i=index: sim.status()["step"]["index"] == i, 60, f"step {index}")  # type: ignore[misc]
            await sim.rest(1)
            seen.append((versions_seen_by(sim.dataplane, INSIDER), versions_seen_by(sim.dataplane, VISITOR)))
        canary, primary = {"catalog-canary"}, {"catalog-primary"}
        assert seen == [(canary, primary), (canary, canary), (canary, canary), (canary, canary)]
        await sim.until_phase("Succeeded", 300)
        progress = [("Progressing", weight) for weight in (0, 30, 60)]
        assert steps(sim, begun) == progress + END
        assert harmed(sim) == 0

    simulate(story, seed=4)


@pytest.mark.parametrize("mirror", [True, False])
def test_blue_green_judges_at_0_percent_and_switches_once(mirror: bool) -> None:
    """N judged intervals without live traffic, one switch, one write back."""
    checks = {} if mirror else {"metrics": []}
    scenario = planned(iterations=3, mirror=mirror, **checks)

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario)
        await sim.until_phase("Succeeded", 300)
        assert [round(row.at) for row in sim.rows(begun)][:2] == [0, 40]
        expected = [(0, 100), (100, 0)]
        assert route_writes(sim, begun) == ([(100, 0), *expected] if mirror else expected)
        assert harmed(sim) == 0
        assert image(sim, PRIMARY) == V2

    simulate(story, seed=7)


def test_bake_judges_at_100_percent_before_the_primary_is_touched() -> None:
    """The old primary stays warm at its full size until the bake is over."""
    scenario = planned(promotion={"bake": "40s"}, stepWeight=50, maxWeight=50)

    async def story(sim: Simulation) -> None:
        await begin(sim, scenario)
        await sim.until(lambda: weights(sim) == (0, 100), 200, "the cut-over")
        cut_over = sim.now
        await sim.rest(38)
        assert image(sim, PRIMARY) == V1
        assert ready(sim, PRIMARY) == 2
        await sim.until(lambda: image(sim, PRIMARY) == V2, 30, "the roll of the primary")
        assert sim.now - cut_over >= 40
        await sim.until_phase("Succeeded", 200)
        assert harmed(sim) == 0

    simulate(story, seed=8)


def test_failed_bake_returns_to_the_warm_primary() -> None:
    """Errors that begin at 100 % send everybody back to the old primary, which was never touched."""
    scenario = planned(promotion={"bake": "60s"}, stepWeight=50, maxWeight=50)

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario)
        await sim.until(lambda: weights(sim) == (0, 100), 200, "the cut-over")
        sim.pods.behaviours.put(Behaviour(errors=30.0), image=V2)
        await sim.until_phase("Failed", 100)
        await sim.rest(30)
        assert weights(sim) == (100, 0)
        assert image(sim, PRIMARY) == V1
        assert replicas(sim, CANARY) == 0
        assert route_writes(sim, begun)[-2:] == [(0, 100), (100, 0)]

    simulate(story, seed=9)


def test_pause_and_analysis_last_as_long_as_they_say() -> None:
    """Explicit steps stay for their time, judged at each interval, and an unequal rest is not cut off."""
    plan = [{"setWeight": 20}, {"pause": {"duration": "25s"}}, {"analysis": {"duration": "15s"}}, {"setWeight": 50}]
    scenario = planned(steps=plan)

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario)
        await sim.until_phase("Succeeded", 400)
        rows = [(round(row.at), row.weight) for row in sim.rows(begun) if row.phase == "Progressing"]
        assert rows == [(0, 0), (10, 20), (60, 50)]

    simulate(story, seed=10)


def test_pause_does_not_hide_a_failing_canary() -> None:
    """Checks go on during a pause, and roll back."""
    scenario = planned(steps=[{"setWeight": 20}, {"pause": {"duration": "10m"}}])

    async def story(sim: Simulation) -> None:
        await begin(sim, scenario)
        await sim.until_weight(20, 60)
        await sim.rest(30)
        sim.pods.behaviours.put(Behaviour(errors=50.0), image=V2)
        await sim.until_phase("Failed", 60)

    simulate(story, seed=11)


def test_skipped_analysis_waits_for_readiness_in_every_phase() -> None:
    """No checks and no intervals, and still never fewer ready pods than production has."""
    canary = listing_5_1(drainSeconds=5)
    canary["spec"]["skipAnalysis"] = True
    scenario = Scenario(canary, replicas=2)

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        sim.pods.behaviours.put(Behaviour(ready_after=20.0), image=V2)
        begun = await release(sim, scenario, V2)
        await sim.rest(15)
        assert weights(sim) == (100, 0), "the canary is not ready yet"
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, begun) == [("Progressing", 0), *END]
        assert route_writes(sim, begun) == [(0, 100), (100, 0)]
        assert harmed(sim) == 0

    simulate(story, seed=12)


def without_analysis(scenario: Scenario) -> Scenario:
    """Return the same release without checks."""
    scenario.canary["spec"]["skipAnalysis"] = True
    return scenario


def test_canary_that_never_gets_ready_is_rolled_back_without_analysis_too() -> None:
    """Past the deadline the run ends as in any other: no route was written, the primary was never touched."""
    scenario = without_analysis(planned(stepWeight=50))

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        sim.pods.behaviours.put(Behaviour(ready_after=None), image=V2)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Failed", 120)
        assert condition(sim, "Progressing")["reason"] == "CanaryNotReady"
        await sim.rest(60)
        assert steps(sim, begun) == [("Progressing", 0), ("Failed", 0)]
        assert route_writes(sim, begun) == []
        assert (image(sim, PRIMARY), ready(sim, PRIMARY), replicas(sim, CANARY)) == (V1, 2, 0)
        assert harmed(sim) == sim.dataplane.requests.failed == 0

    simulate(story, seed=18)


@pytest.mark.parametrize("ready_after", [25.0, None])
def test_primary_that_is_slow_is_waited_for_without_analysis_too(ready_after: float | None) -> None:
    """The canary carries everybody at full size until the primary is whole; one that never is fails the promotion."""
    scenario = without_analysis(planned(stepWeight=50))

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        sim.pods.behaviours.put(Behaviour(ready_after=ready_after), image=V2, deployment="catalog-primary")
        begun = await release(sim, scenario, V2)
        await sim.until(lambda: image(sim, PRIMARY) == V2, 120, "the roll of the primary")
        for _ in range(20):
            await sim.rest(1)
            assert (weights(sim), apex_role(sim), ready(sim, CANARY)) == ((0, 100), "canary", 2)
        await sim.until_phase("Succeeded" if ready_after else "Failed", 200)
        await sim.rest(60)
        assert route_writes(sim, begun) == ([(0, 100), (100, 0)] if ready_after else [(0, 100)])
        assert condition(sim, "Progressing")["reason"] == ("Promoted" if ready_after else "PromotionFailed")
        assert harmed(sim) == 0

    simulate(story, seed=19)


@pytest.mark.parametrize("field", ["suspend", "paused"])
def test_suspended_run_holds_where_it_is_and_goes_on(field: str) -> None:
    """Neither steps nor rollbacks while suspended, no write either; then the run goes on from its weight."""
    scenario = planned(stepWeight=20, maxWeight=60)

    async def story(sim: Simulation) -> None:
        begun = await begin(sim, scenario)
        await sim.until_weight(20, 60)
        suspend(sim, scenario, True, field)
        await sim.rest(2)
        quiet = sim.now
        await sim.rest(60)
        assert weights(sim) == (80, 20)
        assert ours(sim, quiet) == []
        assert condition(sim, "Held")["reason"] == "Suspended"
        suspend(sim, scenario, False)
        await sim.until_phase("Succeeded", 300)
        assert condition(sim, "Held") == {}
        assert steps(sim, begun) == [("Progressing", w) for w in (0, 20, 40, 60)] + END

    simulate(story, seed=13)


def test_suspended_canary_begins_no_run() -> None:
    """A template applied meanwhile waits with a condition that says why, and runs afterwards."""
    scenario = planned(stepWeight=50)

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        suspend(sim, scenario, True)
        await sim.rest(2)
        sim.user.apply(scenario.revised(V3))
        await sim.rest(30)
        assert sim.state() == ("Initialized", 0)
        assert "suspended" in condition(sim, "RevisionPending")["message"]
        suspend(sim, scenario, False)
        await sim.until_phase("Succeeded", 300)
        assert image(sim, PRIMARY) == V3

    simulate(story, seed=14)


def test_suspended_run_still_diverts() -> None:
    """Canary pods that die while the run is suspended get no traffic."""
    scenario = planned(stepWeight=20, maxWeight=60)

    async def story(sim: Simulation) -> None:
        await begin(sim, scenario)
        await sim.until_weight(20, 60)
        suspend(sim, scenario, True)
        await sim.rest(2)
        sim.pods.behaviours.put(Behaviour(ready_after=None), deployment="catalog-canary", image=V2)
        sim.kill_pods(NAMESPACE, "catalog-canary")
        await sim.until(lambda: weights(sim) == (100, 0), 2, "the diversion")

    simulate(story, seed=15)


def suspend(sim: Simulation, scenario: Scenario, value: bool, field: str = "suspend") -> None:
    """Set spec.suspend, or Flagger's word for it."""
    canary = {**scenario.canary, "spec": {**scenario.canary["spec"], field: value}}
    sim.user.apply(canary)
