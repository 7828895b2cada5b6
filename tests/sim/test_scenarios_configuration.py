"""ConfigMaps that pods read: edits are released like templates, and production keeps what was analysed."""

from __future__ import annotations

from typing import Any

import pytest

from canary.core.names import REVISION_LABEL
from canary.core.objects import CONFIG_MAP, SECRET, Ref, labels_of
from canary.engine.configured import PINNED
from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import ApiFault
from canary.sim.manifests import config_map, deployment, reading
from canary.sim.outcome import left_behind
from canary.sim.scenario import Scenario, initialise, listing_5_1, release, serve
from tests.sim.stories import (
    CANARY,
    NAMESPACE,
    PRIMARY,
    TARGET,
    V2,
    condition,
    found,
    harmed,
    ours,
    quick,
    ready,
    replicas,
    steps,
    weights,
)

CONFIG = Ref(CONFIG_MAP, NAMESPACE, "catalog-config")
RUN = [("Progressing", 0), ("Progressing", 25), ("Progressing", 50), ("Promoting", 0), ("Finalising", 0)]


def configured(*names: str, optional: bool = False, maps: tuple[dict[str, Any], ...] | None = None) -> Scenario:
    """Return a quick scenario whose Deployment reads ConfigMaps."""
    scenario = quick()
    workload = reading(deployment(replicas=2), *(names or ("catalog-config",)), optional=optional)
    scenario.given = [workload]
    scenario.configuration = (config_map(mode="one"),) if maps is None else maps
    return scenario


def edit(sim: Simulation, mode: str) -> None:
    """Write another value into the ConfigMap."""
    sim.user.apply(config_map(mode=mode))


def read_by(sim: Simulation, ref: Ref) -> str:
    """Return the name of the ConfigMap that a Deployment's container takes its environment from."""
    container = found(sim, ref)["spec"]["template"]["spec"]["containers"][0]
    return str(container["envFrom"][0]["configMapRef"]["name"])


def mode_of(sim: Simulation, ref: Ref) -> str:
    """Return what the ConfigMap holds that a Deployment refers to."""
    return str(found(sim, Ref(CONFIG_MAP, NAMESPACE, read_by(sim, ref)))["data"]["mode"])


def copies(sim: Simulation) -> list[str]:
    """Return the names of the copies there are."""
    listed = sim.world.select(CONFIG_MAP, NAMESPACE)
    return [one["metadata"]["name"] for one in listed if REVISION_LABEL in labels_of(one)]


def test_initialisation_pins_what_production_reads() -> None:
    """The primary reads an immutable copy of its own, the target goes on referring to what its user wrote."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        revision = sim.status()["revision"]["primary"]
        assert read_by(sim, PRIMARY) == f"catalog-config-{revision}"
        copy = found(sim, Ref(CONFIG_MAP, NAMESPACE, f"catalog-config-{revision}"))
        assert (copy["data"], copy["immutable"]) == ({"mode": "one"}, True)
        assert read_by(sim, TARGET) == "catalog-config"
        assert list(sim.status()["trackedConfigs"]) == ["configmap/catalog-config"]
        assert harmed(sim) == 0

    simulate(story)


def test_edit_is_released_in_steps() -> None:
    """An edited ConfigMap starts a run; production keeps its copy until the promotion, unused copies go."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        since = sim.now
        edit(sim, "two")
        await sim.until_phase("Progressing", 2)
        await sim.until_weight(25, 60)
        assert (mode_of(sim, PRIMARY), mode_of(sim, CANARY)) == ("one", "two")
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, since) == [*RUN, ("Succeeded", 0)]
        assert read_by(sim, PRIMARY) == read_by(sim, CANARY)
        assert mode_of(sim, PRIMARY) == "two"
        edit(sim, "three")
        await sim.until_phase("Progressing", 60)
        await sim.until_phase("Succeeded", 300)
        await sim.rest(30)
        known = sim.status()["revision"]
        assert copies(sim) == sorted(f"catalog-config-{known[one]}" for one in ("primary", "previous"))
        assert harmed(sim) == 0

    simulate(story)


def test_bad_edit_is_rolled_back() -> None:
    """Configuration that breaks the canary never reaches the primary; edited again, it is tried again."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured(maps=(config_map(mode="one"),)))
        sim.behaviours.put(Behaviour(errors=60), mode="bad")
        edit(sim, "bad")
        await sim.until_phase("Failed", 600)
        await sim.rest(60)
        assert (mode_of(sim, PRIMARY), weights(sim), ready(sim, CANARY)) == ("one", (100, 0), 0)
        edit(sim, "good")
        await sim.until_phase("Succeeded", 300)
        assert mode_of(sim, PRIMARY) == "good"

    simulate(story)


def test_reverted_edit_ends_the_run() -> None:
    """Back at what production reads the run is over, without a new one."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        edit(sim, "two")
        await sim.until_weight(25, 60)
        edit(sim, "one")
        await sim.until_phase("Initialized", 10)
        await sim.rest(120)
        assert (sim.state(), weights(sim), replicas(sim, CANARY)) == (("Initialized", 0), (100, 0), 0)
        assert mode_of(sim, PRIMARY) == "one"
        assert harmed(sim) == 0

    simulate(story)


