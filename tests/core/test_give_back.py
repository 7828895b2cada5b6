"""After the deletion of a Canary: the target serves again before anything of ours goes (section 9)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.core.actions import Create, Decision, Delete, Patch
from canary.core.decide import decide, questions
from canary.core.measurement import EndpointsAnswer, EndpointsQuery, GoneAnswer, GoneQuery, Measurement, Unavailable
from canary.core.names import CANARY_LABEL, DRAINED_FROM, MANAGER, OWNER, ROLE_LABEL, WISH
from canary.core.objects import Object, apply_merge_patch
from canary.core.snapshot import Snapshot
from canary.core.workload import LAST_APPLIED
from tests.answers import busy, down, good
from tests.builders import (
    KEY,
    NAMES,
    V1,
    V2,
    Workload,
    apex,
    at,
    clone,
    deleted,
    deployment,
    finalising,
    idle,
    names_of,
    patch_of,
    promoting,
    promotion_failed,
    role_of,
    route,
    running,
    service,
    spec_of,
    untouched,
    weights_of,
)

PRIMARY, CANARY = NAMES.workload("primary"), NAMES.workload("canary")
APPLIED = '{"spec":{"replicas":5}}'


def look(world: Snapshot, seconds: float = 60, answers: Any = good) -> Decision:
    """Decide at a moment, with the answers a kind of world gives."""
    return decide(world, answers(questions(world, at(seconds))), at(seconds))


def back(replicas: int = 2, since: float | None = None, **more: Any) -> Workload:
    """Return the target, up again, with the drain clock started at a moment."""
    notes = {DRAINED_FROM: at(since).isoformat()} if since is not None else {}
    return deployment(replicas=replicas, generation=5, annotations=notes, **more)


def there(queries: Any) -> Any:
    """Answer that the Canary still exists."""
    return tuple(Measurement(q, GoneAnswer(False)) for q in queries)


@pytest.mark.parametrize("answers", [there, down])
@pytest.mark.parametrize("world", [idle(), running(30), promoting()])
def test_nothing_happens_before_the_deletion_is_certain(world: Snapshot, answers: Any) -> None:
    """A cache that lost the Canary is no deletion: ask live, wait, ask again."""
    gone = deleted(world)
    assert questions(gone, at(0)) == (GoneQuery(KEY),)
    decision = look(gone, answers=answers)
    assert (decision.status, decision.urgent, decision.actions) == (None, (), ())
    assert decision.requeue_after is not None


@pytest.mark.parametrize(
    ("world", "expected"),
    [
        pytest.param(idle(), {"replicas": 2}, id="at the primary's size"),
        pytest.param(idle(primary=clone("primary", replicas=7)), {"replicas": 7}, id="scaled by hand"),
        pytest.param(idle(primary=clone("primary", replicas=3, wish=5)), {"replicas": 5}, id="the wish"),
        pytest.param(idle(target=back(1)), {"replicas": 2}, id="some pods are there"),
        pytest.param(idle(target=back(9)), {}, id="more than enough"),
    ],
)
def test_target_comes_up_first(world: Snapshot, expected: dict[str, Any]) -> None:
    """The target gets production's size before any selector or route changes."""
    decision = look(deleted(world))
    assert spec_of(decision.actions, NAMES.target_ref) == expected
    if expected:
        assert names_of(decision.actions) == ["patch Deployment catalog"]


@pytest.mark.parametrize("made", [running, promoting, finalising, promotion_failed])
def test_target_gets_the_template_production_runs(made: Any) -> None:
    """A revision that was not promoted is never scaled up: the target gets the primary's template back."""
    primary = clone("primary") if made is not finalising else clone("primary", V2)
    world = deleted(made(primary=primary, route=route(0), apex=apex("primary")))
    body = spec_of(look(world).actions, NAMES.target_ref)
    whole = apply_merge_patch(world.target.raw["spec"], body)  # type: ignore[union-attr]
    assert whole["template"]["spec"] == (V2 if made is finalising else V1)["spec"]
    assert whole["replicas"] == 2


def test_target_that_never_handed_over_is_left_alone() -> None:
    """Deleted while initialising: the target serves, so neither its template nor its size is touched."""
    newer = deployment(pod=V2, replicas=1, generation=2)
    world = untouched(target=newer, primary=clone("primary"), revisions=idle().revisions)
    decision = look(deleted(world))
    assert not any(a.ref == NAMES.target_ref and "spec" in getattr(a, "body", {}) for a in decision.actions)


