"""Callers let in to code that was not judged (I9): what is no fault of the controller, and what is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from canary.core.names import MANAGER, ROLE_LABEL
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import ApiFault
from canary.sim.invariants import InvariantError
from canary.sim.scenario import initialise, release
from canary.sim.user import User
from tests.sim.stories import APEX, CANARY, ROUTE, V2, V3, apex_role, found, quick, ready, received, version, weights

Let = Callable[[Simulation, str], None]
BY_HAND = "kubectl-edit"


def open_selector(sim: Simulation, by: str) -> None:
    """Let the apex Service select pods of any role."""
    select(sim, by, None)


def select_canary(sim: Simulation, by: str) -> None:
    """Let the apex Service select the canary."""
    select(sim, by, "canary")


def select(sim: Simulation, by: str, role: str | None) -> None:
    """Write a role into the apex Service's selector."""
    at = found(sim, APEX)["metadata"]["resourceVersion"]
    sim.world.patch(APEX, {"spec": {"selector": {ROLE_LABEL: role}}}, writer=by, resource_version=at)


def give_weight(sim: Simulation, by: str) -> None:
    """Give the canary a weight."""
    User(sim.world, by).set_weights(ROUTE, {"catalog-primary": 60, "catalog-canary": 40})


def take_back(sim: Simulation) -> None:
    """Put route and selector back as the controller does."""
    at = found(sim, ROUTE)["metadata"]["resourceVersion"]
    legs = [{"destination": {"host": f"catalog-{role}"}, "weight": w} for role, w in (("primary", 100), ("canary", 0))]
    sim.world.patch(ROUTE, {"spec": {"http": [{"route": legs}]}}, writer=MANAGER, resource_version=at)
    select(sim, MANAGER, "primary")


async def before_the_first_weight(sim: Simulation) -> None:
    """Come to a ready canary without any weight."""
    scenario = quick(interval="60s")
    await initialise(sim, scenario)
    await release(sim, scenario, V2)
    await sim.until(lambda: ready(sim, CANARY), 30, "a ready canary")
    await sim.rest(1)


def pretend(sim: Simulation) -> None:
    """Take the controller away and let the checker believe that it is there and idles."""
    sim.kill_controller()
    for memory in sim.checker.memories():
        memory.controllers, memory.started, memory.strays.hindered = 1, -100.0, -100.0


@pytest.mark.parametrize("let", [open_selector, select_canary, give_weight])
def test_callers_let_in_by_hand_are_no_fault_while_they_are_put_back(let: Let) -> None:
    """Some get through until the edit is undone; nobody is to blame for those."""

    async def story(sim: Simulation) -> None:
        await before_the_first_weight(sim)
        sim.faults.api.append(ApiFault("503", verb="patch", start=sim.now, end=sim.now + 1, times=10_000))
        let(sim, BY_HAND)
        await sim.until(lambda: (weights(sim), apex_role(sim)) == ((100, 0), "primary"), 30, "put back")
        await sim.rest(1)
        got = received(sim, version(quick(), V2))
        assert got > 0
        await sim.rest(5)
        assert received(sim, version(quick(), V2)) == got

    simulate(story)


@pytest.mark.parametrize("let", [open_selector, select_canary, give_weight])
def test_callers_let_in_by_hand_and_left_there_are_a_fault(let: Let) -> None:
    """A controller that could put the edit back and does not is to blame after its fair time, not before."""

    async def story(sim: Simulation) -> None:
        await before_the_first_weight(sim)
        pretend(sim)
        let(sim, BY_HAND)
        await sim.rest(1.4)
        since.append(sim.now)
        await sim.rest(6)

    since: list[float] = []
    with pytest.raises(InvariantError, match=r"^I9 "):
        simulate(story)
    assert since


@pytest.mark.parametrize("let", [open_selector, select_canary])
def test_edit_by_hand_excuses_no_later_fault(let: Let) -> None:
    """Put back in time; then the controller does the same: the excuse is over."""

    async def story(sim: Simulation) -> None:
        await before_the_first_weight(sim)
        pretend(sim)
        let(sim, BY_HAND)
        sim.at(0.5, lambda: take_back(sim))
        await sim.rest(8)
        survived.append(sim.now)
        let(sim, MANAGER)
        await sim.rest(6)

    survived: list[float] = []
    with pytest.raises(InvariantError, match=r"^I9 "):
        simulate(story)
    assert survived


def test_edit_by_hand_excuses_no_other_code() -> None:
    """A newer canary that is started while the selector stays open is a fault of its own."""

    async def story(sim: Simulation) -> None:
        await before_the_first_weight(sim)
        pretend(sim)
        open_selector(sim, BY_HAND)
        sim.at(0.5, lambda: take_back(sim))
        await sim.rest(8)
        survived.append(sim.now)
        at = found(sim, CANARY)["metadata"]["resourceVersion"]
        pod = {"spec": {"containers": [{"name": "catalog", "image": V3}]}}
        sim.world.patch(CANARY, {"spec": {"template": pod}}, writer=BY_HAND, resource_version=at)
        await sim.rest(5)
        select(sim, MANAGER, "canary")
        await sim.rest(6)

    survived: list[float] = []
    with pytest.raises(InvariantError, match=r"^I9 "):
        simulate(story)
    assert survived


def test_apex_given_to_the_canary_is_no_first_weight() -> None:
    """The controller lets callers without sidecar in before any weight: a fault at once."""

    async def story(sim: Simulation) -> None:
        await before_the_first_weight(sim)
        sim.kill_controller()
        select(sim, MANAGER, "canary")
        await sim.rest(6)

    with pytest.raises(InvariantError, match=r"^I9 "):
        simulate(story)


def test_dead_controller_is_to_blame_for_nothing() -> None:
    """Nobody is there to put the edit back; once somebody is, it is."""

    async def story(sim: Simulation) -> None:
        await before_the_first_weight(sim)
        sim.kill_controller()
        open_selector(sim, BY_HAND)
        await sim.rest(30)
        assert received(sim, version(quick(), V2)) > 0
        sim.start_controller()
        await sim.rest(1)
        assert apex_role(sim) == "primary"
        await sim.until_phase("Succeeded", 900)

    simulate(story)
