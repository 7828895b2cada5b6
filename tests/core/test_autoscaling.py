"""Autoscalers in the decision: when the user's goes over, when the canary has its own, what is told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import Phase, Run
from canary.core.actions import Action, Create, Decision, Delete, Patch
from canary.core.decide import decide, questions
from canary.core.measurement import GoneAnswer, GoneQuery, Measurement
from canary.core.names import MANAGER, owned_metadata
from canary.core.objects import AUTOSCALER, SCALED_OBJECT, Ref
from canary.core.scaler import FIELDS, Scaler
from canary.core.snapshot import Snapshot
from tests.answers import good
from tests.builders import (
    NAMES,
    NOW,
    NS,
    OWNER_MARK,
    V2,
    V3,
    apex,
    at,
    clone,
    deleted,
    deployment,
    finalising,
    find,
    idle,
    names_of,
    new_status,
    new_target,
    patch_of,
    promoting,
    promotion_failed,
    rolled,
    route,
    running,
    settled,
    spec_of,
)
from tests.scalers import named, scaled_object, scaler

SIZES = Ref(AUTOSCALER, NS, "sizes")
OWN = Ref(AUTOSCALER, NS, "catalog-canary")
TAKEN = {"scaleTargetRef": "catalog"}
HELD = scaler("catalog-primary", changed=TAKEN, by=("kubectl", MANAGER))
RAISED = scaler("catalog-primary", 4, changed={**TAKEN, "minReplicas": {"was": 2, "set": 4}})


def own(low: int = 2, target: str = "catalog-canary") -> Scaler:
    """Return the canary's own autoscaler."""
    metadata = {**owned_metadata(target, NS, OWNER_MARK, role="canary"), "uid": "uid-own", "resourceVersion": "71"}
    pointed = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    body = {"kind": "HorizontalPodAutoscaler", "metadata": metadata}
    spec = {"scaleTargetRef": pointed, "minReplicas": low, "maxReplicas": 9}
    return Scaler({**body, "spec": spec}, FIELDS[AUTOSCALER.kind])


def settle(world: Snapshot, seconds: float = 60) -> Decision:
    """Return what is decided when every question is answered as in a healthy world."""
    return decide(world, good(questions(world, at(seconds))), at(seconds))


def done(world: Snapshot, seconds: float = 60) -> tuple[Action, ...]:
    """Return all that is done in a world."""
    decision = settle(world, seconds)
    return (*decision.urgent, *decision.actions)


def ready(world: Snapshot) -> tuple[str, str]:
    """Return reason and message of condition Ready."""
    found = new_status(world, decide(world, (), NOW)).condition("Ready")
    assert found is not None
    return found.reason, found.message


def test_autoscaler_stays_on_the_target_until_the_apex_selects_the_primary() -> None:
    """Make-before-break: it goes over once traffic was read back at the primary, before the target empties."""
    status = {"phase": Phase.INITIALIZING, **settled("target")}
    changes = named(scaler())
    before = idle(changes=changes, scalers=(scaler(),), target=deployment(), apex=apex(adopted=False, by="kubectl"))
    before = replace(before, status=before.status.model_copy(update=status), route=None)
    assert find(done(before), SIZES) is None
    after = replace(before, apex=apex("primary"), route=route(0))
    written = names_of(done(after))
    assert "patch HorizontalPodAutoscaler sizes" in written
    assert written.index("patch HorizontalPodAutoscaler sizes") < written.index("patch Deployment catalog")
    # Until the target is empty the primary keeps its size, whatever is measured on it so far.
    assert spec_of(done(after), SIZES) == {"scaleTargetRef": {"name": "catalog-primary"}}
    larger = replace(after, primary=clone("primary", replicas=4))
    assert spec_of(done(larger), SIZES)["minReplicas"] == 4


@pytest.mark.parametrize(
    "world",
    [
        running(10, changes=named(HELD), scalers=(HELD,), primary=clone("primary", replicas=4)),
        promoting(50, changes=named(HELD), scalers=(HELD,), primary=clone("primary", replicas=4)),
        finalising(changes=named(HELD), scalers=(HELD,), primary=rolled(replicas=4)),
        running(0, Phase.FAILED, changes=named(HELD), scalers=(HELD,), primary=clone("primary", replicas=4)),
    ],
    ids=["Progressing", "Promoting", "Finalising", "Failed, canary still there"],
)
def test_primary_may_not_shrink_while_the_canary_is_there(world: Snapshot) -> None:
    """From the start of the run until the canary is gone its smallest size is the run's (I8)."""
    assert spec_of(done(world, 1), SIZES) == {"minReplicas": 4}