def test_primary_deleted_before_the_target_is_up_is_made_again() -> None:
    """With neither, callers would be left to nobody: production comes back from the oldest revision kept (I6)."""
    world = deleted(running(30, primary=None))
    decision = look(world)
    (made,) = decision.actions
    assert isinstance(made, Create)
    assert (made.ref, made.body["spec"]["template"]) == (PRIMARY, clone("primary").template)
    assert [event.reason for event in decision.events] == ["PrimaryMadeAgain"]


@pytest.mark.parametrize(
    ("parts", "size"),
    [
        pytest.param({"candidate": clone("canary", V2, 3)}, 3, id="the canary's"),
        pytest.param({"target": deployment(replicas=0, annotations={WISH: "6"})}, 6, id="the wish"),
        pytest.param({"target": deployment(replicas=0, annotations={LAST_APPLIED: APPLIED})}, 5, id="the applied"),
        pytest.param({"candidate": None}, 1, id="nothing says so"),
    ],
)
def test_primary_made_again_has_the_size_that_is_known(parts: dict[str, Any], size: int) -> None:
    """The largest of what wish, manifest and canary tell of production's size."""
    (made,) = look(deleted(running(30, primary=None, **parts))).actions
    assert isinstance(made, Create)
    assert made.body["spec"]["replicas"] == size


def test_nothing_is_written_while_nobody_knows_what_production_ran() -> None:
    """Without primary and records the apex Service stays where it is until the target is scaled up by its user."""
    world = deleted(running(0, primary=None, revisions=()))
    assert look(world).actions == ()
    assert look(world).requeue_after is not None


@pytest.mark.parametrize(
    ("pod", "owner", "again"), [(V2, "kubectl", True), (V2, MANAGER, False), (V1, "kubectl", False)]
)
def test_target_that_its_user_scaled_up_takes_over_only_with_what_production_ran(
    pod: Any, owner: str, again: bool
) -> None:
    """Applied in the run, its pods may hold a revision that nobody has judged (I9)."""
    world = deleted(running(0, primary=None, target=back(pod=pod, since=0, owners=(owner,))))
    assert any(isinstance(a, Create) for a in look(world).actions) is again


def test_canary_that_serves_by_bare_labels_goes_one_settle_after_the_route() -> None:
    """It gets requests until it goes: waiting for their end would never end."""
    world = deleted(running(30, primary=None, target=back(since=0, owners=(MANAGER,)), apex=BARE, route=None))
    assert {a.ref.name for a in look(world, answers=busy).actions if isinstance(a, Delete)} >= {CANARY.name}


def test_primary_is_not_made_for_a_target_that_never_handed_over() -> None:
    """A target that its user scaled to 0 stays there."""
    world = untouched(target=deployment(replicas=0), revisions=idle().revisions)
    assert not any(isinstance(a, Create) or a.ref == NAMES.target_ref for a in look(deleted(world)).actions)


@pytest.mark.parametrize(
    ("since", "expected"), [(None, ["metadata"]), (46, None), (45, ["spec"])], ids=["begins", "waits", "over"]
)
def test_target_with_pods_rolls_after_one_settle(since: float | None, expected: list[str] | None) -> None:
    """Deleted in the hand-over: pods of the target that had callers until then settle before their roll (I3)."""
    world = idle(target=back(pod=V2, since=since))
    found = patch_of(look(deleted(world)).actions, NAMES.target_ref)
    assert (list(found.body) if found else None) == expected


@pytest.mark.parametrize("candidate", [None, clone("canary", V2, 0)])
def test_clock_of_the_target_begins_anew_before_the_routes_go(candidate: Any) -> None:
    """What settled before the apex Service and the route are given back is not what settles after it."""
    decision = look(deleted(idle(target=back(since=0), candidate=candidate)))
    assert [a.why for a in decision.actions] == ["give back: settled"]


def test_traffic_leaves_the_canary_at_once() -> None:
    """In a run, the primary carries everything again, in one write."""
    decision = look(deleted(running(30)))
    assert weights_of(decision.actions) == (100, 0)


@pytest.mark.parametrize("ready", [0, 1])
def test_canary_goes_on_serving_while_the_primary_cannot(ready: int) -> None:
    """With everything on the canary and a primary that is not whole, routes stay."""
    decision = look(deleted(promotion_failed(primary=clone("primary", V2, ready=ready))))
    assert (weights_of(decision.actions), role_of(decision.actions)) == (None, None)


