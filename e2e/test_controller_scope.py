"""Whom a controller serves: its namespaces, its groups, and no Canary that another controller keeps."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from e2e.conftest import install_crd, remove_crd
from e2e.controller import Controller
from e2e.orphans import apply, orphan, requests_of_controller, status_of, wait_served
from e2e.testbed.testbed import Testbed

WRITES = {"create", "update", "patch", "delete", "deletecollection"}

Start = Callable[..., Controller]


@pytest.fixture
def both_groups(testbed: Testbed, compat_crd: None) -> Iterator[None]:
    """Serve our own group beside Flagger's."""
    install_crd(testbed, "canary.delivery")
    yield
    remove_crd(testbed, "canary.delivery")


@pytest.fixture
def neighbour(testbed: Testbed, namespace: str) -> Iterator[str]:
    """Create a second namespace."""
    name = f"{namespace[:38]}-2"
    testbed.create_namespace(name)
    yield name
    testbed.delete_namespace(name)


@pytest.fixture
def start(testbed: Testbed, compat_crd: None) -> Iterator[Start]:
    """Return a way to start controllers, which end with the test at the latest."""
    started: list[Controller] = []

    def run(*namespaces: str, flagger_compat: bool = True) -> Controller:
        started.append(Controller(testbed, namespaces, flagger_compat=flagger_compat))
        started[-1].start()
        return started[-1]

    yield run
    for controller in started:
        controller.stop()


def test_only_the_named_namespaces_are_served(testbed: Testbed, namespace: str, neighbour: str, start: Start) -> None:
    """Of the namespaces that are not named nothing is even read; several may be named, none means all."""
    here, there = orphan("here", namespace), orphan("there", neighbour)
    since = datetime.now(UTC)
    apply(testbed, there, here)
    controller = start(namespace)
    wait_served(testbed, here)
    assert status_of(testbed, there) == {}
    asked = requests_of_controller(testbed, since)
    # A definition belongs to no namespace; it is looked for because our own group is not installed here.
    apart = {"customresourcedefinitions", "namespaces"}
    assert {entry.namespace for entry in asked if entry.resource not in apart} == {namespace}
    assert {entry.name for entry in asked if entry.resource == "namespaces"} == {namespace}
    controller.stop()
    several = start(namespace, neighbour)
    wait_served(testbed, there)
    several.stop()
    since = datetime.now(UTC)
    everywhere = orphan("everywhere", neighbour)
    start()
    apply(testbed, everywhere)
    wait_served(testbed, everywhere)
    watched = {entry.namespace for entry in requests_of_controller(testbed, since) if entry.verb == "watch"}
    assert watched == {""}


def test_flagger_group_is_served_in_compat_mode_alone(
    testbed: Testbed, namespace: str, both_groups: None, start: Start
) -> None:
    """Our own group always; Flagger's beside it when told so, else not one request."""
    ours, theirs = orphan("ours", namespace, "canary.delivery"), orphan("theirs", namespace)
    since = datetime.now(UTC)
    native = start(namespace, flagger_compat=False)
    apply(testbed, theirs, ours)
    wait_served(testbed, ours)
    native.stop()
    assert status_of(testbed, theirs) == {}
    assert not any("flagger.app" in entry.uri for entry in requests_of_controller(testbed, since))
    start(namespace)
    wait_served(testbed, theirs)
    newer = orphan("newer", namespace, "canary.delivery")
    apply(testbed, newer)
    wait_served(testbed, newer)


def test_canary_kept_by_another_controller_is_left_alone(testbed: Testbed, namespace: str, start: Start) -> None:
    """A status written by Flagger means a live Flagger: no write at all, and one line that says so."""
    foreign, witness = orphan("foreign", namespace), orphan("witness", namespace)
    apply(testbed, foreign)
    status = json.dumps({"status": {"phase": "Succeeded", "canaryWeight": 0, "failedChecks": 0}})
    patch = ("--type=merge", "--subresource=status", "--field-manager=flagger", "-p", status)
    testbed.kubectl("-n", namespace, "patch", "canaries.flagger.app/foreign", *patch)
    since = datetime.now(UTC)
    controller = start(namespace)
    foreign["spec"]["analysis"]["threshold"] = 7
    apply(testbed, foreign)
    apply(testbed, witness)
    wait_served(testbed, witness)
    assert status_of(testbed, foreign) == {"phase": "Succeeded", "canaryWeight": 0, "failedChecks": 0}
    written = [entry for entry in requests_of_controller(testbed, since) if entry.verb in WRITES]
    assert {entry.resource for entry in written} == {"canaries/status", "events"}
    assert {entry.name for entry in written if entry.resource != "events"} == {"witness"}
    events = testbed.kube.get(f"/api/v1/namespaces/{namespace}/events")["items"]
    assert {event["involvedObject"]["name"] for event in events} == {"witness"}
    lines = [json.loads(line) for line in controller.log.read_text().splitlines()]
    told = [line["canary"] for line in lines if "left alone" in line.get("note", "")]
    assert told == [f"{namespace}/foreign.flagger.app"]
