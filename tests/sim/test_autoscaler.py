"""An autoscaler on production: it goes over to the primary and back, and never shrinks it in a run (W49, I8)."""

from __future__ import annotations

from typing import Any

import pytest

from canary.core.objects import AUTOSCALER, Ref
from canary.sim.actions import act
from canary.sim.autoscaler import SCALER
from canary.sim.driver import Simulation, simulate
from canary.sim.outcome import wrong_at_rest
from canary.sim.replay import Entry, Schedule, play
from canary.sim.scenario import Scenario, initialise, listing_5_1, release, scaled
from canary.sim.stage import Stage
from tests.sim.stories import APEX, CANARY, NAMESPACE, PRIMARY, TARGET, V2, V3, condition, found, harmed, ours, replicas
from tests.sim.test_scenarios_promotion import fail_promotion

SIZES = Ref(AUTOSCALER, NAMESPACE, "catalog-sizes")
OWN = Ref(AUTOSCALER, NAMESPACE, "catalog-canary")


def autoscaled(pods: int = 4, low: int = 1, high: int = 8, **bounds: int) -> Scenario:
    """Return listing 5.1 at an interval of 10 s with an autoscaler, and how many pods are there at first."""
    canary = listing_5_1(interval="10s", stepWeight=25, drainSeconds=5)
    canary, scaler = scaled(canary, low, high)
    if bounds:
        canary["spec"]["autoscalerRef"] |= {"primaryScalerReplicas": bounds}
    return Scenario(canary, replicas=pods, scaler=scaler)


def spec(sim: Simulation, ref: Ref = SIZES) -> dict[str, Any]:
    """Return the spec of an autoscaler."""
    found_spec: dict[str, Any] = found(sim, ref)["spec"]
    return found_spec


def pointed(sim: Simulation) -> str:
    """Return what the user's autoscaler scales."""
    return str(spec(sim)["scaleTargetRef"]["name"])


def least(sim: Simulation, ref: Ref, since: float) -> int:
    """Return the smallest size a Deployment asked for from a moment on."""
    sizes = [one.after["spec"]["replicas"] for one in sim.history.changes if one.ref == ref and one.after]
    times = [one.at for one in sim.history.changes if one.ref == ref and one.after]
    return min([size for size, at in zip(sizes, times, strict=True) if at >= since] or [replicas(sim, ref)])


async def start(sim: Simulation, scenario: Scenario, load: float = 4) -> None:
    """Initialise under a load of so many pods' worth."""
    sim.autoscalers.load = load
    await initialise(sim, scenario)


def test_autoscaler_goes_to_the_primary_with_the_traffic_and_back_with_it() -> None:
    """It scales the target until the apex Service selects the primary, and again once that selects the target."""
    scenario = autoscaled()

    async def story(sim: Simulation) -> None:
        await start(sim, scenario)
        assert (pointed(sim), spec(sim)["minReplicas"]) == ("catalog-primary", 1)
        moved = next(one for one in ours(sim, 0, SIZES))
        handed = next(one for one in sim.history.changes if one.ref == APEX and one.verb == "patch")
        assert handed.at <= moved.at
        emptied = next(one for one in ours(sim, 0, TARGET) if one.after and one.after["spec"]["replicas"] == 0)
        assert moved.at < emptied.at
        sim.autoscalers.load = 6
        await sim.until(lambda: replicas(sim, PRIMARY) == 6, 30, "the primary to grow")
        sim.user.delete(scenario.ref)
        await sim.rest(200)
        assert wrong_at_rest(sim, scenario) is None
        assert (pointed(sim), replicas(sim, TARGET)) == ("catalog", 6)
        assert "annotations" not in found(sim, SIZES)["metadata"] or not any(
            key.startswith("canary.delivery/") for key in found(sim, SIZES)["metadata"]["annotations"]
        )
        sim.autoscalers.load = 2
        await sim.until(lambda: replicas(sim, TARGET) == 2, 30, "the target to follow its autoscaler again")
        assert harmed(sim) == 0

    simulate(story)


