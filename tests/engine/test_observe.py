"""What is seen of one Canary, and whom a change concerns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import Phase
from canary.core.configuration import DIGEST
from canary.core.names import ALLOW_CANARY, CANARY_LABEL, OWNER
from canary.core.objects import (
    AUTOSCALER,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    FLAGGER_CANARY,
    NATIVE_CANARY,
    SCALED_OBJECT,
    SERVICE,
    VIRTUAL_SERVICE,
    CanaryKey,
    Object,
    Ref,
    Resource,
)
from canary.core.revisions import pin, to_object
from canary.engine.affected import affected
from canary.engine.observe import observe
from tests.builders import (
    KEY,
    NAMES,
    NS,
    OWNER_MARK,
    canary_object,
    clone,
    deployment,
    idle,
    kept,
    new_target,
    route,
    running,
    service,
    template,
)
from tests.engine.cluster import FakeCluster
from tests.scalers import scaled_object, scaler

NATIVE = CanaryKey(NATIVE_CANARY.group, NS, "native")


def named(kind: str, name: str, **more: Any) -> Object:
    """Return an object of others."""
    return {"kind": kind, "metadata": {"name": name, "namespace": NS, **more}, "spec": {}}


def cluster() -> FakeCluster:
    """Return a cluster with the Canary of listing 5.1, initialised, and another one beside it."""
    other = canary_object({"spec.targetRef.name": "web", "spec.service.name": "web", "metadata.name": "native"})
    found = FakeCluster.of(idle())
    found.objects[NATIVE.ref] = other
    return found


def concerned(resource: Resource, before: Object | None, after: Object | None) -> set[str]:
    """Return the names of the Canaries that a change concerns."""
    return {key.name for key in affected(cluster(), resource, before, after)}


MINE, BOTH = {"catalog-release"}, {"catalog-release", "native"}
FOREIGN = service("stray", ours=False)
ALLOWED = {**FOREIGN, "metadata": {**FOREIGN["metadata"], "annotations": {ALLOW_CANARY: "true"}}}
LABELLED = {**FOREIGN, "metadata": {**FOREIGN["metadata"], "labels": {"x": "y"}}}


@pytest.mark.parametrize(
    ("resource", "before", "after", "expected"),
    [
        pytest.param(DEPLOYMENT, deployment().raw, new_target().raw, MINE, id="target"),
        pytest.param(DEPLOYMENT, deployment().raw, None, MINE, id="target deleted"),
        pytest.param(DEPLOYMENT, None, clone("primary").raw, MINE, id="primary"),
        pytest.param(DEPLOYMENT, named("Deployment", "catalog-primary"), None, MINE, id="foreign primary goes"),
        pytest.param(DEPLOYMENT, None, named("Deployment", "catalog-canary"), MINE, id="foreign canary comes"),
        pytest.param(DEPLOYMENT, None, named("Deployment", "unrelated"), set(), id="unrelated Deployment"),
        pytest.param(DAEMON_SET, None, named("DaemonSet", "catalog-primary"), MINE, id="primary of a DaemonSet"),
        pytest.param(DAEMON_SET, None, named("DaemonSet", "unrelated"), set(), id="unrelated DaemonSet"),
        pytest.param(SERVICE, None, named("Service", "catalog"), MINE, id="apex"),
        pytest.param(SERVICE, None, FOREIGN, BOTH, id="Service with a selector comes"),
        pytest.param(SERVICE, FOREIGN, None, BOTH, id="Service with a selector goes"),
        pytest.param(SERVICE, FOREIGN, ALLOWED, BOTH, id="Service is allowed"),
        pytest.param(SERVICE, FOREIGN, LABELLED, set(), id="Service changes otherwise"),
        pytest.param(VIRTUAL_SERVICE, None, route(0), MINE, id="route"),
        pytest.param(VIRTUAL_SERVICE, route(0), None, MINE, id="route deleted"),
        pytest.param(VIRTUAL_SERVICE, None, named("VirtualService", "theirs"), BOTH, id="route of others"),
        pytest.param(DESTINATION_RULE, None, named("DestinationRule", "theirs"), BOTH, id="rule of others"),
        pytest.param(AUTOSCALER, scaler().raw, None, MINE, id="autoscaler of the target goes"),
        pytest.param(AUTOSCALER, None, scaler("catalog-canary").raw, MINE, id="autoscaler of the canary comes"),
        pytest.param(AUTOSCALER, scaler("web").raw, scaler("catalog").raw, BOTH, id="autoscaler changes its target"),
        pytest.param(AUTOSCALER, scaler(low=1).raw, scaler(low=2).raw, MINE, id="autoscaler changes its bounds"),
        pytest.param(AUTOSCALER, scaler().raw, {**scaler().raw, "status": {}}, set(), id="autoscaler looked again"),
        pytest.param(AUTOSCALER, None, scaler("shop").raw, set(), id="unrelated autoscaler"),
        pytest.param(SCALED_OBJECT, None, scaled_object().raw, MINE, id="ScaledObject comes"),
    ],
)
def test_change_wakes_whom_it_concerns(
    resource: Resource, before: Object | None, after: Object | None, expected: set[str]
) -> None:
    """Everything a decision rests on wakes its Canary, and nothing else does."""
    assert concerned(resource, before, after) == expected


def config_map(digest: str = "1", name: str = "settings", **annotations: str) -> Object:
    """Return a ConfigMap as caches keep it."""
    metadata = {"name": name, "namespace": NS, "annotations": annotations}
    return {"kind": "ConfigMap", "metadata": metadata, DIGEST: digest}


OPTED_OUT = config_map(**{"flagger.app/config-tracking": "disabled"})


@pytest.mark.parametrize(
    ("before", "after", "wakes"),
    [
        pytest.param(config_map(), config_map("2"), True, id="edited"),
        pytest.param(None, config_map(), True, id="comes"),
        pytest.param(config_map(), None, True, id="goes"),
        pytest.param(config_map(), OPTED_OUT, True, id="opted out"),
        pytest.param(config_map(), config_map(note="x"), False, id="annotated"),
        pytest.param(None, config_map(name="other"), False, id="not referred to"),
        pytest.param(None, config_map(name="other-rev"), True, id="holds the name of a copy"),
    ],
)
def test_configuration_wakes_who_refers_to_it(before: Object | None, after: Object | None, wakes: bool) -> None:
    """The status says what the target refers to; content and opting out count, other metadata does not."""
    found = cluster()
    status = {"trackedConfigs": {"configmap/settings": "1"}, "revision": {"candidate": "rev"}}
    found.objects[NATIVE.ref] = {**found.objects[NATIVE.ref], "status": status}
    assert list(affected(found, CONFIG_MAP, before, after)) == ([NATIVE] if wakes else [])


@pytest.mark.parametrize(
    ("labels", "wakes"), [({CANARY_LABEL: "catalog-release"}, MINE), ({CANARY_LABEL: "gone"}, set())]
)
def test_endpoints_wake_the_canary_whose_service_has_them(labels: dict[str, str], wakes: set[str]) -> None:
    """By the labels that they bear with the Service."""
    before, after = ({**named("EndpointSlice", "x", labels=labels), "endpoints": found} for found in ([], [{}]))
    for change in ((None, after), (before, after), (after, None)):
        assert concerned(ENDPOINT_SLICE, *change) == wakes


def test_clone_without_its_service_is_reached_by_nobody() -> None:
    """However many of its pods are ready."""
    world = FakeCluster.of(running())
    world.objects.pop(Ref(ENDPOINT_SLICE, NS, "catalog-canary"))
    seen = observe(world, KEY)
    assert seen is not None
    assert seen.candidate is not None
    assert seen.primary is not None
    assert (seen.candidate.running, seen.candidate.ready) == (1, 0)
    assert seen.primary.ready == seen.primary.running == 2


def test_configuration_is_seen_with_its_copies() -> None:
    """What the target refers to, our copies, and what else holds a name that a revision needs."""
    pod = template()
    pod["spec"]["containers"][0]["envFrom"] = [{"configMapRef": {"name": "settings"}}]
    record = to_object(pin(deployment(pod=pod), 1, {"ConfigMap": {"settings": "1"}}), NAMES, OWNER_MARK)
    world = cluster()
    revision = record["metadata"]["labels"]["canary.delivery/revision"]
    held = config_map("2", f"settings-{revision}")
    for obj in (config_map(), config_map("9", "unrelated"), held):
        world.objects[Ref(CONFIG_MAP, NS, obj["metadata"]["name"])] = obj
    world.objects[Ref(CONTROLLER_REVISION, NS, record["metadata"]["name"])] = record
    world.objects[NAMES.target_ref] = deployment(pod=pod).raw
    seen = observe(world, KEY)
    assert seen is not None
    assert (seen.configuration.pins, seen.copies) == ({"ConfigMap": {"settings": "1"}}, (held,))


def test_canary_wakes_itself_and_its_rivals() -> None:
    """A change of a Canary concerns it, and others on the same target or apex."""
    rival = canary_object({"metadata.name": "rival"})
    assert concerned(FLAGGER_CANARY, rival, None) == {"rival", "catalog-release"}
    apart = canary_object({"metadata.name": "apart", "spec.targetRef.name": "x", "spec.service.name": "x"})
    assert concerned(FLAGGER_CANARY, None, apart) == {"apart"}


def test_rival_of_the_same_name_in_the_other_group_is_woken() -> None:
    """Two groups may hold Canaries of one name on one target: each concerns the other."""
    twin = canary_object()
    keys = set(affected(cluster(), NATIVE_CANARY, twin, None))
    assert keys == {KEY, CanaryKey(NATIVE_CANARY.group, NS, "catalog-release")}


def test_object_that_changes_owner_wakes_both() -> None:
    """The Canary named before and the one named after are concerned."""
    theirs = service("x", ours=False)
    mark = '{"group":"flagger.app","name":"gone","uid":"u","target":"t","apex":"a","drainSeconds":1}'
    theirs["metadata"]["annotations"] = {"canary.delivery/owner": mark}
    mine = service("x")
    assert concerned(SERVICE, theirs, mine) == {"gone", "catalog-release"}


def test_nothing_is_seen_of_nothing() -> None:
    """Neither Canary nor objects that name it: nothing to do."""
    assert observe(FakeCluster(), KEY) is None


def test_deleted_canary_is_seen_by_what_it_left() -> None:
    """Objects of ours tell target, apex and drain time of a Canary that is gone."""
    left = FakeCluster.of(running(30, changes={"spec.analysis.drainSeconds": 15}))
    del left.objects[KEY.ref]
    seen = observe(left, KEY)
    assert seen is not None
    assert (seen.canary, seen.spec, seen.status.phase) == (None, None, Phase.NONE)
    assert (seen.names, seen.owner.drain_seconds) == (NAMES, 15)
    assert seen.primary is not None
    assert len(seen.revisions) == 2


def test_refused_spec_is_seen_with_its_reasons() -> None:
    """A spec that cannot be used leaves names and status readable."""
    found = FakeCluster.of(running(30))
    raw = dict(found.objects[KEY.ref])
    raw["spec"] = {**raw["spec"], "analysis": {**raw["spec"]["analysis"], "stepWeight": 500}}
    found.objects[KEY.ref] = raw
    seen = observe(found, KEY)
    assert seen is not None
    assert (seen.spec, seen.status.canary_weight, seen.names) == (None, 30, NAMES)
    assert "500" in seen.refusals[0]


def test_unreadable_status_counts_as_erased() -> None:
    """A status that somebody bent is read as empty, never as a crash."""
    found = FakeCluster.of(running(30))
    found.objects[KEY.ref] = {**found.objects[KEY.ref], "status": {"phase": "Nonsense", "step": 5}}
    seen = observe(found, KEY)
    assert seen is not None
    assert seen.status.phase is Phase.NONE


def test_revisions_of_other_canaries_are_not_seen() -> None:
    """A ControllerRevision belongs to the Canary its label names."""
    found = cluster()
    (revision,) = kept(idle().target.template)  # type: ignore[union-attr]
    foreign = {**revision.raw, "metadata": {**revision.raw["metadata"], "labels": {"canary.delivery/canary": "x"}}}
    found.objects[Ref(*_revision(found), "foreign")] = foreign
    seen = observe(found, KEY)
    assert seen is not None
    assert len(seen.revisions) == 1


def _revision(found: FakeCluster) -> tuple[Resource, str]:
    ref = next(ref for ref in found.objects if ref.resource.plural == "controllerrevisions")
    return ref.resource, ref.namespace


@pytest.mark.parametrize("edited", ["catalog-primary", "catalog-canary"])
def test_longest_settle_time_of_the_marks_counts(edited: str) -> None:
    """A Canary edited just before it was deleted settles as long as its newest objects say."""
    left = FakeCluster.of(running(30))
    del left.objects[KEY.ref]
    ref = Ref(DEPLOYMENT, NS, edited)
    longer = replace(OWNER_MARK, drain_seconds=60).to_text()
    found = dict(left.objects[ref])
    found["metadata"] = {**found["metadata"], "annotations": {**found["metadata"]["annotations"], OWNER: longer}}
    left.objects[ref] = found
    seen = observe(left, KEY)
    assert seen is not None
    assert seen.owner.drain_seconds == 60


@pytest.mark.parametrize("readable", [True, False])
def test_daemon_set_is_looked_for_where_it_may_be_read(readable: bool) -> None:
    """The target's kind says what is looked for, a Deployment of its name and an autoscaler on that are none."""
    found = FakeCluster((KEY.ref, canary_object({"spec.targetRef.kind": "DaemonSet"})))
    daemons = {**deployment().raw, "kind": "DaemonSet"}
    found.objects[Ref(DAEMON_SET, NS, "catalog")] = daemons
    found.objects[NAMES.workload("primary")] = clone("primary").raw
    found.objects[Ref(AUTOSCALER, NS, "sizes")] = scaler().raw
    found.unseen = set() if readable else {NS}
    world = observe(found, KEY)
    assert world is not None
    assert world.target is not None
    assert (world.target.raw, world.primary, world.scalers) == (daemons, None, ())
    assert (world.target_seen, world.owner.workloads) == (readable, DAEMON_SET)


def test_deleted_canary_of_a_daemon_set_is_remembered_by_its_marks() -> None:
    """The mark on what is left names the kind, so that the target is found without the Canary."""
    mark = replace(OWNER_MARK, workloads=DAEMON_SET)
    left = {"kind": "DaemonSet", "metadata": {"name": "catalog-primary", "namespace": NS}, "spec": {}}
    left["metadata"]["annotations"] = {OWNER: mark.to_text()}  # type: ignore[index]
    found = FakeCluster((Ref(DAEMON_SET, NS, "catalog-primary"), left))
    found.objects[Ref(DAEMON_SET, NS, "catalog")] = {**deployment().raw, "kind": "DaemonSet"}
    world = observe(found, KEY)
    assert world is not None
    assert (world.target is not None, world.primary is not None) == (True, True)
