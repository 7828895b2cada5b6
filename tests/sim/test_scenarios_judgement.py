"""What fails a canary, what holds it, and what does neither (items 5 and 6)."""

from __future__ import annotations

from typing import Any

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import ApiFault, MetricsFault
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise, release
from tests.sim.stories import (
    CANARY,
    NAMESPACE,
    PRIMARY,
    V1,
    V2,
    V3,
    condition,
    harmed,
    image,
    ours,
    quick,
    ready,
    received,
    route_writes,
    steps,
    version,
    weights,
)


def misbehave(sim: Simulation, **how: Any) -> None:
    """Let pods of v2 behave so from now on."""
    sim.dataplane.settle()
    sim.behaviours.put(Behaviour(**how), image=V2)


@pytest.mark.parametrize(
    ("how", "says", "harms"),
    [
        ({"errors": 10.0}, "request-success-rate", True),
        ({"timeouts": 10.0}, "as the source reports", True),
        ({"extra_latency": 700.0}, "request-duration", False),
    ],
)
def test_bad_canary_fails_at_the_fifth_check(how: dict[str, Any], says: str, harms: bool) -> None:
    """Errors, timeouts that only the caller sees (R-MET-1) and latency: back at the fifth failed check, not before."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        misbehave(sim, **how)
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Failed", 900)
        await sim.rest(0.1)
        assert sim.now - begun == pytest.approx(45 * 6, abs=0.3), sim.picture()
        assert sim.history.reasons(begun).count("CheckFailed") == 5
        assert says in sim.status()["message"]
        assert route_writes(sim, begun) == [(90, 10), (100, 0)]
        assert bool(harmed(sim)) is harms
        await sim.rest(400)
        assert wrong_at_rest(sim, scenario) is None
        assert image(sim, PRIMARY) == V1

    simulate(story, seed=3)


def test_four_failed_checks_are_not_five() -> None:
    """A canary that heals after its fourth failed check is promoted; the checks stay counted."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        misbehave(sim, errors=20.0)
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until(lambda: sim.status().get("failedChecks") == 4, 900, "four failed checks")
        misbehave(sim)
        await sim.rest(30)
        # The window of a minute has to forget what was bad.
        sim.faults.metrics.append(MetricsFault("down", sim.now, sim.now + 60))
        await sim.until_phase("Succeeded", 900)
        assert sim.history.reasons(begun).count("CheckFailed") == 4

    simulate(story, seed=3)


def test_burst_in_a_series_born_inside_the_window_counts() -> None:
    """The first requests of all fail, for two seconds: the check counts them though the series had no sample before."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        scenario.canary["spec"]["analysis"]["threshold"] = 1
        misbehave(sim, errors=100.0)
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_weight(10, 100)
        await sim.rest(2)
        misbehave(sim)
        await sim.until_phase("Failed", 100)
        assert steps(sim, begun) == [("Progressing", 0), ("Progressing", 10), ("Failed", 0)]
        assert harmed(sim) > 0

    simulate(story, seed=1)


def test_canary_that_never_gets_ready_gets_no_traffic() -> None:
    """After the deadline without progress the run ends; not one request went to it."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        misbehave(sim, ready_after=None)
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Failed", 300)
        assert 59.9 <= sim.now - begun <= 110
        assert condition(sim, "Progressing")["reason"] == "CanaryNotReady"
        await sim.rest(400)
        assert wrong_at_rest(sim, scenario) is None
        assert received(sim, version(scenario, V2)) == harmed(sim) == 0

    simulate(story)


def test_clients_that_cancel_do_not_fail_a_canary() -> None:
    """One request in five is given up by its client: not the canary's fault."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        # People cancel whatever serves them.
        sim.behaviours.put(Behaviour(cancels=20.0))
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 600)
        assert "CheckFailed" not in sim.history.reasons(begun)

    simulate(story)


def test_failed_template_applied_again_does_nothing_and_a_new_one_runs() -> None:
    """The same manifest after a rollback is no run; the next good template succeeds."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        misbehave(sim, errors=50.0)
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Failed", 300)
        await sim.rest(60)
        sim.user.apply(scenario.revised(V2))
        await sim.rest(120)
        assert steps(sim, begun)[-1] == ("Failed", 0)
        sim.user.apply(scenario.revised(V3))
        await sim.until_phase("Succeeded", 300)
        assert image(sim, PRIMARY) == V3

    simulate(story)


