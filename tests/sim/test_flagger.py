"""What Flagger left is taken over under load, and given back for Flagger to start again."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from canary.core.flagger.remains import FLAGGER
from canary.core.objects import AUTOSCALER, DAEMON_SET, DESTINATION_RULE, SERVICE, Ref
from canary.sim.driver import Simulation, simulate
from canary.sim.flagger import ask, left_by_flagger
from canary.sim.manifests import config_map, reading
from canary.sim.scenario import Scenario, on_each_node, release, scaled
from canary.sim.user import User
from tests.sim.stories import (
    APEX,
    CANARY,
    NAMESPACE,
    PRIMARY,
    ROUTE,
    TARGET,
    V2,
    condition,
    found,
    harmed,
    image,
    ours,
    quick,
    ready,
    replicas,
    steps,
)

SERVICES = tuple(Ref(SERVICE, NAMESPACE, f"catalog-{role}") for role in ("primary", "canary"))
RULES = tuple(Ref(DESTINATION_RULE, NAMESPACE, f"catalog-{role}") for role in ("primary", "canary"))
TARGETS = {"app": "catalog"}
SERVED_BY_FLAGGER = {"app": "catalog-primary"}


def flagger(sim: Simulation) -> User:
    """Return who writes as Flagger does."""
    return User(sim.world, FLAGGER)


async def asked(sim: Simulation, scenario: Scenario, **status: Any) -> None:
    """Start from what Flagger left, and ask for the take-over with our controller at work."""
    await left_by_flagger(sim, scenario, **status)
    sim.start_controller()
    await sim.rest(2)
    ask(sim, scenario)


def goes_with_the_canary(sim: Simulation) -> list[Ref]:
    """Return what the cluster would take away with the Canary."""
    return [ref for ref, obj in sim.world.everything() if obj["metadata"].get("ownerReferences")]


def test_what_flagger_left_is_taken_over_without_a_failed_request() -> None:
    """Its primary serves until the target does, ours takes the name over, and a release follows as any other."""
    scenario = quick(replicas=3)

    async def story(sim: Simulation) -> None:
        await asked(sim, scenario)
        smallest = [ready(sim, PRIMARY) + ready(sim, TARGET)]
        sim.pods.after.append(lambda pod: smallest.append(ready(sim, PRIMARY) + ready(sim, TARGET)))
        await sim.until_phase("Initialized", 300)
        await sim.rest(60)
        assert min(smallest) == 3
        assert found(sim, PRIMARY)["spec"]["selector"]["matchLabels"] == {
            "app": "catalog",
            "canary.delivery/role": "primary",
        }
        assert (replicas(sim, TARGET), replicas(sim, PRIMARY)) == (0, 3)
        assert goes_with_the_canary(sim) == []
        assert [sim.world.find(rule) for rule in RULES] == [None, None]
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, begun)[1:3] == [("Progressing", 25), ("Progressing", 50)]
        assert image(sim, PRIMARY) == V2
        assert harmed(sim) == 0

    simulate(story, seed=1)


def test_primary_of_flagger_settles_before_it_goes() -> None:
    """Its callers get the settle time of the Canary, and metrics show none any more (I3)."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await asked(sim, scenario)
        await sim.until_phase("Initialized", 300)
        turned = [one.at for one in ours(sim, 0, APEX) if one.after and one.after["spec"]["selector"] == TARGETS]
        gone = [one.at for one in ours(sim, 0, PRIMARY) if one.verb == "delete"]
        assert gone[0] - turned[0] >= 5 + sim.dataplane.scrape_interval / 2

    simulate(story, seed=14)


def test_canary_of_flagger_is_left_alone_until_its_user_asks() -> None:
    """Without the annotation nothing is written, whatever is there."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await left_by_flagger(sim, scenario)
        sim.start_controller()
        await sim.rest(60)
        assert ours(sim, 0) == []

    simulate(story, seed=2)


def test_route_follows_the_spec_after_the_take_over() -> None:
    """The VirtualService that Flagger made from the spec is ours from then on."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await asked(sim, scenario)
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        sim.user.edit(scenario.ref, {"spec": {"service": {"timeout": "7s"}}})
        await sim.rest(5)
        assert [entry["timeout"] for entry in found(sim, ROUTE)["spec"]["http"]] == ["7s"]
        assert harmed(sim) == 0

    simulate(story, seed=3)


