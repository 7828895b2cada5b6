"""Gates over HTTP: level, closed by default, kept in an annotation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from fastapi import Request

from canary.adapters.webhooks import WebhookCaller
from canary.api.open_gates import ANNOTATION
from canary.core.measurement import HookAnswer, HookCall, HookQuery, Unavailable
from canary.core.objects import CanaryKey
from canary.ports import NotLeading
from canary.web.bodies import Asked, read
from canary.web.problems import Problem
from tests.web.stage import ACCOUNTS, CI, NAME, NS, ONE, Stage, staged

ASKED = {"name": NAME, "namespace": NS}


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Serve the API."""
    async with staged(tmp_path) as found:
        yield found


async def asks(stage: Stage, path: str, revision: str = "abc") -> HookAnswer | Unavailable:
    """Return what a Canary's hook at a path of the controller is told, by the caller of hooks itself."""
    payload = {**ASKED, "phase": "Waiting", "checksum": revision, "metadata": {}, "revision": revision, "weight": 0}
    call = HookCall("may begin", stage.url + path, payload, timedelta(seconds=5), 0, True)
    caller = WebhookCaller("test")
    try:
        return await caller.ask(HookQuery("confirm-rollout", (call,)))
    finally:
        await caller.close()


async def test_hook_that_points_at_the_controller_hears_a_no_and_then_a_yes(stage: Stage) -> None:
    """A closed gate is a decision, not a fault; opened it lets everything pass until it is closed."""
    assert await asks(stage, "/gate/check") == HookAnswer(False, "may begin", "HTTP 403: Forbidden")
    assert (await stage.call("POST", "/gate/open", body=ASKED))[:2] == (202, "Accepted\n")
    assert await asks(stage, "/gate/check") == HookAnswer(True)
    assert await asks(stage, "/gate/check", "another") == HookAnswer(True)
    for other in ("/rollback/check", "/gate/check/promotion"):
        assert await asks(stage, other) == HookAnswer(False, "may begin", "HTTP 403: Forbidden")
    assert (await stage.call("POST", "/gate/close", body=ASKED))[0] == 202
    assert await asks(stage, "/gate/check") == HookAnswer(False, "may begin", "HTTP 403: Forbidden")
    assert [e["reason"] for e in stage.server.events] == ["GateOpened", "GateShut"]


async def test_gate_opened_for_a_revision_lets_no_other_pass(stage: Stage) -> None:
    """What is written says who opened it and for what, and the event does too."""
    code, shown, _ = await stage.call("POST", f"{ONE}/gates/promotion:open", body={"revision": "abc"})
    assert code == 200
    (gate,) = [one for one in shown["gates"] if one["name"] == "promotion"]
    assert gate == {
        "name": "promotion",
        "open": True,
        "revision": "abc",
        "by": ACCOUNTS[CI],
        "hooks": ["may end"],
        "holds": False,
    }
    assert await asks(stage, "/gate/check/promotion") == HookAnswer(True)
    assert (await asks(stage, "/gate/check/promotion", "abd")) == HookAnswer(False, "may begin", "HTTP 403: Forbidden")
    (event,) = stage.server.events
    assert event["message"] == f"Gate promotion was opened by {ACCOUNTS[CI]} for revision abc"
    assert event["involvedObject"]["uid"] == "uid-1"
    stored = json.loads(stage.server.canary["metadata"]["annotations"][ANNOTATION])
    assert stored["promotion"].items() >= {"revision": "abc", "by": ACCOUNTS[CI]}.items()


async def test_gates_survive_and_are_seen_by_every_replica(tmp_path: Path) -> None:
    """A gate that another replica opened is open here as soon as the watch tells."""
    async with staged(tmp_path) as stage:
        await stage.change({"metadata": {"annotations": {ANNOTATION: '{"gate": {}}'}}})
        assert await asks(stage, "/gate/check") == HookAnswer(True)
        assert stage.server.reviewed == []


async def test_replica_that_does_not_lead_serves_callers_and_decides_nothing(stage: Stage) -> None:
    """What a caller wishes is written there; a write of its own is stopped by the fence."""
    assert (await stage.call("POST", "/gate/open", body=ASKED))[0] == 202
    assert await asks(stage, "/gate/check") == HookAnswer(True)
    ref = CanaryKey("canary.delivery", NS, NAME).ref
    with pytest.raises(NotLeading):
        await stage.cluster.patch(ref, {}, resource_version=stage.server.canary["metadata"]["resourceVersion"])


async def test_gate_that_no_hook_asks_for_is_a_slip(stage: Stage) -> None:
    """The answer names those that there are."""
    code, told, _ = await stage.call("POST", f"{ONE}/gates/promotoin:open")
    assert code == 404
    assert told["message"] == (
        f"no webhook of Canary {NS}/{NAME} asks for gate promotoin; there are gate, promotion, rollback"
    )
    assert stage.server.patched == []


async def test_canary_that_is_not_there_has_no_open_gate(stage: Stage) -> None:
    """A stranger learns nothing: it looks like a closed gate."""
    code, text, _ = await stage.call("POST", "/gate/check", None, {"name": "none", "namespace": "none"})
    assert (code, text) == (403, "Forbidden\n")


async def test_conflicts_are_tried_again_on_what_is_there(stage: Stage) -> None:
    """A write on an old version is made anew; one that never succeeds is told."""
    stage.server.conflicts = 2
    assert (await stage.call("POST", "/gate/open", body=ASKED))[0] == 202
    stage.server.conflicts = 99
    code, told, headers = await stage.call("POST", "/gate/close", body=ASKED)
    assert (code, headers["Retry-After"]) == (409, "1")
    assert "changes too fast" in told["message"]


async def test_canary_of_another_controller_is_left_alone(stage: Stage) -> None:
    """A real Flagger's Canary is not written on."""
    managed = [{"manager": "flagger", "operation": "Update", "subresource": "status", "fieldsV1": {}}]
    await stage.change({"metadata": {"managedFields": managed}})
    code, told, _ = await stage.call("POST", "/gate/open", body=ASKED)
    assert (code, told["message"]) == (409, f"Canary {NS}/{NAME} is kept by another controller")
    assert stage.server.patched == []


WRONG_BODIES = (
    (b"", 422),
    (b"{", 422),
    (b"[]", 422),
    (b'{"name": "x"}', 422),
    (b'{"name": 1, "namespace": "x"}', 422),
    (b"\xff\xfe", 422),
    (b'{"name": "' + b"x" * 70000 + b'"}', 413),
)


async def test_wrong_bodies_are_told(stage: Stage) -> None:
    """Each is answered with a sentence."""
    for body, code in WRONG_BODIES:
        for path, token in (("/gate/check", None), ("/gate/open", CI)):
            answered, told, _ = await stage.call("POST", path, token, body)
            assert (answered, told["code"], bool(told["message"])) == (code, code, True)


async def test_body_that_does_not_come_is_not_waited_for() -> None:
    """A caller who sends half of it is told so."""
    parts = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> dict[str, Any]:
        return parts.pop() if parts else await asyncio.Future()

    with pytest.raises(Problem) as caught:
        await read(Request({"type": "http", "method": "POST", "headers": []}, receive), Asked, within=0.05)
    assert (caught.value.code, caught.value.message) == (408, "the body did not come within 0.05 s")
