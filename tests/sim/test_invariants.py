"""The invariant checker finds what a controller does wrong: each test plays a rogue one."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from canary.core.names import MANAGER, REVISION_LABEL, ROLE_LABEL
from canary.core.objects import CONFIG_MAP, DEPLOYMENT, SERVICE, Object, Ref
from canary.sim.driver import Simulation, simulate
from canary.sim.invariants import InvariantError
from canary.sim.manifests import config_map, reading
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise, own_route, release, serve
from canary.sim.stage import Stage

NAMESPACE = "istioinaction"
PRIMARY = Ref(DEPLOYMENT, NAMESPACE, "catalog-primary")
CANARY = Ref(DEPLOYMENT, NAMESPACE, "catalog-canary")
TARGET = Ref(DEPLOYMENT, NAMESPACE, "catalog")
APEX = Ref(SERVICE, NAMESPACE, "catalog")
SCENARIO = Scenario()


def routes(primary: int, canary: int, host: str = "catalog-canary") -> dict[str, Any]:
    """Return a patch of the route."""
    legs = [
        {"destination": {"host": "catalog-primary"}, "weight": primary},
        {"destination": {"host": host}, "weight": canary},
    ]
    return {"spec": {"http": [{"route": legs}]}}


def write(sim: Simulation, ref: Ref, body: Any, subresource: str = "") -> None:
    """Write as the controller, on the present version."""
    found = sim.world.find(ref)
    assert found is not None
    version = found["metadata"]["resourceVersion"]
    sim.world.patch(ref, body, writer=MANAGER, resource_version=version, subresource=subresource)


def remove(sim: Simulation, ref: Ref) -> None:
    """Delete as the controller, on the present version."""
    metadata = (sim.world.find(ref) or {})["metadata"]
    sim.world.delete(ref, writer=MANAGER, uid=metadata["uid"], resource_version=metadata["resourceVersion"])


async def come_to(sim: Simulation, weight: int) -> None:
    """Begin a release and wait for a weight, unless that is 0."""
    if weight:
        await release(sim, SCENARIO, "catalog:v2")
        await sim.until_weight(weight, 600)
        await sim.rest(1)


def rogue(act: Callable[[Simulation], None], *, weight: int = 0, scenario: Scenario = SCENARIO) -> str:
    """Let a controller come to a weight, die, and something else write in its name; return what is found."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        await come_to(sim, weight)
        sim.kill_controller()
        act(sim)
        await sim.rest(5)

    with pytest.raises(InvariantError) as caught:
        simulate(story)
    return str(caught.value)


def test_route_to_a_missing_host() -> None:
    """I2: a host that does not exist."""
    assert rogue(lambda sim: write(sim, SCENARIO.route, routes(100, 0, "nowhere"))).startswith("I2 ")


def test_traffic_taken_off_a_missing_host_may_be_written() -> None:
    """I2: a leg on a Service that somebody deleted may go to 0 but not stay above it, nor be new at 0."""
    service = Ref(SERVICE, NAMESPACE, "catalog-canary")

    def leaving(canary: int) -> Callable[[Simulation], None]:
        def act(sim: Simulation) -> None:
            sim.user.delete(service)
            write(sim, SCENARIO.route, routes(100 - canary, canary))

        return act

    assert "I2 at" in all_of(leaving(5), weight=10)
    assert "I2 at" not in all_of(leaving(0), weight=10)
    assert "I2 at" in all_of(lambda sim: write(sim, SCENARIO.route, routes(100, 0, "nowhere")))


def test_weight_on_a_set_without_pods() -> None:
    """I6: a weight where nothing is ready."""
    assert rogue(lambda sim: write(sim, SCENARIO.route, routes(90, 10))).startswith("I6 ")


def test_apex_service_on_a_set_without_pods() -> None:
    """I6: a selector where nothing is ready."""
    body = {"spec": {"selector": {ROLE_LABEL: "canary"}}}
    assert rogue(lambda sim: write(sim, APEX, body)).startswith("I6 ")


def test_weight_before_capacity() -> None:
    """I8: all traffic for a canary of one pod beside a primary of two."""
    found = rogue(lambda sim: write(sim, SCENARIO.route, routes(0, 100)), weight=10)
    assert found.startswith("I8 ")


def test_copies_before_capacity() -> None:
    """I8: every request copied to one pod of two."""
    mirror = {"mirror": {"host": "catalog-canary"}, "mirrorPercentage": {"value": 100}}
    route = {**routes(90, 10)["spec"]["http"][0], **mirror}
    found = rogue(lambda sim: write(sim, SCENARIO.route, {"spec": {"http": [route]}}), weight=10)
    assert found.startswith("I8 ")
    assert "100 % of requests are copied to the canary with 1 of 2 ready pods" in found


def test_shrinking_what_still_has_traffic() -> None:
    """I3: the canary loses its pods while it has weight."""
    assert rogue(lambda sim: write(sim, CANARY, {"spec": {"replicas": 0}}), weight=10).startswith("I3 ")


