"""Webhooks of a release: gates, tests and a rollback, asked over HTTP by the controller process."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from e2e import on_call
from e2e.release import Release
from e2e.test_commands import ask
from e2e.testbed.kube import Object
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, settled
from tests.adapters.test_webhook_credentials import check_of_the_page

ACCESS, TOKEN, KEY = "ci-access", "let-me-in-5c1d", "sign-with-9e2b"
BESIDE = [f"beside-{number}" for number in range(8)]
INTERVAL = timedelta(seconds=3)
LONG = timedelta(seconds=120)
A_WHILE = timedelta(seconds=10)


class Gates:
    """A service that says yes to the paths that are open, and remembers what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.open: set[str] = set()
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.sent: list[tuple[Message, bytes]] = []
        self.hanging = 0
        self.over = threading.Event()

    def hook(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Return a webhook of a type, at a path of its own."""
        return {"name": f"the {kind}", "type": kind, "url": f"{self.url}/{kind}", **fields}

    def payloads(self, kind: str) -> list[dict[str, Any]]:
        """Return what a type was asked with."""
        return [payload for path, payload in self.asked if path == f"/{kind}"]


@contextmanager
def serving() -> Iterator[Gates]:
    """Serve gates on the address that the controller process shares with the tests."""
    gates: list[Gates] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            assert self.headers["X-Request-Id"]
            if self.path == "/hang":
                gates[0].hanging += 1
                gates[0].over.wait()
            gates[0].asked.append((self.path, json.loads(body)))
            gates[0].sent.append((self.headers, body))
            self.send_response(204 if self.path.removeprefix("/") in gates[0].open else 403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gates.append(Gates(f"http://127.0.0.1:{server.server_address[1]}"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield gates[0]
    finally:
        gates[0].over.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def gates() -> Iterator[Gates]:
    """Serve gates, all closed."""
    with serving() as found:
        yield found


def small(name: str, generation: str) -> Object:
    """Return a Deployment of one sleeping pod without a sidecar."""
    labels = {"app": name, "sidecar.istio.io/inject": "false"}
    container = {"name": "app", "image": "testbed/client:latest", "env": [{"name": "GENERATION", "value": generation}]}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def hanging_beside(release: Release, gates: Gates) -> list[Object]:
    """Return Canaries whose first gate never answers."""
    found = []
    for name in BESIDE:
        gate = {"name": "silent", "type": "confirm-rollout", "url": f"{gates.url}/hang", "timeout": "10m"}
        canary = release.canary(service={"name": name, "hosts": [name]}, webhooks=[gate])
        canary["metadata"]["name"] = canary["spec"]["targetRef"]["name"] = name
        found.append(canary)
    return found


def phases(release: Release) -> set[str]:
    """Return the phases of the Canaries beside the release."""
    path = f"/apis/flagger.app/v1beta1/namespaces/{release.namespace}/canaries"
    listed = {one["metadata"]["name"]: one for one in release.testbed.kube.get(path)["items"]}
    return {listed[name].get("status", {}).get("phase", "") for name in BESIDE}


def begin_beside(release: Release) -> None:
    """Give the Canaries beside the release something to release, once they are initialised."""
    wait_until(lambda: phases(release) == {"Initialized"}, LONG, lambda: str(phases(release)))
    release.apply(*(small(name, "2") for name in BESIDE))


def give_access(release: Release) -> None:
    """Make the Secret that hooks name, once somebody was told that there is none."""
    release.wait_message(f"Secret {release.namespace}/{ACCESS} not found; create it")
    assert release.condition("Held")["reason"] == "GateUnanswered"
    data = {"token": TOKEN, "hmac": KEY}
    release.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": ACCESS}, "stringData": data})


def expect_nobody_waited(release: Release, gates: Gates, since: datetime) -> None:
    """Check that gates hang still, each of which would have cost ten minutes, and that the step was judged in time."""
    assert (phases(release), gates.hanging) == ({"Waiting"}, len(BESIDE))
    begun, judged = (row.at for row in release.rows(since)[-2:])
    assert judged - begun <= 3 * INTERVAL


def expect_credentials(gates: Gates) -> None:
    """Check that every call but those of hooks without a Secret showed who called, and was signed."""
    shown = [(headers, body) for headers, body in gates.sent if headers["Authorization"] is not None]
    assert {json.loads(body)["phase"] for _, body in shown} >= {"Waiting", "Progressing", "WaitingPromotion"}
    for headers, body in shown:
        assert headers["Authorization"] == f"Bearer {TOKEN}"
        assert check_of_the_page()(KEY.encode(), headers, body, time.time() - 60)


def expect_payloads(release: Release, gates: Gates, kinds: tuple[str, ...]) -> None:
    """Check that hooks were told which revision was released, and at which weight."""
    candidate = release.status["lastPromotedSpec"]
    for kind in kinds:
        assert {one["revision"] for one in gates.payloads(kind)} == {candidate}
    assert {one["weight"] for one in gates.payloads("pre-rollout")} == {0}
    assert {one["weight"] for one in gates.payloads("rollout")} == {50}


def test_gates_hold_a_release_until_they_open(release: Release, gates: Gates) -> None:
    """Outside in Waiting, at its last weight in WaitingPromotion; a person can open the last; no request fails.

    Gates of other Canaries that hang meanwhile delay nothing, and a Secret that is not there holds.
    """
    kinds = ("confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion")
    gates.open |= {"pre-rollout", "rollout", "confirm-traffic-increase"}
    hooks = [gates.hook(kind, secretRef={"name": ACCESS}) for kind in kinds]
    release.apply(*(small(name, "1") for name in BESIDE), *hanging_beside(release, gates))
    release.set_up(stepWeight=50, webhooks=[*hooks, *(gates.hook(kind) for kind in ("post-rollout", "event"))])
    begin_beside(release)
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2"))
        release.wait_for("Waiting")
        give_access(release)
        release.wait_message("confirm-rollout hook the confirm-rollout says no: HTTP 403")
        mesh.next_window(A_WHILE)
        assert release.status["phase"] == "Waiting"
        assert release.shares(since) == []
        gates.open.add("confirm-rollout")
        release.wait_for("WaitingPromotion", within=LONG)
        expect_nobody_waited(release, gates, since)
        mesh.next_window(A_WHILE)
        assert (release.status["phase"], release.weights) == ("WaitingPromotion", (50, 50))
        assert release.status.get("failedChecks", 0) == 0
        opened = ask(release, "approve", gate="confirm-promotion")
        assert opened.startswith("Obeyed: gate the confirm-promotion is open")
        release.wait_for("Succeeded", within=LONG)
        # Nobody opens this one: a no is told, and asked for no more.
        release.wait_told("PostRolloutRefused")
    assert_none_failed(mesh, plain)
    assert [one["phase"] for one in gates.payloads("post-rollout")] == ["Succeeded"]
    told = {one["metadata"]["eventMessage"] for one in gates.payloads("event")}
    assert {*release.told("GateClosed"), *release.told("Promoted")} <= told
    assert release.shares(since) == [(50, 50), (0, 100), (100, 0)]
    assert len(release.told("GateClosed")) == 2
    expect_credentials(gates)
    expect_payloads(release, gates, kinds)


def expect_alerted(release: Release, gates: Gates, *reasons: str) -> None:
    """Expect that the events of these reasons and no others were alerts, in this order."""
    words = {message: reason for reason, message in release.events()}

    def told() -> list[str]:
        return [words[text] for text in on_call.texts(gates.payloads(on_call.PATH))]

    wait_until(lambda: len(told()) >= len(reasons), A_WHILE, lambda: str(told()))
    assert told() == [*reasons]


def test_rollback_hook_and_a_gate_that_is_down(release: Release, gates: Gates) -> None:
    """A gate that nobody serves holds without counting; a hook that says yes brings everybody back."""
    gone = {"name": "gone", "type": "confirm-traffic-increase", "url": "http://127.0.0.1:9/", "timeout": "2s"}
    gates.open.add(on_call.PATH)
    release.apply(*on_call.provider(gates.url))
    release.set_up(stepWeight=30, webhooks=[gates.hook("rollback")], alerts=on_call.alerts("warn"))
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 30)
        release.patch_spec(analysis={"webhooks": [gates.hook("rollback"), gone]})
        wait_until(
            lambda: release.condition("Held").get("reason") == "GateUnanswered", LONG, lambda: str(release.status)
        )
        assert "hook gone at http://127.0.0.1:9/ cannot be reached: Connection refused" in release.status["message"]
        assert release.weights == (70, 30)
        gates.open.add("rollback")
        release.wait_for("Failed")
        assert release.condition("Progressing")["reason"] == "RollbackHook"
        assert release.shares(since) == [(70, 30), (100, 0)]
    assert_none_failed(mesh, plain)
    assert release.status["failedChecks"] == 0
    expect_alerted(release, gates, "GateUnanswered", "RolledBack")
    log = (release.testbed.layout.logs / f"controller-{release.namespace}.log").read_text()
    said = log + str(release.events()) + str(release.status)
    assert "decided" in said
    assert on_call.HIDDEN not in said
