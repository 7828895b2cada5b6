"""Rules over all writes, checked on worlds of all kinds: versions, guards, order, capacity, foreign fields."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import Phase
from canary.core.actions import Action, Create, Decision, Delete, Guard, Patch
from canary.core.decide import decide, questions
from canary.core.names import CANARY_LABEL, NOT_PRUNED, OWNER, ROLE_LABEL
from canary.core.objects import DEPLOYMENT, SERVICE, VIRTUAL_SERVICE
from canary.core.snapshot import Snapshot
from tests.answers import down, good
from tests.builders import (
    NAMES,
    V1,
    V2,
    apex,
    at,
    clone,
    deleted,
    finalising,
    idle,
    new_target,
    promoting,
    role_of,
    running,
    service,
    settled,
    spec_of,
    weights_of,
    with_status,
)
from tests.core.test_advance_recover import every_world

PRIMARY, CANARY = NAMES.workload("primary"), NAMES.workload("canary")


def look(world: Snapshot, seconds: float = 60, answers: Any = good) -> Decision:
    """Decide at a moment, with the answers a kind of world gives."""
    return decide(world, answers(questions(world, at(seconds))), at(seconds))


def decisions() -> Iterator[tuple[Snapshot, Decision]]:
    """Yield worlds of all kinds with what is decided in them, settled sets among them, before and after deletion."""
    for world in every_world():
        for role in (None, "primary", "canary", "target"):
            settling = with_status(world, **settled(role)) if role else world
            for seconds in (1, 60):
                yield settling, look(settling, seconds)
        yield (gone := deleted(world)), look(gone)
    for world in every_world():
        yield world, look(world, 5000, down)


ALL = list(decisions())


def everything(decision: Decision) -> tuple[Action, ...]:
    """Return all actions of a decision."""
    return (*decision.urgent, *decision.actions)


def present(world: Snapshot) -> dict[Any, Any]:
    """Return the objects of a world by reference."""
    found: dict[Any, Any] = {NAMES.apex_ref: world.apex, NAMES.route_ref: world.route}
    found |= {NAMES.service("primary"): world.primary_service, NAMES.service("canary"): world.canary_service}
    sets = {NAMES.target_ref: world.target, PRIMARY: world.primary, CANARY: world.candidate}
    found |= {ref: one.raw if one else None for ref, one in sets.items()}
    return found | {NAMES.revision(r.id): r.raw for r in world.revisions}


def shrinks(world: Snapshot, action: Action) -> bool:
    """Return whether a write takes pods of a set away or rolls them."""
    if isinstance(action, Delete):
        return action.ref.resource == DEPLOYMENT
    before = present(world).get(action.ref)
    if not isinstance(action, Patch) or action.ref.resource != DEPLOYMENT or before is None:
        return False
    spec = action.body.get("spec", {})
    smaller = spec.get("replicas", before["spec"]["replicas"]) < before["spec"]["replicas"]
    return smaller or ("template" in spec and bool(before["spec"]["replicas"]))


def test_every_write_carries_the_version_it_rests_on() -> None:
    """A patch names the resourceVersion of the snapshot, a delete the uid too, a create an absent object (I21)."""
    for world, decision in ALL:
        for action in everything(decision):
            metadata = (present(world).get(action.ref) or {}).get("metadata", {})
            if isinstance(action, Create):
                assert metadata == {}, action
                continue
            assert action.resource_version == metadata["resourceVersion"], action
            assert not isinstance(action, Delete) or action.uid == metadata["uid"]


def test_every_write_that_shrinks_reads_the_routes_live() -> None:
    """Before anything is shrunk, rolled or deleted, route and apex Service are read live (I21)."""
    for world, decision in ALL:
        if world.status.phase in (Phase.NONE, Phase.INITIALIZING) and world.canary is not None:
            continue
        for action in everything(decision):
            if shrinks(world, action) and action.ref != NAMES.target_ref:
                versions = {ref: obj and obj["metadata"]["resourceVersion"] for ref, obj in present(world).items()}
                wanted = {Guard(ref, versions[ref]) for ref in (NAMES.route_ref, NAMES.apex_ref)}
                assert not isinstance(action, Create)
                assert set(action.guards) == wanted, (world.status.phase, action)


def test_weights_sum_to_100_and_are_written_once() -> None:
    """At most one route write per decision, with integers that sum to 100 (I12)."""
    for _, decision in ALL:
        written = weights_of(everything(decision))
        assert written is None or (sum(written) == 100 and all(isinstance(w, int) for w in written))


def ready_pods(world: Snapshot, role: str) -> int:
    """Return how many ready pods a side has."""
    found = world.primary if role == "primary" else world.candidate
    return found.ready if found else 0


def test_nothing_is_pointed_at_a_set_without_ready_pods() -> None:
    """No weight is raised and no selector moved to a side without a ready pod (I6)."""
    for world, decision in ALL:
        actions = everything(decision)
        written = weights_of(actions)
        before = dict(zip(("primary", "canary"), (0, 0), strict=True))
        if world.route is not None:
            pairs = zip(before, (d["weight"] for d in world.route["spec"]["http"][0]["route"]), strict=True)
            before = dict(pairs)
        for role, weight in zip(before, written or (), strict=False):
            assert weight <= before[role] or ready_pods(world, role) > 0, (world.status.phase, decision)
        role = role_of(actions)
        shown = (world.apex or {}).get("spec", {}).get("selector", {}).get(ROLE_LABEL)
        assert role in (None, shown) or ready_pods(world, str(role)) > 0, (world.status.phase, decision)


def test_urgent_writes_move_traffic_alone() -> None:
    """What goes first touches routes and apex Service and rests on nothing else (I22)."""
    for _, decision in ALL:
        for action in decision.urgent:
            assert action.ref.resource in (VIRTUAL_SERVICE, SERVICE)
            assert not isinstance(action, Patch) or action.guards == ()


def test_a_set_in_use_is_never_shrunk_or_rolled() -> None:
    """Primary and canary keep pods and template while a weight or the selector names them (I1, I3)."""
    for world, decision in ALL:
        if world.route is None or world.apex is None or world.status.phase is Phase.NONE:
            continue
        weights = [d["weight"] for d in world.route["spec"]["http"][0]["route"]]
        shown = world.apex["spec"]["selector"].get(ROLE_LABEL)
        for action in everything(decision):
            side = {PRIMARY: ("primary", weights[0]), CANARY: ("canary", weights[1])}.get(action.ref)
            # A primary whose template was edited by hand is put back by its own strategy: nothing else serves.
            put_back = action.ref == PRIMARY and world.status.phase is not Phase.PROMOTING
            if side is not None and shrinks(world, action) and not put_back:
                assert side[1] == 0, (world.status.phase, action)
                assert side[0] != shown, (world.status.phase, action)


def test_what_we_make_carries_our_marks_alone() -> None:
    """Objects we make have our labels, the owner, and keep GitOps tools from pruning them."""
    for _, decision in ALL:
        for action in everything(decision):
            if isinstance(action, Create):
                metadata = action.body["metadata"]
                assert metadata["labels"][CANARY_LABEL] == "catalog-release"
                assert all(key.startswith("canary.delivery/") for key in metadata["labels"])
                assert OWNER in metadata["annotations"]
                assert NOT_PRUNED.items() <= metadata["annotations"].items()
                assert "ownerReferences" not in metadata


def test_apex_service_is_never_deleted_beside_its_target() -> None:
    """Neither in a release nor at the give-back (section 9)."""
    for world, decision in ALL:
        if world.target is not None:
            assert not any(isinstance(a, Delete) and a.ref == NAMES.apex_ref for a in everything(decision))


@pytest.mark.parametrize(
    ("world", "order"),
    [
        pytest.param(running(50, pods=2), ["virtualservices", "services"], id="towards the canary"),
        pytest.param(finalising(100), ["services", "virtualservices"], id="back to the primary"),
    ],
)
def test_traffic_moves_in_the_order_that_serves_all(world: Snapshot, order: list[str]) -> None:
    """Towards the canary the route goes first, back the apex Service does."""
    moved = [a.ref for a in look(world).actions if a.ref in (NAMES.route_ref, NAMES.apex_ref)]
    assert [ref.resource.plural for ref in moved] == order


def test_promoted_template_is_the_analysed_one() -> None:
    """What the primary gets is the pinned template, whatever the target holds by now (I10)."""
    world = promoting(status=settled("primary"), target=new_target(V1 | {"x": 1}, generation=9))
    world = with_status(world, target=None)
    patch = spec_of(look(replace(world, target=None)).actions, PRIMARY)["template"]
    assert patch["spec"]["containers"] == V2["spec"]["containers"]


@pytest.mark.parametrize(
    ("weight", "size", "pods"), [(0, 10, 1), (10, 10, 2), (40, 10, 5), (50, 10, 10), (0, 1, 1), (20, 3, 1)]
)
def test_canary_is_scaled_one_step_ahead(weight: int, size: int, pods: int) -> None:
    """On entering a step the canary gets the pods of the next one; at the last, full size (section 4)."""
    world = running(weight, pods=max(1, size * weight // 100), primary=clone("primary", replicas=size))
    world = replace(world, candidate=clone("canary", V2, max(1, -(-size * weight // 100))))
    present_pods = world.candidate.replicas if world.candidate else 0
    assert spec_of(look(world, 1).actions, CANARY).get("replicas", present_pods) == pods


@pytest.mark.parametrize(
    ("field", "value"), [("strategy", {"type": "Recreate"}), ("minReadySeconds", 7), ("revisionHistoryLimit", 3)]
)
def test_clones_follow_the_targets_rollout_settings(field: str, value: Any) -> None:
    """Strategy, minReadySeconds and the like are followed at once, without a run (section 8)."""
    world = idle(target=new_target(V1, **{field: value}))
    decision = look(world)
    assert spec_of(decision.actions, PRIMARY) == {field: value}
    assert decision.status is None or decision.status.phase is Phase.INITIALIZED


def test_deadline_of_the_spec_is_followed() -> None:
    """progressDeadlineSeconds of the Canary is the clones', and longer than minReadySeconds."""
    assert spec_of(look(idle(changes={"spec.progressDeadlineSeconds": 90})).actions, PRIMARY) == {
        "progressDeadlineSeconds": 90
    }
    slow = idle(target=new_target(V1, minReadySeconds=80))
    assert spec_of(look(slow).actions, PRIMARY) == {"progressDeadlineSeconds": 81, "minReadySeconds": 80}


