"""Adopting what is there: nobody is harmed, and what stands in the way is named (items 2 and 15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from canary.core.names import MANAGER
from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY, Ref
from canary.sim.driver import Simulation, simulate
from canary.sim.manifests import deployment, service
from canary.sim.outcome import wrong_at_rest
from canary.sim.routing import Caller
from canary.sim.scenario import Scenario, initialise, listing_5_1, release, serve
from canary.sim.stage import Stage
from canary.sim.user import ref_of_manifest
from tests.sim.stories import (
    APEX,
    NAMESPACE,
    PRIMARY,
    ROUTE,
    TARGET,
    V2,
    V3,
    apex_role,
    condition,
    found,
    harmed,
    image,
    quick,
    ready,
    replicas,
    weights,
)


async def apply_canary(sim: Simulation, scenario: Scenario) -> None:
    """Serve under load, start the controller and apply the Canary."""
    await serve(sim, scenario)
    sim.start_controller()
    sim.user.apply(scenario.canary)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_live_service_is_adopted_without_a_failed_request_or_restart(size: int) -> None:
    """Under load: the target's pods live until the primary serves, and no pod of production restarts."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(replicas=size)
        await serve(sim, scenario)
        before = {pod.name for pod in sim.pods.all()}
        gone: list[tuple[str, int]] = []
        sim.pods.after.append(lambda pod: gone.append((pod.name, ready(sim, PRIMARY))) if pod.terminating else None)
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.until_phase("Initialized", 300)
        await sim.rest(60)
        assert {name for name, _ in gone} == before
        assert all(pods >= size for _, pods in gone)
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == sim.dataplane.requests.failed == 0

    simulate(story, seed=size)


def test_lone_deployment_gets_all_it_needs() -> None:
    """Service, VirtualService and DestinationRule were deleted before: everything is made and callers are served."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        sim.user.apply(scenario.workload)
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.until_phase("Initialized", 300)
        for mesh in (True, False):
            sim.dataplane.call(Caller("catalog", NAMESPACE, 20, mesh=mesh))
        await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 600)
        await sim.rest(400)
        assert wrong_at_rest(sim, scenario) is None
        assert sim.dataplane.requests.sent > 1000
        assert harmed(sim) == 0

    simulate(story)


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.05, 0.5, 1.9, 2.05, 2.1, 2.2, 5.0, 12.0])
@pytest.mark.parametrize("change", ["template", "restart", "twice"])
def test_target_that_changes_meanwhile_is_adopted_as_it_is_then(moment: float, change: str) -> None:
    """Changed at any moment of the initialisation: production is one of the two, nobody is harmed, all ends well."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await apply_canary(sim, scenario)
        await sim.rest(moment)
        sim.dataplane.stable.update({version_after(sim, scenario, V2), version_after(sim, scenario, V3)})
        sim.user.restart(TARGET) if change == "restart" else sim.user.apply(scenario.revised(V2))
        if change == "twice":
            await sim.rest(1)
            sim.user.apply(scenario.revised(V3))
        await sim.until(lambda: sim.state()[0] in ("Initialized", "Succeeded"), 300, "an end")
        await sim.rest(400)
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == 0
        wanted = {"template": V2, "twice": V3}.get(change)
        assert wanted in (None, image(sim, PRIMARY))

    simulate(story)


def version_after(sim: Simulation, scenario: Scenario, name: str) -> str:
    """Return the version a template would have: before the hand-over whatever the target holds is production."""
    from tests.sim.stories import version

    return version(scenario, name)


