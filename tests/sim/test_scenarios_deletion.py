"""Giving back: after the Canary is deleted its target serves, and nothing of ours is left (item 14)."""

from __future__ import annotations

from typing import Any

import pytest

from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY, SERVICE, Ref
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import ApiFault
from canary.sim.outcome import left_behind, wrong_at_rest
from canary.sim.scenario import initialise, release
from tests.sim.stories import (
    APEX,
    NAMESPACE,
    PRIMARY,
    ROUTE,
    TARGET,
    V1,
    V2,
    found,
    harmed,
    image,
    ours,
    quick,
    ready,
    replicas,
    weights,
)
from tests.sim.test_scenarios_initialisation import EVERYWHERE, Reach, at_progressing, at_succeeded
from tests.sim.test_scenarios_promotion import fail_promotion


@pytest.mark.parametrize("reach", [*EVERYWHERE, fail_promotion])
def test_deleted_canary_gives_production_back_unharmed(reach: Reach) -> None:
    """In any phase: no failed request, the target runs what was promoted, nothing of ours is left."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3)
        await reach(sim, scenario)
        promoted = image(sim, PRIMARY)
        sim.user.delete(scenario.ref)
        await sim.rest(300)
        assert wrong_at_rest(sim, scenario) is None
        assert image(sim, TARGET) == promoted
        assert ready(sim, TARGET) == 3
        assert sim.world.find(ROUTE) is None
        assert "canary.delivery/role" not in found(sim, APEX)["spec"]["selector"]
        before = len(sim.calls)
        await sim.rest(300)
        assert len(sim.calls) == before
        assert harmed(sim) == 0

    simulate(story)


@pytest.mark.parametrize("reach", [at_progressing, at_succeeded])
def test_canary_deleted_while_the_controller_is_down_is_cleaned_up_later(reach: Reach) -> None:
    """Serving goes on without it; after its return everything is given back."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await reach(sim, scenario)
        sim.kill_controller()
        sim.user.delete(scenario.ref)
        shown = weights(sim)
        await sim.rest(200)
        assert weights(sim) == shown
        sim.start_controller()
        await sim.rest(300)
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == 0

    simulate(story)


def test_clean_up_commands_of_the_book_leave_nothing() -> None:
    """Canary, Deployment, Service and VirtualService deleted back to back: nothing of ours stays."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await at_succeeded(sim, scenario)
        for ref in (scenario.ref, TARGET, APEX, ROUTE):
            sim.user.delete(ref)
        await sim.rest(300)
        assert left_behind(sim, scenario) is None
        assert not sim.pods.all()

    simulate(story)


@pytest.mark.parametrize("after", [0.0, 0.01, 0.5, 3.0, 8.0, 11.0, 15.0, 60.0])
@pytest.mark.parametrize("reach", [at_progressing, at_succeeded])
def test_canary_made_again_adopts_what_is_there(reach: Reach, after: float) -> None:
    """Applied again at any moment of the give-back: Initialized or a run, and nobody is harmed."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await reach(sim, scenario)
        sim.user.delete(scenario.ref)
        await sim.rest(after)
        sim.user.apply(scenario.canary)
        await sim.until(lambda: sim.state()[0] in ("Initialized", "Succeeded"), 600, "an end")
        await sim.rest(400)
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == 0

    simulate(story)


@pytest.mark.parametrize("less", ["group", "namespace", "both"])
def test_controller_that_serves_less_gives_nothing_back(less: str) -> None:
    """Restarted without compat mode or with fewer namespaces: not one write, and everything serves on."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await at_progressing(sim, scenario)
        await sim.rest(1)
        sim.kill_controller()
        if less in ("group", "both"):
            sim.groups = (NATIVE_CANARY.group,)
        if less in ("namespace", "both"):
            sim.namespaces = frozenset({"elsewhere"})
        since = sim.now
        sim.start_controller()
        await sim.rest(300)
        assert not ours(sim, since)
        assert weights(sim) == (75, 25)
        assert harmed(sim) == 0
        sim.kill_controller()
        sim.groups, sim.namespaces = (FLAGGER_CANARY.group,), None
        sim.start_controller()
        await sim.until_phase("Succeeded", 300)

    simulate(story)


def test_definition_that_is_not_established_gives_nothing_back() -> None:
    """Without its CRD every Canary answers 404: that is no deletion."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await at_succeeded(sim, scenario)
        await sim.rest(1)
        sim.kill_controller()
        sim.world.established.discard(FLAGGER_CANARY)
        sim.world.delete(scenario.ref, writer="crd-finalizer")
        since = sim.now
        sim.start_controller()
        await sim.rest(300)
        assert not ours(sim, since)
        assert replicas(sim, PRIMARY) == 2
        assert harmed(sim) == 0

    simulate(story)


def test_service_the_user_did_not_have_stays_for_the_target() -> None:
    """The apex Service we made is never deleted while the target lives: our marks leave it."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        sim.user.apply(scenario.workload)
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.until_phase("Initialized", 120)
        sim.user.delete(scenario.ref)
        await sim.rest(120)
        assert left_behind(sim, scenario) is None
        assert found(sim, Ref(SERVICE, NAMESPACE, "catalog"))["spec"]["selector"] == {"app": "catalog"}

    simulate(story)


@pytest.mark.parametrize("kind", ["crash before", "crash after"])
def test_controller_killed_between_any_two_writes_of_a_give_back(kind: Any) -> None:
    """Before or after each write of the give-back: the next process ends it; nobody is harmed."""

    def story(skip: int, left: list[int]) -> Any:
        async def play(sim: Simulation) -> None:
            scenario = quick(2)
            await initialise(sim, scenario)
            await release(sim, scenario, V2)
            await sim.until_weight(25)
            await sim.rest(2)
            sim.back_after = 3.0
            fault = ApiFault(kind, skip=skip)
            sim.faults.api.append(fault)
            sim.user.delete(scenario.ref)
            await sim.rest(200)
            left.append(fault.skip)
            assert wrong_at_rest(sim, scenario) is None
            assert image(sim, TARGET) == V1
            assert harmed(sim) == 0

        return play

    left: list[int] = []
    skip = 0
    while not any(left):
        simulate(story(skip, left), seed=skip)
        skip += 1
    assert skip > 8, "so many writes has a give-back"
