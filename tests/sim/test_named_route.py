"""A VirtualService of another namespace, named in the spec, through a whole release and back as it was."""

from __future__ import annotations

import copy
from typing import Any

from canary.core.objects import VIRTUAL_SERVICE, Ref
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import Scenario, elsewhere, initialise, listing_5_1, namesake, naming, release, serve
from canary.sim.user import User
from tests.sim.stories import NAMESPACE, ROUTE, V2, condition, found, harmed, ours, received, shares, steps, version
from tests.sim.test_adoption import body

EDGE = "edge"
FULL = f"{NAMESPACE}.svc.cluster.local"
CANARY = naming(listing_5_1(interval="10s", stepWeight=25, drainSeconds=5), EDGE)


def scenario(*routes: dict[str, Any]) -> Scenario:
    """Return listing 5.1 with two quick steps, which names a VirtualService of another namespace."""
    return Scenario(CANARY, replicas=2, routes=routes)


def hosts(sim: Simulation, ref: Ref) -> set[str]:
    """Return the hosts that a VirtualService sends requests to."""
    entries = found(sim, ref)["spec"]["http"]
    return {leg["destination"]["host"] for one in entries for leg in one.get("route") or ()}


def test_named_route_is_shared_out_where_it_is_and_given_back_as_it_was() -> None:
    """The pair is written with full hosts, a bare host there is another Service's, and no route is made here."""
    story_of = scenario(namesake(CANARY), elsewhere(CANARY))

    async def story(sim: Simulation) -> None:
        await serve(sim, story_of)
        before = copy.deepcopy(body(found(sim, story_of.route)))
        sim.start_controller()
        sim.user.apply(story_of.canary)
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        assert hosts(sim, story_of.route) == {"catalog", f"catalog-primary.{FULL}", f"catalog-canary.{FULL}"}
        assert condition(sim, "Ready")["reason"] == "Served"
        begun = await release(sim, story_of, V2)
        await sim.until_weight(25, 60)
        await sim.rest(2)
        assert shares(found(sim, story_of.route)) == (75, 25)
        assert received(sim, version(story_of, V2)) > 0
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, begun)[1:3] == [("Progressing", 25), ("Progressing", 50)]
        await sim.rest(60)
        sim.user.delete(story_of.ref)
        await sim.rest(180)
        assert body(found(sim, story_of.route)) == before
        assert sim.world.find(ROUTE) is None
        assert not [ref for ref, _ in sim.world.everything() if ref.name.endswith(("-primary", "-canary"))]
        assert harmed(sim) == 0

    simulate(story, seed=1)


def test_weights_edited_by_hand_are_put_back_in_the_other_namespace() -> None:
    """A change there wakes the Canary as one here does."""
    story_of = scenario(namesake(CANARY), elsewhere(CANARY))

    async def story(sim: Simulation) -> None:
        await initialise(sim, story_of)
        await release(sim, story_of, V2)
        await sim.until_weight(25, 60)
        await sim.rest(2)
        User(sim.world, "kubectl-edit").set_weights(story_of.route, {"catalog-primary": 10, "catalog-canary": 90})
        await sim.rest(1)
        assert shares(found(sim, story_of.route)) == (75, 25)
        assert "VirtualService edge/shop-routes was changed to 10/90 by kubectl-edit" in str(sim.history.events)

    simulate(story, seed=2)


def test_route_that_is_not_there_is_waited_for_and_named() -> None:
    """Nothing is touched before it comes; one that is deleted later holds the next run, and comes back shared out."""
    story_of = scenario(namesake(CANARY))
    route = elsewhere(CANARY)

    async def story(sim: Simulation) -> None:
        await serve(sim, story_of)
        sim.start_controller()
        sim.user.apply(story_of.canary)
        await sim.rest(20)
        told = condition(sim, "Ready")
        assert told["reason"] == "VirtualServiceMissing"
        assert told["message"].startswith("VirtualService edge/shop-routes, named in spec.service.virtualService, not")
        assert [one.ref for one in ours(sim, 0) if one.ref != story_of.ref] == []
        sim.user.apply(route)
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        sim.user.delete(story_of.route)
        await sim.rest(5)
        assert condition(sim, "Ready")["reason"] == "VirtualServiceMissing"
        assert sim.world.find(ROUTE) is None
        sim.user.apply(route)
        await sim.rest(5)
        assert shares(found(sim, story_of.route)) == (100, 0)
        assert condition(sim, "Ready")["reason"] == "Served"
        assert harmed(sim) == 0

    simulate(story, seed=3)


