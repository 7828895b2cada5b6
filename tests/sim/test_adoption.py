"""A user's VirtualService and DestinationRule through a whole release, and back as they were."""

from __future__ import annotations

import copy
from typing import Any

from canary.core.objects import DESTINATION_RULE, Object, Ref
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import Scenario, initialise, listing_5_1, release, serve
from canary.sim.user import User
from tests.sim.stories import NAMESPACE, ROUTE, V2, condition, found, harmed, ours, steps

ROUTES: dict[str, Any] = {
    "apiVersion": "networking.istio.io/v1beta1",
    "kind": "VirtualService",
    "metadata": {"name": "catalog", "namespace": NAMESPACE, "labels": {"team": "shop"}, "annotations": {"cost": "7"}},
    "spec": {
        "hosts": ["catalog"],
        "exportTo": ["."],
        "http": [
            {"name": "old", "match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/items"}},
            {
                "name": "slow",
                "match": [{"uri": {"prefix": "/reports"}}],
                "timeout": "30s",
                "route": [{"destination": {"host": f"catalog.{NAMESPACE}.svc.cluster.local", "port": {"number": 80}}}],
            },
            {"name": "default", "retries": {"attempts": 2}, "route": [{"destination": {"host": "catalog"}}]},
        ],
        "tls": [{"match": [{"port": 443, "sniHosts": ["x"]}], "route": [{"destination": {"host": "catalog"}}]}],
    },
}
RULE: dict[str, Any] = {
    "apiVersion": "networking.istio.io/v1beta1",
    "kind": "DestinationRule",
    "metadata": {"name": "limits", "namespace": NAMESPACE},
    "spec": {"host": "catalog", "trafficPolicy": {"connectionPool": {"tcp": {"maxConnections": 50}}}},
}
SIDES = tuple(Ref(DESTINATION_RULE, NAMESPACE, f"catalog-{role}") for role in ("primary", "canary"))


def scenario() -> Scenario:
    """Return listing 5.1 with two quick steps."""
    return Scenario(listing_5_1(interval="10s", stepWeight=25, drainSeconds=5), replicas=2)


def body(obj: Object) -> tuple[Any, Any, Any]:
    """Return what a user sees of an object: labels, annotations of other tools, spec."""
    metadata = obj["metadata"]
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if "kubectl" not in k}
    return metadata.get("labels") or {}, annotations, obj["spec"]


def test_adopted_route_is_the_users_again_after_the_give_back() -> None:
    """Only destinations at the apex change in a release; on give-back everything is byte for byte as it was."""
    story_of = scenario()

    async def story(sim: Simulation) -> None:
        await serve(sim, story_of)
        sim.user.apply(ROUTES)
        sim.user.apply(RULE)
        await sim.rest(5)
        before = copy.deepcopy(body(found(sim, ROUTE)))
        sim.start_controller()
        sim.user.apply(story_of.canary)
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        begun = await release(sim, story_of, V2)
        await sim.until_weight(25, 60)
        await sim.rest(2)
        entries = found(sim, ROUTE)["spec"]["http"]
        assert entries[0] == ROUTES["spec"]["http"][0]
        assert [d["weight"] for d in entries[1]["route"]] == [d["weight"] for d in entries[2]["route"]] == [75, 25]
        assert entries[1]["route"][1]["destination"] == {
            "host": f"catalog-canary.{NAMESPACE}.svc.cluster.local",
            "port": {"number": 80},
        }
        for side in SIDES:
            assert found(sim, side)["spec"]["trafficPolicy"] == RULE["spec"]["trafficPolicy"]
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, begun)[1:3] == [("Progressing", 25), ("Progressing", 50)]
        await sim.rest(60)
        sim.user.delete(story_of.ref)
        await sim.rest(120)
        assert body(found(sim, ROUTE)) == before
        assert [sim.world.find(side) for side in SIDES] == [None, None]
        assert harmed(sim) == 0

    simulate(story, seed=1)


def test_users_edits_of_an_adopted_route_are_kept() -> None:
    """A timeout changed in mid-run stays through the run and after the give-back; the weights do not move."""
    story_of = scenario()

    async def story(sim: Simulation) -> None:
        await serve(sim, story_of)
        sim.user.apply(ROUTES)
        sim.start_controller()
        sim.user.apply(story_of.canary)
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        await release(sim, story_of, V2)
        await sim.until_weight(25, 60)
        await sim.rest(1)
        edited = copy.deepcopy(ROUTES)
        edited["spec"]["http"][2]["timeout"] = "9s"
        sim.user.apply(edited)
        await sim.rest(2)
        entry = found(sim, ROUTE)["spec"]["http"][2]
        assert entry["timeout"] == "9s"
        assert [d["weight"] for d in entry["route"]] == [75, 25]
        await sim.until_phase("Succeeded", 300)
        sim.user.delete(story_of.ref)
        await sim.rest(180)
        assert found(sim, ROUTE)["spec"] == edited["spec"]

    simulate(story, seed=2)


def test_route_that_cannot_be_adopted_is_named_and_left_alone() -> None:
    """The condition names the route and what would be right; the corrected one recovers."""
    story_of = scenario()
    split = copy.deepcopy(ROUTES)
    subsets = [{"destination": {"host": "catalog", "subset": one}, "weight": 50} for one in ("v1", "v2")]
    split["spec"]["http"][2]["route"] = subsets

    async def story(sim: Simulation) -> None:
        await serve(sim, story_of)
        sim.user.apply(split)
        sim.start_controller()
        sim.user.apply(story_of.canary)
        await sim.rest(10)
        told = condition(sim, "Ready")
        assert told["reason"] == "RouteNotAdoptable"
        assert "http route default names host catalog in more than one destination" in told["message"]
        assert [one.ref for one in ours(sim, 0) if one.ref != story_of.ref] == []
        sim.user.apply(ROUTES)
        await sim.until_phase("Initialized", 300)

    simulate(story, seed=3)


def test_second_route_for_the_host_is_refused() -> None:
    """Two VirtualServices for one host would overrule each other."""
    story_of = scenario()
    second = {**copy.deepcopy(ROUTES), "metadata": {"name": "catalog-too", "namespace": NAMESPACE}}

    async def story(sim: Simulation) -> None:
        await initialise(sim, story_of)
        User(sim.world, "kubectl-create").apply(second)
        await sim.rest(3)
        told = condition(sim, "Ready")
        assert told["reason"] == "HostTaken"
        assert "VirtualService catalog-too routes host catalog too" in told["message"]

    simulate(story, seed=4)
