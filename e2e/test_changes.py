"""What a change of the target does during a run and beside one."""

from datetime import datetime, timedelta

from e2e.recorder import Seen
from e2e.release import Release
from e2e.testbed.waiting import wait_until
from e2e.timeline import (
    Moment,
    assert_none_failed,
    moments,
    settled,
    template_changes,
    version_of,
    weight_changes,
)

LONG = timedelta(seconds=120)
AT_ONCE = timedelta(seconds=2)
"""More than the controller's answer to a change takes, less than an interval."""
QUIET = timedelta(seconds=3)
"""One interval: what a needless run would have shown by then."""


def versions_in(history: list[Moment], name: str) -> list[str]:
    """Return the versions a Deployment was told to run, in order."""
    seen = [version_of(m.deployments[name]) for m in history if name in m.deployments]
    return [new for number, new in enumerate(seen) if number == 0 or seen[number - 1] != new]


def wait_idle_canary(release: Release) -> None:
    """Wait until the canary has no pods."""

    def pods() -> int:
        return int(release.get("deployment", "catalog-canary")["status"].get("replicas", 0))

    wait_until(lambda: pods() == 0, LONG, lambda: f"{pods()} canary pods")


def test_new_template_during_the_run_starts_again_at_0_in_one_write(release: Release) -> None:
    """The newer template takes over: 100/0 at once, the old canary settles, the new one begins at 0."""
    release.set_up(stepWeight=30, maxWeight=60)
    began = settled(release)
    with release.load() as loads:
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 30)
        release.apply(release.deployment("v3"))
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(*loads)
    history = moments(release.recorder, since=began)
    shares = [m.weights[1] for m in weight_changes(history) if m.weights]
    assert shares == [0, 30, 0, 30, 60, 100, 0]
    rows = [(r.phase, r.weight) for r in release.rows(began)]
    assert rows[:5] == [*(("Progressing", w) for w in (0, 30, 0, 30, 60))], rows
    assert versions_in(history, "catalog-canary") == ["v2", "v3"]
    assert versions_in(history, "catalog-primary") == ["v1", "v3"]
    replaced = template_changes(history, "catalog-canary")[0]
    assert replaced.weights == (100, 0), str(replaced)
    off = weight_changes(history)[2]
    assert replaced.at - off.at >= timedelta(seconds=1), "the superseded canary did not settle"


def test_reverted_target_ends_the_run(release: Release) -> None:
    """The promoted template applied again during the run takes the canary away and nothing else."""
    release.set_up(stepWeight=30, maxWeight=60)
    began = settled(release)
    with release.load() as loads:
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 30)
        release.apply(release.deployment("v1"))
        release.wait_for("Initialized")
        wait_idle_canary(release)
    assert_none_failed(*loads)
    history = moments(release.recorder, since=began)
    assert [m.weights for m in weight_changes(history)] == [(100, 0), (70, 30), (100, 0)]
    assert versions_in(history, "catalog-primary") == ["v1"]
    assert [(r.phase, r.weight) for r in release.rows(began)] == [
        ("Progressing", 0),
        ("Progressing", 30),
        ("Initialized", 0),
    ]


def test_new_template_while_promoting_runs_after_the_promotion(release: Release) -> None:
    """Once the primary is touched the promotion goes through; the newer template waits and then has its run."""
    release.set_up(stepWeight=50)
    began = settled(release)

    def touched() -> bool:
        return version_of(release.get("deployment", "catalog-primary")) == "v2"

    with release.load() as loads:
        release.apply(release.deployment("v2"))
        wait_until(touched, LONG, lambda: str(release.status))
        release.apply(release.deployment("v3"))
        wait_until(lambda: release.condition("RevisionPending"), AT_ONCE, lambda: str(release.status))
        assert release.status["phase"] in ("Promoting", "Finalising")
        assert release.condition("RevisionPending")["status"] == "True"
        release.wait_for("Progressing", 50, within=LONG)
        assert not release.condition("RevisionPending")
    assert_none_failed(*loads)
    rows = [(r.phase, r.weight) for r in release.rows(began)]
    first = [("Progressing", 0), ("Progressing", 50), ("Promoting", 0), ("Finalising", 0), ("Succeeded", 0)]
    assert rows == [*first, ("Progressing", 0), ("Progressing", 50)]
    history = moments(release.recorder, since=began)
    assert versions_in(history, "catalog-primary") == ["v1", "v2"]


