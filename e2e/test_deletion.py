"""Deleting a Canary gives production back to the user's own Deployment, and losing the controller gives nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from e2e.conftest import install_crd
from e2e.controller import Controller
from e2e.release import CANARY, Release, manifests
from e2e.testbed import credentials
from e2e.testbed.kube import Object
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, moments, settled, version_of

SOON = timedelta(seconds=60)
LONG = timedelta(seconds=120)
QUIET = timedelta(seconds=4)
"""More than an interval and the drain time: what a needless clean-up would have begun by then."""
CANARIES = "canaries.flagger.app"
OURS = ("deployments", "services", "virtualservices", "controllerrevisions", "destinationrules", "configmaps")
WRITES = {"create", "update", "patch", "delete", "deletecollection"}


def left_behind(release: Release) -> list[str]:
    """List what in the namespace still bears our name or marks."""
    found = []
    for kind in OURS:
        for item in json.loads(release.kubectl("get", kind, "-o", "json"))["items"]:
            name = item["metadata"]["name"]
            made = name in ("catalog-primary", "catalog-canary") or (kind == "virtualservices" and name == "catalog")
            if made or "canary.delivery/" in json.dumps(item):
                found.append(f"{kind}/{name}")
    return found


def wait_clean(release: Release) -> None:
    """Wait until nothing of ours is left."""
    wait_until(lambda: not left_behind(release), SOON, lambda: f"left: {left_behind(release)}")


def delete_canary(release: Release) -> None:
    """Delete the Canary as a user does."""
    release.kubectl("delete", CANARIES, CANARY)


def expect_given_back(release: Release, version: str, replicas: int = 2) -> None:
    """Check that the target alone serves a version at production's size, behind the user's own Service."""
    wait_clean(release)
    target = release.testbed.wait_ready(release.namespace, "catalog")
    assert (version_of(target), target["spec"]["replicas"]) == (version, replicas)
    assert release.get("service", "catalog")["spec"]["selector"] == {"app": "catalog"}


def reach(release: Release, phase: str) -> None:
    """Bring a release of v2 to a phase."""
    bad = {"FAIL_PERCENT": "100"} if phase == "Failed" else {}
    release.apply(release.deployment("v2", 2, **bad))
    release.wait_for(phase, 30 if phase == "Progressing" else None, within=LONG)


@pytest.mark.parametrize(("phase", "version"), [("Succeeded", "v2"), ("Progressing", "v1"), ("Failed", "v1")])
def test_deleted_canary_gives_production_back_without_a_failed_request(
    release: Release, phase: str, version: str
) -> None:
    """Whatever the phase, the target ends with the promoted revision at production's size and we are gone."""
    release.set_up(stepWeight=30, maxWeight=30, threshold=1)
    with release.load() as loads:
        reach(release, phase)
        wait_until(lambda: phase != "Failed" or release.weights == (100, 0), SOON, "the canary still serves")
        since = settled(release)
        delete_canary(release)
        expect_given_back(release, version)
        after = [load.next_window(timedelta(seconds=1)) for load in loads]
    assert [set(window.by_version) for window in after] == [{version}, {version}]
    if phase == "Failed":
        assert [load.summary(since=since + timedelta(seconds=1)).failed for load in loads] == [0, 0]
    else:
        assert_none_failed(*loads)
    history = moments(release.recorder, since)
    for old, new in pairwise(history):
        target = new.deployments["catalog"]
        grown = target["spec"]["replicas"] > old.deployments["catalog"]["spec"]["replicas"]
        if grown or new.apex_role == "":
            assert version_of(target) == version, str(new)
        if new.apex_role == "":
            assert new.ready("catalog") == 2, str(new)


def catalog_v2() -> Object:
    """Return the second Deployment of the book, beside the first."""
    found = manifests("catalog-v2.yaml")[0]
    found["metadata"]["name"] = "catalog-v2"
    for labels in (
        found["metadata"]["labels"],
        found["spec"]["selector"]["matchLabels"],
        found["spec"]["template"]["metadata"]["labels"],
    ):
        labels["version"] = "v2"
    return found


def test_clean_up_commands_of_the_book_work_back_to_back(release: Release) -> None:
    """Canary and Deployment deleted, Service and two Deployments applied at once: all as if we never were."""
    release.set_up(stepWeight=50)
    with release.load() as loads:
        reach(release, "Succeeded")
        # Longer than typing takes: with Canary and Deployment gone, ours are removed after one settle.
        release.apply(release.canary(stepWeight=50, drainSeconds=6))
        delete_canary(release)
        release.kubectl("delete", "deploy", "catalog")
        release.apply(*manifests("catalog-service.yaml"))
        release.apply(*manifests("catalog-v1.yaml"))
        release.apply(catalog_v2())
        expect_given_back(release, "v1", replicas=1)
        release.testbed.wait_ready(release.namespace, "catalog-v2")
        after = [load.next_window(timedelta(seconds=1)) for load in loads]
    assert [set(window.by_version) for window in after] == [{"v1", "v2"}, {"v1", "v2"}]
    assert_none_failed(*loads)


def test_canary_deleted_while_the_controller_is_down_is_cleaned_up_on_its_return(
    release: Release, controller: Controller
) -> None:
    """In the middle of a run nobody is in charge and the Canary goes: callers are served before, during and after."""
    release.set_up(stepWeight=30, maxWeight=30)
    with release.load() as loads:
        reach(release, "Progressing")
        wait_until(lambda: release.weights == (70, 30), SOON, lambda: str(release.weights))
        controller.kill()
        delete_canary(release)
        orphaned = loads[0].next_window(QUIET)
        assert set(orphaned.by_version) == {"v1", "v2"}, str(orphaned)
        controller.start()
        expect_given_back(release, "v1")
    assert_none_failed(*loads)


@contextmanager
def narrower_controller(testbed: Testbed, namespace: str, loss: str) -> Iterator[Controller]:
    """Run a controller that was started without what it needs to see the Canary."""
    name = f"{namespace}-elsewhere"[-60:].strip("-")
    testbed.create_namespace(name)
    install_crd(testbed, "canary.delivery")
    compat = loss != "compat mode"
    running = Controller(testbed, [name] if compat else [namespace], flagger_compat=compat)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        testbed.kubectl("delete", "crd", "canaries.canary.delivery")
        testbed.delete_namespace(name)


@pytest.mark.parametrize("loss", ["compat mode", "namespace"])
def test_controller_restarted_with_less_to_watch_gives_nothing_back(
    release: Release, controller: Controller, loss: str
) -> None:
    """A Canary it does not serve is none of its business, alive or deleted; with the old settings it cleans up."""
    release.set_up(stepWeight=50)
    controller.stop()
    with release.load() as loads:
        with narrower_controller(release.testbed, release.namespace, loss):
            since = datetime.now(UTC)
            loads[0].next_window(QUIET)
            release.testbed.kube.delete(release.path)
            loads[0].next_window(QUIET)
            assert written(release, since) == []
        controller.start()
        expect_given_back(release, "v1")
    assert_none_failed(*loads)


def written(release: Release, since: datetime) -> list[str]:
    """List what the controller wrote into the release's namespace."""
    entries = release.testbed.audit.requests(user=credentials.CONTROLLER, namespace=release.namespace, since=since)
    return [f"{e.verb} {e.resource} {e.name}" for e in entries if e.verb in WRITES]
