"""Warnings over time: told once, whatever restarts or runs meanwhile, gone when cured, and silent in between."""

from __future__ import annotations

from typing import Any

from canary.core.objects import Object
from canary.sim.driver import Simulation, simulate
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise, release
from canary.sim.user import ref_of_manifest
from tests.sim.stories import NAMESPACE, V2, condition, harmed, ours, quick, steps, weights

NETWORKING = "networking.istio.io/v1beta1"
SPLIT = [("Progressing", 0), ("Progressing", 25), ("Progressing", 50), ("Promoting", 0), ("Finalising", 0)]


def made(kind: str, name: str, where: str = NAMESPACE, **spec: Any) -> Object:
    """Return an Istio object."""
    return {"apiVersion": NETWORKING, "kind": kind, "metadata": {"name": name, "namespace": where}, "spec": spec}


def shop(path: str = "/") -> Object:
    """Return a VirtualService of an ingress gateway that leads straight to the Service."""
    http = [
        {
            "match": [{"uri": {"prefix": path}}],
            "route": [{"destination": {"host": f"catalog.{NAMESPACE}.svc.cluster.local"}}],
        }
    ]
    return made("VirtualService", "shop", "web", hosts=["shop.io"], gateways=["edge"], http=http)


def at_the_edge() -> Scenario:
    """Return a quick release that names a Gateway."""
    scenario = quick()
    scenario.canary["spec"]["service"]["gateways"] = ["mesh", "edge"]
    return scenario


def ready(sim: Simulation) -> tuple[str, str]:
    """Return status and reason of condition Ready."""
    found = condition(sim, "Ready")
    return found["status"], found["reason"]


def test_missing_gateway_is_told_once_through_run_and_restarts_until_it_comes() -> None:
    """A warning stops nothing, is no reason to write again, and ends with one write when the Gateway is there."""

    async def story(sim: Simulation) -> None:
        scenario = at_the_edge()
        await initialise(sim, scenario)
        assert ready(sim) == ("True", "GatewayMissing")
        await sim.restart_controller()
        since = sim.now
        await sim.rest(600)
        assert ours(sim, since) == []
        began = await release(sim, scenario, V2)
        await sim.until_weight(25)
        await sim.restart_controller(after=2)
        await sim.until_phase("Succeeded")
        await sim.rest(60)
        assert steps(sim, began) == [*SPLIT, ("Succeeded", 0)]
        assert ready(sim) == ("True", "GatewayMissing")
        assert sim.history.reasons().count("GatewayMissing") == 1
        since = sim.now
        sim.user.apply(made("Gateway", "edge", servers=[]))
        await sim.rest(60)
        assert ready(sim) == ("True", "Served")
        assert [change.ref for change in ours(sim, since)] == [scenario.ref]
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == 0

    simulate(story)


def test_route_past_the_split_comes_and_goes_in_mid_run_with_one_write_each() -> None:
    """Somebody's edit elsewhere is told beside the run; an edit of it that changes nothing for us costs nothing."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        began = await release(sim, scenario, V2)
        await sim.until_weight(25)
        await sim.rest(1)
        written = []
        for act in (
            lambda: sim.user.apply(shop()),
            lambda: sim.user.apply(shop("/catalog")),
            lambda: sim.user.delete(ref_of_manifest(shop())),
        ):
            since = sim.now
            act()
            await sim.rest(0.5)
            written.append(len(ours(sim, since)))
        assert written == [1, 0, 1]
        assert ready(sim) == ("True", "Served")
        await sim.until_phase("Succeeded")
        assert steps(sim, began) == [*SPLIT, ("Succeeded", 0)]
        told = [one.event for one in sim.history.events if one.event.reason == "RouteBypassed"]
        assert [(event.type, "VirtualService web/shop at gateway web/edge" in event.message) for event in told] == [
            ("Warning", True)
        ]

    simulate(story)


def test_port_without_requests_starts_no_run_until_it_is_renamed() -> None:
    """A port renamed for TCP leaves production as it is; the change of the target waits for the right name."""
    story_of = quick()

    async def story(sim: Simulation) -> None:
        await initialise(sim, story_of)
        front = story_of.objects[1]
        sim.user.apply(
            {**front, "spec": {**front["spec"], "ports": [{**front["spec"]["ports"][0], "name": "tcp-web"}]}}
        )
        await sim.rest(5)
        sim.user.apply(story_of.revised(V2))
        await sim.rest(60)
        assert condition(sim, "Ready")["reason"] == "PortOpaque"
        assert (weights(sim), sim.status()["phase"]) == ((100, 0), "Initialized")
        sim.user.apply(front)
        await sim.until_phase("Succeeded", 300)
        assert harmed(sim) == 0

    simulate(story, seed=5)