def test_shrinking_before_the_drain_is_over() -> None:
    """I3: the canary loses its pods right after its weight."""

    def act(sim: Simulation) -> None:
        write(sim, SCENARIO.route, routes(100, 0))
        sim.at(3, lambda: write(sim, CANARY, {"spec": {"replicas": 0}}))

    assert rogue(act, weight=10).startswith("I3 ")


def test_primary_taken_down_as_its_route_goes() -> None:
    """I3: after a give-back the target carries callers, but proxies still send by the route of a moment ago."""

    def act(sim: Simulation) -> None:
        sim.user.delete(SCENARIO.ref)
        write(sim, TARGET, {"spec": {"replicas": 2}})
        sim.at(10, lambda: write(sim, APEX, {"spec": {"selector": {ROLE_LABEL: None}}}))
        sim.at(11, lambda: remove(sim, SCENARIO.route))
        sim.at(after, lambda: write(sim, PRIMARY, {"spec": {"replicas": 0}}))

    after = 12.0
    assert "I3 at" in all_of(act, seconds=30)
    after = 27.0
    assert "I3 at" not in all_of(act, seconds=30)


def test_unproven_code_in_the_primary() -> None:
    """I10: a template nobody analysed enters the primary."""

    def act(sim: Simulation) -> None:
        template = {"spec": {"containers": [{"name": "catalog", "image": "catalog:v9"}]}}
        write(sim, PRIMARY, {"spec": {"template": template}})

    # The primary is serving: the roll alone breaks I3, too.
    assert "I10 " in all_of(act)


def all_of(act: Callable[[Simulation], None], *, weight: int = 0, seconds: float = 5) -> str:
    """Return everything the checker finds once a weight is come to, one to a line."""
    found: list[str] = []

    async def story(sim: Simulation) -> None:
        await initialise(sim, SCENARIO)
        await come_to(sim, weight)
        sim.kill_controller()
        act(sim)
        await sim.rest(seconds)
        found.extend(str(one) for one in sim.checker.violations)

    simulate(story, judge=False)
    return "\n".join(found)


def test_live_requests_for_unvalidated_code() -> None:
    """I9: pods of a new template get requests that no weight sent there."""

    def act(sim: Simulation) -> None:
        sim.user.apply(SCENARIO.revised("catalog:v2"))
        body = {"spec": {"selector": {ROLE_LABEL: None}}}
        sim.world.patch(APEX, body, writer="somebody")

    assert rogue(act).startswith("I9 ")


def test_roll_out_in_an_initialisation_is_production_until_the_hand_over() -> None:
    """I9: what a user rolls out is known code only while the target has the traffic."""

    async def story(sim: Simulation) -> None:
        stage = Stage(sim, SCENARIO)
        await serve(sim, SCENARIO)
        sim.start_controller()
        sim.user.apply(SCENARIO.canary)
        await sim.rest(1)
        assert (sim.state()[0], stage.let_go) == ("Initializing", True)
        await sim.until(lambda: ROLE_LABEL in (sim.world.find(APEX) or {})["spec"]["selector"], 60)
        assert (sim.state()[0], stage.let_go) == ("Initializing", False)
        await sim.until_phase("Initialized")
        sim.user.edit(APEX, {"spec": {"selector": {ROLE_LABEL: None}}})
        assert not stage.let_go

    simulate(story)


def test_weights_that_do_not_sum_to_100() -> None:
    """I12: 95 and 10."""
    found = rogue(
        lambda sim: write(sim, SCENARIO.route, routes(95, 5)) or write(sim, SCENARIO.route, routes(95, 10)), weight=20
    )
    assert found.startswith("I12 ")


def test_writing_the_route_twice_in_a_step() -> None:
    """I12: one weight, then another."""

    def act(sim: Simulation) -> None:
        write(sim, SCENARIO.route, routes(79, 21))

    assert rogue(act, weight=20).startswith("I12 ")


def test_traffic_left_on_a_dead_canary() -> None:
    """I13: a controller that is up must take traffic off a canary without pods."""

    def act(sim: Simulation) -> None:
        for memory in sim.checker.memories():
            memory.controllers, memory.started = 1, -100.0
        sim.kill_pods(NAMESPACE, "catalog-canary")

    assert rogue(act, weight=10).startswith("I13 ")


def test_success_before_the_primary_is_done() -> None:
    """I14: Succeeded while the canary has weight."""
    status = {"status": {"phase": "Succeeded", "canaryWeight": 0}}
    assert rogue(lambda sim: write(sim, SCENARIO.ref, status, "status"), weight=10).startswith("I14 ")


def test_a_step_too_early() -> None:
    """I18: the next weight a second after the last."""
    status = {"status": {"canaryWeight": 20}}
    assert rogue(lambda sim: write(sim, SCENARIO.ref, status, "status"), weight=10).startswith("I18 ")