def test_primary_keeps_its_size_through_a_run_and_shrinks_after_it() -> None:
    """Half its traffic goes away, all of it goes away: its size at the start stays until Succeeded (I8)."""
    scenario = autoscaled()

    async def story(sim: Simulation) -> None:
        await start(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Promoting", 200)
        assert spec(sim)["minReplicas"] == 4
        await sim.until_phase("Succeeded", 200)
        assert least(sim, PRIMARY, begun) == 4
        await sim.rest(20)
        assert spec(sim)["minReplicas"] == 1
        sim.autoscalers.load = 1
        await sim.until(lambda: replicas(sim, PRIMARY) == 1, 30, "the primary to shrink")
        assert harmed(sim) == 0

    simulate(story)


def test_canary_that_carries_everything_grows_by_an_autoscaler_of_its_own() -> None:
    """Load that rises at 100 % is carried, and the primary is as large before it gets the traffic back."""
    canary, scaler = scaled(autoscaled().canary, 1, 8)
    scenario = Scenario({**canary, "spec": {**canary["spec"], "promotion": {"bake": "60s"}}}, replicas=2, scaler=scaler)

    async def story(sim: Simulation) -> None:
        await start(sim, scenario, load=2)
        await release(sim, scenario, V2)
        assert sim.world.find(OWN) is None
        await sim.until(lambda: sim.world.find(OWN), 200, "the canary's own autoscaler")
        assert sim.state()[0] == "Promoting"
        own = spec(sim, OWN)
        assert (own["minReplicas"], own["maxReplicas"], own["metrics"]) == (2, 8, spec(sim)["metrics"])
        sim.autoscalers.load = 7
        await sim.until(lambda: replicas(sim, CANARY) == 7, 30, "the canary to grow")
        await sim.until(lambda: replicas(sim, PRIMARY) == 7, 30, "the primary to follow")
        await sim.until_phase("Succeeded", 200)
        assert sim.world.find(OWN) is None
        assert replicas(sim, PRIMARY) == 7
        assert harmed(sim) == 0

    simulate(story)


@pytest.mark.parametrize("phase", ["Initialized", "Progressing", "Promoting"])
def test_bounds_the_user_edits_are_followed_at_any_time(phase: str) -> None:
    """New bounds hold at once, but that a run keeps the primary's size; afterwards they alone hold (W49)."""
    scenario = autoscaled()

    async def story(sim: Simulation) -> None:
        await start(sim, scenario)
        if phase != "Initialized":
            await release(sim, scenario, V2)
            await sim.until_phase(phase, 200)
        act(Stage(sim, scenario), "bounds", {"low": 2, "high": 9})
        await sim.rest(2)
        assert (spec(sim)["minReplicas"], spec(sim)["maxReplicas"]) == (2 if phase == "Initialized" else 4, 9)
        act(Stage(sim, scenario), "bounds", {"low": 5, "high": 9})
        await sim.until(lambda: replicas(sim, PRIMARY) == 5, 30, "the primary to grow")
        act(Stage(sim, scenario), "bounds", {"low": 3, "high": 6})
        await sim.rest(300)
        assert (spec(sim)["minReplicas"], spec(sim)["maxReplicas"]) == (3, 6)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


def test_bounds_of_the_canary_go_before_those_of_the_autoscaler_while_it_is_there() -> None:
    """primaryScalerReplicas holds while owned; the user's own bounds come back with the target."""
    scenario = autoscaled(minReplicas=3, maxReplicas=5)

    async def story(sim: Simulation) -> None:
        await start(sim, scenario, load=7)
        assert (spec(sim)["minReplicas"], spec(sim)["maxReplicas"]) == (3, 5)
        await sim.until(lambda: replicas(sim, PRIMARY) == 5, 30, "the primary at its largest size")
        sim.user.delete(scenario.ref)
        await sim.rest(200)
        assert (spec(sim)["minReplicas"], spec(sim)["maxReplicas"]) == (1, 8)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


def test_missing_autoscaler_is_a_condition_and_stops_nothing() -> None:
    """Production keeps its size, runs go through, and the autoscaler is taken over when it comes (W49)."""
    scenario = autoscaled()

    async def story(sim: Simulation) -> None:
        await start(sim, scenario, load=6)
        await sim.until(lambda: replicas(sim, PRIMARY) == 6, 30, "the primary to grow")
        sim.user.delete(SIZES)
        await sim.rest(1)
        assert condition(sim, "Ready")["reason"] == "AutoscalerMissing"
        await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 300)
        assert replicas(sim, PRIMARY) == 6
        assert scenario.scaler is not None
        sim.user.apply(scenario.scaler)
        await sim.rest(1)
        assert (pointed(sim), condition(sim, "Ready")["status"]) == ("catalog-primary", "True")
        assert harmed(sim) == 0

    simulate(story)


