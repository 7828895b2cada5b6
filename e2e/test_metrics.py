"""Without metrics a release stands still and says why; going back needs none."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest

from e2e.release import Release, summary
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import settled

LONG = timedelta(seconds=120)
INTERVALS = 3
UNHURRIED = "6s"
"""Enough to take Prometheus or pods away before the next step."""
REACH_EVERY_PROXY = timedelta(seconds=2)


@pytest.fixture(autouse=True)
def metrics_afterwards(testbed: Testbed) -> Iterator[None]:
    """Bring Prometheus back for the tests that follow, however this one ended."""
    yield
    testbed.prometheus.start()


@contextmanager
def outage(testbed: Testbed) -> Iterator[None]:
    """Stop Prometheus for a while."""
    testbed.prometheus.stop()
    yield
    testbed.prometheus.start()


def held_ticks(release: Release, since: datetime) -> list[str]:
    """Return the next ticks that were set while metrics were missing: one for each interval held."""
    ticks: list[str] = []
    for seen in release.recorder.seen("canaries.flagger.app", "catalog-release", since):
        status = seen.object.get("status") or {}
        missing = [c for c in status.get("conditions", []) if (c["type"], c["status"]) == ("MetricsAvailable", "False")]
        tick = str((status.get("step") or {}).get("nextTickAt"))
        if missing and tick not in ticks:
            ticks.append(tick)
    return ticks


def wait_held(release: Release, since: datetime, intervals: int = INTERVALS) -> None:
    """Wait until the run has been held for some intervals."""
    wait_until(
        lambda: len(held_ticks(release, since)) > intervals,
        LONG,
        lambda: f"held at {held_ticks(release, since)}; {summary(release.status)}",
    )


def test_run_without_prometheus_holds_at_its_weight_and_resumes(release: Release) -> None:
    """Three intervals without metrics count as nothing: no step, no failed check, a reason, then on to Succeeded."""
    release.set_up(stepWeight=20, interval=UNHURRIED)
    with release.load(rps=20) as (mesh, plain):
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 20)
        since = settled(release)
        with outage(release.testbed):
            wait_held(release, since)
            condition, status = release.condition("MetricsAvailable"), release.status
            assert (status["phase"], status["canaryWeight"], status.get("failedChecks", 0)) == ("Progressing", 20, 0)
            assert release.weights == (80, 20)
            assert condition["status"] == "False"
            assert "Prometheus at http://127.0.0.1:9090 cannot be reached: Connection refused" in condition["message"]
            assert "Holding at 20 %" in status["message"]
            assert release.told("MetricsMissing") == [condition["message"]]
        release.wait_for("Succeeded", within=LONG)
    assert release.condition("MetricsAvailable")["status"] == "True"
    assert [(r.phase, r.weight) for r in release.rows(since)][-5:] == [
        ("Progressing", 40),
        ("Progressing", 50),
        ("Promoting", 0),
        ("Finalising", 0),
        ("Succeeded", 0),
    ]
    assert release.told("CheckFailed") == []
    for load in (mesh, plain):
        assert load.summary().failed == 0, str(load.summary())


def test_run_without_traffic_holds_until_there_is_some(release: Release) -> None:
    """No request is no verdict: the first weight holds and says so, until somebody calls."""
    release.set_up(stepWeight=50)
    since = settled(release)
    release.apply(release.deployment("v2"))
    release.wait_for("Progressing", 50)
    wait_held(release, since)
    status = release.status
    assert (status["phase"], status["canaryWeight"], status.get("failedChecks", 0)) == ("Progressing", 50, 0)
    assert {check["verdict"] for check in status["checks"]} == {"NoData"}, status["checks"]
    assert release.told("CheckFailed") == []
    with release.load(rps=20) as (mesh, plain):
        release.wait_for("Succeeded", within=LONG)
    assert mesh.summary().failed + plain.summary().failed == 0, f"{mesh.summary()} {plain.summary()}"


def test_canary_that_dies_without_prometheus_is_rolled_back(release: Release) -> None:
    """Traffic leaves lost pods at once and the run ends, though nobody can be asked for metrics (I22)."""
    release.set_up(stepWeight=20, threshold=2, interval=UNHURRIED)
    before = release.get("deployment", "catalog-primary")["metadata"]["generation"]
    with release.load(rps=20) as (mesh, plain):
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 20)
        wait_until(lambda: release.weights == (80, 20), LONG, lambda: str(release.weights))
        release.testbed.prometheus.stop()
        since = settled(release)
        make_canary_unready(release)
        wait_until(lambda: release.weights == (100, 0), timedelta(seconds=5), lambda: summary(release.status))
        diverted = release.recorder.seen("virtualservices", "catalog", since)[0].at
        release.wait_for("Failed")
        wait_until(
            lambda: release.get("deployment", "catalog-canary")["spec"]["replicas"] == 0,
            LONG,
            lambda: f"the canary is not taken to 0: {summary(release.status)}",
        )
    assert release.shares(since) == [(100, 0)]
    assert release.rows(since)[-1].at > diverted
    assert release.told("Diverted")[0].startswith("Only 0 canary pods are ready")
    assert "canary pods are gone" in release.wait_told("RolledBack")[0]
    assert release.get("deployment", "catalog-primary")["metadata"]["generation"] == before
    assert plain.summary().failed == 0, str(plain.summary())
    # Until the diversion has reached the callers a fifth of their requests finds no pod.
    assert mesh.summary(until=since).failed == 0, str(mesh.summary())
    assert mesh.summary(since=diverted + REACH_EVERY_PROXY).failed == 0, str(mesh.summary())


def make_canary_unready(release: Release) -> None:
    """Let every canary pod report that it is not ready, for good."""
    pods, namespace = release.testbed.pods, release.namespace
    for pod in pods.list_pods(namespace, "canary.delivery/role=canary"):
        pods.behave(namespace, pod["metadata"]["name"], healthy=False)


def test_canary_that_never_gets_ready_without_prometheus_is_rolled_back(release: Release) -> None:
    """The progress deadline ends the run and its pods go, with metrics down from before its start."""
    release.set_up()
    release.patch_spec(progressDeadlineSeconds=6)
    with release.load(rps=20) as (mesh, plain), outage(release.testbed):
        since = settled(release)
        release.apply(release.deployment("v2", TESTBED_NEVER_READY="1"))
        release.wait_for("Failed")
        wait_until(
            lambda: release.get("deployment", "catalog-canary")["spec"]["replicas"] == 0,
            LONG,
            lambda: f"the canary is not taken to 0: {summary(release.status)}",
        )
    assert release.shares(since) == []
    assert "made no progress for 6 s" in release.wait_told("RolledBack")[0]
    for load in (mesh, plain):
        assert load.summary().failed == 0, str(load.summary())