def test_target_that_rolls_is_waited_for() -> None:
    """A roll-out under way when the Canary is applied ends first."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3)
        await serve(sim, scenario)
        sim.dataplane.stable.add(version_after(sim, scenario, V2))
        sim.user.apply(scenario.revised(V2))
        await sim.rest(0.5)
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.rest(0.2)
        assert "rollout" in sim.status()["message"]
        await sim.until_phase("Initialized", 300)
        assert image(sim, PRIMARY) == V2
        assert harmed(sim) == 0

    simulate(story)


async def at_initializing(sim: Simulation, scenario: Scenario) -> None:
    """Come to the middle of the initialisation."""
    await apply_canary(sim, scenario)
    await sim.rest(1)


async def at_handover(sim: Simulation, scenario: Scenario) -> None:
    """Come to the moment in which the target still settles."""
    await apply_canary(sim, scenario)
    await sim.until(lambda: ROUTE in dict(sim.world.everything()) and apex_role(sim) == "primary", 60, "hand-over")


async def at_initialized(sim: Simulation, scenario: Scenario) -> None:
    """Come to rest."""
    await initialise(sim, scenario)


async def at_progressing(sim: Simulation, scenario: Scenario) -> None:
    """Come to a weight."""
    await initialise(sim, scenario)
    await release(sim, scenario, V2)
    await sim.until_weight(25)
    await sim.rest(2)


async def at_promoting(sim: Simulation, scenario: Scenario) -> None:
    """Come to the cut-over before the primary is touched."""
    await initialise(sim, scenario)
    await release(sim, scenario, V2)
    await sim.until_phase("Promoting")
    await sim.rest(2)


async def at_touched(sim: Simulation, scenario: Scenario) -> None:
    """Come to the moment in which the primary rolls."""
    await at_promoting(sim, scenario)
    await sim.until(lambda: image(sim, PRIMARY) == V2, 60, "primary rolls")


async def at_finalising(sim: Simulation, scenario: Scenario) -> None:
    """Come to the way back."""
    await at_promoting(sim, scenario)
    await sim.until_phase("Finalising")
    await sim.rest(1)


async def at_succeeded(sim: Simulation, scenario: Scenario) -> None:
    """Come to the end of a release."""
    await at_promoting(sim, scenario)
    await sim.until_phase("Succeeded")


async def at_failed(sim: Simulation, scenario: Scenario) -> None:
    """Come to the end of a rollback."""
    from canary.sim.behaviour import Behaviour

    sim.behaviours.put(Behaviour(ready_after=None), image=V2)
    await initialise(sim, scenario)
    await release(sim, scenario, V2)
    await sim.until_phase("Failed")
    sim.behaviours.heal()
    sim.kill_pods(NAMESPACE, "catalog-canary")


Reach = Callable[[Simulation, Scenario], Any]
EVERYWHERE: list[Reach] = [
    at_initializing,
    at_handover,
    at_initialized,
    at_progressing,
    at_promoting,
    at_touched,
    at_finalising,
    at_succeeded,
    at_failed,
]


@pytest.mark.parametrize("reach", EVERYWHERE)
def test_erased_status_ends_in_a_serving_system(reach: Reach) -> None:
    """Restored without status in any phase: taken up make-before-break, a target that differs is released."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3)
        await reach(sim, scenario)
        erased = sim.now
        sim.user.erase_status(scenario.ref)
        await sim.rest(600)
        assert sim.state()[0] in ("Initialized", "Succeeded")
        assert wrong_at_rest(sim, scenario) is None
        assert image(sim, PRIMARY) == image(sim, TARGET), erased
        assert harmed(sim) == 0

    simulate(story)


def test_primary_that_never_gets_ready_leaves_the_target_serving() -> None:
    """On its deadline the initialisation says so and stays; the target is untouched; a cure is answered."""

    async def story(sim: Simulation) -> None:
        from canary.sim.behaviour import Behaviour

        scenario = quick(2)
        sim.behaviours.put(Behaviour(ready_after=None), deployment="catalog-primary")
        await apply_canary(sim, scenario)
        await sim.rest(120)
        assert sim.state()[0] == "Initializing"
        assert condition(sim, "Ready")["status"] == "False"
        assert replicas(sim, TARGET) == 2
        assert apex_role(sim) == ""
        sim.behaviours.heal()
        sim.kill_pods(NAMESPACE, "catalog-primary")
        await sim.until_phase("Initialized", 120)
        assert harmed(sim) == 0

    simulate(story)


