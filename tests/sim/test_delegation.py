"""A route for delegation through a whole release: requests come by another VirtualService, and go on doing so."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from canary.core.names import PREFIX
from canary.core.objects import VIRTUAL_SERVICE, Ref, annotations_of, labels_of
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import (
    STAFF,
    Scenario,
    delegating,
    initialise,
    listing_5_1,
    own_route,
    release,
    root_route,
    serve,
)
from tests.sim.stories import NAMESPACE, ROUTE, V2, condition, found, harmed, received, steps, version

QUICK = listing_5_1(interval="10s", stepWeight=25, drainSeconds=5)
ROOT = Ref(VIRTUAL_SERVICE, NAMESPACE, "catalog-root")


def scenario(*routes: dict[str, Any], **analysis: Any) -> Scenario:
    """Return listing 5.1 for delegation with two quick steps, beside a VirtualService that delegates."""
    canary = delegating(listing_5_1(**{"interval": "10s", "stepWeight": 25, "drainSeconds": 5, **analysis}))
    return Scenario(canary, replicas=2, routes=routes, roots=(root_route(canary),), cohorts=(STAFF,))


def users_delegate() -> dict[str, Any]:
    """Return a VirtualService without hosts that a user made, of the apex's name."""
    route = own_route(QUICK)
    del route["spec"]["hosts"]
    return route


def marks(sim: Simulation) -> list[str]:
    """Return our keys on the route."""
    route = found(sim, ROUTE)
    return [key for key in (*labels_of(route), *annotations_of(route)) if key.startswith(PREFIX)]


def test_requests_are_split_by_way_of_delegation_and_served_after_the_give_back() -> None:
    """The route has neither hosts nor gateways, the canary gets its share, and what delegates is never left alone."""
    story_of = scenario()

    async def story(sim: Simulation) -> None:
        await initialise(sim, story_of)
        assert found(sim, ROUTE)["spec"].keys() == {"http"}
        assert condition(sim, "Ready")["reason"] == "Served"
        before = copy.deepcopy(found(sim, ROOT))
        begun = await release(sim, story_of, V2)
        await sim.until_weight(25, 60)
        await sim.rest(5)
        assert received(sim, version(story_of, V2)) > 0
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, begun)[1:3] == [("Progressing", 25), ("Progressing", 50)]
        await sim.rest(60)
        sim.user.delete(story_of.ref)
        await sim.rest(180)
        assert found(sim, ROUTE)["spec"]["http"] == [
            {"name": "weighted", "route": [{"destination": {"host": "catalog"}}]}
        ]
        assert marks(sim) == []
        assert found(sim, ROOT) == before
        assert harmed(sim) == 0

    simulate(story, seed=1)


def test_users_delegate_is_adopted_and_given_back_as_it_was() -> None:
    """A VirtualService without hosts that has the apex's name is shared out in place."""
    story_of = scenario(users_delegate())

    async def story(sim: Simulation) -> None:
        await serve(sim, story_of)
        sim.user.apply(story_of.roots[0])
        await sim.rest(5)
        before = copy.deepcopy(found(sim, ROUTE)["spec"])
        sim.start_controller()
        sim.user.apply(story_of.canary)
        await sim.until_phase("Initialized", 300)
        await release(sim, story_of, V2)
        await sim.until_weight(25, 60)
        assert found(sim, ROUTE)["spec"].keys() == {"http"}
        await sim.until_phase("Succeeded", 300)
        sim.user.delete(story_of.ref)
        await sim.rest(180)
        assert found(sim, ROUTE)["spec"] == before
        assert marks(sim) == []
        assert harmed(sim) == 0

    simulate(story, seed=2)


def test_route_goes_when_nobody_delegates_to_it_any_more() -> None:
    """Who takes the delegation out first finds nothing of ours; until the Canary goes a warning says it is idle."""
    story_of = scenario()

    async def story(sim: Simulation) -> None:
        await initialise(sim, story_of)
        sim.user.delete(ROOT)
        await sim.rest(30)
        assert condition(sim, "Ready")["reason"] == "NotDelegatedTo"
        sim.user.delete(story_of.ref)
        await sim.rest(180)
        assert sim.world.find(ROUTE) is None
        assert harmed(sim) == 0

    simulate(story, seed=3)


@pytest.mark.parametrize("text", [{"regex": "s.*"}, {}])
def test_cohort_that_istio_would_leave_out_is_refused_until_corrected(text: dict[str, str]) -> None:
    """Nothing is touched, and the corrected VirtualService recovers without a restart."""
    story_of = scenario(
        iterations=2, match=[{"headers": {"x-group": {"exact": "staff"}}}], stepWeight=None, maxWeight=0
    )
    right = root_route(story_of.canary)
    wrong = copy.deepcopy(right)
    wrong["spec"]["http"][1]["match"] = [{"headers": {"x-group": text}}]

    async def story(sim: Simulation) -> None:
        await serve(sim, story_of)
        sim.user.apply(wrong)
        sim.start_controller()
        sim.user.apply(story_of.canary)
        await sim.rest(20)
        told = condition(sim, "Ready")
        assert told["reason"] == "DelegationUnfit"
        assert "http route shop asks for headers.x-group and so does the plan's cohort" in told["message"]
        assert sim.world.find(ROUTE) is None
        sim.user.apply(right)
        await sim.until_phase("Initialized", 300)

    simulate(story, seed=4)
