"""Webhooks of a release: gates, tests and a rollback, asked over HTTP by the controller process."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from e2e.release import Release
from e2e.test_commands import ask
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, settled

LONG = timedelta(seconds=120)
A_WHILE = timedelta(seconds=10)


class Gates:
    """A service that says yes to the paths that are open, and remembers what it was asked."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.open: set[str] = set()
        self.asked: list[tuple[str, dict[str, Any]]] = []

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
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert self.headers["X-Request-Id"]
            gates[0].asked.append((self.path, body))
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
        server.shutdown()
        server.server_close()


@pytest.fixture
def gates() -> Iterator[Gates]:
    """Serve gates, all closed."""
    with serving() as found:
        yield found


def test_gates_hold_a_release_until_they_open(release: Release, gates: Gates) -> None:
    """Outside in Waiting, at its last weight in WaitingPromotion; a person can open the last; no request fails."""
    kinds = ("confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion")
    gates.open |= {"pre-rollout", "rollout", "confirm-traffic-increase"}
    release.set_up(stepWeight=50, webhooks=[gates.hook(kind) for kind in (*kinds, "post-rollout", "event")])
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2"))
        release.wait_for("Waiting")
        release.wait_message("confirm-rollout hook the confirm-rollout says no: HTTP 403")
        mesh.next_window(A_WHILE)
        assert release.status["phase"] == "Waiting"
        assert release.shares(since) == []
        gates.open.add("confirm-rollout")
        release.wait_for("WaitingPromotion", within=LONG)
        mesh.next_window(A_WHILE)
        assert (release.status["phase"], release.weights) == ("WaitingPromotion", (50, 50))
        assert release.status.get("failedChecks", 0) == 0
        assert ask(release, "approve", gate="confirm-promotion").startswith(
            "Obeyed: gate the confirm-promotion is open"
        )
        release.wait_for("Succeeded", within=LONG)
        # Nobody opens this one: a no is told, and asked for no more.
        release.wait_told("PostRolloutRefused")
    assert_none_failed(mesh, plain)
    assert [one["phase"] for one in gates.payloads("post-rollout")] == ["Succeeded"]
    told = {one["metadata"]["eventMessage"] for one in gates.payloads("event")}
    assert {*release.told("GateClosed"), *release.told("Promoted")} <= told
    assert release.shares(since) == [(50, 50), (0, 100), (100, 0)]
    assert len(release.told("GateClosed")) == 2
    candidate = release.status["lastPromotedSpec"]
    for kind in kinds:
        assert {one["revision"] for one in gates.payloads(kind)} == {candidate}
    assert {one["weight"] for one in gates.payloads("pre-rollout")} == {0}
    assert {one["weight"] for one in gates.payloads("rollout")} == {50}


def test_rollback_hook_and_a_gate_that_is_down(release: Release, gates: Gates) -> None:
    """A gate that nobody serves holds without counting; a hook that says yes brings everybody back."""
    gone = {"name": "gone", "type": "confirm-traffic-increase", "url": "http://127.0.0.1:9/", "timeout": "2s"}
    release.set_up(stepWeight=30, webhooks=[gates.hook("rollback")])
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 30)
        analysis = release.canary(stepWeight=30, webhooks=[gates.hook("rollback"), gone])["spec"]["analysis"]
        release.patch_spec(analysis=analysis)
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