def test_run_holds_while_its_route_is_gone_and_goes_on_with_it() -> None:
    """Callers reach the Service meanwhile, the canary keeps its pods, and the share comes back with the route."""
    route = elsewhere(CANARY)
    story_of = scenario(namesake(CANARY), route)

    async def story(sim: Simulation) -> None:
        await initialise(sim, story_of)
        await release(sim, story_of, V2)
        await sim.until_weight(25, 60)
        await sim.rest(2)
        sim.user.delete(story_of.route)
        await sim.rest(120)
        assert sim.state(story_of.ref) == ("Progressing", 25)
        assert condition(sim, "Ready")["reason"] == "VirtualServiceMissing"
        assert sim.world.find(ROUTE) is None
        sim.user.apply(route)
        await sim.rest(2)
        assert shares(found(sim, story_of.route)) == (75, 25)
        await sim.until_phase("Succeeded", 300)
        assert harmed(sim) == 0

    simulate(story, seed=7)


def test_controller_that_does_not_watch_the_namespace_refuses_and_leaves_the_route_alone() -> None:
    """Before anything is touched it names the setting; it gives nothing back that it cannot see, until it can."""
    story_of = scenario(namesake(CANARY), elsewhere(CANARY))

    async def story(sim: Simulation) -> None:
        await serve(sim, story_of)
        sim.namespaces = frozenset({NAMESPACE})
        sim.start_controller()
        sim.user.apply(story_of.canary)
        await sim.rest(20)
        told = condition(sim, "Ready")
        assert told["reason"] == "NamespaceNotWatched"
        assert "add edge to --namespaces, or CANARY_NAMESPACES" in told["message"]
        assert [one.ref for one in ours(sim, 0) if one.ref != story_of.ref] == []
        sim.namespaces = frozenset({NAMESPACE, EDGE})
        await sim.restart_controller()
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        sim.namespaces = frozenset({NAMESPACE})
        await sim.restart_controller()
        sim.user.delete(story_of.ref)
        deleted = sim.now
        await sim.rest(300)
        assert ours(sim, deleted) == []
        assert shares(found(sim, story_of.route)) == (100, 0)
        sim.namespaces = frozenset({EDGE})
        await sim.restart_controller()
        await sim.rest(300)
        assert ours(sim, deleted) == []
        sim.namespaces = None
        await sim.restart_controller()
        await sim.rest(180)
        assert hosts(sim, story_of.route) == {"catalog", f"catalog.{FULL}"}
        assert harmed(sim) == 0

    simulate(story, seed=4)


def test_route_of_another_canary_is_refused() -> None:
    """Of two Canaries of one name in two namespaces the first has the VirtualService, the other is told whose it is."""
    story_of = scenario(namesake(CANARY), elsewhere(CANARY))
    other = copy.deepcopy(dict(CANARY))
    other["metadata"]["namespace"] = "other"
    theirs = Scenario(other, replicas=1)

    async def story(sim: Simulation) -> None:
        await initialise(sim, story_of)
        for manifest in (*theirs.objects, other):
            sim.user.apply(manifest)
        await sim.rest(60)
        told = condition(sim, "Ready", theirs.ref)
        assert told["reason"] == "VirtualServiceTaken"
        assert f"edge/shop-routes is the route of Canary {NAMESPACE}/catalog-release already" in told["message"]
        before = found(sim, story_of.route)
        sim.user.delete(theirs.ref)
        await sim.rest(60)
        assert found(sim, story_of.route) == before
        assert harmed(sim) == 0

    simulate(story, seed=5)


def test_canary_made_again_for_another_route_is_held_until_the_first_is_given_back() -> None:
    """The shares of before are still followed, and nothing is shared out twice."""
    story_of = scenario(namesake(CANARY), elsewhere(CANARY))
    plain = listing_5_1(interval="10s", stepWeight=25, drainSeconds=5)

    async def story(sim: Simulation) -> None:
        await initialise(sim, story_of)
        sim.user.delete(story_of.ref)
        sim.user.apply(plain)
        await sim.rest(60)
        told = condition(sim, "Ready")
        assert told["reason"] == "VirtualServiceChanged"
        assert "VirtualService edge/shop-routes is still shared out for this Canary" in told["message"]
        assert sim.world.find(ROUTE) is None
        sim.user.delete(story_of.ref)
        await sim.rest(180)
        assert hosts(sim, story_of.route) == {"catalog", f"catalog.{FULL}"}
        sim.user.delete(Ref(VIRTUAL_SERVICE, EDGE, "shop-routes"))
        sim.user.apply(plain)
        await sim.until_phase("Initialized", 300)
        assert harmed(sim) == 0

    # The rules on writes look for the route where the last Canary asks for it.
    simulate(story, seed=6, judge=False)