def test_edit_in_a_run_supersedes_it() -> None:
    """A newer edit takes the traffic off, and its run begins at weight 0 on its own copy."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        await release(sim, configured(), V2)
        await sim.until_weight(50, 120)
        edit(sim, "two")
        await sim.until(lambda: weights(sim) == (100, 0), 2, "all traffic on the primary")
        await sim.until_phase("Succeeded", 300)
        assert mode_of(sim, PRIMARY) == "two"
        assert harmed(sim) == 0

    simulate(story)


def test_edit_while_promoting_waits_for_its_own_run() -> None:
    """What is being promoted is what was analysed; the later edit is released after it."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        edit(sim, "two")
        await sim.until_phase("Finalising", 300)
        edit(sim, "three")
        await sim.rest(0.5)
        assert condition(sim, "RevisionPending")["status"] == "True"
        assert mode_of(sim, PRIMARY) == "two"
        await sim.until_phase("Succeeded", 60)
        await sim.until_phase("Progressing", 60)
        await sim.until_phase("Succeeded", 300)
        assert mode_of(sim, PRIMARY) == "three"

    simulate(story)


def test_missing_config_map_is_named_and_nothing_touched() -> None:
    """Before the ConfigMap is there nothing is made; when it comes the initialisation goes on."""

    async def story(sim: Simulation) -> None:
        scenario = configured()
        scenario.configuration = (config_map(mode="one"),)
        await serve(sim, scenario)
        sim.user.delete(CONFIG)
        sim.start_controller()
        sim.user.apply(scenario.canary)
        await sim.until(lambda: condition(sim, "Ready"), 5, "a condition")
        await sim.rest(30)
        assert condition(sim, "Ready")["reason"] == "ConfigMissing"
        assert "ConfigMap catalog-config" in condition(sim, "Ready")["message"]
        assert [one.ref for one in ours(sim, 0) if one.ref != scenario.ref] == []
        edit(sim, "one")
        await sim.until_phase("Initialized", 120)

    simulate(story)


def test_deleted_config_map_is_no_change() -> None:
    """Production reads its copy: a missing source is told and starts nothing, made again it changes nothing."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        sim.user.delete(CONFIG)
        await sim.rest(30)
        assert sim.state() == ("Initialized", 0)
        assert condition(sim, "Ready")["reason"] == "ConfigMissing"
        edit(sim, "one")
        await sim.rest(30)
        assert (sim.state(), condition(sim, "Ready")["status"]) == (("Initialized", 0), "True")
        assert [one for one in ours(sim, 0, PRIMARY) if one.before and one.after and one.at > sim.now - 60] == []

    simulate(story)


def test_template_with_a_missing_config_map_waits_for_it() -> None:
    """A template that refers to what is not there starts no run, and does once it is."""

    async def story(sim: Simulation) -> None:
        scenario = configured()
        await initialise(sim, scenario)
        sim.user.apply(reading(scenario.revised(V2), "later"))
        await sim.until(lambda: condition(sim, "RevisionPending"), 5, "a pending revision")
        assert "ConfigMap later" in condition(sim, "RevisionPending")["message"]
        await sim.rest(60)
        assert sim.state() == ("Initialized", 0)
        sim.user.apply(config_map("later", mode="two"))
        await sim.until_phase("Progressing", 2)
        await sim.until_phase("Succeeded", 300)
        assert mode_of(sim, PRIMARY) == "two"

    simulate(story)


def test_superseding_template_with_a_missing_config_map_gets_no_canary_before_it_is_there() -> None:
    """The run before it ends at once; its own canary waits for the ConfigMap."""

    async def story(sim: Simulation) -> None:
        scenario = configured()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(25, 60)
        sim.user.apply(reading(scenario.revised("catalog:v3"), "later"))
        await sim.rest(30)
        assert (weights(sim), condition(sim, "Ready")["reason"]) == ((100, 0), "ConfigMissing")
        assert read_by(sim, CANARY) != "later"
        sim.user.apply(config_map("later", mode="two"))
        await sim.until_phase("Succeeded", 300)
        assert mode_of(sim, PRIMARY) == "two"

    simulate(story)


def test_optional_config_map_that_appears_is_a_change() -> None:
    """Missing, the reference stays as it is; there, it is pinned by a run."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured(optional=True, maps=()))
        assert (read_by(sim, PRIMARY), copies(sim)) == ("catalog-config", [])
        edit(sim, "one")
        await sim.until_phase("Progressing", 2)
        await sim.until_phase("Succeeded", 300)
        assert mode_of(sim, PRIMARY) == "one"
        assert read_by(sim, PRIMARY) in copies(sim)

    simulate(story)


