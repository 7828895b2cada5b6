"""Readiness thresholds: a release of which a pod never gets ready, from its start to the give-back."""

from __future__ import annotations

from dataclasses import replace

from canary.core.names import REVISION_LABEL
from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.manifests import deployment
from canary.sim.outcome import left_behind
from canary.sim.scenario import Scenario, initialise, release, serve
from tests.sim.stories import (
    CANARY,
    PRIMARY,
    TARGET,
    V1,
    V2,
    apex_role,
    condition,
    found,
    harmed,
    image,
    quick,
    ready,
    steps,
    weights,
)

ONE_SICK = Behaviour(sick_pods=1)
FULL = {"canaryScale": "Full"}
LOW = {**FULL, "primaryReadyThreshold": 60, "canaryReadyThreshold": 60}
ROOM = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}}
"""Else the first pod that does not get ready stops the Deployment's own roll-out."""
GOOD = [("Progressing", 0), ("Progressing", 25), ("Progressing", 50), ("Promoting", 0), ("Finalising", 0)]


def roomy(**analysis: object) -> Scenario:
    """Return a quick release of three pods, one of which may be missing in a roll-out."""
    scenario = quick(3, **analysis)
    workload = deployment(replicas=3)
    return replace(scenario, given=[{**workload, "spec": {**workload["spec"], **ROOM}}])


def test_release_goes_on_with_enough_pods() -> None:
    """One of three pods of v2 never gets ready: two are enough for every step, for the primary, and the next run."""

    async def story(sim: Simulation) -> None:
        scenario = roomy(**LOW)
        await initialise(sim, scenario)
        sim.behaviours.put(ONE_SICK, image=V2)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 600)
        assert steps(sim, begun)[:-1] == GOOD
        assert (image(sim, PRIMARY), ready(sim, PRIMARY)) == (V2, 2)
        await sim.rest(400)
        assert condition(sim, "Ready")["status"] == "True"
        begun = await release(sim, scenario, V1)
        await sim.until_phase("Succeeded", 600)
        assert steps(sim, begun)[:-1] == GOOD
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 600)
        assert steps(sim, begun)[:-1] == GOOD
        assert harmed(sim) == 0

    simulate(story)


def test_release_without_enough_pods_is_rolled_back() -> None:
    """Two of three pods are not enough at 67 %: the canary is given up at its deadline, without any traffic."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3, canaryReadyThreshold=67, **FULL)
        await initialise(sim, scenario)
        sim.behaviours.put(ONE_SICK, image=V2)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Failed", 600)
        assert condition(sim, "Progressing")["reason"] == "CanaryNotReady"
        assert steps(sim, begun) == [("Progressing", 0), ("Failed", 0)]
        assert (weights(sim), image(sim, PRIMARY), harmed(sim)) == ((100, 0), V1, 0)

    simulate(story)


def test_primary_without_enough_pods_fails_its_promotion() -> None:
    """The canary's threshold is not the primary's: short of a pod it gets no traffic."""

    async def story(sim: Simulation) -> None:
        scenario = roomy(canaryReadyThreshold=60, **FULL)
        await initialise(sim, scenario)
        sim.behaviours.put(ONE_SICK, image=V2)
        await release(sim, scenario, V2)
        await sim.until_phase("Failed", 600)
        assert condition(sim, "Progressing")["reason"] == "PromotionFailed"
        assert (weights(sim), apex_role(sim), ready(sim, CANARY), harmed(sim)) == ((0, 100), "canary", 2, 0)

    simulate(story)


def test_initialisation_and_give_back_go_on_with_enough_pods() -> None:
    """A pod of v1 never gets ready, wherever it runs: production moves to the primary, and back in the end."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3, primaryReadyThreshold=60)
        sim.behaviours.put(ONE_SICK, image=V1)
        await serve(sim, scenario)
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.until_phase("Initialized", 300)
        assert (ready(sim, PRIMARY), ready(sim, TARGET), apex_role(sim)) == (2, 0, "primary")
        await sim.rest(300)
        sim.user.delete(scenario.ref)
        await sim.rest(300)
        assert left_behind(sim, scenario) is None
        assert (ready(sim, TARGET), apex_role(sim), harmed(sim)) == (2, "", 0)
        assert REVISION_LABEL not in found(sim, TARGET)["spec"]["template"]["metadata"]["labels"]

    simulate(story)


def test_lowest_threshold_lets_no_traffic_on_a_set_without_ready_pods() -> None:
    """At 0 % one ready pod is enough and none is not: no rule breaks, no caller goes to v2, which has none."""

    async def story(sim: Simulation) -> None:
        scenario: Scenario = quick(3, primaryReadyThreshold=0, canaryReadyThreshold=0)
        await initialise(sim, scenario)
        sim.behaviours.put(Behaviour(ready_after=None), image=V2)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Failed", 600)
        assert max(weight for _, weight in steps(sim, begun)) == 0
        assert harmed(sim) == 0

    simulate(story)
