"""Whole releases of a service of connections (``appProtocol: tcp``)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from canary.core.objects import SERVICE, Ref
from canary.sim.dataplane import Proxies
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import Scenario, initialise, listing_5_1, of_connections, own_route, release, serve
from tests.sim.stories import APEX, CANARY, NAMESPACE, PRIMARY, ROUTE, V2, condition, found, harmed, image, steps

DRAIN = 5.0


def scenario(**analysis: Any) -> Scenario:
    """Return listing 5.1 for connections, with two quick steps."""
    fields = {"interval": "10s", "stepWeight": 25, "drainSeconds": DRAIN, **analysis}
    return Scenario(of_connections(listing_5_1(**{**fields, "drainSeconds": int(DRAIN)})), replicas=2)


def settled_after(sim: Simulation, ref: Ref, since: float) -> float:
    """Return how long after the last route write before it a Deployment was first rolled or shrunk to nothing."""
    writes = [one for one in sim.history.writes("canary-controller", since) if one.after is not None]
    taken = next(
        one
        for one in writes
        if one.ref == ref and one.before and (one.after or {})["spec"] != one.before["spec"] and _takes_pods(one)
    )
    routed = [one.at for one in writes if one.ref == ROUTE and one.at < taken.at]
    return taken.at - routed[-1]


def _takes_pods(change: Any) -> bool:
    before, after = change.before["spec"], change.after["spec"]
    return before["template"] != after["template"] or after["replicas"] == 0


def test_connections_are_shared_out_and_judged_by_readiness() -> None:
    """The rows are those of any release; sets that left the routes are kept for four drain times."""
    story_of = scenario()

    async def story(sim: Simulation) -> None:
        await initialise(sim, story_of)
        assert found(sim, ROUTE)["spec"].keys() == {"hosts", "gateways", "tcp"}
        begun = await release(sim, story_of, V2)
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, begun)[:3] == [("Progressing", 0), ("Progressing", 25), ("Progressing", 50)]
        assert image(sim, PRIMARY) == V2
        for ref in (PRIMARY, CANARY):
            assert settled_after(sim, ref, begun) >= 4 * DRAIN
        assert harmed(sim) == 0

    simulate(story, seed=1)


def test_canary_that_is_still_called_is_kept() -> None:
    """Proxies that were not told go on opening connections: its pods stay until they stop, and the Canary says so."""
    story_of = scenario()

    async def story(sim: Simulation) -> None:
        await initialise(sim, story_of)
        await release(sim, story_of, V2)
        await sim.until_weight(50, 60)
        await sim.rest(1)
        sim.dataplane.split(Proxies(0.8), Proxies(0.2, None))
        sim.user.apply(story_of.workload)
        await sim.rest(60)
        assert found(sim, CANARY)["spec"]["replicas"] > 0
        assert condition(sim, "Held")["message"].endswith("it is not yet seen that new connections to it have ended")
        sim.dataplane.delay(0.15)
        await sim.until(lambda: found(sim, CANARY)["spec"]["replicas"] == 0, 120, "the canary to go")
        assert harmed(sim) == 0

    simulate(story, seed=2)


def test_adopted_routes_of_connections_are_the_users_again() -> None:
    """tls and tcp routes to the apex are pairs while the Canary is there, and byte for byte the user's after."""
    story_of = scenario()
    route = own_route(story_of.canary)

    async def story(sim: Simulation) -> None:
        await serve(sim, story_of)
        sim.user.apply(route)
        before = copy.deepcopy(found(sim, ROUTE)["spec"])
        sim.start_controller()
        sim.user.apply(story_of.canary)
        await sim.until_phase("Initialized", 300)
        await sim.rest(60)
        await release(sim, story_of, V2)
        await sim.until_weight(25, 60)
        await sim.rest(2)
        spec = found(sim, ROUTE)["spec"]
        assert [[d["weight"] for d in spec[kind][0]["route"]] for kind in ("tls", "tcp")] == [[75, 25], [75, 25]]
        await sim.until_phase("Succeeded", 300)
        sim.user.delete(story_of.ref)
        await sim.rest(180)
        assert found(sim, ROUTE)["spec"] == before
        assert sim.world.find(PRIMARY) is None
        assert harmed(sim) == 0

    simulate(story, seed=3)


@pytest.mark.parametrize("first", ["http", "tcp"])
def test_protocol_is_changed_while_nothing_runs(first: str) -> None:
    """The user corrects Service and Canary: the route follows, and nobody notices."""
    requests = Scenario(listing_5_1(interval="10s", stepWeight=25, drainSeconds=5), replicas=2)
    before, after = (requests, scenario()) if first == "http" else (scenario(), requests)

    async def story(sim: Simulation) -> None:
        await initialise(sim, before)
        ports = [{"name": "tcp" if first == "http" else "http", "port": 80, "targetPort": 3000}]
        sim.user.edit(APEX, {"spec": {"ports": ports}})
        sim.user.apply(after.canary)
        await sim.rest(10)
        sections = {"http", "tcp"} & found(sim, ROUTE)["spec"].keys()
        assert sections == {"tcp" if first == "http" else "http"}
        side = found(sim, Ref(SERVICE, NAMESPACE, "catalog-primary"))["spec"]["ports"]
        assert side[0]["name"] == ports[0]["name"]
        assert condition(sim, "Ready")["status"] == "True"
        assert harmed(sim) == 0

    simulate(story, seed=4)
