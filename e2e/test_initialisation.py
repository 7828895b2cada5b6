"""Taking a live service over: nobody notices, whatever happens meanwhile."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from e2e.release import BY_UPSTREAM, CANARY, Release, manifests, summary, weights_of
from e2e.testbed.load import Load
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_capacity_precedes_weight, count, moments, settled

LONG = timedelta(seconds=120)
A_WHILE = timedelta(seconds=2)
DRAIN = 5
MOST_OF_A_DRAIN = timedelta(seconds=4.5)
"""What arrives of a drain when events do not come at the same pace."""


def expect_no_failure(*loads: Load) -> None:
    """Expect that every request was answered, by whatever version."""
    for load in loads:
        assert load.summary().failed == 0, str(load.summary())
        assert load.summary().total > 0


def target_pods(release: Release) -> dict[str, int]:
    """Return the restarts of each pod of the service by the pod's name."""
    pods = release.testbed.pods.list_pods(release.namespace, "app=catalog")
    return {
        pod["metadata"]["name"]: sum(c["restartCount"] for c in pod["status"].get("containerStatuses", []))
        for pod in pods
    }


def serving_target(release: Release, since: datetime) -> datetime:
    """Return when the target was scaled to 0."""
    seen = release.recorder.seen("deployments", "catalog", since)
    return next(s.at for s in seen if s.object["spec"]["replicas"] == 0)