def test_selector_waits_for_the_target() -> None:
    """The apex Service selects by the user's labels only when the target is whole."""
    assert look(deleted(idle(target=back(ready=1)))).actions == ()
    decision = look(deleted(idle(target=back())))
    assert names_of(decision.actions) == ["patch Service catalog"]
    assert spec_of(decision.actions, NAMES.apex_ref) == {"selector": {ROLE_LABEL: None}}


def test_adopted_service_gets_all_of_it_back() -> None:
    """Our role and annotations leave the user's Service, the rest stays."""
    world = deleted(idle(target=back()))
    (action,) = look(world).actions
    after = apply_merge_patch(world.apex, action.body)  # type: ignore[union-attr]
    assert after["spec"]["selector"] == {"app": "catalog"}
    assert after["metadata"]["annotations"] == {}


def test_made_service_stays_without_our_marks() -> None:
    """An apex Service that we made stays too while the target exists."""
    world = deleted(idle(target=back(), apex=service("catalog", "primary")))
    (action,) = look(world).actions
    after = apply_merge_patch(world.apex, action.body)  # type: ignore[union-attr]
    assert not isinstance(action, Delete)
    assert CANARY_LABEL not in after["metadata"]["labels"]
    assert OWNER not in after["metadata"]["annotations"]


@pytest.mark.parametrize(("waited", "replicas"), [(14, None), (15, 0)])
def test_canary_goes_before_the_selector(waited: float, replicas: int | None) -> None:
    """Bare labels match the canary too: it settles and goes to 0 first, with the routes read live."""
    world = deleted(running(0, target=back(since=60 - waited)))
    decision = look(world)
    assert spec_of(decision.actions, CANARY).get("replicas") == replicas
    assert role_of(decision.actions) is None
    if replicas == 0:
        assert {g.ref for g in decision.actions[0].guards} == {NAMES.route_ref, NAMES.apex_ref}  # type: ignore[union-attr]


BARE = apex("", adopted=False)


def test_route_goes_after_the_selector() -> None:
    """Then the VirtualService that we made goes, at its version and uid."""
    decision = look(deleted(idle(target=back(), apex=BARE)))
    assert decision.actions == (Delete(NAMES.route_ref, "uid-route", "50", "give back: route"),)


@pytest.mark.parametrize(("since", "words"), [(None, "settle begins"), (46, None), (45, "done")])
def test_sets_go_one_settle_after_the_route(since: float | None, words: str | None) -> None:
    """The drain time is kept on the target; after it everything of ours goes, guarded."""
    world = deleted(idle(target=back(since=since), apex=BARE, route=None))
    decision = look(world)
    assert [a.why for a in decision.actions if a.ref == NAMES.target_ref] == ([f"give back: {words}"] if words else [])
    deletes = [a for a in decision.actions if isinstance(a, Delete)]
    if words != "done":
        assert deletes == []
        return
    assert {a.ref.name for a in deletes} >= {"catalog-primary", "catalog-canary"}
    for action in deletes:
        if action.ref.resource.plural in ("deployments", "services"):
            assert {g.ref for g in action.guards} == {NAMES.route_ref, NAMES.apex_ref}


def test_objects_of_others_stay() -> None:
    """What lost our marks, or names another Canary, is not deleted."""
    foreign = service("catalog-canary", "canary", ours=False)
    theirs = clone("canary", replicas=0, labels={CANARY_LABEL: "other"})
    world = deleted(idle(target=back(since=0), apex=BARE, route=None, canary_service=foreign, candidate=theirs))
    assert {a.ref.name for a in look(world).actions if isinstance(a, Delete)}.isdisjoint({"catalog-canary"})


def test_give_back_ends_in_silence() -> None:
    """With nothing of ours left there is nothing to do and no timer."""
    world = deleted(
        idle(
            target=back(), apex=BARE, route=None, primary=None, primary_service=None, canary_service=None, revisions=()
        )
    )
    decision = look(world)
    assert (decision.actions, decision.requeue_after) == ((), None)


def written(world: Snapshot, decision: Decision) -> Snapshot:
    """Return the world after all actions of a give-back, with the pods where they are wanted."""
    parts: dict[str, Any] = {}
    for action in decision.actions:
        parts |= _after(world, action)
    return replace(world, **parts)


