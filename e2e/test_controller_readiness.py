"""When a controller says it is ready: definitions that come and go, and an API server that is lost."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from e2e.conftest import CRDS, install_crd, remove_crd
from e2e.controller import Controller
from e2e.orphans import SOON, apply, orphan, requests_of_controller, status_of, wait_served
from e2e.pages import log_lines, page, wait_page
from e2e.testbed.audit import AuditEntry
from e2e.testbed.faults import Action, Fault
from e2e.testbed.kube import Object
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

NATIVE = "canary.delivery"
NOTICED = timedelta(seconds=4)
"""More than the API server takes, which may ask to come again in a second; less than the 5 s of asking again."""
PATIENCE = timedelta(seconds=60)
LATEST = timedelta(seconds=90)
LOST_ONE_BY_ONE = timedelta(seconds=45)
"""Each kind is missed from when its own watch ended, and the last attempt of some may hang for 30 s."""
QUIET = timedelta(seconds=10)

Launch = Callable[..., Controller]


@pytest.fixture
def native_crd(testbed: Testbed) -> Iterator[Callable[[], None]]:
    """Return a way to install the definition of our own group, which nobody has at first nor in the end."""
    yield lambda: install_crd(testbed, NATIVE)
    remove_crd(testbed, NATIVE)


@pytest.fixture
def launch(testbed: Testbed, compat_crd: None) -> Iterator[Launch]:
    """Return a way to launch controllers, which need not be ready and end with the test."""
    launched: list[Controller] = []

    def run(*namespaces: str, flagger_compat: bool = False) -> Controller:
        launched.append(Controller(testbed, namespaces, flagger_compat=flagger_compat))
        launched[-1].launch()
        return launched[-1]

    yield run
    for controller in launched:
        controller.stop()


def unready(controller: Controller) -> list[Object]:
    """Return what keeps a controller from being ready, nothing while it does not answer."""
    status, text = page(controller, "/readyz")
    return list(json.loads(text)["unready"]) if status == 503 else []


def wait_unready_kinds(controller: Controller, fits: Callable[[set[str]], bool], within: timedelta = SOON) -> None:
    """Wait until the kinds that keep a controller from being ready, all of them, are as expected."""
    wait_until(
        lambda: fits({one["kind"] for one in unready(controller)}), within, lambda: f"{page(controller, '/readyz')}"
    )


def wait_unready(controller: Controller, kind: str, words: str, within: timedelta = SOON) -> None:
    """Wait until a controller is not ready because of a kind, for a reason with these words, and lives."""

    def told() -> bool:
        if page(controller, "/readyz")[0] != 503:
            return False
        return any(one["kind"] == kind and words in one["reason"] for one in unready(controller))

    wait_until(told, within, lambda: f"{page(controller, '/readyz')}")
    assert page(controller, "/healthz") == (200, "ok\n")


def wait_ready(controller: Controller, within: timedelta) -> None:
    """Wait until a controller is ready."""
    wait_until(lambda: page(controller, "/readyz")[0] == 200, within, lambda: f"{page(controller, '/readyz')}")


def followed(entry: AuditEntry) -> tuple[str, str]:
    """Return what a watch follows: the path, and of definitions the one by its name."""
    path, _, query = entry.uri.partition("?")
    return path, next((part for part in query.split("&") if part.startswith("fieldSelector=")), "")


def assert_quiet(testbed: Testbed) -> None:
    """Assert that for ten seconds a controller asks nothing but what it watches, and that once."""
    since = datetime.now(UTC)
    wait_until(lambda: datetime.now(UTC) - since > QUIET, QUIET * 2, "time stands still")
    asked = requests_of_controller(testbed, since)
    assert [entry for entry in asked if entry.verb != "watch"] == []
    assert set(Counter(map(followed, asked)).values()) <= {1}


def test_definition_installed_later_is_noticed_within_moments(
    testbed: Testbed, namespace: str, launch: Launch, native_crd: Callable[[], None]
) -> None:
    """Without its definition a controller says which is missing, and serves Canaries as soon as there is one."""
    controller = launch(namespace)
    wait_unready(controller, f"canaries.{NATIVE}", "not installed")
    assert_quiet(testbed)
    native_crd()
    wait_ready(controller, NOTICED)
    canary = orphan("late", namespace, NATIVE)
    apply(testbed, canary)
    wait_served(testbed, canary)


def test_definition_that_is_made_again_is_followed_again(
    testbed: Testbed, namespace: str, launch: Launch, native_crd: Callable[[], None]
) -> None:
    """A definition that is deleted makes the controller unready; made again, its Canaries are served."""
    native_crd()
    controller = launch(namespace)
    wait_ready(controller, SOON)
    testbed.kubectl("delete", "-f", str(CRDS / f"{NATIVE}_canaries.yaml"))
    wait_unready(controller, f"canaries.{NATIVE}", "not installed")
    native_crd()
    wait_ready(controller, NOTICED)
    canary = orphan("again", namespace, NATIVE)
    apply(testbed, canary)
    wait_served(testbed, canary)


def test_one_of_two_groups_is_enough(testbed: Testbed, namespace: str, launch: Launch) -> None:
    """In compat mode Flagger's definition alone makes a controller ready, and the other is waited for silently."""
    controller = launch(namespace, flagger_compat=True)
    wait_ready(controller, SOON)
    assert_quiet(testbed)


def test_definition_that_is_not_served_yet_is_waited_for(testbed: Testbed, namespace: str, compat_crd: None) -> None:
    """A 404 for a type that is defined is not believed: nothing is decided before the type was read."""
    controller = Controller(testbed, [namespace], kubeconfig=testbed.api_path.kubeconfig)
    canary = orphan("waiting", namespace)
    apply(testbed, canary)
    testbed.api_path.inject(Fault(Action.STATUS, resource="virtualservices", status=404))
    try:
        controller.launch()
        wait_unready(controller, "virtualservices.networking.istio.io", "not served yet")
        wait_unready_kinds(controller, lambda kinds: kinds == {"virtualservices.networking.istio.io"})
        assert status_of(testbed, canary) == {}
        testbed.api_path.heal()
        wait_served(testbed, canary)
        wait_ready(controller, SOON)
    finally:
        testbed.api_path.heal()
        controller.stop()


def test_lost_api_server_makes_the_controller_unready_after_a_minute(
    testbed: Testbed, namespace: str, compat_crd: None
) -> None:
    """Short outages are borne; after a minute 503 tells what is not followed, and contact brings 200 back."""
    controller = Controller(testbed, [namespace], kubeconfig=testbed.api_path.kubeconfig)
    try:
        controller.start()
        cut = datetime.now(UTC)
        testbed.api_path.inject(Fault(Action.CUT))
        testbed.api_path.cut_watches()
        wait_until(
            lambda: any(line["event"] == "watch_interrupted" for line in log_lines(controller)), SOON, "nobody noticed"
        )
        assert page(controller, "/readyz")[0] == 200
        wait_page(controller, "/readyz", 503, deadline=LATEST)
        assert datetime.now(UTC) - cut >= PATIENCE
        wait_unready_kinds(
            controller, {"deployments.apps", "services", "canaries.flagger.app"}.issubset, LOST_ONE_BY_ONE
        )
        assert {one["namespace"] for one in unready(controller)} == {namespace}
        assert page(controller, "/healthz") == (200, "ok\n")
        testbed.api_path.heal()
        wait_ready(controller, LOST_ONE_BY_ONE)
        canary = orphan("after", namespace)
        apply(testbed, canary)
        wait_served(testbed, canary)
    finally:
        testbed.api_path.heal()
        controller.stop()
