"""Parts that fail during a release: canary pods, the controller, istiod, the way to the API server."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import pairwise

import pytest

from e2e.controller import Controller
from e2e.recorder import LATE_NEWS, Recorder, Seen
from e2e.release import Release
from e2e.testbed.faults import Action, Fault
from e2e.testbed.mesh import VALIDATOR
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, moments, settled, version_of, weight_changes

SOON = timedelta(seconds=60)
LONG = timedelta(seconds=120)
INTERVAL = timedelta(seconds=3)
DIVERTED_WITHIN = timedelta(seconds=1)
TOLD = timedelta(seconds=2)
"""How long proxies may take to be told of a route."""
JITTER = timedelta(milliseconds=500)
"""By how much two rows may seem closer together than their ticks were."""
VALIDATION = f"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/{VALIDATOR}"


@pytest.fixture
def proxied(testbed: Testbed, namespace: str, compat_crd: None) -> Iterator[Release]:
    """Offer a release whose controller reaches the API server through the fault-injecting proxy."""
    controller = Controller(testbed, [namespace], kubeconfig=testbed.api_path.kubeconfig)
    with controller, Recorder(testbed, namespace) as recorder:
        yield Release(testbed, namespace, recorder)
        testbed.api_path.heal()


def wait_weights(release: Release, primary: int, canary: int) -> None:
    """Wait until the routes show these weights."""
    wait_until(lambda: release.weights == (primary, canary), LONG, lambda: f"{release.weights} {release.status}")


def canary_pods(release: Release) -> list[str]:
    """Return the names of the canary's pods."""
    pods = release.testbed.pods.list_pods(release.namespace, "canary.delivery/role=canary")
    return [str(p["metadata"]["name"]) for p in pods if "deletionTimestamp" not in p["metadata"]]


def ready_endpoints(seen: Seen) -> int:
    """Return how many ready endpoints a slice lists."""
    return sum(bool(e["conditions"].get("ready")) for e in seen.object.get("endpoints") or [])


@pytest.mark.parametrize("death", ["unhealthy", "deleted"])
def test_canary_pods_gone_divert_traffic_within_a_second_until_they_are_back(release: Release, death: str) -> None:
    """The primary takes everything as soon as the endpoints are gone, and the step resumes with new pods."""
    release.set_up(stepWeight=30, maxWeight=60, interval="5s")
    with release.load() as (mesh, plain):
        release.apply(release.deployment("v2"))
        wait_weights(release, 70, 30)
        # The second pod, made ahead for the next weight, is to die as well.
        release.testbed.wait_ready(release.namespace, "catalog-canary")
        since = settled(release)
        with canary_down(release, death):
            release.wait_told("Diverted")
        release.wait_for("Progressing", 60, within=LONG)
        wait_weights(release, 40, 60)
    shifts = weight_changes(moments(release.recorder, since))
    # What follows may be recorded before the load has ended.
    assert [m.weights for m in shifts[:4]] == [(70, 30), (100, 0), (70, 30), (40, 60)]
    slices = [s for s in release.recorder.seen("endpointslices", since=since) if s.name.startswith("catalog-canary")]
    gone = next(s for s in slices if ready_endpoints(s) == 0)
    assert shifts[1].at - gone.at < DIVERTED_WITHIN + LATE_NEWS
    if death == "unhealthy":
        # Proxies may hear of the endpoints before they hear of the route; nobody fails at any other time.
        told = shifts[1].at + TOLD
        astray = [one for load in (mesh, plain) for one in load.summary().failures if not gone.at <= one.at <= told]
        assert astray == []
    late = mesh.summary(since=shifts[1].at + TOLD)
    assert late.failed == 0, str(late)


@contextmanager
def canary_down(release: Release, death: str) -> Iterator[None]:
    """Take all canary pods away: deleted by force and made again, or unhealthy until the end."""
    pods, change = canary_pods(release), release.testbed.pods.behave
    if death == "deleted":
        release.kubectl("delete", "pod", "--force", "--grace-period=0", *pods)
        yield
        return
    for pod in pods:
        change(release.namespace, pod, healthy=False)
    yield
    for pod in pods:
        change(release.namespace, pod, healthy=True)


def test_controller_killed_at_30_percent_goes_on_where_it_was(release: Release, controller: Controller) -> None:
    """Two intervals without a controller: the weight stays, nobody notices, no step comes early or is left out."""
    release.set_up(stepWeight=15, maxWeight=45)
    since = settled(release)
    with release.load() as loads:
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 30)
        wait_weights(release, 70, 30)
        controller.kill()
        window = loads[0].next_window(2 * INTERVAL)
        assert window.failed == 0, str(window)
        assert set(window.by_version) == {"v1", "v2"}
        assert release.weights == (70, 30)
        controller.start()
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(*loads)
    rows = release.rows(since)
    steps = [("Progressing", w) for w in (0, 15, 30, 45)]
    assert [(r.phase, r.weight) for r in rows] == [*steps, ("Promoting", 0), ("Finalising", 0), ("Succeeded", 0)]
    for old, new in pairwise(rows[:-1]):
        assert new.at - old.at > INTERVAL - JITTER, f"{new} came early after {old}"
    shares = [m.weights for m in weight_changes(moments(release.recorder, since))]
    assert shares == [(100, 0), (85, 15), (70, 30), (55, 45), (0, 100), (100, 0)]