def test_live_service_is_taken_over_without_a_failed_request_or_a_restart(release: Release) -> None:
    """The primary is ready before routes and Service turn to it, and both before the target's pods go."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    since = datetime.now(UTC)
    with release.load(rps=20) as loads:
        release.apply(release.canary(drainSeconds=DRAIN))
        release.wait_for("Initialized")
        for load in loads:
            assert load.next_window(A_WHILE).by_version["v1"] > 0
    expect_no_failure(*loads)
    restarts = target_pods(release)
    assert len(restarts) == 2, restarts
    assert set(restarts.values()) == {0}, restarts
    expect_order(release, since)
    assert_capacity_precedes_weight(moments(release.recorder, since), size=2)
    primary = release.get("deployment", "catalog-primary")
    assert primary["metadata"]["generation"] == 1
    assert release.weights == (100, 0)


def expect_order(release: Release, since: datetime) -> None:
    """Expect that the primary was whole before a route led to it, and the target shrank after all that."""
    ready = next(
        s.at
        for s in release.recorder.seen("deployments", "catalog-primary", since)
        if s.object.get("status", {}).get("readyReplicas") == 2
    )
    routed = release.recorder.seen("virtualservices", "catalog", since)[0].at
    selected = next(
        s.at
        for s in release.recorder.seen("services", "catalog", since)
        if s.object["spec"]["selector"].get("canary.delivery/role") == "primary"
    )
    shrunk = serving_target(release, since)
    assert ready <= min(routed, selected), (ready, routed, selected)
    assert shrunk - max(routed, selected) >= MOST_OF_A_DRAIN, (routed, selected, shrunk)


def test_lone_deployment_gets_everything_it_needs_to_be_called(release: Release) -> None:
    """From a Deployment without Service, VirtualService or DestinationRule, as the book has it."""
    metadata = {"apex": {"labels": {"team": "shop"}}}
    target = release.deployment("v1")
    target["spec"]["template"]["spec"]["containers"][0]["ports"].append({"name": "metrics", "containerPort": 9090})
    release.bring_up(target)
    assert release.find("service", "catalog") is None
    release.apply(release.canary({**metadata, "portDiscovery": True, "trafficDistribution": "PreferClose"}))
    release.wait_for("Initialized")
    for name in ("catalog", "catalog-primary", "catalog-canary"):
        service = release.get("service", name)["spec"]
        assert [(p["port"], p["targetPort"]) for p in service["ports"]] == [(80, 3000), (9090, 9090)]
        assert service["trafficDistribution"] == "PreferClose"
    for kind in ("service", "virtualservice"):
        assert release.get(kind, "catalog")["metadata"]["labels"]["team"] == "shop"
    route = release.get("virtualservice", "catalog")["spec"]
    assert (route["hosts"], route["gateways"], weights_of({"spec": route})) == (["catalog"], ["mesh"], (100, 0))
    with release.load(rps=20) as loads:
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 10)
    expect_no_failure(*loads)


@pytest.mark.parametrize("order", ["one file", "Canary first"])
def test_canary_and_target_applied_together_are_initialised_and_released(release: Release, order: str) -> None:
    """The target starts and serves first; from its first answer on no caller gets an error, also in the next release.

    The file has the checks, the other order goes without them: `skipAnalysis` waits for readiness as well.
    """
    release.apply(*manifests("client.yaml"))
    release.testbed.wait_ready(release.namespace, "client")
    since = settled(release)
    apply_together(release, order)
    client = release.testbed.pods.first(release.namespace, "app=client")
    release.testbed.pods.wait_for_answer(release.namespace, client, "http://catalog/items", *BY_UPSTREAM)
    with release.load(rps=20) as loads:
        release.wait_for("Initialized", within=LONG)
        initialised = settled(release)
        assert release.weights == (100, 0)
        release.apply(release.deployment("v2"))
        release.wait_for("Succeeded", within=LONG)
    expect_no_failure(*loads)
    phases = [row.phase for row in release.rows(since)]
    assert phases[:3] == ["Initializing", "Initialized", "Progressing"]
    assert {str(version) for load in loads for version in load.summary(until=initialised).by_version} == {"v1"}
    history = moments(release.recorder, since)
    assert_capacity_precedes_weight(history, size=2)
    made = next(m for m in history if "catalog-primary" in m.deployments)
    assert count(made.deployments["catalog"], "availableReplicas") == 2, str(made)
    assert release.shares(initialised) == [*([(50, 50)] if order == "one file" else []), (0, 100), (100, 0)]


def apply_together(release: Release, order: str) -> None:
    """Apply Service, Deployment and Canary of a service that is not there yet."""
    target = release.deployment("v1")
    target["spec"]["minReadySeconds"] = 4
    objects = [*manifests("catalog-service.yaml"), target]
    canary = release.canary(stepWeight=50)
    if order == "one file":
        release.apply(canary, *objects)
        return
    canary["spec"]["skipAnalysis"] = True
    release.apply(canary)
    wait_until(lambda: release.condition("Ready").get("reason") == "TargetMissing", LONG, lambda: str(release.status))
    release.apply(*objects)


def test_target_that_changes_while_the_primary_is_made_is_taken_over_as_it_is_then(release: Release) -> None:
    """A template applied before the primary is ready is the first revision; callers see both and no failure."""
    slow = release.deployment("v1")
    slow["spec"]["minReadySeconds"] = 4
    release.bring_up(slow, *manifests("catalog-service.yaml"))
    since = datetime.now(UTC)
    with release.load(rps=20) as loads:
        release.apply(release.canary())
        wait_until(
            lambda: release.find("deployment", "catalog-primary"),
            LONG,
            lambda: f"no primary: {summary(release.status)}",
        )
        newer = release.deployment("v2")
        newer["spec"]["minReadySeconds"] = 4
        release.apply(newer)
        release.wait_for("Initialized", within=LONG)
        for load in loads:
            window = load.next_window(A_WHILE)
            assert set(window.by_version) == {"v2"}, str(window)
    expect_no_failure(*loads)
    assert {r.phase for r in release.rows(since)} == {"Initializing", "Initialized"}
    assert (serving_target(release, since), release.weights)[1] == (100, 0)


def erase_status(release: Release) -> None:
    """Remove the status as a restore from a backup does."""
    patch = '[{"op": "remove", "path": "/status"}]'
    release.kubectl("patch", f"canaries.flagger.app/{CANARY}", "--subresource=status", "--type=json", "-p", patch)


def in_initialized(release: Release) -> str:
    """Stay idle; afterwards it is idle again, on v1."""
    return "v1"


def in_progressing(release: Release) -> str:
    """Go to 30 %; afterwards the run is made again."""
    release.apply(release.deployment("v2"))
    release.wait_for("Progressing", 30)
    return "v2"


def in_promoting(release: Release) -> str:
    """Go on until the canary serves everything; afterwards v2 serves all the same."""
    release.apply(release.deployment("v2"))
    release.wait_for("Promoting", within=LONG)
    wait_until(lambda: release.weights == (0, 100), LONG, lambda: summary(release.status))
    return "v2"


@pytest.mark.parametrize("reach", [in_initialized, in_progressing, in_promoting], ids=lambda one: one.__name__)
def test_erased_status_ends_in_a_serving_system(release: Release, reach: Callable[[Release], str]) -> None:
    """Whatever was going on, the world is taken up as it is and no caller notices."""
    release.set_up(stepWeight=30, maxWeight=60)
    with release.load(rps=20) as loads:
        version = reach(release)
        since = datetime.now(UTC)
        erase_status(release)
        wait_settled(release, since, version)
        for load in loads:
            window = load.next_window(A_WHILE)
            assert set(window.by_version) == {version}, str(window)
    expect_no_failure(*loads)
    assert release.weights == (100, 0)
    assert release.get("deployment", "catalog")["spec"]["replicas"] == 0
    assert release.get("deployment", "catalog-primary")["status"]["readyReplicas"] == 2


def wait_settled(release: Release, since: datetime, version: str) -> None:
    """Wait until a status was written anew, production runs a version, and nothing is under way."""

    def production() -> str:
        found = release.get("deployment", "catalog-primary")["spec"]["template"]["spec"]["containers"][0]["env"]
        return str(next(entry["value"] for entry in found if entry["name"] == "VERSION"))

    def settled() -> bool:
        rows = [r for r in release.rows(since) if r.phase]
        idle = bool(rows) and release.status.get("phase") in ("Initialized", "Succeeded")
        return idle and production() == version and not canary_pods(release)

    wait_until(settled, LONG, lambda: f"{summary(release.status)}; production {production()}")


def canary_pods(release: Release) -> int:
    """Return how many canary pods there are or are to be."""
    found = release.find("deployment", "catalog-canary")
    return 0 if found is None else int(found["spec"]["replicas"] + found["status"].get("replicas", 0))
