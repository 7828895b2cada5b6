"""A Canary that comes together with its target: the first start of a service is its initialisation."""

from __future__ import annotations

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.outcome import wrong_at_rest
from canary.sim.routing import Caller
from canary.sim.scenario import Scenario, release
from tests.sim.stories import (
    APEX,
    NAMESPACE,
    PRIMARY,
    TARGET,
    V1,
    V2,
    V3,
    apex_role,
    condition,
    harmed,
    image,
    quick,
    ready,
    replicas,
    version,
    weights,
)

STARTS_IN = 8.0
"""Seconds until a pod of v1 is ready."""
ORDERS = ["Canary first", "target first", "one file"]
CALLERS = [Caller("catalog", NAMESPACE, 20, mesh=mesh) for mesh in (True, False)]


def asked(skip: bool) -> Scenario:
    """Return a release with or without analysis."""
    scenario = quick(2)
    scenario.canary["spec"]["skipAnalysis"] = skip
    return scenario


async def apply(sim: Simulation, scenario: Scenario, order: str, *, service: bool) -> None:
    """Apply everything a service consists of to a cluster that has nothing of it."""
    sim.start_controller()
    sim.behaviours.put(Behaviour(ready_after=STARTS_IN), image=V1)
    sim.dataplane.stable.add(version(scenario, V1))
    target = scenario.objects if service else [scenario.workload]
    for one in [*target, scenario.canary] if order == "target first" else [scenario.canary, *target]:
        sim.user.apply(one)
        if order != "one file":
            await sim.rest(0.3)


async def call_once_answered(sim: Simulation) -> None:
    """Let callers with and without sidecar call from when there is somebody who answers."""
    await sim.until(lambda: sim.world.find(APEX) is not None and sim.endpoints.of(APEX), 120, "somebody who answers")
    await sim.rest(1)
    for caller in CALLERS:
        sim.dataplane.call(caller)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("service", [True, False])
@pytest.mark.parametrize("order", ORDERS)
def test_canary_and_target_applied_together_are_initialised_and_released(order: str, service: bool, skip: bool) -> None:
    """The target starts and serves first, the primary takes over ready, and the next template is a run."""
    scenario = asked(skip)

    async def story(sim: Simulation) -> None:
        await apply(sim, scenario, order, service=service)
        await sim.rest(STARTS_IN / 2)
        assert (sim.state()[0], replicas(sim, TARGET), sim.world.find(PRIMARY)) == ("Initializing", 2, None)
        assert "Waiting for the rollout of Deployment catalog" in sim.status()["message"]
        await call_once_answered(sim)
        if service:
            assert (ready(sim, TARGET), apex_role(sim)) == (2, "")
            await sim.until(lambda: apex_role(sim) == "primary", 60, "the hand-over")
            assert (ready(sim, PRIMARY), ready(sim, TARGET)) == (2, 2)
        await sim.until_phase("Initialized", 120)
        assert (image(sim, PRIMARY), ready(sim, PRIMARY), weights(sim)) == (V1, 2, (100, 0))
        assert condition(sim, "Ready")["status"] == "True"
        await sim.rest(60)
        assert [row.phase for row in sim.rows(0)] == ["Initializing", "Initialized"]
        await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 300)
        await sim.rest(60)
        assert image(sim, PRIMARY) == V2
        assert wrong_at_rest(sim, scenario) is None
        assert sim.dataplane.requests.sent > 1000
        assert harmed(sim) == sim.dataplane.requests.failed == 0

    simulate(story)


@pytest.mark.parametrize("moment", [0.0, 0.5, STARTS_IN, STARTS_IN + 1, STARTS_IN + 5, 2 * STARTS_IN, 20.0])
@pytest.mark.parametrize("skip", [False, True])
def test_target_that_changes_in_its_first_initialisation_is_what_is_served(moment: float, skip: bool) -> None:
    """Applied at any moment of the first start: in the end production is the last template, nobody was harmed."""
    scenario = asked(skip)

    async def story(sim: Simulation) -> None:
        await apply(sim, scenario, "one file", service=True)
        sim.dataplane.stable.add(version(scenario, V2))
        await sim.rest(moment)
        sim.user.apply(scenario.revised(V2))
        await call_once_answered(sim)
        await sim.until(lambda: sim.state()[0] in ("Initialized", "Succeeded"), 300, "an end")
        await sim.rest(400)
        assert image(sim, PRIMARY) == V2
        assert wrong_at_rest(sim, scenario) is None
        await release(sim, scenario, V3)
        await sim.until_phase("Succeeded", 300)
        assert harmed(sim) == sim.dataplane.requests.failed == 0

    simulate(story)


def test_primary_that_never_gets_ready_leaves_a_new_target_serving_without_analysis_too() -> None:
    """Readiness of the primary is asked for at the first initialisation as well: until then the target serves."""
    scenario = asked(skip=True)

    async def story(sim: Simulation) -> None:
        await apply(sim, scenario, "one file", service=True)
        sim.behaviours.put(Behaviour(ready_after=None), image=V1, deployment=PRIMARY.name)
        await call_once_answered(sim)
        await sim.rest(120)
        assert (sim.state()[0], replicas(sim, TARGET), apex_role(sim)) == ("Initializing", 2, "")
        assert "the target serves" in condition(sim, "Ready")["message"]
        sim.behaviours.heal()
        sim.kill_pods(NAMESPACE, PRIMARY.name)
        await sim.until_phase("Initialized", 120)
        await sim.rest(30)
        assert harmed(sim) == sim.dataplane.requests.failed == 0

    simulate(story)