def test_smallest_size_is_raised_before_traffic_moves() -> None:
    """The write that holds the primary stands before the one that gives the canary a weight, which needs it."""
    world = running(10, shown=0, changes=named(HELD), scalers=(HELD,), primary=clone("primary", replicas=4))
    written = names_of(done(world, 1))
    assert written.index("patch HorizontalPodAutoscaler sizes") < written.index("patch VirtualService catalog")


def test_smallest_size_is_the_users_again_once_the_canary_is_gone() -> None:
    """After a run the user's bound alone holds, remembered in the object and nowhere else."""
    world = idle(changes=named(RAISED), scalers=(RAISED,), primary=clone("primary", replicas=4))
    assert spec_of(done(world), SIZES) == {"minReplicas": 2}


def test_settled_autoscaler_is_not_written() -> None:
    """At rest nothing is written, whatever size the autoscaler gave the primary (I19)."""
    world = idle(changes=named(HELD), scalers=(HELD,), primary=clone("primary", replicas=7, wish=2))
    assert done(world) == ()


def test_size_of_a_run_is_that_of_the_primary_and_not_of_an_earlier_wish() -> None:
    """What the target asked for once does not count where an autoscaler decides."""
    primary = clone("primary", replicas=5, wish=2)
    world = idle(changes=named(HELD), scalers=(HELD,), target=new_target(replicas=9), primary=primary)
    started = new_status(world, decide(world, (), NOW))
    assert started.run is not None
    assert started.run.size == 5


def test_former_run_says_nothing_about_the_size_of_the_next() -> None:
    """After a failed run the primary may have shrunk."""
    former = {"run": Run(started_at=NOW, size=8)}
    world = running(0, Phase.FAILED, changes=named(HELD), scalers=(HELD,), status=former)
    world = replace(world, candidate=clone("canary", replicas=0), target=new_target(pod=V3, generation=4))
    started = new_status(world, decide(world, (), NOW))
    assert started.run is not None
    assert started.run.size == 2


def test_canary_gets_an_autoscaler_once_it_carries_everything() -> None:
    """From cut-over on: the user's largest size, its full size as smallest."""
    world = promoting(changes=named(HELD), scalers=(HELD,))
    made = find(done(world, 1), OWN)
    assert isinstance(made, Create)
    assert (made.body["spec"]["minReplicas"], made.body["spec"]["maxReplicas"]) == (2, 9)
    assert find(done(promoting(50, changes=named(HELD), scalers=(HELD,)), 1), OWN) is None


def test_canarys_autoscaler_follows_the_users() -> None:
    """What the user edits meanwhile holds for both (W49)."""
    more = scaler("catalog-primary", high=12, changed=TAKEN)
    world = promoting(changes=named(more), scalers=(more, own()))
    assert spec_of(done(world, 1), OWN) == {"maxReplicas": 12}
    assert find(done(promoting(changes=named(HELD), scalers=(HELD, own())), 1), OWN) is None


def test_canarys_autoscaler_is_gone_before_the_canary_shrinks() -> None:
    """It is deleted as soon as traffic is off the canary, and in any case first."""
    world = finalising(changes=named(HELD), scalers=(HELD, own()), status=settled("canary", 70))
    written = names_of(done(world))
    deleted_at = written.index("delete HorizontalPodAutoscaler catalog-canary")
    assert deleted_at < written.index("patch Deployment catalog-canary")


def test_canary_keeps_its_autoscaler_while_traffic_goes_back_in_steps() -> None:
    """Its share may return at any step: it stays as large, and the primary as large as it (I8)."""
    changes = {**named(HELD), "spec.analysis.stepWeightPromotion": 40}
    status = {"canary_weight": 60}
    world = finalising(60, changes=changes, scalers=(HELD, own()), status=status, candidate=clone("canary", V2, 6))
    assert find(done(world, 1), OWN) is None
    assert spec_of(done(world, 1), SIZES) == {"minReplicas": 6}


def test_failed_promotion_keeps_the_canarys_autoscaler() -> None:
    """While the canary serves it scales by the load."""
    world = promotion_failed(changes=named(HELD), scalers=(HELD, own()))
    assert find(done(world), OWN) is None


def test_traffic_goes_back_to_a_primary_as_large_as_the_canary() -> None:
    """The canary grew at 100 %: the primary is made to follow, and waited for (I8)."""
    grown = clone("canary", V2, 6)
    world = promoting(changes=named(HELD), scalers=(HELD, own()), candidate=grown, primary=rolled())
    assert spec_of(done(world), SIZES) == {"minReplicas": 6}
    assert new_status(world, settle(world)).phase is Phase.PROMOTING
    ready_now = replace(world, primary=rolled(replicas=6))
    assert new_status(ready_now, settle(ready_now)).phase is Phase.FINALISING


