"""Two controllers and one Lease: whatever happens to the leader, the other goes on, and one writes at any time."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from e2e.accounts import NAME, Account
from e2e.controller import Controller, allow_lease
from e2e.orphans import SOON, apply, orphan, wait_served
from e2e.pages import kubeconfig, page
from e2e.recorder import LATE_NEWS, Recorder
from e2e.release import Release
from e2e.testbed import credentials
from e2e.testbed.audit import AuditEntry
from e2e.testbed.faults import Action, Fault
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, moments, settled, weight_changes

TAKEN_OVER = timedelta(seconds=15)
"""What is promised; ``LATE_NEWS`` comes on top."""
QUICK = ("--lease-duration=7s", "--renew-deadline=5s", "--retry-period=1s")
HANDED_OVER = timedelta(seconds=5)
"""Less than the lease lasts."""
RENEWALS = timedelta(seconds=3)
"""Time for some rounds of the lease."""
LEADER = '\ncanary_leader{identity="one_'
LONG = timedelta(seconds=120)
INTERVAL = timedelta(seconds=3)
JITTER = timedelta(milliseconds=500)
"""By how much two rows may seem closer together than their ticks were."""
STEPS = [("Progressing", weight) for weight in (0, 15, 30, 45, 60)]
ROWS = [*STEPS, ("Promoting", 0), ("Finalising", 0), ("Succeeded", 0)]
SHARES = [(100, 0), (85, 15), (70, 30), (55, 45), (40, 60), (0, 100), (100, 0)]

Start = Callable[..., Controller]


@pytest.fixture
def start(testbed: Testbed, namespace: str, compat_crd: None) -> Iterator[Start]:
    """Return a way to start a replica of a name, on a lease that nobody holds."""
    lease = {"metadata": {"name": "canary-controller"}, "spec": {}}
    testbed.kube.create(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", lease)
    allow_lease(testbed, namespace, "controller", f"--user={credentials.CONTROLLER}")
    with ExitStack() as started:

        def run(name: str, path: Path | None = None, *times: str) -> Controller:
            flags = ("--leader-election", f"--lease-namespace={namespace}", *times)
            return started.enter_context(Controller(testbed, [namespace], kubeconfig=path, flags=flags, replica=name))

        yield run
        testbed.api_path.heal()


def leads(controller: Controller) -> bool:
    """Return whether a replica says that it may write."""
    return "\ncanary_leading 1.0\n" in page(controller, "/metrics")[1]


def wait_leading(controller: Controller, within: timedelta = SOON) -> None:
    """Wait until a replica leads."""
    wait_until(lambda: leads(controller), within, lambda: f"{controller.name} does not lead")


@contextmanager
def taken_over(controller: Controller, within: timedelta = TAKEN_OVER) -> Iterator[None]:
    """Check that a replica leads so soon after what happens inside."""
    began = datetime.now(UTC)
    yield
    wait_leading(controller, within + LATE_NEWS - (datetime.now(UTC) - began))


def asked(testbed: Testbed, name: str, since: datetime) -> list[AuditEntry]:
    """Return what a replica asked of the API server from a time on, watches left out."""
    return [one for one in testbed.audit.requests(agent=f"({name}_", since=since) if one.verb != "watch"]


def writes(testbed: Testbed, name: str, since: datetime) -> list[AuditEntry]:
    """Return what a replica wrote from a time on beside the lease."""
    found = asked(testbed, name, since)
    return [one for one in found if one.verb not in ("get", "list") and one.resource != "leases"]


def test_release_goes_on_under_the_other_leader_twice(testbed: Testbed, namespace: str, start: Start) -> None:
    """At 30 % the leader is killed; at 45 % the next one cannot renew, though it could write all else.

    Fifteen seconds later the other leads: no step comes early or twice, and nobody notices.
    """
    first = start("one")
    wait_leading(first)
    second = start("two", testbed.api_path.kubeconfig)
    with Recorder(testbed, namespace) as recorder:
        release = Release(testbed, namespace, recorder)
        release.set_up(stepWeight=15, maxWeight=60)
        since = settled(release)
        with release.load() as loads:
            release.apply(release.deployment("v2"))
            release.wait_for("Progressing", 30)
            assert writes(testbed, "two", release.began) == []
            with taken_over(second):
                first.kill()
            restarted = datetime.now(UTC)
            first.launch()
            release.wait_for("Progressing", 45)
            with taken_over(first):
                testbed.api_path.inject(Fault(Action.DELAY, resource="leases", delay=LONG))
            assert not leads(second)
            release.wait_for("Succeeded", within=LONG)
        assert_none_failed(*loads)
        assert_one_run(release, since)
    assert max(one.at for one in writes(testbed, "two", since)) < writes(testbed, "one", restarted)[0].at


def assert_one_run(release: Release, since: datetime) -> None:
    """Check that there was one run, with each of its rows once and none early."""
    rows = release.rows(since)
    assert [(row.phase, row.weight) for row in rows] == ROWS
    for old, new in pairwise(rows[:-1]):
        assert new.at - old.at > INTERVAL - JITTER, f"{new} came early after {old}"
    assert [m.weights for m in weight_changes(moments(release.recorder, since))] == SHARES


def test_leader_cut_off_stands_by_when_it_is_back(testbed: Testbed, namespace: str, start: Start) -> None:
    """Cut from the API server, it loses the lease; with its access back it follows the other, and writes nothing."""
    first = start("one", testbed.api_path.kubeconfig, *QUICK)
    wait_leading(first)
    second = start("two", None, *QUICK)
    before, meanwhile, after = (orphan(name, namespace) for name in ("before", "meanwhile", "after"))
    apply(testbed, before)
    wait_served(testbed, before)
    since = datetime.now(UTC)
    with taken_over(second):
        testbed.api_path.inject(Fault(Action.CUT))
        testbed.api_path.cut_watches()
    assert not leads(first)
    apply(testbed, meanwhile)
    wait_served(testbed, meanwhile)
    testbed.api_path.heal()
    wait_until(lambda: asked(testbed, "one", since), SOON, "the first does not come back")
    apply(testbed, after)
    wait_served(testbed, after)
    assert page(first, "/healthz") == (200, "ok\n")
    assert writes(testbed, "one", since) == []
    assert writes(testbed, "two", since)


@pytest.fixture
def account(testbed: Testbed, namespace: str, tmp_path: Path) -> Iterator[Path]:
    """Return a kubeconfig of an account with the chart's rights, and the Role of docs/high-availability.md."""
    made = Account(testbed, namespace)
    made.create()
    allow_lease(testbed, namespace, "account", f"--serviceaccount={namespace}:{NAME}")
    yield Path(kubeconfig(testbed, tmp_path, token=made.token().text))
    made.delete()