@pytest.mark.parametrize(
    ("part", "ref"),
    [
        ("primary", PRIMARY),
        ("primary_service", NAMES.service("primary")),
        ("canary_service", NAMES.service("canary")),
        ("route", NAMES.route_ref),
        ("apex", NAMES.apex_ref),
    ],
)
def test_what_was_deleted_by_hand_is_made_again(part: str, ref: Any) -> None:
    """Primary, Services and route come back, the primary from the promoted revision (W9)."""
    decision = look(idle(**{part: None}))
    made = [a for a in everything(decision) if a.ref == ref]
    if part == "apex":
        assert [type(a) for a in made] == [Create]
    assert len(made) == 1
    assert isinstance(made[0], Create)
    if part == "primary":
        assert made[0].body["spec"]["template"]["spec"] == V1["spec"]
        assert made[0].body["spec"]["replicas"] == 2


def test_spec_service_edited_in_a_run_keeps_the_weights() -> None:
    """The route follows the spec, the shares stay (W4)."""
    decision = look(running(30, changes={"spec.service.timeout": "3s", "spec.service.hosts": ["shop.io"]}), 10)
    assert weights_of(decision.actions) == (70, 30)
    body = spec_of(decision.actions, NAMES.route_ref)
    assert body["hosts"] == ["shop.io", "catalog"]
    assert body["http"][0]["timeout"] == "3s"


def test_service_changed_by_hand_is_put_back() -> None:
    """A Service of ours gets its selector and ports again; an apex of others only its role."""
    bent = service("catalog-canary", "primary")
    assert spec_of(look(idle(canary_service=bent)).actions, NAMES.service("canary")) == {
        "selector": {ROLE_LABEL: "canary"}
    }
    theirs = apex("", by="kubectl")
    assert spec_of(everything(look(idle(apex=theirs))), NAMES.apex_ref) == {"selector": {ROLE_LABEL: "primary"}}