def _after(world: Snapshot, action: Any) -> dict[str, Any]:
    name, plural = action.ref.name, action.ref.resource.plural
    fields = {
        ("deployments", "catalog"): "target",
        ("deployments", "catalog-primary"): "primary",
        ("deployments", "catalog-canary"): "candidate",
        ("services", "catalog"): "apex",
        ("services", "catalog-primary"): "primary_service",
        ("services", "catalog-canary"): "canary_service",
        ("virtualservices", "catalog"): "route",
    }
    if plural == "controllerrevisions":
        return {"revisions": tuple(r for r in world.revisions if NAMES.revision(r.id) != action.ref)}
    field = fields[(plural, name)]
    if isinstance(action, Delete):
        return {field: None}
    old = getattr(world, field)
    raw: Object = apply_merge_patch(old.raw if isinstance(old, Workload) else old, action.body)
    if plural != "deployments":
        return {field: raw}
    count = raw["spec"]["replicas"]
    counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return {field: Workload({**raw, "status": {**raw["status"], **dict.fromkeys(counts, count)}})}


@pytest.mark.parametrize(
    "world",
    [idle(), running(0), running(30), promoting(), finalising(), promotion_failed(primary=clone("primary"))],
)
def test_stages_lead_to_a_serving_target_and_nothing_of_ours(world: Snapshot) -> None:
    """From every phase: the target whole, the apex Service on it, all else gone; someone serves at each step."""
    now, gone = 60.0, deleted(world)
    for _ in range(40):
        decision = look(gone, now)
        if not decision.actions and decision.requeue_after is None:
            break
        gone = written(gone, decision)
        if gone.revisions:
            kept = tuple(r for r in gone.revisions if not _dropped(decision, r.id))
            gone = replace(gone, revisions=kept)
        assert _serving(gone) > 0
        now += 5
    assert (gone.primary, gone.candidate, gone.route, gone.primary_service, gone.revisions) == (None,) * 4 + ((),)
    assert gone.target is not None
    assert (gone.target.replicas, gone.target.template["spec"]) == (
        2,
        (V1 if world.status.phase != "Finalising" else V2)["spec"],
    )
    assert gone.apex is not None
    assert gone.apex["spec"]["selector"] == {"app": "catalog"}
    assert DRAINED_FROM not in gone.target.raw["metadata"]["annotations"]


def _dropped(decision: Decision, revision: str) -> bool:
    return any(isinstance(a, Delete) and a.ref == NAMES.revision(revision) for a in decision.actions)


def _serving(world: Snapshot) -> int:
    """Return how many pods the apex Service selects."""
    assert world.apex is not None
    role = world.apex["spec"]["selector"].get(ROLE_LABEL)
    sets = {"": world.target, "primary": world.primary, "canary": world.candidate}
    found = sets[role or ""]
    return found.ready if found else 0


class TestWithoutTarget:
    """The target was deleted too: one settle, then all of ours goes."""

    def test_route_goes_first(self) -> None:
        """Callers go to the apex Service while the sets settle."""
        decision = look(deleted(idle(target=None)))
        assert names_of(decision.actions) == ["delete VirtualService catalog"]
        assert decision.requeue_after is not None

    @pytest.mark.parametrize(("since", "waits"), [(50, True), (45, False)])
    def test_sets_go_after_one_settle(self, since: float, waits: bool) -> None:
        """The clock is on the primary."""
        notes = {DRAINED_FROM: at(since).isoformat(), OWNER: idle().owner.to_text(), WISH: "2"}
        world = deleted(idle(target=None, route=None, primary=clone("primary", annotations=notes)))
        decision = look(world)
        assert (decision.actions == ()) is waits
        if not waits:
            assert "delete Deployment catalog-primary" in names_of(decision.actions)
            assert "patch Service catalog" in names_of(decision.actions)

    def test_role_leaves_a_service_made_again_by_its_user(self) -> None:
        """Applied anew in the give-back it has no mark, yet may have been turned to the primary: callers come back."""
        notes = {DRAINED_FROM: at(0).isoformat(), OWNER: idle().owner.to_text()}
        again = apex("primary", adopted=False, by="kubectl")
        gone = deleted(idle(target=None, route=None, apex=again, primary=clone("primary", annotations=notes)))
        assert spec_of(look(gone).actions, NAMES.apex_ref) == {"selector": {ROLE_LABEL: None}}


def test_adopted_route_is_given_back_as_it_was() -> None:
    """A VirtualService that we adopted is not deleted: it leads to the apex again, without our marks."""
    theirs = route(0)
    theirs["metadata"]["labels"] = {}
    world = deleted(idle(target=back(), apex=BARE, route=theirs))
    [left] = [a for a in look(world).actions if a.ref == NAMES.route_ref]
    assert isinstance(left, Patch)
    after = apply_merge_patch(theirs, left.body)
    assert after["spec"]["http"][0]["route"] == [{"destination": {"host": "catalog"}}]
    assert OWNER not in after["metadata"].get("annotations", {})
    assert PRIMARY not in {a.ref for a in look(world).actions}