def test_autoscaler_pointed_elsewhere_by_hand_is_put_back() -> None:
    """Its scaleTargetRef is ours as the apex Service's selector is: one event, put back at once."""
    scenario = autoscaled()

    async def story(sim: Simulation) -> None:
        await start(sim, scenario)
        act(Stage(sim, scenario), "repoint", {"role": "target"})
        await sim.rest(1)
        assert pointed(sim) == "catalog-primary"
        told = [one.event.message for one in sim.history.events if one.event.reason == "TrafficDrift"]
        what = "scaleTargetRef of HorizontalPodAutoscaler catalog-sizes was changed to Deployment catalog"
        assert told == [f"{what} by kubectl-edit; it is put back"]

    simulate(story)


def test_autoscaler_that_is_named_no_more_is_given_back() -> None:
    """Without spec.autoscalerRef it scales the target again, and is refused there as any that is not named."""
    scenario = autoscaled()

    async def story(sim: Simulation) -> None:
        await start(sim, scenario)
        plain = {key: value for key, value in scenario.canary["spec"].items() if key != "autoscalerRef"}
        sim.user.apply({**scenario.canary, "spec": plain})
        await sim.rest(1)
        assert pointed(sim) == "catalog"
        assert condition(sim, "Ready")["reason"] == "AutoscalerPresent"
        await sim.rest(60)
        assert replicas(sim, PRIMARY) == 4

    simulate(story)


def test_primary_scaled_by_hand_is_not_shrunk_while_the_target_grows() -> None:
    """Before the hand-over the apex Service selects its pods too: only the autoscaler makes it smaller, later."""
    by_hand = Entry(0.1, "scale", {"role": "primary", "replicas": 3})
    play(Schedule(replicas=1, rps=4.0, disturbed="initialisation", scaled=(1, 4), entries=[by_hand]))


def test_failed_promotion_is_carried_by_the_canarys_own_autoscaler() -> None:
    """While the canary serves after a failed promotion its size follows the load."""
    scenario = autoscaled()

    async def story(sim: Simulation) -> None:
        sim.autoscalers.load = 4
        await fail_promotion(sim, scenario)
        assert spec(sim, OWN)["scaleTargetRef"]["name"] == "catalog-canary"
        sim.autoscalers.load = 6
        await sim.until(lambda: replicas(sim, CANARY) == 6, 30, "the canary to grow")
        sim.behaviours.heal()
        sim.user.apply(scenario.revised(V3))
        await sim.until_phase("Succeeded", 900)
        await sim.rest(60)
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == 0

    simulate(story)


def test_primary_is_shrunk_by_its_autoscaler_alone() -> None:
    """Initialised at a size, it goes wherever its autoscaler takes it; nothing is written against that (I5)."""
    scenario = autoscaled(pods=6)

    async def story(sim: Simulation) -> None:
        await start(sim, scenario, load=6)
        sim.autoscalers.load = 2
        await sim.until(lambda: replicas(sim, PRIMARY) == 2, 60, "the primary to shrink")
        sim.user.apply(scenario.workload)
        await sim.rest(60)
        assert replicas(sim, PRIMARY) == 2
        sizes = [one for one in sim.history.changes if one.ref == PRIMARY and one.before and one.after]
        resized = [one.writer for one in sizes if one.before["spec"]["replicas"] != one.after["spec"]["replicas"]]
        assert set(resized) == {SCALER}

    simulate(story)