def test_back_out_leaves_what_flagger_starts_from() -> None:
    """The Canary deleted after a release: the target serves alone at its size, and nothing of ours is left."""
    scenario = quick(replicas=3)

    async def story(sim: Simulation) -> None:
        await asked(sim, scenario)
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 300)
        await sim.rest(30)
        sim.user.delete(scenario.ref)
        await sim.rest(180)
        assert (image(sim, TARGET), replicas(sim, TARGET)) == (V2, 3)
        assert found(sim, APEX)["spec"]["selector"] == {"app": "catalog"}
        for gone in (PRIMARY, CANARY, *SERVICES, ROUTE):
            assert sim.world.find(gone) is None
        assert harmed(sim) == 0

    simulate(story, seed=4)


def test_canary_deleted_in_the_middle_of_the_take_over_takes_nothing_away() -> None:
    """From the first write on, what serves does not go when the Canary goes (W10)."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await asked(sim, scenario)
        await sim.until(lambda: replicas(sim, TARGET) > 0, 30, "the target")
        assert goes_with_the_canary(sim) == []
        sim.user.delete(scenario.ref)
        await sim.rest(120)
        assert ready(sim, PRIMARY) == 2
        assert harmed(sim) == 0

    simulate(story, seed=5)


def test_controller_restarted_in_the_take_over_goes_on() -> None:
    """Each stage is read from the world; wherever the controller dies, the next one carries on."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await asked(sim, scenario)
        for _ in range(12):
            await sim.rest(4)
            await sim.restart_controller(1)
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        assert harmed(sim) == 0

    simulate(story, seed=6)


def test_flagger_that_is_still_at_work_is_found_out() -> None:
    """It puts the route back at its next look: nothing is moved off its primary until it is stopped."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await left_by_flagger(sim, scenario)
        route, apex = (copy.deepcopy(found(sim, ref)["spec"]) for ref in (ROUTE, APEX))
        sim.start_controller()
        ask(sim, scenario)
        for _ in range(6):
            await sim.rest(10)
            flagger(sim).edit(ROUTE, {"spec": route})
            flagger(sim).edit(APEX, {"spec": apex})
        await sim.rest(1)
        assert found(sim, APEX)["spec"]["selector"] == SERVED_BY_FLAGGER
        told = [told.event.message for told in sim.history.events if told.event.reason == "FlaggerActive"]
        assert told
        assert told[0].endswith("by flagger: Flagger is still at work; scale its Deployment to 0")
        assert ready(sim, PRIMARY) == 2
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        assert harmed(sim) == 0

    simulate(story, seed=7)


def test_target_that_says_something_else_than_production_runs_is_not_scaled_up() -> None:
    """Code that nobody released never runs: the user puts it back first, and then all goes its way (I9)."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await left_by_flagger(sim, scenario, phase="Failed")
        sim.user.apply(scenario.revised(V2))
        sim.start_controller()
        ask(sim, scenario)
        await sim.rest(60)
        told = [told.event.message for told in sim.history.events if told.event.reason == "TakeOverRefused"]
        assert len(told) == 1
        assert "Deployment catalog-primary does not run what Deployment catalog says" in told[0]
        assert "spec.template.spec.containers[0].image" in told[0]
        assert ours(sim, 0) == []
        sim.user.apply(scenario.workload)
        sim.user.scale(TARGET, 0)
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        assert harmed(sim) == 0

    simulate(story, seed=8)


