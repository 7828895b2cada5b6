"""Readiness thresholds: how many pods are enough, and what rests on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import Phase, Run
from canary.core.actions import Decision
from canary.core.decide import decide, questions
from canary.core.names import OWNER, Owner, owner_of
from canary.core.snapshot import Snapshot
from canary.core.workload import Workload, enough
from tests.answers import good
from tests.builders import NAMES as N
from tests.builders import (
    OWNER_MARK,
    V1,
    V2,
    apex,
    at,
    clone,
    deleted,
    deployment,
    idle,
    new_status,
    promoting,
    role_of,
    rolled,
    running,
    service,
    spec_of,
    untouched,
    weights_of,
    with_status,
)

PRIMARY, CANARY = "spec.analysis.primaryReadyThreshold", "spec.analysis.canaryReadyThreshold"


def look(world: Snapshot, seconds: float = 60) -> Decision:
    """Decide at a moment of a healthy world."""
    return decide(world, good(questions(world, at(seconds))), at(seconds))


def half_way(ready: int, threshold: int = 50, **canary: Any) -> Snapshot:
    """Return a run at 40 % whose next step needs five canary pods beside a production of ten."""
    size = {"run": Run(started_at=at(-45), size=10)}
    candidate = clone("canary", V2, **{"replicas": 5, "ready": ready, **canary})
    return running(40, changes={CANARY: threshold}, status=size, candidate=candidate)


def after_promotion(threshold: int, **primary: Any) -> Snapshot:
    """Return a promotion whose primary of three pods holds the revision, one of them not ready for good."""
    shown = rolled(**{"replicas": 3, "ready": 2, "stuck": True, **primary})
    world = promoting(primary=shown)
    spec = untouched({PRIMARY: threshold}).spec
    return replace(world, spec=spec)


@pytest.mark.parametrize(
    ("pods", "threshold", "needed"),
    [
        (0, 100, 0),
        (0, 0, 0),
        (1, 0, 1),
        (1, 1, 1),
        (1, 99, 1),
        (1, 100, 1),
        (2, 50, 1),
        (2, 51, 2),
        (2, 99, 2),
        (3, 33, 1),
        (3, 34, 2),
        (3, 66, 2),
        (3, 67, 3),
        (10, 0, 1),
        (10, 1, 1),
        (10, 11, 2),
        (100, 29, 29),
        (100, 58, 58),
        (1000, 7, 70),
        (7, 100, 7),
    ],
)
def test_enough_rounds_up_and_is_never_none(pods: int, threshold: int, needed: int) -> None:
    """A percentage of the pods, rounded up; one at least, so that a set without ready pods never counts (W44)."""
    assert enough(pods, threshold) == needed


def test_enough_is_between_one_pod_and_all() -> None:
    """No threshold asks for more pods than there are, nor for fewer than a higher one does."""
    for pods in range(1, 60):
        needed = [enough(pods, threshold) for threshold in range(101)]
        assert needed == sorted(needed)
        assert (needed[0], needed[100]) == (1, pods)


@pytest.mark.parametrize(("threshold", "ready", "weight"), [(50, 3, 50), (50, 2, 40), (100, 4, 40), (100, 5, 50)])
def test_step_waits_for_enough_of_the_canary_pods(threshold: int, ready: int, weight: int) -> None:
    """Half of five pods, rounded up, carry the next step; the canary is made at its whole size all the same."""
    world = half_way(ready, threshold)
    status = new_status(world, look(world, 45))
    assert status.canary_weight == weight
    small = replace(world, candidate=clone("canary", V2, 4))
    assert spec_of(look(small, 10).actions, N.workload("canary")) == {"replicas": 5}


def test_weights_are_written_for_enough_canary_pods() -> None:
    """A step entered with enough pods gets its weight, one with fewer keeps the routes as they are."""
    for ready, written in ((3, (50, 50)), (2, None)):
        world = half_way(ready)
        step = world.status.step
        assert step is not None
        entered = step.model_copy(update={"index": 5, "in_force_at": None})
        assert weights_of(look(with_status(world, canary_weight=50, step=entered), 10).actions) == written


@pytest.mark.parametrize(("threshold", "ready", "diverted"), [(50, 1, False), (50, 0, True), (100, 1, True)])
def test_traffic_is_diverted_below_half_of_what_is_enough(threshold: int, ready: int, diverted: bool) -> None:
    """At 40 % of ten, two of four pods are enough: one of them may be lost, all of them never (I13)."""
    decision = look(half_way(ready, threshold), 10)
    assert (weights_of(decision.urgent) == (100, 0)) is diverted


def test_canary_with_enough_pods_is_not_given_up() -> None:
    """Its Deployment's deadline speaks of all pods; it counts while too few are ready, not right after a scaling."""
    cases = (
        (half_way(3, stuck=True), Phase.PROGRESSING),
        (half_way(2, stuck=True), Phase.FAILED),
        (half_way(2, stuck=True, pods=4), Phase.PROGRESSING),
        (half_way(4, 100, stuck=True), Phase.FAILED),
        (half_way(4, 100, stuck=True, pods=4), Phase.FAILED),
    )
    for world, phase in cases:
        assert new_status(world, look(world, 10)).phase is phase


