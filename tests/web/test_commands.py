"""Commands over HTTP: written as an annotation in the name of the caller, and answered by the controller."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from canary.api.command import ANNOTATION, Command, read_command
from tests.web.stage import ACCOUNTS, CI, NAME, NS, ONE, READER, Stage, staged


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Serve the API."""
    async with staged(tmp_path) as found:
        yield found


def sent(stage: Stage) -> Command:
    """Return the command that was written last."""
    command = read_command(stage.server.patched[-1]["metadata"]["annotations"][ANNOTATION])
    assert isinstance(command, Command)
    return command


async def test_command_is_written_in_the_name_of_the_caller(stage: Stage) -> None:
    """Whoever the body says it is, and with an id of its own each time."""
    code, told, _ = await stage.call("POST", f"{ONE}/approve", body={"revision": "abc", "gate": "may begin"})
    one = sent(stage)
    assert (one.verb, one.revision, one.gate, one.by) == ("approve", "abc", "may begin", ACCOUNTS[CI])
    assert (code, told) == (200, {"id": one.id, "verb": "approve", "by": ACCOUNTS[CI], "result": "Obeyed: done"})
    await stage.call("POST", f"{ONE}/approve", body={"revision": "abc", "gate": "may begin"})
    assert sent(stage).id != one.id


async def test_command_that_is_refused_says_why(stage: Stage) -> None:
    """What the controller answered is the answer."""
    code, told, _ = await stage.call("POST", f"{ONE}/retry")
    assert (code, told) == (409, {"code": 409, "message": "Refused: nothing to retry"})


async def test_command_that_nobody_answers_is_accepted(tmp_path: Path) -> None:
    """The next one must not take its place: it is told whose command waits."""
    async with staged(tmp_path, answered_within=0.05) as stage:
        stage.server.obeys = False
        code, told, _ = await stage.call("POST", f"{ONE}/pause")
        assert (code, told["result"], told["id"]) == (202, None, sent(stage).id)
        code, told, headers = await stage.call("POST", f"{ONE}/abort")
        assert (code, headers["Retry-After"]) == (409, "1")
        assert told["message"] == f"another command is not answered yet: pause of {ACCOUNTS[CI]}; ask again"
        assert len(stage.server.patched) == 1


WRONG_REQUESTS: tuple[tuple[str, Any, str], ...] = (
    ("stop", None, "path.verb: Input should be 'pause', 'resume'"),
    ("pause", {"by": "root"}, "by: Extra inputs are not permitted"),
    ("pause", {"revision": "x" * 254}, "revision: String should have at most 253 characters"),
    ("gates/Gate:open", None, "path.gate: String should match pattern"),
    ("gates/gate:open", {"revison": "abc"}, "revison: Extra inputs are not permitted"),
)


async def test_wrong_requests_are_told(stage: Stage) -> None:
    """422 with what is wrong where, and nothing written."""
    for path, body, part in WRONG_REQUESTS:
        code, told, _ = await stage.call("POST", f"{ONE}/{path}", body=body)
        assert (code, told["message"].startswith(part)) == (422, True), told
    assert stage.server.patched == []


@pytest.mark.parametrize(
    ("method", "path", "code"), [("GET", "/v2", 404), ("PUT", ONE, 405), ("GET", "/gate/open", 405)]
)
async def test_wrong_paths_are_told(stage: Stage, method: str, path: str, code: int) -> None:
    """The answer says where all paths are listed."""
    answered, told, _ = await stage.call(method, path)
    assert (answered, told["message"].endswith("/openapi.json lists what there is")) == (code, True)


async def test_canary_is_shown_with_what_its_target_amounts_to(stage: Stage) -> None:
    """A pipeline finds its own revision by the image that it built."""
    status = {"gates": [{"name": "may begin", "state": "Closed", "type": "confirm-rollout"}], "message": "Holding"}
    await stage.change({"status": status})
    code, shown, _ = await stage.call("GET", ONE, READER)
    assert (code, shown["phase"], shown["message"]) == (200, "Waiting", "Holding")
    assert (shown["namespace"], shown["name"], shown["group"]) == (NS, NAME, "canary.delivery")
    assert shown["target"]["images"] == ["catalog:v2"]
    assert len(shown["target"]["revision"]) == 10
    assert [one["name"] for one in shown["gates"] if one["holds"]] == ["gate"]


async def test_watch_tells_of_each_change_and_of_the_end(stage: Stage) -> None:
    """Server-sent events, the present state first."""
    headers = {"Authorization": f"Bearer {READER}"}
    async with stage.session.get(f"{stage.url}{ONE}/watch", headers=headers) as response:
        assert response.headers["Content-Type"].startswith("text/event-stream")
        assert (await _event(response.content))["phase"] == "Waiting"
        await stage.server.change({"status": {"phase": "Progressing"}})
        assert (await _event(response.content))["phase"] == "Progressing"
        await stage.server.tell("/apis/canary.delivery/v1beta1/canaries", "DELETED", stage.server.canary)
        assert await _event(response.content) == {}
        assert await response.content.read() == b""


async def test_watches_of_one_caller_are_counted(stage: Stage) -> None:
    """The ninth is refused; another caller has watches of their own."""
    headers = {"Authorization": f"Bearer {READER}"}
    opened = [await stage.session.get(f"{stage.url}{ONE}/watch", headers=headers) for _ in range(8)]
    for one in opened:
        await _event(one.content)
    code, told, _ = await stage.call("GET", f"{ONE}/watch", READER)
    assert (code, told["message"]) == (429, "ann has 8 watches open; end one of them")
    async with stage.session.get(f"{stage.url}{ONE}/watch", headers={"Authorization": f"Bearer {CI}"}) as response:
        assert response.status == 200
    for one in opened:
        one.close()


async def _event(content: Any) -> Any:
    async with asyncio.timeout(5):
        kind, data, _ = [(await content.readline()).decode() for _ in range(3)]
    assert kind in ("event: canary\n", "event: deleted\n")
    return json.loads(data.removeprefix("data: "))
