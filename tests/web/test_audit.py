"""What is kept of callers: a log line for each call that changes something or is refused, and their rate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from structlog.testing import capture_logs

from canary.web.guard import BURST
from tests.web.stage import ACCOUNTS, CI, NAME, NOBODY, ONE, READER, WRONG, Stage, staged
from tests.web.test_rights import MUTATING, OPEN, READING, status_of


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Serve the API."""
    async with staged(tmp_path) as found:
        yield found


async def lines_of(stage: Stage, method: str, path: str, token: str | None, body: Any) -> list[Any]:
    """Return the lines of the API that a call leaves in the log."""
    with capture_logs() as lines:
        await status_of(stage, method, path, token, body)
    return [line for line in lines if line["event"].startswith("api_")]


async def test_each_change_is_a_line_with_who_made_it_and_on_what(stage: Stage) -> None:
    """One for each call: the caller's name as the cluster knows it, the Canary, and what was done to it."""
    for method, path, body, _ in MUTATING:
        (line,) = await lines_of(stage, method, path, CI, body)
        last = path.rpartition("/")[2]
        turned = "open" in last or "close" in last
        assert (line["event"], line["caller"]) == ("api_gate" if turned else "api_command", ACCOUNTS[CI]), path
        assert NAME in line["canary"]
        if turned:
            assert line["reason"] == ("GateOpened" if "open" in last else "GateShut")
            assert ACCOUNTS[CI] in line["message"]
        else:
            assert line["verb"] == last


async def test_each_gate_that_is_turned_is_an_event_with_who_turned_it(stage: Stage) -> None:
    """People without the log see it at the Canary."""
    turning = [one for one in MUTATING if "open" in one[1] or "close" in one[1]]
    for method, path, body, _ in turning:
        await status_of(stage, method, path, CI, body)
    assert len(stage.server.events) == len(turning) == 6
    assert all(ACCOUNTS[CI] in event["message"] for event in stage.server.events)


async def test_each_refusal_is_a_line(stage: Stage) -> None:
    """Who is known is named; of others the address is."""
    for method, path, body, _ in (*READING, *MUTATING):
        (line,) = await lines_of(stage, method, path, NOBODY, body)
        assert (line["event"], line["caller"], line["code"]) == ("api_refused", "bob", 403), path
    (line,) = await lines_of(stage, "GET", ONE, WRONG, None)
    assert (line["event"], line["address"], line["code"]) == ("api_refused", "127.0.0.1", 401)


async def test_who_only_looks_leaves_no_line(stage: Stage) -> None:
    """Hooks ask each interval, and watches last."""
    for token, calls in ((CI, READING), (None, OPEN)):
        for method, path, body, _ in calls:
            assert await lines_of(stage, method, path, token, body) == [], path


async def test_caller_who_asks_too_often_is_told_so_by_every_route(stage: Stage) -> None:
    """429 with the time to wait, and nothing is written; another caller is served."""
    for _ in range(4 * BURST):
        if await status_of(stage, "GET", ONE, CI, None) == 429:
            break
    written = len(stage.server.patched)
    for method, path, body, _ in (*READING, *MUTATING):
        for _ in range(3):
            code, _, headers = await stage.call(method, path, CI, body)
            if code == 429:
                break
        assert (code, headers["Retry-After"]) == (429, "1"), path
    assert len(stage.server.patched) - written <= len(MUTATING)
    assert await status_of(stage, "GET", ONE, READER, None) == 200