@pytest.mark.parametrize(
    ("world", "phase"),
    [
        (after_promotion(60), Phase.FINALISING),
        (after_promotion(67), Phase.FAILED),
        (after_promotion(100), Phase.FAILED),
        (after_promotion(60, stuck=False, pods=4), Phase.PROMOTING),
        (after_promotion(60, stuck=False, pods=3, updated=2), Phase.PROMOTING),
        (after_promotion(60, updated=0, generation=2), Phase.PROMOTING),
        (after_promotion(1, ready=0), Phase.FAILED),
    ],
)
def test_promotion_ends_with_enough_primary_pods(world: Snapshot, phase: Phase) -> None:
    """Two of three pods are enough at 60 %: none of the old ones is left, and one is ready at the least."""
    assert new_status(world, look(world)).phase is phase


def test_hand_over_waits_for_enough_primary_pods() -> None:
    """Production moves to a primary that has enough pods, and enough of as many as the target has."""
    sides = {
        "primary_service": service("catalog-primary", "primary"),
        "canary_service": service("catalog-canary", "canary"),
    }

    def begun(threshold: int, primary: Workload, target: Workload) -> Decision:
        world = replace(untouched({PRIMARY: threshold}), target=deployment(replicas=3), revisions=idle().revisions)
        pinned = with_status(world, new_status(world, look(world, 0)))
        return look(replace(pinned, target=target, primary=primary, **sides))

    short, whole = clone("primary", V1, 3, ready=2), deployment(replicas=3)
    assert role_of(begun(60, short, whole).actions) == "primary"
    assert role_of(begun(100, short, whole).actions) is None
    assert role_of(begun(60, clone("primary", V1, 3, ready=1), whole).actions) is None
    assert role_of(begun(60, short, deployment(replicas=3, ready=2)).actions) == "primary"
    assert role_of(begun(100, clone("primary", V1, 3), deployment(replicas=3, ready=2)).actions) is None


def test_owner_mark_keeps_the_threshold_for_the_give_back() -> None:
    """The mark of a Canary without threshold is as before, so that a new version writes nothing (I5)."""
    assert "Threshold" not in OWNER_MARK.to_text()
    lowered = replace(OWNER_MARK, primary_threshold=60)
    for mark in (OWNER_MARK, lowered):
        obj = {"metadata": {"annotations": {OWNER: mark.to_text()}}}
        assert owner_of(obj) == mark


@pytest.mark.parametrize(("threshold", "role"), [(60, {"canary.delivery/role": None}), (100, {})])
def test_deleted_canary_gives_back_to_enough_target_pods(threshold: int, role: dict[str, None]) -> None:
    """The mark on the primary says which part of production's pods is enough, also for the target."""
    mark: Owner = replace(OWNER_MARK, primary_threshold=threshold)
    primary = clone("primary", V1, 3, ready=2, annotations={OWNER: mark.to_text()})
    back = deployment(replicas=3, ready=2, generation=3)
    world = deleted(primary=primary, target=back, apex=apex("primary"), candidate=None)
    assert spec_of(look(world).actions, N.apex_ref).get("selector", {}) == role