@pytest.mark.parametrize("key", ["canary.delivery/config-tracking", "flagger.app/config-tracking"])
def test_opted_out_config_map_stays_live(key: str) -> None:
    """With the annotation, ours or Flagger's, pods read the user's own ConfigMap and edits start nothing."""

    async def story(sim: Simulation) -> None:
        marked = config_map(mode="one")
        marked["metadata"]["annotations"] = {key: "disabled"}
        await initialise(sim, configured(maps=(marked,)))
        assert (read_by(sim, PRIMARY), copies(sim)) == ("catalog-config", [])
        sim.user.edit(CONFIG, {"data": {"mode": "two"}})
        await sim.rest(60)
        assert sim.state() == ("Initialized", 0)

    simulate(story)


def test_restart_of_the_target_still_works() -> None:
    """`kubectl rollout restart` releases the same configuration on a copy of its own."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        before = read_by(sim, PRIMARY)
        sim.user.restart(TARGET)
        await sim.until_phase("Succeeded", 300)
        assert (mode_of(sim, PRIMARY), read_by(sim, PRIMARY) != before) == ("one", True)

    simulate(story)


def test_foreign_annotations_and_a_restarted_controller_start_nothing() -> None:
    """Metadata is no content: no run, no write and, after a restart, no read either (I5, I19)."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        since = sim.now
        sim.user.annotate(CONFIG, "example.com/note", "hello")
        await sim.restart_controller(5)
        await sim.rest(300)
        assert ours(sim, since) == []
        assert [one for one in sim.calls if one.at > since] == []

    simulate(story)


def test_shared_config_map_starts_a_run_of_each_canary() -> None:
    """Two Canaries that read one ConfigMap have copies of their own and release its edit side by side."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        other = listing_5_1(interval="10s", stepWeight=25, drainSeconds=5)
        other["metadata"]["name"] = "orders-release"
        other["spec"]["targetRef"]["name"] = "orders"
        other["spec"]["service"] |= {"name": "orders", "hosts": ["orders"]}
        second = Scenario(other, given=[reading(deployment("orders", replicas=1), "catalog-config")])
        await initialise(sim, second)
        assert len(copies(sim)) == 2
        edit(sim, "two")
        for ref in (configured().ref, second.ref):
            await sim.until_phase("Succeeded", 300, ref=ref)
        assert mode_of(sim, PRIMARY) == mode_of(sim, Ref(PRIMARY.resource, NAMESPACE, "orders-primary")) == "two"

    simulate(story)


@pytest.mark.parametrize("skip", range(24))
@pytest.mark.parametrize("kind", ["crash before", "crash after"])
def test_controller_may_die_at_any_write_of_a_run(kind: Any, skip: int) -> None:
    """Whatever write it dies at, the edit is promoted and nobody is harmed."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        sim.back_after = 3
        sim.faults.api.append(ApiFault(kind, skip=skip, start=sim.now))
        edit(sim, "two")
        await sim.until_phase("Succeeded", 400)
        await sim.rest(30)
        assert mode_of(sim, PRIMARY) == "two"
        assert harmed(sim) == 0

    simulate(story)


def test_copy_deleted_by_hand_is_made_again() -> None:
    """As long as its source holds the same, the copy comes back within a second."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        copy = Ref(CONFIG_MAP, NAMESPACE, read_by(sim, PRIMARY))
        sim.user.delete(copy)
        await sim.until(lambda: sim.world.find(copy), 1, "the copy")
        assert sim.state() == ("Initialized", 0)

    simulate(story)


def test_copy_that_cannot_be_made_again_is_told() -> None:
    """Its source holds something else by now: the condition says what pods miss."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        edit(sim, "bad")
        sim.behaviours.put(Behaviour(errors=60), mode="bad")
        await sim.until_phase("Failed", 600)
        sim.user.delete(Ref(CONFIG_MAP, NAMESPACE, read_by(sim, PRIMARY)))
        await sim.until(lambda: condition(sim, "Ready")["reason"] == "ConfigNotPinned", 5, "the condition")
        assert "ConfigMap catalog-config" in condition(sim, "Ready")["message"]

    simulate(story)