FOREIGN_PRIMARY = deployment("catalog-primary", labels={"app": "other"}, replicas=0)
FOREIGN_SERVICE = service("catalog-canary", selector={"app": "other"})


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("service", "ForeignService"),
        ("autoscaler", "AutoscalerPresent"),
        ("route", "HostTaken"),
        ("machine", "WorkloadEntrySelected"),
        (FOREIGN_PRIMARY, "NameTaken"),
        (FOREIGN_SERVICE, "NameTaken"),
    ],
)
@pytest.mark.parametrize("when", ["before", "later"])
def test_obstacle_is_named_and_its_removal_recovers(what: Any, reason: str, when: str) -> None:
    """Within a second a condition says what stands in the way; nothing is touched; once it is gone all goes on."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        body = Stage(sim, scenario).obstacle(what) if isinstance(what, str) else what
        if when == "later":
            if not isinstance(what, str):
                return
            await initialise(sim, scenario)
            sim.user.apply(body)
            sim.user.apply(scenario.revised(V2))
        else:
            sim.user.apply(body)
            await apply_canary(sim, scenario)
        since = sim.now
        await sim.rest(1)
        assert (condition(sim, "Ready")["status"], condition(sim, "Ready")["reason"]) == ("False", reason)
        assert body["metadata"]["name"] in condition(sim, "Ready")["message"]
        await sim.rest(60)
        touched = {one.ref for one in sim.history.writes(MANAGER, since)} - {scenario.ref, TARGET}
        assert not touched
        sim.user.delete(ref_of_manifest(body))
        await sim.until_phase("Initialized" if when == "before" else "Succeeded", 300)
        await sim.rest(60)
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == 0

    simulate(story)


def fronted_by(front: dict[str, Any], port: int = 80) -> Scenario:
    """Return a Canary with a port on two pods of catalog behind a Service."""
    canary = quick().canary
    spec = {**canary["spec"], "service": {**canary["spec"]["service"], "port": port}}
    return Scenario({**canary, "spec": spec}, given=[deployment(replicas=2), front])


ANOTHER_PORT, OTHER_PODS = service(port=8080), service(selector={"app": "other"})


@pytest.mark.parametrize(
    ("wrong", "right", "reason", "says"),
    [
        (ANOTHER_PORT, fronted_by(service()), "PortMismatch", "has ports 8080, spec.service.port is 80; correct one"),
        (ANOTHER_PORT, fronted_by(ANOTHER_PORT, 8080), "PortMismatch", "correct one of them"),
        (OTHER_PODS, fronted_by(service()), "ApexSelectsOthers", "does not select the pods of Deployment catalog"),
    ],
)
def test_apex_that_does_not_fit_is_named_and_its_correction_recovers(
    wrong: dict[str, Any], right: Scenario, reason: str, says: str
) -> None:
    """A Service with another port or of other pods: refused, nothing touched, nobody harmed; corrected, all goes on."""

    async def story(sim: Simulation) -> None:
        sim.user.apply(deployment("other", image="other:v1"))
        await apply_canary(sim, fronted_by(wrong))
        since = sim.now
        await sim.rest(1)
        found = condition(sim, "Ready")
        assert (found["status"], found["reason"]) == ("False", reason)
        assert found["message"].startswith("Service catalog ")
        assert says in found["message"]
        assert found["message"] == sim.status()["message"]
        await sim.rest(60)
        assert {one.ref for one in sim.history.writes(MANAGER, since)} <= {right.ref}
        assert sim.history.reasons().count(reason) == 1
        sim.user.apply(right.objects[1])
        sim.user.apply(right.canary)
        await sim.until_phase("Initialized", 120)
        assert condition(sim, "Ready")["status"] == "True"
        await release(sim, right, V2)
        await sim.until_phase("Succeeded", 300)
        await sim.rest(60)
        assert wrong_at_rest(sim, right) is None
        assert harmed(sim) == 0

    simulate(story)


def test_foreign_service_may_be_allowed() -> None:
    """An annotation on the Service is the cure."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        body = Stage(sim, scenario).obstacle("service")
        sim.user.apply(body)
        await apply_canary(sim, scenario)
        await sim.rest(5)
        sim.user.annotate(ref_of_manifest(body), "canary.delivery/allow-canary", "true")
        await sim.until_phase("Initialized", 60)

    simulate(story)


