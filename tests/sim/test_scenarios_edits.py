"""Weights and the apex selector edited by hand, in every phase, and what the status shows of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from canary.core.names import ROLE_LABEL
from canary.sim.actions import undo
from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import MetricsFault
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise, release
from canary.sim.stage import Stage
from canary.sim.user import User
from tests.sim.stories import (
    APEX,
    CANARY,
    NAMESPACE,
    PRIMARY,
    ROUTE,
    V2,
    apex_role,
    harmed,
    image,
    quick,
    ready,
    weights,
)

SICK = Behaviour(ready_after=None)
Reach = Callable[[Simulation, Scenario], Any]


def edit_weights(sim: Simulation, canary: int) -> None:
    """Write other weights into the route."""
    User(sim.world, "kubectl-edit").set_weights(ROUTE, {"catalog-primary": 100 - canary, "catalog-canary": canary})


def edit_selector(sim: Simulation, role: str | None) -> None:
    """Write another role into the apex Service's selector."""
    User(sim.world, "kubectl-edit").edit(APEX, {"spec": {"selector": {ROLE_LABEL: role}}})


def traffic(sim: Simulation) -> tuple[int, int]:
    """Return the shares that the status shows."""
    shown = sim.status()["traffic"]
    return shown["primary"], shown["canary"]


async def at_weight(sim: Simulation, scenario: Scenario) -> None:
    """Come to the first weight."""
    await initialise(sim, scenario)
    await release(sim, scenario, V2)
    await sim.until_weight(25)
    await sim.rest(2)


async def at_cut_over(sim: Simulation, scenario: Scenario) -> None:
    """Come to the cut-over before the primary is touched."""
    await initialise(sim, scenario)
    await release(sim, scenario, V2)
    await sim.until_phase("Promoting")
    await sim.rest(2)


async def at_rolling(sim: Simulation, scenario: Scenario) -> None:
    """Come to the primary that rolls."""
    await at_cut_over(sim, scenario)
    await sim.until(lambda: image(sim, PRIMARY) == V2, 60, "the primary rolls")


async def at_finalising(sim: Simulation, scenario: Scenario) -> None:
    """Come to the way back."""
    await at_cut_over(sim, scenario)
    await sim.until_phase("Finalising")
    await sim.rest(1)


async def at_succeeded(sim: Simulation, scenario: Scenario) -> None:
    """Come to the end of a release."""
    await at_cut_over(sim, scenario)
    await sim.until_phase("Succeeded")
    await sim.rest(1)


async def at_failed_promotion(sim: Simulation, scenario: Scenario) -> None:
    """Come to a promotion whose primary never gets ready."""
    sim.behaviours.put(SICK, image=V2, deployment=PRIMARY.name)
    await initialise(sim, scenario)
    await release(sim, scenario, V2)
    await sim.until_phase("Failed", 900)
    await sim.rest(1)


EVERYWHERE: list[Reach] = [
    at_weight,
    at_cut_over,
    at_rolling,
    at_finalising,
    at_succeeded,
    at_failed_promotion,
]


@pytest.mark.parametrize("share", [0, 40, 100])
@pytest.mark.parametrize("reach", EVERYWHERE)
def test_edited_weights_are_put_back_in_every_phase(reach: Reach, share: int) -> None:
    """Within a second, with an event, and the status shows the shares that are in force."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3)
        await reach(sim, scenario)
        before, since = weights(sim), sim.now
        assert traffic(sim) == before
        edit_weights(sim, share)
        await sim.rest(1)
        assert weights(sim) == before
        assert traffic(sim) == before
        assert ("TrafficDrift" in sim.history.reasons(since)) is (before != (100 - share, share))
        await sim.rest(600)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


@pytest.mark.parametrize("role", ["canary", "primary"])
@pytest.mark.parametrize("reach", EVERYWHERE)
def test_edited_selector_is_put_back_in_every_phase(reach: Reach, role: str) -> None:
    """The same for the apex Service."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3)
        await reach(sim, scenario)
        before, since = apex_role(sim), sim.now
        edit_selector(sim, role)
        await sim.rest(1)
        assert apex_role(sim) == before
        assert ("TrafficDrift" in sim.history.reasons(since)) is (before != role)
        await sim.rest(600)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


def test_weights_edited_in_a_cut_over_that_lacks_capacity_go_to_the_primary() -> None:
    """The canary lost a pod: all goes to the primary, which is whole (I8), and to the canary once that is too."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3, interval="30s", drainSeconds=25)
        await at_cut_over(sim, scenario)
        sim.behaviours.put(SICK, image=V2)
        sim.kill_pods(NAMESPACE, CANARY.name, 1)
        await sim.rest(2)
        assert (weights(sim), ready(sim, CANARY)) == ((0, 100), 2)
        since, lost = sim.now, harmed(sim)
        edit_weights(sim, 40)
        await sim.rest(1)
        assert (weights(sim), apex_role(sim), traffic(sim)) == ((100, 0), "primary", (100, 0))
        assert "TrafficDrift" in sim.history.reasons(since)
        await sim.rest(20)
        assert "2 of 3 ready" in sim.status()["message"]
        sim.behaviours.heal()
        for pod in [one for one in sim.pods.all() if one.deployment == CANARY.name and not one.ready]:
            sim.pods.kill(pod)
        await sim.until(lambda: (weights(sim), apex_role(sim)) == ((0, 100), "canary"), 10, "the cut-over")
        await sim.until_phase("Succeeded", 300)
        assert image(sim, PRIMARY) == V2
        assert harmed(sim) == lost

    simulate(story)


def test_status_shows_weights_that_are_not_put_back_yet() -> None:
    """While a contested route is left alone, TRAFFIC is what callers get, not what the plan wants."""

    async def story(sim: Simulation) -> None:
        scenario = quick(4)
        await at_weight(sim, scenario)
        edit_weights(sim, 60)
        undo(Stage(sim, scenario), "route", times=10_000)
        await sim.until_phase("Failed", 60)
        shown = set()
        for _ in range(100):
            await sim.rest(5)
            if sim.history.changes[-1].at < sim.now - 1:
                assert traffic(sim) == weights(sim)
                shown.add(traffic(sim))
        assert shown == {(40, 60)}

    simulate(story)


@pytest.mark.parametrize("role", [None, "canary"])
def test_opened_selector_is_closed_while_metrics_are_slow(role: str | None) -> None:
    """Taking callers off code that was not judged waits for no answer about it (I9, I22)."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.rest(9)
        sim.faults.metrics.append(MetricsFault("slow", sim.now, sim.now + 60))
        await sim.rest(2)
        since = sim.now
        edit_selector(sim, role)
        await sim.rest(1)
        assert apex_role(sim) == "primary"
        assert "TrafficDrift" in sim.history.reasons(since)
        await sim.until_phase("Succeeded", 300)

    simulate(story)