def test_controller_stopped_for_good_in_the_cut_over_leaves_everything_serving(
    release: Release, controller: Controller
) -> None:
    """With all traffic on the canary and nobody in charge, pods die and come back and callers are answered."""
    release.set_up(stepWeight=50)
    release.apply(release.canary(stepWeight=50, drainSeconds=30))
    with release.load() as loads:
        release.apply(release.deployment("v2"))
        wait_weights(release, 0, 100)
        wait_until(lambda: moments(release.recorder)[-1].apex_role == "canary", SOON, "the apex did not follow")
        controller.stop()
        release.kubectl("delete", "pod", canary_pods(release)[0])
        window = loads[0].next_window(2 * INTERVAL)
        assert set(window.by_version) == {"v2"}, str(window)
    assert_none_failed(*loads)
    assert release.get("deployment", "catalog-canary")["status"]["readyReplicas"] == 2
    assert version_of(release.get("deployment", "catalog-primary")) == "v1"


def test_istiod_down_at_finalising_keeps_the_canary_as_long_as_proxies_send_to_it(proxied: Release) -> None:
    """Routes say 100/0 but no proxy was told: the canary keeps its pods, and ends once requests do."""
    release, testbed = proxied, proxied.testbed
    release.set_up(stepWeight=50)
    with release.load() as (mesh, plain):
        release.apply(release.deployment("v2"))
        wait_weights(release, 0, 100)
        testbed.api_path.inject(Fault(Action.STATUS, verb="patch", resource="virtualservices", name="catalog"))
        release.wait_for("Finalising")
        testbed.istiod.stop()
        try:
            let_routes_be_written(testbed)
            testbed.api_path.heal()
            wait_weights(release, 100, 0)
            unnoticed = mesh.next_window(2 * INTERVAL)
            assert set(unnoticed.by_version) == {"v2"}, str(unnoticed)
            kept = release.get("deployment", "catalog-canary")
            assert (kept["spec"]["replicas"], kept["status"]["readyReplicas"]) == (2, 2)
            assert release.status["phase"] == "Finalising"
        finally:
            testbed.istiod.start()
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(mesh, plain)


def let_routes_be_written(testbed: Testbed) -> None:
    """Accept routes while istiod, which checks them, is away; on its return it asks for its check again."""
    hooks = testbed.kube.get(VALIDATION)["webhooks"]
    testbed.kube.merge(VALIDATION, {"webhooks": [{**hook, "failurePolicy": "Ignore"} for hook in hooks]})


def test_roll_back_moves_traffic_while_the_status_cannot_be_written(proxied: Release) -> None:
    """A canary turns bad while every write of the status fails: the routes go to 100/0 all the same."""
    release, path = proxied, proxied.testbed.api_path
    release.set_up(stepWeight=30, maxWeight=60, threshold=1)
    with release.load() as loads:
        release.apply(release.deployment("v2"))
        wait_weights(release, 70, 30)
        release.wait_for("Progressing", 30)
        wait_until(lambda: "inForceAt" in release.status["step"], SOON, lambda: str(release.status))
        release.testbed.wait_ready(release.namespace, "catalog-canary")
        path.inject(Fault(Action.STATUS, verb="patch", resource="canaries/status", status=500))
        for pod in canary_pods(release):
            release.testbed.pods.behave(release.namespace, pod, failPercent=100)
        wait_weights(release, 100, 0)
        assert (release.status["phase"], release.status["canaryWeight"]) == ("Progressing", 30)
        assert path.faults()[0].hits > 0
        healthy = loads[0].next_window(INTERVAL)
        assert (healthy.failed, set(healthy.by_version)) == (0, {"v1"}), str(healthy)
        assert release.weights == (100, 0)
        path.heal()
        failed = release.wait_for("Failed", within=LONG)
    assert "request-success-rate" in failed["message"]
    wait_until(lambda: not canary_pods(release), SOON, lambda: str(canary_pods(release)))


def test_writes_whose_answers_are_lost_are_not_done_twice(proxied: Release) -> None:
    """A broken connection after the API server did its work costs a retry, not a step, a row or a request."""
    release, path = proxied, proxied.testbed.api_path
    release.set_up(stepWeight=25, maxWeight=50)
    since = settled(release)
    for verb, resource in (
        ("create", "deployments"),
        ("patch", "canaries/status"),
        ("patch", "virtualservices"),
        ("patch", "services"),
    ):
        path.inject(Fault(Action.CUT_AFTER, verb=verb, resource=resource, times=1))
    with release.load() as loads:
        release.apply(release.deployment("v2"))
        release.wait_for("Succeeded", within=LONG)
    assert [fault.hits for fault in path.faults()] == [1, 1, 1, 1]
    assert_none_failed(*loads)
    assert release.shares(since) == [(75, 25), (50, 50), (0, 100), (100, 0)]
    rows = [(r.phase, r.weight) for r in release.rows(since)]
    steps = [("Progressing", w) for w in (0, 25, 50)]
    assert rows == [*steps, ("Promoting", 0), ("Finalising", 0), ("Succeeded", 0)]
