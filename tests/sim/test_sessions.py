"""Session affinity through whole releases: callers with cookies, restarts, hand edits, the user's own routes."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import Scenario, initialise, release, serve
from canary.sim.user import User
from tests.sim.stories import ROUTE, V2, V3, found, harmed, ours, quick, route_writes
from tests.sim.test_adoption import ROUTES, body
from tests.visitors import Visitor, crowd, share

COOKIE = {"cookieName": "flagger-cookie"}
HAND = "kubectl-edit"


def sticky(**analysis: Any) -> Scenario:
    """Return a release at 25 and 50 % with session affinity."""
    return quick(sessionAffinity=COOKIE, **analysis)


def names(sim: Simulation) -> list[str]:
    """Return the names of the http routes."""
    return [str(one.get("name", "")) for one in found(sim, ROUTE)["spec"]["http"]]


def call_all(sim: Simulation, visitors: list[Visitor], random: Random) -> None:
    """Let every visitor call twice by the routes as they are."""
    route = found(sim, ROUTE)
    for _ in range(2):
        for visitor in visitors:
            visitor.call(route, random)


def test_thousand_callers_stay_while_the_weights_go_up_and_a_controller_restarts() -> None:
    """Shares within 3 points at each step, nobody goes back, one write per step, and no trace after the run."""
    scenario = sticky()

    async def story(sim: Simulation) -> None:
        random, visitors = Random(2), crowd(1000)
        await initialise(sim, scenario)
        before = copy.deepcopy(found(sim, ROUTE)["spec"])
        begun = await release(sim, scenario, V2)
        cookies = []
        for weight in (25, 50):
            await sim.until_weight(weight, 60)
            await sim.rest(2)
            call_all(sim, visitors, random)
            await sim.restart_controller(1)
            await sim.rest(2)
            call_all(sim, visitors, random)
            assert share(visitors) == pytest.approx(weight, abs=3)
            cookies.append(sim.status()["sessionAffinityCookie"])
        revision = sim.status()["revision"]["candidate"]
        assert cookies == [f"flagger-cookie=canary.{revision}"] * 2
        assert sum(one.moved_back for one in visitors) == 0
        await sim.until_phase("Promoting", 60)
        await sim.rest(2)
        call_all(sim, visitors, random)
        assert [one.jar for one in visitors] == [{"lang": "en"}] * len(visitors)
        await sim.until_phase("Succeeded", 300)
        assert found(sim, ROUTE)["spec"] == before
        assert route_writes(sim, begun) == [(75, 25), (50, 50), (0, 100), (100, 0)]
        status = sim.status()
        assert "sessionAffinityCookie" not in status
        assert status["previousSessionAffinityCookie"] == cookies[0]
        assert harmed(sim) == 0

    simulate(story, seed=1)


@pytest.mark.parametrize("errors", [0.0, 100.0])
def test_copies_come_before_the_first_cookie(errors: float) -> None:
    """While mirroring nobody is drawn; the write of the first weight ends the mirror and begins the sessions (W59)."""
    scenario = sticky(mirror=True, stepWeight=50, threshold=2)

    async def story(sim: Simulation) -> None:
        random, visitors = Random(2), crowd(400)
        await initialise(sim, scenario)
        sim.behaviours.put(Behaviour(errors=errors), image=V2)
        begun = await release(sim, scenario, V2)
        await sim.until(lambda: "mirror" in found(sim, ROUTE)["spec"]["http"][0], 60, "a mirror")
        await sim.rest(2)
        call_all(sim, visitors, random)
        assert names(sim) == ["weighted"]
        assert ({one.side for one in visitors}, {len(one.jar) for one in visitors}) == ({"primary"}, {1})
        assert "sessionAffinityCookie" not in sim.status()
        if errors:
            await sim.until_phase("Failed", 100)
            written = [one.after["spec"]["http"] for one in ours(sim, begun, ROUTE) if one.after]
            assert ["mirror" in http[0] for http in written] == [True, False]
            assert {len(http) for http in written} == {1}
            assert sim.dataplane.requests.failed == 0
            return
        await sim.until_weight(50, 60)
        await sim.rest(2)
        assert [one for one in found(sim, ROUTE)["spec"]["http"] if "mirror" in one] == []
        call_all(sim, visitors, random)
        assert share(visitors) == pytest.approx(50, abs=8)
        assert sum(one.moved_back for one in visitors) == 0
        await sim.until_phase("Succeeded", 300)
        assert route_writes(sim, begun) == [(100, 0), (50, 50), (0, 100), (100, 0)]
        assert harmed(sim) == 0

    simulate(story, seed=9)


def test_traffic_that_goes_back_in_steps_needs_no_cookies() -> None:
    """Once the primary is promoted both sides run the same revision: no route speaks of cookies, the run succeeds."""
    scenario = sticky(stepWeightPromotion=60)

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Promoting", 200)
        await sim.rest(2)
        assert names(sim) == ["canary-session-ends-weighted", "canary-session-ended-weighted", "weighted"]
        await sim.until_phase("Finalising", 200)
        await sim.rest(2)
        assert names(sim) == ["weighted"]
        assert "sessionAffinityCookie" not in sim.status()
        await sim.until_phase("Succeeded", 300)
        assert route_writes(sim, begun) == [(75, 25), (50, 50), (0, 100), (60, 40), (100, 0)]
        assert harmed(sim) == 0

    simulate(story, seed=8)


def test_roll_back_leaves_no_route_for_cookies() -> None:
    """One write takes weight and cookies away; who has a cookie goes where everybody goes."""
    scenario = sticky(threshold=1)

    async def story(sim: Simulation) -> None:
        random, visitors = Random(2), crowd(100)
        await initialise(sim, scenario)
        before = copy.deepcopy(found(sim, ROUTE)["spec"])
        begun = await release(sim, scenario, V2)
        await sim.until_weight(25, 60)
        await sim.rest(1)
        call_all(sim, visitors, random)
        sim.pods.behaviours.put(Behaviour(errors=100.0), image=V2)
        await sim.until_phase("Failed", 100)
        await sim.rest(30)
        assert found(sim, ROUTE)["spec"] == before
        assert route_writes(sim, begun) == [(75, 25), (100, 0)]
        call_all(sim, visitors, random)
        assert {one.side for one in visitors} == {"primary"}
        assert sim.status()["previousSessionAffinityCookie"].startswith("flagger-cookie=canary.")

    simulate(story, seed=2)


def test_callers_are_drawn_anew_for_a_revision_that_supersedes() -> None:
    """The cookie of the superseded revision has no effect; the new one's replaces it."""
    scenario = sticky()

    async def story(sim: Simulation) -> None:
        random, visitors = Random(2), crowd(400)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(50, 60)
        await sim.rest(1)
        call_all(sim, visitors, random)
        first = sim.status()["sessionAffinityCookie"]
        await release(sim, scenario, V3)
        await sim.until_weight(0, 60)
        assert sim.status()["previousSessionAffinityCookie"] == first
        await sim.until_weight(25, 120)
        await sim.rest(1)
        call_all(sim, visitors, random)
        assert share(visitors) == pytest.approx(25, abs=6)
        assert sim.status()["sessionAffinityCookie"] != first

    simulate(story, seed=3)


