"""The cut-over of a promotion, and one whose primary never becomes ready."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

from e2e.findings import findings_of_run
from e2e.release import CANARY, Release, manifests
from e2e.test_strategies import RUN
from e2e.testbed.node.tags import Tags
from e2e.testbed.waiting import wait_until
from e2e.timeline import (
    Moment,
    assert_capacity_precedes_weight,
    assert_none_failed,
    count,
    moments,
    settled,
    template_changes,
    version_of,
    weight_changes,
)

LONG = timedelta(seconds=120)
DEADLINE = 12
"""Seconds without progress after which a promotion is given up in these tests."""


def test_cut_over_rolls_the_primary_only_while_nothing_points_at_it(release: Release) -> None:
    """The analysed template enters an idle primary, pods precede weight, and no caller of either kind notices."""
    release.set_up(replicas=3, stepWeight=25, maxWeight=50)
    began = settled(release)
    with release.load(rps=25) as loads:
        release.apply(release.deployment("v2", replicas=3))
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(*loads)
    history = moments(release.recorder, since=began)
    assert [m.weights for m in weight_changes(history)] == [(100, 0), (75, 25), (50, 50), (0, 100), (100, 0)]
    rolled = template_changes(history, "catalog-primary")
    assert len(rolled) == 1, [str(m) for m in rolled]
    assert (rolled[0].weights, rolled[0].apex_role) == ((0, 100), "canary"), str(rolled[0])
    analysed = [m.template("catalog-canary") for m in history if m.weights == (50, 50)]
    assert rolled[0].template("catalog-primary") == analysed[0] == analysed[-1]
    assert_capacity_precedes_weight(history, size=3)
    for old, new in pairwise(history):
        if new.apex_role != old.apex_role:
            assert old.ready(f"catalog-{new.apex_role}") == 3, str(old)
        if new.weights != (0, 100):
            assert new.ready("catalog-primary") == 3, f"the primary shrank under traffic: {new}"
    assert version_of(release.get("deployment", "catalog-primary")) == "v2"


def test_primary_rolls_in_place_under_its_share(release: Release) -> None:
    """Asked for in place: no cut-over and no canary at full size; the primary keeps its pods, no caller notices."""
    release.set_up(replicas=4, stepWeight=25, maxWeight=50)
    release.patch_spec(promotion={"strategy": "InPlace"})
    began = settled(release)
    with release.load(rps=25) as loads:
        release.apply(release.deployment("v2", replicas=4))
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(*loads)
    history = moments(release.recorder, since=began)
    assert [m.weights for m in weight_changes(history)] == [(100, 0), (75, 25), (50, 50), (100, 0)]
    rolled = template_changes(history, "catalog-primary")
    assert [(m.weights, m.apex_role) for m in rolled] == [((50, 50), "primary")], [str(m) for m in rolled]
    assert rolled[0].template("catalog-primary") == rolled[0].template("catalog-canary")
    assert_capacity_precedes_weight(history, size=4)
    assert max(m.ready("catalog-canary") for m in history) == 2
    for moment in history:
        assert moment.ready("catalog-primary") >= 3, f"the primary lost more than its maxUnavailable: {moment}"
    assert version_of(release.get("deployment", "catalog-primary")) == "v2"
    assert findings_of_run(release) == (RUN, [])


def test_primary_that_never_gets_ready_leaves_the_canary_serving_until_a_good_template(release: Release) -> None:
    """The promotion fails, the judged canary serves whole; the next template makes the primary whole first."""
    release.set_up(stepWeight=50)
    canary = release.canary(stepWeight=50)
    canary["spec"]["progressDeadlineSeconds"] = DEADLINE
    release.apply(canary)
    with release.load(rps=15) as loads:
        release.apply(release.deployment("v2", TESTBED_NEVER_READY_WORKLOAD="catalog-primary"))
        release.wait_for("Failed", within=LONG)
        failed_at = settled(release)
        assert release.condition("Progressing")["reason"] == "PromotionFailed"
        assert "PromotionFailed" in [reason for reason, _ in release.events()]
        assert release.weights == (0, 100)
        served = loads[0].next_window(timedelta(seconds=3))
        assert set(served.by_version) == {"v2"}, str(served)
        release.apply(release.deployment("v3"))
        release.wait_for("Progressing", 50, within=LONG)
    assert_none_failed(*loads)
    assert_recovered(moments(release.recorder, since=failed_at))


def test_release_with_a_pod_that_never_gets_ready_goes_on_with_the_others(release: Release) -> None:
    """At 60 % two of three pods are enough, past the Deployments' own deadline, in each phase and the give-back."""
    enough: dict[str, Any] = {
        "primaryReadyThreshold": 60,
        "canaryReadyThreshold": 60,
        "canaryScale": "Full",
        "stepWeight": 25,
    }
    v1, v2 = (
        release.deployment(one, replicas=3, TESTBED_FIRST_NEVER_READY=sick) for one, sick in (("v1", "0"), ("v2", "1"))
    )
    for one in (v1, v2):
        one["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}
    canary = release.canary(**enough)
    canary["spec"]["progressDeadlineSeconds"] = DEADLINE
    release.bring_up(v1, *manifests("catalog-service.yaml"))
    release.apply(canary)
    release.wait_for("Initialized")
    with release.load(rps=15) as loads:
        release.apply(v2)
        release.wait_for("Succeeded", within=LONG)
        primary = release.get("deployment", "catalog-primary")
        assert (version_of(primary), primary["status"]["availableReplicas"]) == ("v2", 2)
        release.kubectl("delete", "canaries.flagger.app", CANARY)
        gone = "catalog-primary"
        wait_until(lambda: release.find("deployment", gone) is None, LONG, lambda: f"{gone} is still there")
    assert_none_failed(*loads)
    target = release.get("deployment", "catalog")
    assert (version_of(target), target["status"]["availableReplicas"]) == ("v2", 2)


def assert_recovered(history: list[Moment]) -> None:
    """Check that the canary carried everything at full size until the primary was whole again with v1."""
    back = next(m for m in history if m.weights == (100, 0))
    before = [m for m in history if m.version < back.version]
    assert {m.weights for m in before} == {(0, 100)}
    assert {m.ready("catalog-canary") for m in before} == {2}, [str(m) for m in before]
    assert {version_of(m.deployments["catalog-canary"]) for m in before} == {"v2"}
    primary = back.deployments["catalog-primary"]
    assert (version_of(primary), count(primary, "availableReplicas"), count(primary, "updatedReplicas")) == ("v1", 2, 2)
    assert "v3" not in {version_of(m.deployments["catalog-primary"]) for m in history}
    tried = next(m for m in history if version_of(m.deployments["catalog-canary"]) == "v3")
    assert (tried.weights, tried.apex_role) == ((100, 0), "primary"), str(tried)
    assert [m.weights for m in weight_changes(history)] == [(0, 100), (100, 0), (50, 50)]


def test_tag_that_moves_during_the_run_keeps_traffic_on_what_was_judged(release: Release) -> None:
    """The primary is whole but runs another build: it gets no request before it runs a revision that was judged."""
    release.set_up(stepWeight=50)
    with release.load(rps=15) as loads:
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 50, within=LONG)
        release.testbed.wait_ready(release.namespace, "catalog-canary", size=2)
        Tags(release.testbed.layout.tags).move("testbed/catalog:latest")
        release.wait_for("Failed", within=LONG)
        told = release.condition("Progressing")
        assert told["reason"] == "ImageMoved"
        assert "testbed/catalog:latest@build-1 in container catalog, which was not judged" in told["message"]
        assert release.weights == (0, 100)
        release.apply(release.deployment("v3"))
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(*loads)
    assert version_of(release.get("deployment", "catalog-primary")) == "v3"