def test_deletion_gives_the_live_reference_back_and_removes_all_copies() -> None:
    """The target reads what its user wrote, which differs from what was promoted: that is told."""

    async def story(sim: Simulation) -> None:
        scenario = configured()
        await initialise(sim, scenario)
        edit(sim, "two")
        await sim.until_weight(25, 60)
        sim.user.delete(scenario.ref)
        await sim.until(lambda: sim.world.find(PRIMARY) is None, 300, "the primary to be gone")
        await sim.rest(30)
        assert left_behind(sim, scenario) is None
        assert (read_by(sim, TARGET), copies(sim)) == ("catalog-config", [])
        told = [one.event for one in sim.history.events if one.event.reason == "ConfigNotPromoted"]
        assert [one.message.split(" changed")[0] for one in told] == ["ConfigMap catalog-config"]
        assert harmed(sim) == 0

    simulate(story)


def test_failed_read_is_no_change() -> None:
    """While reads of ConfigMaps fail nothing is made, and the run goes on once they work."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, configured())
        fault = ApiFault("500", verb="get", kind_of_object="ConfigMap", times=999, start=sim.now, end=sim.now + 30)
        sim.faults.api.append(fault)
        edit(sim, "two")
        await sim.rest(20)
        assert (sim.state(), sim.world.find(CANARY)) == (("Progressing", 0), None)
        assert condition(sim, "Ready")["reason"] == "ConfigNotPinned"
        await sim.until_phase("Succeeded", 300)
        assert mode_of(sim, PRIMARY) == "two"

    simulate(story)


def test_upgraded_controller_leaves_live_references_until_the_next_template() -> None:
    """A revision that was pinned without copies starts no run and is not written; the next one is pinned."""

    async def story(sim: Simulation) -> None:
        sim.pinned = ()
        scenario = configured()
        await initialise(sim, scenario)
        assert read_by(sim, PRIMARY) == "catalog-config"
        since, sim.pinned = sim.now, PINNED
        await sim.restart_controller(1)
        edit(sim, "two")
        await sim.rest(300)
        assert (ours(sim, since), sim.state()) == ([], ("Initialized", 0))
        sim.user.restart(TARGET)
        await sim.until_phase("Succeeded", 300)
        assert (mode_of(sim, PRIMARY), read_by(sim, PRIMARY)) == ("two", copies(sim)[0])
        edit(sim, "three")
        await sim.until_phase("Progressing", 60)

    simulate(story)


def test_upgrade_in_a_run_goes_on_with_live_references() -> None:
    """What was begun without copies is promoted without them: what was analysed read the same."""

    async def story(sim: Simulation) -> None:
        sim.pinned = ()
        scenario = configured()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(25, 60)
        sim.pinned = PINNED
        await sim.restart_controller(1)
        await sim.until_phase("Succeeded", 300)
        assert (read_by(sim, PRIMARY), copies(sim)) == ("catalog-config", [])

    simulate(story)


def test_secrets_stay_live_until_they_are_allowed() -> None:
    """Off, Secrets are neither read nor copied; on, the next revision pins them, and nothing starts before."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        scenario.given = [reading(deployment(replicas=2), "catalog-config", kind="secret")]
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": config_map()["metadata"], "type": "Opaque"}
        scenario.configuration = ({**secret, "data": {"key": "b25l"}},)
        await initialise(sim, scenario)
        source = Ref(SECRET, NAMESPACE, "catalog-config")
        sim.user.edit(source, {"data": {"key": "dHdv"}})
        await sim.rest(60)
        since, sim.pinned = sim.now, (*PINNED, SECRET)
        await sim.restart_controller(1)
        await sim.rest(300)
        assert (ours(sim, since), sim.state()) == ([], ("Initialized", 0))
        sim.user.restart(TARGET)
        await sim.until_phase("Succeeded", 300)
        name = f"catalog-config-{sim.status()['revision']['primary']}"
        container = found(sim, PRIMARY)["spec"]["template"]["spec"]["containers"][0]
        assert container["envFrom"] == [{"secretRef": {"name": name}}]
        copy = found(sim, Ref(SECRET, NAMESPACE, name))
        assert (copy["data"], copy["type"]) == ({"key": "dHdv"}, "Opaque")
        since, sim.pinned = sim.now, PINNED
        await sim.restart_controller(1)
        await sim.rest(300)
        assert ({one.ref for one in ours(sim, since)}, sim.state()) == ({scenario.ref}, ("Succeeded", 0))
        assert condition(sim, "Ready")["status"] == "True"
        sim.pinned = (*PINNED, SECRET)
        await sim.restart_controller(1)
        sim.user.edit(source, {"data": {"key": "dGhyZWU="}})
        await sim.until_phase("Progressing", 2)

    simulate(story)