def _without_routes(http: list[dict[str, Any]]) -> None:
    http[:] = [one for one in http if not one["name"].startswith("canary-session")]


def _to_the_primary(http: list[dict[str, Any]]) -> None:
    http[0]["route"][0]["destination"]["host"] = "catalog-primary"


def _without_cookies(http: list[dict[str, Any]]) -> None:
    for one in http[-1]["route"]:
        del one["headers"]


@pytest.mark.parametrize("edit", [_without_routes, _to_the_primary, _without_cookies])
def test_routes_for_cookies_that_are_edited_by_hand_are_put_back(edit: Any) -> None:
    """Told as drift, and as they were within a second."""
    scenario = sticky()

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(25, 60)
        await sim.rest(3)
        before = copy.deepcopy(found(sim, ROUTE)["spec"])
        http = copy.deepcopy(before["http"])
        edit(http)
        User(sim.world, HAND).edit(ROUTE, {"spec": {"http": http}})
        await sim.rest(1)
        assert found(sim, ROUTE)["spec"] == before
        (condition,) = [one for one in sim.status()["drift"] if one["field"] == "route"]
        assert condition["manager"] == HAND
        await sim.until_phase("Succeeded", 300)

    simulate(story, seed=4)


def test_adopted_routes_carry_cookies_and_are_the_users_again() -> None:
    """Each route to the apex gets its own for cookies; given back in mid-run, byte for byte as it was."""
    scenario = sticky()

    async def story(sim: Simulation) -> None:
        await serve(sim, scenario)
        sim.user.apply(ROUTES)
        await sim.rest(5)
        before = copy.deepcopy(body(found(sim, ROUTE)))
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        await release(sim, scenario, V2)
        await sim.until_weight(25, 60)
        await sim.rest(2)
        ours_of = [f"canary-session-{kind}-{{}}" for kind in ("stays", "joins", "waits")]
        expected = [one.format(name) for name in ("slow", "default") for one in (*ours_of, "{}")]
        assert names(sim) == ["old", *expected]
        sim.user.delete(scenario.ref)
        await sim.rest(180)
        assert body(found(sim, ROUTE)) == before
        assert harmed(sim) == 0

    simulate(story, seed=5)


def test_affinity_switched_off_and_on_in_mid_run_is_no_drift() -> None:
    """The weights stay on the user's routes, nobody is blamed for the change, and the run goes on."""
    scenario = sticky()

    async def story(sim: Simulation) -> None:
        await serve(sim, scenario)
        sim.user.apply(ROUTES)
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        await release(sim, scenario, V2)
        await sim.until_weight(25, 60)
        for asked, count in ((COOKIE, 9), (None, 3), (COOKIE, 9)):
            http = copy.deepcopy(found(sim, ROUTE)["spec"]["http"])
            http[0]["redirect"]["uri"] = f"/items/{count}"
            User(sim.world, HAND).edit(ROUTE, {"spec": {"http": http}})
            await sim.rest(1)
            User(sim.world, HAND).edit(scenario.ref, {"spec": {"analysis": {"sessionAffinity": asked}}})
            await sim.rest(1)
            assert len(names(sim)) == count
            assert [one["weight"] for one in found(sim, ROUTE)["spec"]["http"][-1]["route"]][-1] == 25
            assert ("sessionAffinityCookie" in sim.status()) == (asked is not None)
        await sim.until_phase("Succeeded", 300)
        assert "drift" not in sim.status() or sim.status()["drift"] == []

    simulate(story, seed=6)


def test_service_that_sets_cookies_itself_is_refused() -> None:
    """A header of spec.service that would overrule the session's cookie is named before anything is touched."""
    scenario = sticky()
    scenario.canary["spec"]["service"]["headers"] = {"response": {"set": {"Set-Cookie": "a=b"}}}

    async def story(sim: Simulation) -> None:
        await serve(sim, scenario)
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.rest(10)
        (ready,) = [one for one in sim.status()["conditions"] if one["type"] == "Ready"]
        assert (ready["status"], ready["reason"]) == ("False", "RouteNotPossible")
        assert "http route weighted names set-cookie in headers.response.set" in ready["message"]
        assert [one.ref for one in ours(sim, 0) if one.ref != scenario.ref] == []

    simulate(story, seed=7)