def test_largest_size_of_the_user_goes_before_that_of_the_run() -> None:
    """Nobody waits for pods that the autoscaler would never grant."""
    capped = scaler("catalog-primary", 1, 3, changed=TAKEN)
    world = promoting(changes=named(capped), scalers=(capped, own(3)), primary=rolled(replicas=3))
    world = replace(world, candidate=clone("canary", V2, 5))
    assert new_status(world, settle(world)).phase is Phase.FINALISING


def test_autoscaler_moved_by_hand_is_drift() -> None:
    """It is put back with one event that names the manager."""
    moved = scaler("catalog", changed=TAKEN, by=(MANAGER, "argocd"))
    world = idle(changes=named(moved), scalers=(moved,))
    decision = decide(world, (), NOW)
    assert spec_of(decision.actions, SIZES) == {"scaleTargetRef": {"name": "catalog-primary"}}
    assert [e.reason for e in decision.events] == ["TrafficDrift"]
    assert [(d.field, d.manager) for d in new_status(world, decision).drift] == [("scaleTargetRef", "argocd")]


def test_contested_autoscaler_is_put_off() -> None:
    """Undone three times it is left alone for a while, and the condition names who undoes it."""
    moved = scaler("catalog", changed=TAKEN, by=(MANAGER, "argocd"))
    world = idle(changes=named(moved), scalers=(moved,))
    drift = ({"field": "scaleTargetRef", "manager": "argocd", "count": 2, "since": NOW},)
    world = replace(world, status=type(world.status).model_validate({**world.status.model_dump(), "drift": drift}))
    assert find(done(world, 1), SIZES) is None
    assert "argocd keeps changing the scaleTargetRef" in ready(world)[1]


def test_autoscaler_named_no_more_is_let_go() -> None:
    """It gets its own bounds and target back, and is an obstacle to the next run there."""
    world = idle(scalers=(RAISED,))
    assert spec_of(done(world), SIZES) == {"scaleTargetRef": {"name": "catalog"}, "minReplicas": 2}


def test_unusable_spec_leaves_the_autoscaler_as_it_is() -> None:
    """Which one is named is not known then."""
    world = replace(idle(scalers=(RAISED,)), spec=None, refusals=("spec is wrong",))
    assert find(done(world), SIZES) is None


QUERIES = {"spec.autoscalerRef": {**named(scaled_object())["spec.autoscalerRef"], "primaryScalerQueries": {"cpu": "1"}}}
OTHER = scaler("catalog-primary", name="other")
MADE = {"ownerReferences": [{"kind": "ScaledObject", "name": "sizes"}]}


def made_by_keda(found: Scaler) -> Scaler:
    """Return an autoscaler that a ScaledObject made."""
    return Scaler({**found.raw, "metadata": {**found.raw["metadata"], **MADE}}, found.fields)


