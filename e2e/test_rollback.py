"""A bad canary goes back: on errors, latency, silence of its pods, and what only the caller sees."""

from datetime import datetime, timedelta

import pytest

from e2e.release import Release, manifests
from e2e.testbed.kube import Object
from e2e.testbed.load import Load, Rate
from e2e.testbed.waiting import wait_until
from e2e.timeline import settled

LONG = timedelta(seconds=120)
SUCCESS_RATE: Object = {"name": "request-success-rate", "thresholdRange": {"min": 99, "interval": "1m"}}
PRIMARY, CANARY = "catalog-primary", "catalog-canary"


def change(release: Release, version: str = "v2", **env: str) -> datetime:
    """Apply another catalog and return when."""
    at = settled(release)
    release.apply(release.deployment(version, 2, **env))
    return at


def production(release: Release) -> tuple[int, int, Object]:
    """Return what a rollback must not touch: the primary's generation, size and template."""
    found = release.get("deployment", PRIMARY)
    return found["metadata"]["generation"], found["spec"]["replicas"], found["spec"]["template"]


def wait_canary_gone(release: Release) -> None:
    """Wait until the canary has settled and has no pods."""

    def gone() -> bool:
        found = release.get("deployment", CANARY)
        return found["spec"]["replicas"] == 0 and not found["status"].get("replicas")

    wait_until(gone, LONG, lambda: str(release.get("deployment", CANARY)["status"]))


def expect_rolled_back(release: Release, since: datetime, before: tuple[int, int, Object]) -> str:
    """Expect one event, weights back in one write, the canary at 0 and the primary as it was; return the event."""
    told = release.wait_told("RolledBack")
    assert len(told) == 1, told
    assert release.status["message"] == told[0]
    wait_canary_gone(release)
    assert [weights for weights in release.shares(since) if weights == (100, 0)] == [(100, 0)], release.shares(since)
    assert release.weights == (100, 0)
    assert production(release) == before
    return told[0]


def expect_only_the_canary_failed(*loads: Load, status: int) -> int:
    """Expect that each failed answer came from the canary, with this status; return how many."""
    failures = [one for load in loads for one in load.summary().failures]
    others = [one for one in failures if one.version != "v2" or one.status != status]
    assert not others, others[:5]
    return len(failures)


def test_canary_with_errors_is_rolled_back_at_the_fifth_failed_check(release: Release) -> None:
    """Four failed checks hold the weight, the fifth takes all traffic back in the same tick."""
    release.set_up()
    before = production(release)
    with release.load() as (mesh, plain):
        since = change(release, FAIL_PERCENT="100")
        release.wait_for("Failed", within=LONG)
        message = expect_rolled_back(release, since, before)
    assert release.shares(since) == [(90, 10), (100, 0)]
    rows = [(r.phase, r.weight) for r in release.rows(since)]
    assert rows == [("Progressing", 0), ("Progressing", 10), ("Failed", 0)]
    failed = release.told("CheckFailed")
    assert [one.split(":")[0] for one in failed] == [f"Check failed ({n} of 5) at 10 %" for n in range(1, 6)]
    assert "5 failed checks" in message
    assert "request-success-rate" in message
    expect_phases_by_failed_checks(release, since)
    assert expect_only_the_canary_failed(mesh, plain, status=500) > 0


def expect_phases_by_failed_checks(release: Release, since: datetime) -> None:
    """Expect that the run went on while four checks had failed, and was over with the fifth."""
    seen = release.recorder.seen("canaries.flagger.app", "catalog-release", since)
    states = {(s.object["status"].get("failedChecks", 0), s.object["status"]["phase"]) for s in seen}
    assert (4, "Progressing") in states
    assert {phase for count, phase in states if count >= 5} == {"Failed"}, states


def test_burst_of_first_errors_fails_the_check_with_exact_numbers(release: Release) -> None:
    """Errors that fall between two scrapes, in a series nobody saw before, count in full."""
    release.set_up(metrics=[SUCCESS_RATE], stepWeight=50, threshold=2, interval="6s")
    before = production(release)
    with release.load(rps=20) as (mesh, _):
        since = change(release)
        release.wait_for("Progressing", 50)
        # The canary grows to full size ahead of the cut-over: every pod of it takes part in the burst.
        release.testbed.wait_ready(release.namespace, "catalog-canary", size=2)
        burst = send_burst(release)
        release.wait_for("Failed", within=LONG)
        message = expect_rolled_back(release, since, before)
    failed = expect_only_the_canary_failed(mesh, burst, status=500)
    assert failed >= 10
    assert f"{failed} of " in message, message