def test_adopted_route_stays_while_its_service_is_missing() -> None:
    """The user's own leg would lead nowhere, the clones serve: the route waits for the apex Service (I2)."""
    theirs = route(0)
    theirs["metadata"]["labels"] = {}
    decision = look(deleted(idle(target=back(), apex=None, route=theirs)))
    assert decision.actions == ()
    assert decision.requeue_after is not None


@pytest.mark.parametrize(
    ("told", "seconds", "goes"),
    [
        (EndpointsAnswer(3), 60, False),
        (EndpointsAnswer(4), 60, True),
        (Unavailable("503"), 60, False),
        (EndpointsAnswer(2), 105, True),
    ],
)
def test_clones_go_when_the_apex_service_leads_to_the_target(told: Any, seconds: float, goes: bool) -> None:
    """Two pods of each: as long as some are missing the clones stay, for four settle times at most (I7)."""

    def answered(queries: Any) -> Any:
        asked = [Measurement(q, told) for q in queries if isinstance(q, EndpointsQuery)]
        assert [one.query.ref for one in asked] == [NAMES.apex_ref]
        return (*asked, *good(q for q in queries if not isinstance(q, EndpointsQuery)))

    world = deleted(idle(target=back(since=45), apex=BARE, route=None))
    decision = look(world, seconds, answered)
    assert (PRIMARY in {a.ref for a in decision.actions if isinstance(a, Delete)}) is goes
    assert goes or decision.requeue_after is not None


def test_traffic_goes_on_where_it_is_while_nobody_can_reach_the_primary() -> None:
    """Its pods are ready, but its Service does not lead to all of them yet."""
    world = deleted(running(30, primary=replace(clone("primary"), reached=1)))
    assert names_of(look(world).actions) == ["patch Deployment catalog"]
    assert "patch VirtualService catalog" in names_of(look(deleted(running(30))).actions)


def test_traffic_is_not_sent_to_a_primary_without_its_service() -> None:
    """The host the route would name was deleted: the target takes over from where callers are (I2)."""
    world = deleted(running(30, primary_service=None, primary=replace(clone("primary"), reached=0)))
    assert names_of(look(world).actions) == ["patch Deployment catalog"]
    up = replace(world, target=back())
    assert names_of(look(up).actions) == ["patch Service catalog"]
    given = replace(up, apex=BARE)
    assert names_of(look(given).actions) == ["delete VirtualService catalog"]


ROOT = {"metadata": {"name": "shop", "namespace": "web"}, "spec": {"hosts": ["shop.io"]}}


@pytest.mark.parametrize(
    ("parts", "kept"),
    [({}, False), ({"roots": [ROOT]}, True), ({"all_roots_seen": False}, True)],
)
def test_route_that_others_delegate_to_is_left_to_them(parts: dict[str, Any], kept: bool) -> None:
    """Without it their requests would have nowhere to go; it leads to the apex and carries no mark of ours."""
    made = route(0)
    made["spec"] = {"http": made["spec"]["http"]}
    world = deleted(idle(target=back(), apex=BARE, route=made, **parts))
    [left] = [a for a in look(world).actions if a.ref == NAMES.route_ref]
    if not kept:
        assert isinstance(left, Delete)
        return
    assert isinstance(left, Patch)
    after = apply_merge_patch(made, left.body)
    assert after["spec"] == {"http": [{"name": "weighted", "route": [{"destination": {"host": "catalog"}}]}]}
    assert (after["metadata"]["annotations"], after["metadata"]["labels"]) == ({}, {})


def test_route_with_hosts_is_deleted_whoever_delegates() -> None:
    """Istio never took it for a delegate."""
    world = deleted(idle(target=back(), apex=BARE, roots=[ROOT]))
    assert [type(a) for a in look(world).actions if a.ref == NAMES.route_ref] == [Delete]


def test_unmarked_route_stays() -> None:
    """A VirtualService that never carried our mark is not written."""
    theirs = route(0)
    theirs["metadata"]["labels"] = theirs["metadata"]["annotations"] = {}
    world = deleted(idle(target=back(), apex=BARE, route=theirs))
    assert not any(a.ref == NAMES.route_ref for a in look(world).actions)