def test_revert_before_the_primary_is_touched_goes_back_to_it_at_once(release: Release) -> None:
    """During the settle of the cut-over the old primary is still whole: production returns without waiting."""
    release.set_up(stepWeight=50)
    # Long enough to act in; set later, as the initialisation without any traffic takes four times as long.
    release.apply(release.canary(stepWeight=50, drainSeconds=8))
    began = settled(release)
    with release.load() as loads:
        release.apply(release.deployment("v2"))
        wait_until(lambda: release.weights == (0, 100), LONG, lambda: str(release.status))
        release.apply(release.deployment("v1"))
        release.wait_for("Initialized", within=AT_ONCE)
        wait_until(lambda: release.weights == (100, 0), AT_ONCE, lambda: str(release.weights))
        wait_idle_canary(release)
    assert_none_failed(*loads)
    history = moments(release.recorder, since=began)
    assert versions_in(history, "catalog-primary") == ["v1"]
    assert history[-1].apex_role == "primary"
    assert [m.weights for m in weight_changes(history)] == [(100, 0), (50, 50), (0, 100), (100, 0)]


def runs_since(release: Release, since: datetime) -> list[Seen]:
    """Return the versions of the Canary that show a run."""
    seen = release.recorder.seen("canaries.flagger.app", since=since)
    return [s for s in seen if s.object.get("status", {}).get("phase") not in ("Initialized", "Succeeded")]


def wait_sizes(release: Release, target: int, primary: int) -> None:
    """Wait until target and primary have these sizes and the primary's pods are ready."""

    def sizes() -> tuple[int, int, int]:
        found = release.get("deployment", "catalog-primary")
        ready = int(found["status"].get("readyReplicas", 0))
        return release.get("deployment", "catalog")["spec"]["replicas"], found["spec"]["replicas"], ready

    wait_until(
        lambda: sizes() == (target, primary, primary),
        LONG,
        lambda: f"target, primary, ready: {sizes()}",
    )


def test_replicas_applied_to_the_target_resize_the_primary_without_a_run(release: Release) -> None:
    """The number on the target is a wish: production follows it, the target stays at 0, nothing is released."""
    release.set_up(replicas=1)
    began = settled(release)
    with release.load() as loads:
        for replicas in (1, 3):
            release.apply(release.deployment("v1", replicas=replicas))
            wait_sizes(release, 0, replicas)
    assert_none_failed(*loads)
    release.apply(release.deployment("v1", replicas=1))
    wait_sizes(release, 0, 1)
    assert not runs_since(release, began)


def test_replicas_left_out_of_the_manifest_keep_the_wish(release: Release) -> None:
    """A manifest without replicas says nothing about the size, neither when idle nor with a new template."""
    release.set_up(replicas=None, stepWeight=50)
    wait_sizes(release, 0, 1)
    with release.load() as loads:
        release.kubectl("scale", "deployment/catalog", "--replicas=3")
        wait_sizes(release, 0, 3)
        release.apply(release.deployment("v1", replicas=None))
        release.apply(release.deployment("v2", replicas=None))
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(*loads)
    wait_sizes(release, 0, 3)


def test_rollout_restart_of_the_target_is_a_run(release: Release) -> None:
    """kubectl rollout restart changes the template, so the restarted pods prove themselves as a canary."""
    release.set_up(stepWeight=50)
    pods = {p["metadata"]["name"] for p in release.testbed.pods.list_pods(release.namespace, "app=catalog")}
    with release.load() as loads:
        release.kubectl("rollout", "restart", "deployment/catalog")
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(*loads)
    primary = release.get("deployment", "catalog-primary")["spec"]["template"]["metadata"]
    assert "kubectl.kubernetes.io/restartedAt" in primary["annotations"]
    after = {p["metadata"]["name"] for p in release.testbed.pods.list_pods(release.namespace, "app=catalog")}
    assert not pods & after


def test_deleted_target_serves_on_and_is_taken_up_again_when_applied(release: Release) -> None:
    """Production rests on the primary; the same template applied again is no change, another one is a run."""
    release.set_up(stepWeight=50)
    began = settled(release)
    with release.load() as loads:
        release.kubectl("delete", "deployment", "catalog")
        wait_until(
            lambda: release.condition("Ready").get("reason") == "TargetMissing", AT_ONCE, lambda: str(release.status)
        )
        loads[0].next_window(QUIET)
        release.apply(release.deployment("v1"))
        wait_sizes(release, 0, 2)
        wait_until(lambda: release.condition("Ready").get("status") == "True", AT_ONCE, lambda: str(release.status))
        assert not runs_since(release, began)
        release.kubectl("delete", "deployment", "catalog")
        release.apply(release.deployment("v2"))
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(*loads)
    assert versions_in(moments(release.recorder, since=began), "catalog-primary") == ["v1", "v2"]