def test_leader_stands_still_and_wakes_as_a_standby_and_the_next_is_told_to_end(
    testbed: Testbed, namespace: str, start: Start, account: Path
) -> None:
    """Stopped for longer than the lease lasts it writes nothing when it goes on; told to end, the other hands over."""
    first = start("one", account, *QUICK)
    wait_leading(first)
    second = start("two", account, *QUICK)
    assert_leader_and_standby(testbed, first, second)
    frozen = datetime.now(UTC)
    with taken_over(second):
        os.kill(first.pid, signal.SIGSTOP)
    meanwhile, after = (orphan(name, namespace) for name in ("meanwhile", "after"))
    apply(testbed, meanwhile)
    woken = datetime.now(UTC)
    os.kill(first.pid, signal.SIGCONT)
    wait_served(testbed, meanwhile)
    wait_until(lambda: len(asked(testbed, "one", woken)) > 1, SOON, "the first does not go on")
    assert (leads(first), leads(second)) == (False, True)
    assert writes(testbed, "one", frozen) == []
    with taken_over(first, HANDED_OVER):
        second.stop()
    apply(testbed, after)
    wait_served(testbed, after)


def assert_leader_and_standby(testbed: Testbed, first: Controller, second: Controller) -> None:
    """Check that the standby is ready and says who leads, and that both ask for nothing but the lease (I19)."""
    assert page(second, "/readyz") == (200, "ok\n")
    wait_until(lambda: LEADER in page(second, "/metrics")[1], SOON, lambda: page(second, "/metrics")[1])
    assert leads(first)
    assert not leads(second)
    since = datetime.now(UTC)
    wait_until(lambda: datetime.now(UTC) - since > RENEWALS, RENEWALS * 2, "time stands still")
    for name, verb in (("one", "patch"), ("two", "get")):
        assert {(entry.verb, entry.resource) for entry in asked(testbed, name, since)} == {(verb, "leases")}
