"""The release of a DaemonSet: a pod on each node, whose clones are kept off all nodes while they are not needed."""

import json
from datetime import timedelta
from typing import Any

from e2e.release import CANARY, Release, manifests
from e2e.testbed import addresses
from e2e.testbed.kube import Object
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, version_of

LONG = timedelta(seconds=90)
AWAY = {"flagger.app/scale-to-zero": "true"}
NODES = len(addresses.NODES)


def daemon_set(release: Release, version: str, **env: str) -> Object:
    """Return the catalog as a DaemonSet."""
    found = release.deployment(version, replicas=None, **env)
    return {**found, "kind": "DaemonSet"}


def canary(release: Release, **analysis: Any) -> Object:
    """Return a Canary of the DaemonSet."""
    found = release.canary(**analysis)
    found["spec"]["targetRef"]["kind"] = "DaemonSet"
    return found


def state(release: Release, name: str) -> tuple[int, int, bool]:
    """Return for how many nodes a DaemonSet is meant, how many pods are ready, and whether it is kept off all."""
    found = release.get("daemonset", name)
    counts, selector = found["status"], found["spec"]["template"]["spec"].get("nodeSelector")
    return counts["desiredNumberScheduled"], counts["numberReady"], selector == AWAY


def set_up(release: Release) -> None:
    """Let v1 serve from a pod on each node, with a Canary."""
    release.apply(daemon_set(release, "v1"), *manifests("catalog-service.yaml"), *manifests("client.yaml"))
    release.testbed.wait_ready(release.namespace, "client")

    def everywhere() -> bool:
        found = release.find("daemonset", "catalog")
        return bool(found and found.get("status", {}).get("numberAvailable") == NODES)

    wait_until(everywhere, LONG, lambda: json.dumps((release.find("daemonset", "catalog") or {}).get("status")))
    release.apply(canary(release, stepWeight=25))
    release.wait_for("Initialized", within=LONG)


def test_daemon_set_is_released_and_given_back_without_a_failed_request(release: Release) -> None:
    """Initialisation, every step, the promotion and the give-back, with all pods of a set before its first weight."""
    set_up(release)
    assert state(release, "catalog-primary") == (NODES, NODES, False)
    assert state(release, "catalog") == (0, 0, True)
    with release.load(rps=15) as loads:
        release.apply(daemon_set(release, "v2"))
        release.wait_for("Progressing", 25, within=LONG)
        assert state(release, "catalog-canary") == (NODES, NODES, False)
        release.wait_for("Succeeded", within=LONG)
        assert version_of(release.get("daemonset", "catalog-primary")) == "v2"
        assert state(release, "catalog-primary") == (NODES, NODES, False)
        assert state(release, "catalog-canary")[2]
        assert release.get("daemonset", "catalog")["spec"]["template"]["spec"]["nodeSelector"] == AWAY
        release.kubectl("delete", "canaries.flagger.app", CANARY)
        gone = "catalog-primary"
        wait_until(lambda: release.find("daemonset", gone) is None, LONG, lambda: f"{gone} is still there")
    assert_none_failed(*loads)
    assert version_of(release.get("daemonset", "catalog")) == "v2"
    assert state(release, "catalog") == (NODES, NODES, False)


def test_daemon_set_with_a_pod_that_never_gets_ready_is_rolled_back(release: Release) -> None:
    """One of the canary's nodes stays without: no weight is given, and the deadline counted here ends the run."""
    set_up(release)
    with release.load(rps=15) as loads:
        release.apply(daemon_set(release, "v2", TESTBED_FIRST_NEVER_READY="1"))
        release.wait_for("Failed", within=LONG)
        assert release.condition("Progressing")["reason"] == "CanaryNotReady"
        wait_until(lambda: state(release, "catalog-canary") == (0, 0, True), LONG, lambda: "the canary stays")
    assert_none_failed(*loads)
    assert {answer.version for load in loads for answer in load.answers()} == {"v1"}