def test_a_lost_annotation() -> None:
    """I20: a foreign annotation is taken away."""

    def act(sim: Simulation) -> None:
        sim.user.annotate(SCENARIO.route, "example.com/x", "y")
        write(sim, SCENARIO.route, {"metadata": {"annotations": {"example.com/x": None}}})

    assert rogue(act).startswith("I20 ")


def test_writes_without_their_guards() -> None:
    """I21: no resourceVersion, no uid, no live read of the routes before pods go."""
    assert rogue(
        lambda sim: sim.world.patch(APEX, {"metadata": {"labels": {"canary.delivery/x": "y"}}}, writer=MANAGER) and None
    ).startswith("I21 ")
    assert rogue(lambda sim: sim.world.delete(TARGET, writer=MANAGER)).startswith("I21 ")

    def act(sim: Simulation) -> None:
        write(sim, SCENARIO.route, routes(100, 0))
        sim.at(40, lambda: write(sim, CANARY, {"spec": {"replicas": 0}}))

    async def story(sim: Simulation) -> None:
        await initialise(sim, SCENARIO)
        await release(sim, SCENARIO, "catalog:v2")
        await sim.until_weight(10, 600)
        sim.kill_controller()
        act(sim)
        await sim.rest(50)

    with pytest.raises(InvariantError, match=r"^I21 "):
        simulate(story)


def test_a_settled_controller_that_reads() -> None:
    """I19: a read when nothing changed for minutes."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, SCENARIO)
        await sim.rest(300)
        assert sim.process is not None
        found: Object | None = await sim.process.cluster.read(APEX)
        assert found is not None
        await sim.rest(1)

    with pytest.raises(InvariantError, match=r"^I19 "):
        simulate(story)


def test_a_restart_that_writes() -> None:
    """I5: a fresh controller writes though nothing changed."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, SCENARIO)
        await sim.rest(300)
        await sim.restart_controller()
        found = sim.world.find(SCENARIO.route)
        assert found is not None
        assert sim.process is not None
        body = {"metadata": {"annotations": {"canary.delivery/x": "y"}}}
        await sim.process.cluster.patch(SCENARIO.route, body, resource_version=found["metadata"]["resourceVersion"])
        await sim.rest(1)

    with pytest.raises(InvariantError, match=r"^I5 "):
        simulate(story)


def configured() -> Scenario:
    """Return the scenario with a Deployment that reads a ConfigMap."""
    workload = reading(SCENARIO.workload, "catalog-config")
    return Scenario(given=[workload], configuration=[config_map(mode="one")])


def copy_read_by(sim: Simulation, ref: Ref) -> Ref:
    """Return the copy that a Deployment's pods read."""
    found = sim.world.find(ref)
    assert found is not None
    container = found["spec"]["template"]["spec"]["containers"][0]
    return Ref(CONFIG_MAP, NAMESPACE, container["envFrom"][0]["configMapRef"]["name"])


def test_copy_deleted_while_it_is_read() -> None:
    """I10: the configuration of production goes while its pods need it."""

    def act(sim: Simulation) -> None:
        remove(sim, copy_read_by(sim, PRIMARY))

    assert rogue(act, scenario=configured()).startswith("I10 ")


def test_clone_made_without_its_copy() -> None:
    """I10: a primary that refers to a copy which nobody made."""

    def act(sim: Simulation) -> None:
        template = deepcopy((sim.world.find(PRIMARY) or {})["spec"]["template"])
        template["metadata"]["labels"][REVISION_LABEL] = "other"
        template["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "catalog-config-other"}}]
        write(sim, PRIMARY, {"spec": {"template": template}})

    assert "ConfigMap catalog-config-other, which does not exist" in all_of(act)


def test_copy_left_behind() -> None:
    """A copy of a revision that nothing needs is found at rest."""

    async def story(sim: Simulation) -> None:
        scenario = configured()
        await initialise(sim, scenario)
        sim.kill_controller()
        stray = config_map("catalog-config-old")
        stray["metadata"]["labels"] = {REVISION_LABEL: "old"}
        sim.user.apply(stray)
        assert "catalog-config-old is still there" in (wrong_at_rest(sim, scenario) or "")

    simulate(story)


@pytest.mark.parametrize(
    ("gone", "found"), [((), True), ((APEX,), False), ((APEX, TARGET), True), ((APEX, SCENARIO.route), True)]
)
def test_clones_left_behind_for_a_route_without_its_service(gone: tuple[Ref, ...], found: bool) -> None:
    """They may stay only where the user's route would lead a target's callers nowhere."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(routes=(own_route(SCENARIO.canary),))
        await initialise(sim, scenario)
        sim.kill_controller()
        for ref in (scenario.ref, *gone):
            sim.user.delete(ref)
        assert ("still carries" in (wrong_at_rest(sim, scenario) or "")) is found

    simulate(story)
