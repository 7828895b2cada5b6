"""Endpoints that come late: pods are ready, and still nobody can reach them."""

from __future__ import annotations

from canary.core.endpoints import SERVICE_NAME
from canary.core.objects import ENDPOINT_SLICE, SERVICE, Ref, labels_of
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import initialise, release, serve
from tests.sim.stories import (
    APEX,
    CANARY,
    NAMESPACE,
    PRIMARY,
    ROUTE,
    TARGET,
    V2,
    apex_role,
    condition,
    found,
    harmed,
    quick,
    ready,
    weights,
)

LAG = 12.0


def test_slice_bears_the_labels_of_its_service_and_names_its_ready_pods() -> None:
    """As the cluster's own controller writes it."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, quick())
        endpoints = found(sim, Ref(ENDPOINT_SLICE, NAMESPACE, f"{APEX.name}-primary"))
        service = found(sim, Ref(SERVICE, NAMESPACE, f"{APEX.name}-primary"))
        assert labels_of(endpoints) == {**labels_of(service), SERVICE_NAME: f"{APEX.name}-primary"}
        names = {pod.name for pod in sim.pods.all() if pod.deployment == PRIMARY.name and pod.ready}
        assert {endpoint["targetRef"]["name"] for endpoint in endpoints["endpoints"]} == names

    simulate(story)


def test_production_is_handed_over_only_to_endpoints() -> None:
    """A primary that is ready and that nobody can reach yet takes no traffic, and the message says what is missing."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await serve(sim, scenario)
        sim.endpoints.lag = LAG
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.until(lambda: ready(sim, PRIMARY) == 2, 60, "the primary's pods are ready")
        await sim.rest(LAG - 2)
        assert (sim.world.find(ROUTE), apex_role(sim)) == (None, "")
        message = "Waiting for Deployment catalog-primary to be ready, Service catalog-primary does not lead to 2 of"
        assert message in sim.status()["message"]
        await sim.until_phase("Initialized", 60)
        assert harmed(sim) == 0

    simulate(story)


def test_release_with_endpoints_that_come_late_fails_no_request() -> None:
    """Each weight, the cut-over and the way back wait until the Service leads to the pods that are to carry it."""

    async def story(sim: Simulation) -> None:
        scenario = quick(replicas=3)
        await initialise(sim, scenario)
        sim.endpoints.lag = LAG
        await release(sim, scenario, V2)
        await sim.until(lambda: ready(sim, CANARY) == 1, 30, "the canary is ready")
        await sim.rest(LAG - 1)
        assert weights(sim) == (100, 0)
        await sim.until_phase("Succeeded", 300)
        assert harmed(sim) == 0

    simulate(story)


def test_give_back_with_endpoints_that_come_late_fails_no_request() -> None:
    """The clones stay until the user's Service leads to the target's pods."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        sim.endpoints.lag = LAG
        sim.user.delete(scenario.ref)
        await sim.until(lambda: ready(sim, TARGET) == 2, 60, "the target's pods are ready")
        await sim.until(lambda: sim.world.find(PRIMARY) is None, 120, "the primary is gone")
        await sim.rest(LAG)
        assert harmed(sim) == 0

    simulate(story)


def test_canary_whose_service_is_deleted_is_left_until_it_is_reached_again() -> None:
    """A Service made again leads nowhere at first: its share goes to the primary meanwhile."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until(lambda: weights(sim) == (75, 25), 60, "the canary has its share")
        await sim.rest(1)
        sim.user.delete(Ref(SERVICE, NAMESPACE, "catalog-canary"))
        await sim.until(lambda: weights(sim) == (100, 0), 2, "the canary is left")
        await sim.until(lambda: condition(sim, "TrafficDiverted").get("status") == "True", 2, "people are told")
        await sim.until(lambda: weights(sim) == (75, 25), 5, "the canary has its share again")
        await sim.until_phase("Succeeded", 300)

    simulate(story)