def test_release_of_flagger_under_way_is_left_to_it() -> None:
    """Between two versions nothing is taken over."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await asked(sim, scenario, phase="Progressing")
        await sim.rest(60)
        told = [told.event.message for told in sim.history.events if told.event.reason == "TakeOverRefused"]
        assert len(told) == 1
        assert "in phase Progressing; start Flagger again and let it end" in told[0]
        assert ours(sim, 0) == []
        assert condition(sim, "Ready") == {}

    simulate(story, seed=9)


def test_autoscaler_is_held_after_the_take_over() -> None:
    """The copy that Flagger made of it goes with the primary it scaled; production keeps its size."""
    canary, scaler = scaled(quick().canary, 2, 5)
    scenario = Scenario(canary, replicas=3, scaler=scaler)

    async def story(sim: Simulation) -> None:
        await asked(sim, scenario)
        await sim.until_phase("Initialized", 300)
        await sim.rest(60)
        found_scalers = sim.world.select(AUTOSCALER, NAMESPACE)
        assert [one["metadata"]["name"] for one in found_scalers] == ["catalog-sizes"]
        assert found_scalers[0]["spec"]["scaleTargetRef"]["name"] == "catalog-primary"
        assert ready(sim, PRIMARY) >= 2
        assert harmed(sim) == 0

    simulate(story, seed=10)


def test_configuration_edited_since_flagger_copied_it_is_not_taken_over() -> None:
    """What production reads is what it goes on reading: a newer ConfigMap is a release of its own."""
    scenario = quick()
    scenario.given = [reading(scenario.workload, "catalog-config")]
    scenario.configuration = [config_map(mode="one")]

    async def story(sim: Simulation) -> None:
        await left_by_flagger(sim, scenario)
        sim.user.apply(config_map(mode="two"))
        sim.start_controller()
        ask(sim, scenario)
        await sim.rest(60)
        told = [told.event.message for told in sim.history.events if told.event.reason == "TakeOverRefused"]
        assert len(told) == 1
        assert "ConfigMap catalog-config was changed since Deployment catalog-primary got its copy" in told[0]
        assert ours(sim, 0) == []
        sim.user.apply(config_map(mode="one"))
        await sim.until_phase("Initialized", 300)
        await sim.rest(30)
        assert harmed(sim) == 0

    simulate(story, seed=11)


@pytest.mark.parametrize(
    ("body", "cure"),
    [
        ({"metadata": {"finalizers": ["finalizer.flagger.app"]}}, """-p '{"metadata":{"finalizers":null}}'"""),
        ({"spec": {"suspend": True}}, "set spec.suspend and spec.paused to false"),
    ],
)
def test_canary_that_cannot_be_taken_over_says_what_is_in_the_way(body: Any, cure: str) -> None:
    """One event with the cure, and nothing is written before."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await left_by_flagger(sim, scenario)
        sim.user.edit(scenario.ref, body)
        sim.start_controller()
        ask(sim, scenario)
        await sim.rest(60)
        assert [cure in told.event.message for told in sim.history.events] == [True]
        assert ours(sim, 0) == []

    simulate(story, seed=12)


def test_route_led_to_the_canary_is_not_taken_over() -> None:
    """Callers at code that is not production are Flagger's to bring back."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await left_by_flagger(sim, scenario)
        flagger(sim).set_weights(ROUTE, {"catalog-primary": 99, "catalog-canary": 1})
        sim.start_controller()
        ask(sim, scenario)
        await sim.rest(60)
        assert ["leads to Service catalog-canary" in told.event.message for told in sim.history.events] == [True]
        assert ours(sim, 0) == []

    simulate(story, seed=13)


def test_daemon_set_is_taken_over_node_by_node() -> None:
    """Flagger keeps it off all nodes by the selector that we use too."""
    scenario = Scenario(on_each_node(quick().canary))

    async def story(sim: Simulation) -> None:
        await asked(sim, scenario)
        await sim.until_phase("Initialized", 300)
        await sim.rest(60)
        assert sim.world.find(replace(TARGET, resource=DAEMON_SET, name="catalog-primary"))
        assert sim.pods.of(found(sim, scenario.target)["metadata"]["uid"]) == []
        assert harmed(sim) == 0

    simulate(story, seed=15)


def test_objects_that_stood_there_before_flagger_stay_in_the_end() -> None:
    """Service and VirtualService of the user, which Flagger wrote to but does not own, outlast both controllers."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await left_by_flagger(sim, scenario)
        for ref in (APEX, ROUTE):
            flagger(sim).edit(ref, {"metadata": {"ownerReferences": None}})
        sim.start_controller()
        ask(sim, scenario)
        await sim.until_phase("Initialized", 300)
        await sim.rest(60)
        sim.user.delete(scenario.ref)
        await sim.rest(120)
        assert [leg["destination"] for leg in found(sim, ROUTE)["spec"]["http"][0]["route"]] == [{"host": "catalog"}]
        assert found(sim, APEX)["spec"]["selector"] == TARGETS
        assert harmed(sim) == 0

    simulate(story, seed=16)