def test_failed_template_taken_back_is_no_run() -> None:
    """After a rollback the target goes back to v1: Initialized; v2 applied later counts as a change."""

    async def story(sim: Simulation) -> None:
        scenario = quick(threshold=1)
        misbehave(sim, errors=50.0)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_phase("Failed", 300)
        await sim.rest(30)
        sim.user.apply(scenario.revised(V1))
        await sim.until_phase("Initialized", 5)
        await sim.rest(60)
        misbehave(sim)
        sim.user.apply(scenario.revised(V2))
        await sim.until_phase("Succeeded", 300)

    simulate(story)


@pytest.mark.parametrize("kind", ["down", "slow", "nan", "empty"])
def test_run_without_answers_holds_and_resumes(kind: Any) -> None:
    """Metrics broken for three intervals at 30 %: the weight stays, the status says why, then the run goes on."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_weight(30, 600)
        sim.faults.metrics.append(MetricsFault(kind, sim.now + 1, sim.now + 3 * 45 + 1))
        sim.checker.disturb()
        await sim.rest(3 * 45)
        assert sim.state() == ("Progressing", 30)
        assert weights(sim) == (70, 30)
        assert condition(sim, "MetricsAvailable")["status"] == "False"
        assert sim.status()["message"].startswith("Holding at 30 %: ")
        assert not sim.status().get("failedChecks")
        assert sim.history.reasons(begun).count("MetricsMissing") == 1
        await sim.until_phase("Succeeded", 600)
        assert condition(sim, "MetricsAvailable")["status"] == "True"
        assert harmed(sim) == 0

    simulate(story)


def test_run_without_traffic_holds_until_there_is_some() -> None:
    """Nobody calls: no check passes (I17); once somebody does, the run goes on."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(10, 100)
        sim.dataplane.settle()
        callers, sim.dataplane.callers = sim.dataplane.callers, []
        await sim.rest(200)
        assert sim.state() == ("Progressing", 10)
        assert "no data" in sim.status()["message"]
        sim.dataplane.settle()
        sim.dataplane.callers = callers
        sim.dataplane.push()
        await sim.until_phase("Succeeded", 600)

    simulate(story)


@pytest.mark.parametrize(("rule", "ends"), [("Fail", "Failed"), ("Pass", "Succeeded")])
def test_no_data_counts_as_the_spec_says(rule: str, ends: str) -> None:
    """`onNoData: Fail` counts a failed check, `Pass` goes on."""

    async def story(sim: Simulation) -> None:
        scenario = quick(onNoData=rule, threshold=2)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(25, 100)
        sim.faults.metrics.append(MetricsFault("empty", sim.now, sim.now + 300))
        await sim.until_phase(ends, 300)
        assert harmed(sim) == 0

    simulate(story)


def test_canary_that_dies_without_metrics_is_rolled_back() -> None:
    """Diversion, failed checks and rollback need no metrics (I22)."""

    async def story(sim: Simulation) -> None:
        scenario = quick(threshold=2)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(25, 100)
        sim.faults.metrics.append(MetricsFault("down", sim.now, sim.now + 900))
        misbehave(sim, ready_after=None)
        sim.kill_pods(NAMESPACE, CANARY.name)
        await sim.rest(1)
        assert weights(sim) == (100, 0)
        await sim.until_phase("Failed", 300)
        await sim.rest(200)
        assert ready(sim, CANARY) == 0

    simulate(story)


@pytest.mark.parametrize("kind", ["500", "refused", "conflict", "lost answer"])
def test_rollback_needs_no_status_write(kind: Any) -> None:
    """With status writes failing the tick of the fifth check takes traffic off the canary all the same (I22)."""

    async def story(sim: Simulation) -> None:
        scenario = quick(threshold=1)
        misbehave(sim, errors=50.0)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(25, 100)
        await sim.rest(1)
        fault = ApiFault(kind, verb="patch", subresource="status", start=sim.now, end=sim.now + 60, times=10_000)
        sim.faults.api.append(fault)
        since = sim.now
        await sim.rest(11)
        assert weights(sim) == (100, 0)
        await sim.until_phase("Failed", 400)
        await sim.rest(60)
        assert route_writes(sim, since) == [(100, 0)]
        assert len(ours(sim, since, scenario.ref)) <= 4
        assert ready(sim, CANARY) == 0

    simulate(story)


def test_dead_canary_is_diverted_with_status_writes_failing() -> None:
    """Traffic leaves dead pods within a second though no status can be written (I13, I22)."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(25, 100)
        await sim.rest(1)
        fault = ApiFault("503", verb="patch", subresource="status", start=sim.now, end=sim.now + 30, times=10_000)
        sim.faults.api.append(fault)
        sim.kill_pods(NAMESPACE, CANARY.name)
        await sim.rest(1)
        assert weights(sim) == (100, 0)
        await sim.until_phase("Succeeded", 900)

    simulate(story)