def send_burst(release: Release) -> Load:
    """Let the canary answer ten requests and those that happen to come meanwhile with 500."""
    testbed, namespace = release.testbed, release.namespace
    pods = [p["metadata"]["name"] for p in testbed.pods.list_pods(namespace, "canary.delivery/role=canary")]
    client = testbed.pods.first(namespace, "app=client")
    rate = Rate(per_second=200, duration=timedelta(seconds=1), max_requests=10)
    for pod in pods:
        testbed.pods.behave(namespace, pod, failPercent=100)
    burst = testbed.load_mesh(namespace, client, f"http://{CANARY}/items", rate)
    burst.join(timedelta(seconds=10))
    for pod in pods:
        testbed.pods.behave(namespace, pod, failPercent=0)
    assert burst.summary().by_status == {500: 10}, str(burst.summary())
    return burst


def test_slow_canary_is_rolled_back_without_a_failed_request(release: Release) -> None:
    """A P99 above the limit fails the check though every answer is a 200."""
    release.set_up()
    before = production(release)
    with release.load(rps=20) as (mesh, plain):
        since = change(release, DELAY_MS="800")
        release.wait_for("Failed", within=LONG)
        message = expect_rolled_back(release, since, before)
    assert "request-duration" in message
    assert mesh.summary().failed + plain.summary().failed == 0, f"{mesh.summary()} {plain.summary()}"
    assert mesh.summary().by_version["v2"] > 0


@pytest.mark.parametrize("hindrance", ["never ready", "unknown image"])
def test_canary_that_never_gets_ready_is_rolled_back_without_any_traffic(release: Release, hindrance: str) -> None:
    """After the progress deadline the run ends; no request ever went to the canary."""
    release.set_up()
    release.patch_spec(progressDeadlineSeconds=6)
    before = production(release)
    bad = release.deployment("v2", TESTBED_NEVER_READY="1" if hindrance == "never ready" else "0")
    if hindrance == "unknown image":
        bad["spec"]["template"]["spec"]["containers"][0]["image"] = "testbed/nothing:v9"
    with release.load(rps=20) as (mesh, plain):
        since = settled(release)
        release.apply(bad)
        release.wait_for("Failed")
        wait_canary_gone(release)
    assert release.shares(since) == []
    assert [(r.phase, r.weight) for r in release.rows(since)] == [("Progressing", 0), ("Failed", 0)]
    assert "catalog-canary made no progress for 6 s" in release.wait_told("RolledBack")[0]
    assert release.condition("Progressing")["reason"] == "CanaryNotReady"
    assert production(release)[1:] == before[1:]
    for load in (mesh, plain):
        assert load.summary().failed == 0, str(load.summary())
        assert set(load.summary().by_version) == {"v1"}


def test_timeouts_that_only_the_caller_sees_roll_back(release: Release) -> None:
    """A 504 UT at the source is a failure, though the canary itself reports none (R-MET-1)."""
    release.set_up(service={"timeout": "0.5s"}, metrics=[SUCCESS_RATE])
    before = production(release)
    with release.load(rps=20) as (mesh, plain):
        since = change(release, DELAY_MS="2000")
        release.wait_for("Failed", within=LONG)
        message = expect_rolled_back(release, since, before)
    assert "request-success-rate" in message
    assert mesh.summary().by_status.keys() <= {200, 504}, str(mesh.summary())
    assert mesh.summary().by_status[504] > 0
    assert plain.summary().failed == 0, str(plain.summary())
    codes = codes_at_the_canary(release)
    assert codes
    assert codes <= {"0", "200"}, codes


def codes_at_the_canary(release: Release) -> set[str]:
    """Return the response codes that the canary's own proxies counted in this test."""
    labels = {"reporter": "destination", "destination_workload": CANARY}
    labels["destination_workload_namespace"] = release.namespace
    matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
    # Its pods may be gone by now, and with them what an instant query would find.
    series = release.testbed.prom_query(f"max_over_time(istio_requests_total{{{matchers}}}[5m])")
    return {one["metric"]["response_code"] for one in series if one["value"] > 0}


def test_clients_that_cancel_do_not_fail_a_healthy_canary(release: Release) -> None:
    """Callers who give up early at both sides alike are no fault of the canary."""
    release.bring_up(release.deployment("v1", 2, DELAY_MS="250"), *manifests("catalog-service.yaml"))
    release.apply(release.canary(stepWeight=25, metrics=[SUCCESS_RATE]))
    release.wait_for("Initialized")
    testbed, namespace = release.testbed, release.namespace
    client = testbed.pods.first(namespace, "app=client")
    hasty = Rate(per_second=15, duration=timedelta(minutes=4), timeout=timedelta(milliseconds=100))
    with (
        release.load(rps=15) as (mesh, plain),
        testbed.load_mesh(namespace, client, "http://catalog/items", hasty) as cancelling,
    ):
        change(release, DELAY_MS="250")
        release.wait_for("Succeeded", within=LONG)
    assert release.told("CheckFailed") == []
    assert mesh.summary().failed + plain.summary().failed == 0, f"{mesh.summary()} {plain.summary()}"
    assert cancelling.summary().by_status == {0: cancelling.summary().total}
    assert codes_at_the_canary(release) == {"0", "200"}
