"""Plans other than listing 5.1's, who calls meanwhile, and where the routes send them."""

from __future__ import annotations

from typing import Any

from canary.sim.dataplane import DataPlane
from canary.sim.driver import Simulation
from canary.sim.routing import Caller
from canary.sim.scenario import Scenario, initialise, listing_5_1, release
from tests.sim.stories import NAMESPACE, ROUTE, V2, found

STAFF = {"headers": {"x-group": {"exact": "staff"}}}
FREE = {"headers": {"x-plan": {"regex": "free.*"}}}
INSIDER = Caller("catalog", NAMESPACE, 10, workload="insider", headers=(("x-group", "staff"),))
VISITOR = Caller("catalog", NAMESPACE, 10, workload="visitor", headers=(("x-plan", "free-trial"),))
END = [("Promoting", 0), ("Finalising", 0), ("Succeeded", 0)]


def planned(promotion: dict[str, Any] | None = None, **analysis: Any) -> Scenario:
    """Return listing 5.1 at an interval of 10 s with another plan."""
    canary = listing_5_1(interval="10s", drainSeconds=5, threshold=2)
    for plan in ("stepWeight", "maxWeight"):
        del canary["spec"]["analysis"][plan]
    canary["spec"]["analysis"] |= analysis
    if promotion is not None:
        canary["spec"]["promotion"] = promotion
    return Scenario(canary, replicas=2)


async def begin(sim: Simulation, scenario: Scenario, *callers: Caller) -> float:
    """Initialise, let further callers call, release v2 and return when it was seen."""
    await initialise(sim, scenario)
    for caller in callers:
        sim.dataplane.call(caller)
    await sim.rest(5)
    return await release(sim, scenario, V2)


def versions_seen_by(dataplane: DataPlane, caller: Caller) -> set[str]:
    """Return which Deployments a caller's proxies send to at present."""
    legs = dataplane.proxies[0].legs[caller]
    return {pod.deployment for leg in legs if not leg.copied for pod in leg.pods}


def copied_to(dataplane: DataPlane, caller: Caller) -> set[str]:
    """Return which Deployments get copies of a caller's requests at present."""
    legs = dataplane.proxies[0].legs[caller]
    return {pod.deployment for leg in legs if leg.copied for pod in leg.pods}


def http(sim: Simulation) -> list[dict[str, Any]]:
    """Return the http routes as they are."""
    routes: list[dict[str, Any]] = found(sim, ROUTE)["spec"]["http"]
    return routes