@pytest.mark.parametrize(
    ("world", "reason", "words"),
    [
        (
            idle(changes=named(HELD)),
            "AutoscalerMissing",
            "sizes of spec.autoscalerRef not found, production keeps",
        ),
        (idle(scalers=(scaler(),)), "AutoscalerPresent", "name it in spec.autoscalerRef, or delete it"),
        (idle(scalers=(scaled_object(),)), "AutoscalerPresent", "ScaledObject sizes scales Deployment catalog"),
        (
            idle(changes=named(HELD), scalers=(HELD, OTHER)),
            "AutoscalerPresent",
            "HorizontalPodAutoscaler other scales Deployment catalog-primary; spec.autoscalerRef names "
            "HorizontalPodAutoscaler sizes, delete one of the two",
        ),
        (
            idle(changes=named(scaler("web")), scalers=(scaler("web"),)),
            "AutoscalerElsewhere",
            "scales Deployment web; let it scale Deployment catalog",
        ),
        (
            idle(changes=QUERIES, scalers=(scaled_object("catalog-primary", changed=TAKEN),)),
            "AutoscalerWithoutTrigger",
            "ScaledObject sizes has no trigger named cpu, of which spec.autoscalerRef.primaryScalerQueries speaks",
        ),
        (
            idle(changes=named(HELD), scalers=(made_by_keda(HELD),)),
            "AutoscalerManaged",
            "which ScaledObject sizes makes; name ScaledObject sizes",
        ),
        (
            idle(changes=named(HELD), scalers=(HELD, scaler(name="catalog-canary", target="x"))),
            "NameTaken",
            "HorizontalPodAutoscaler catalog-canary exists and is not ours",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_wrong_autoscaler_is_told(world: Snapshot, reason: str, words: str) -> None:
    """The condition names the object, and what would be right."""
    assert ready(world)[0] == reason
    assert words in ready(world)[1]


def test_missing_autoscaler_stops_no_run() -> None:
    """Production keeps its size, and the run starts (W49)."""
    world = idle(changes=named(HELD), target=new_target())
    assert new_status(world, decide(world, (), NOW)).phase is Phase.PROGRESSING


def test_autoscaler_that_keda_makes_for_the_one_named_is_no_obstacle() -> None:
    """The ScaledObject stands for it."""
    keda = scaled_object("catalog-primary", changed=TAKEN)
    made = made_by_keda(scaler("catalog-primary", name="keda-hpa-sizes"))
    world = idle(changes=named(keda), scalers=(made, keda))
    assert ready(world)[0] == "Served"
    assert done(world) == ()


def test_scaled_object_is_held_as_an_autoscaler_is() -> None:
    """Its own field names, the same course: re-pointed, raised in a run, and one of its own for the canary."""
    keda = scaled_object("catalog-primary", changed=TAKEN)
    world = promoting(changes=named(keda), scalers=(keda,))
    assert spec_of(done(world, 1), Ref(SCALED_OBJECT, NS, "sizes")) == {"minReplicaCount": 2}
    made = find(done(world, 1), Ref(SCALED_OBJECT, NS, "catalog-canary"))
    assert isinstance(made, Create)
    assert made.body["spec"]["scaleTargetRef"] == {"name": "catalog-canary"}


def given_back(**parts: Any) -> Snapshot:
    """Return the world after the Canary was deleted in a failed promotion, with the target up again."""
    world = deleted(promotion_failed(changes=named(HELD), scalers=(RAISED, own())))
    return replace(world, **{"target": new_target(replicas=2), **parts})


def play(world: Snapshot) -> tuple[Action, ...]:
    """Return what the give-back does next."""
    gone = (Measurement(GoneQuery(world.key), GoneAnswer(True)),)
    return decide(world, gone, at(60)).actions


def test_give_back_takes_the_canarys_autoscaler_away_first() -> None:
    """Back on the target the user's selects the canary's pods too: two over one pod scale nothing."""
    first = play(given_back())
    assert names_of(first) == ["delete HorizontalPodAutoscaler catalog-canary"]
    assert isinstance(first[0], Delete)


def test_give_back_returns_the_autoscaler_with_the_apex() -> None:
    """Once the apex Service selects the target it scales the target, within the user's bounds."""
    world = given_back(scalers=(RAISED,), apex=apex(adopted=False), candidate=None)
    found = patch_of(play(world), SIZES)
    assert isinstance(found, Patch)
    assert found.body["spec"] == {"minReplicas": 2, "scaleTargetRef": {"name": "catalog"}}
    assert find(play(replace(world, apex=apex("primary"))), SIZES) is None


def test_given_back_target_is_left_to_its_autoscaler() -> None:
    """It is not raised to the primary's size again when its autoscaler shrinks it."""
    world = given_back(scalers=(scaler(),), apex=apex(adopted=False), candidate=None, route=route(0))
    world = replace(world, target=new_target(replicas=1), primary=clone("primary", V2, replicas=4, wish=6))
    assert find(play(world), NAMES.target_ref) is None
    up = replace(world, scalers=(HELD,), target=new_target(), apex=apex("primary"), route=route(0))
    assert spec_of(play(up), NAMES.target_ref) == {"replicas": 4}


def test_give_back_without_target_leaves_the_autoscaler_as_its_user_wrote_it() -> None:
    """The target is gone too: what the user made stays, without our marks."""
    world = replace(given_back(scalers=(RAISED, own())), target=None, route=None)
    assert {"patch HorizontalPodAutoscaler sizes", "delete HorizontalPodAutoscaler catalog-canary"} <= set(
        names_of(play(world))
    )


def test_autoscaler_on_the_target_makes_no_wish() -> None:
    """One that is refused, or that somebody took back, gives the target a size that nobody asked for."""
    target = deployment(replicas=9, generation=2, owners=("kube-controller-manager",))
    world = idle(scalers=(scaler(),), target=target)
    status = new_status(world, decide(world, (), NOW))
    assert status.replicas is not None
    assert status.replicas.desired == 2