def test_missing_target_is_waited_for() -> None:
    """The Canary first, the Deployment later."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.rest(1)
        assert condition(sim, "Ready")["reason"] == "TargetMissing"
        sim.user.apply(scenario.workload)
        await sim.until_phase("Initialized", 60)
        assert found(sim, APEX)["spec"]["selector"]["canary.delivery/role"] == "primary"

    simulate(story)


@pytest.mark.parametrize("api", [FLAGGER_CANARY, NATIVE_CANARY])
def test_second_canary_on_a_target_is_told_and_takes_over_when_the_first_goes(api: Any) -> None:
    """Two Canaries on one target: the newer one waits and says so; it serves once the older is deleted."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await initialise(sim, scenario)
        other = listing_5_1(interval="10s", drainSeconds=5)
        other["metadata"]["name"] = "another"
        other["apiVersion"] = api.api_version
        sim.user.apply(other)
        ref = ref_of_manifest(other)
        since = sim.now
        await sim.rest(1)
        assert condition(sim, "Ready", ref)["reason"] == "TargetTaken"
        assert {one.ref for one in sim.history.writes(MANAGER, since)} <= {ref, scenario.ref}
        sim.user.delete(scenario.ref)
        await sim.until_phase("Initialized", 300, ref=ref)
        await sim.rest(60)
        assert wrong_at_rest(sim, Scenario(other, replicas=2)) is None
        assert harmed(sim) == 0

    simulate(story)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"threshold": 0}, "spec.analysis.threshold"),
        ({"stepWeight": -1}, "spec.analysis.stepWeight"),
        ({"interval": "soon"}, "spec.analysis.interval"),
    ],
)
def test_wrong_spec_touches_nothing_and_its_correction_recovers(change: dict[str, Any], says: str) -> None:
    """What admission would refuse and somebody forced in: a condition names the field."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(listing_5_1(**change), replicas=2)
        await apply_canary(sim, scenario)
        await sim.rest(1)
        assert condition(sim, "Ready")["reason"] == "SpecInvalid"
        assert says in condition(sim, "Ready")["message"]
        assert {one.ref for one in sim.history.writes(MANAGER)} == {scenario.ref}
        sim.user.apply(listing_5_1())
        await sim.until_phase("Initialized", 60)
        assert harmed(sim) == 0

    simulate(story)


def test_controller_killed_between_any_two_writes_of_an_initialisation() -> None:
    """Before or after each write: the next process ends what the last began; nobody is harmed."""
    writes = 12

    def story(skip: int, kind: Any) -> Any:
        async def play(sim: Simulation) -> None:
            from canary.sim.faults import ApiFault

            scenario = quick(2)
            sim.back_after = 3.0
            sim.faults.api.append(ApiFault(kind, skip=skip))
            await apply_canary(sim, scenario)
            await sim.until_phase("Initialized", 120)
            await sim.rest(30)
            assert wrong_at_rest(sim, scenario) is None
            assert weights(sim) == (100, 0)
            assert harmed(sim) == 0

        return play

    for skip in range(writes):
        for kind in ("crash before", "crash after"):
            simulate(story(skip, kind), seed=skip)


def test_reference_of_the_only_canary_is_found() -> None:
    """The driver's own convenience: a story with one Canary need not name it."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, quick(1))
        assert sim.canary() == Ref(FLAGGER_CANARY, NAMESPACE, "catalog-release")

    simulate(story)
