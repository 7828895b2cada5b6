"""Every route of the API with every kind of caller: who is not known or has no right changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.web.stage import CI, NAME, NOBODY, NS, ONE, READER, WRONG, Stage, staged

ASKED = {"name": NAME, "namespace": NS}
READING = [
    ("GET", f"/v1/canaries?namespace={NS}", None, 200),
    ("GET", ONE, None, 200),
    ("GET", f"{ONE}/watch", None, 200),
]
MUTATING: list[tuple[str, str, Any, int]] = [
    ("POST", f"{ONE}/gates/gate:open", {"revision": "abc"}, 200),
    ("POST", f"{ONE}/gates/promotion:close", None, 200),
    *[("POST", f"{ONE}/{verb}", None, 200) for verb in ("pause", "resume", "promote", "skip", "abort", "rollback")],
    ("POST", f"{ONE}/approve", {"gate": "may begin"}, 200),
    ("POST", f"{ONE}/reject", None, 200),
    ("POST", f"{ONE}/retry", None, 409),
    ("POST", "/gate/open", ASKED, 202),
    ("POST", "/gate/close", ASKED, 202),
    ("POST", "/rollback/open", ASKED, 202),
    ("POST", "/rollback/close", ASKED, 202),
]
OPEN = [
    ("POST", "/gate/check", ASKED, 403),
    ("POST", "/gate/check/promotion", ASKED, 403),
    ("POST", "/rollback/check", ASKED, 403),
    ("POST", "/gate/approve", None, 200),
    ("POST", "/gate/halt", None, 403),
    ("GET", "/openapi.json", None, 200),
    ("GET", "/healthz", None, 200),
    ("GET", "/readyz", None, 200),
    ("GET", "/metrics", None, 200),
]


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Serve the API."""
    async with staged(tmp_path) as found:
        yield found


async def status_of(stage: Stage, method: str, path: str, token: str | None, body: Any) -> int:
    """Return the status of an answer without reading what may never end."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with stage.session.request(method, stage.url + path, json=body, headers=headers) as response:
        return response.status


async def test_routes_serve_those_alone_who_have_the_right(stage: Stage) -> None:
    """No token and a wrong one are 401, a caller without the right 403, and nothing is changed for them."""
    for method, path, body, _ in (*READING, *MUTATING):
        for token in (None, WRONG, ""):
            assert await status_of(stage, method, path, token, body) == 401, (method, path, token)
        assert await status_of(stage, method, path, NOBODY, body) == 403, (method, path)
    for method, path, body, _ in MUTATING:
        assert await status_of(stage, method, path, READER, body) == 403, (method, path)
    assert (stage.server.patched, stage.server.events) == ([], [])


async def test_routes_serve_those_who_have_the_right(stage: Stage) -> None:
    """Each call that changes something is one write on the Canary."""
    for method, path, body, status in (*READING, *MUTATING):
        before = len(stage.server.patched)
        assert await status_of(stage, method, path, CI, body) == status, (method, path)
        assert len(stage.server.patched) - before == (method == "POST"), (method, path)


async def test_open_routes_tell_and_change_nothing(stage: Stage) -> None:
    """What needs no token makes no request to the API server."""
    for method, path, body, status in OPEN:
        assert await status_of(stage, method, path, None, body) == status, (method, path)
    assert (stage.server.patched, stage.server.events, stage.server.reviewed) == ([], [], [])


async def test_every_route_is_in_the_table(stage: Stage) -> None:
    """A new route needs a line here; the table is compared with what OpenAPI lists."""
    _, described, _ = await stage.call("GET", "/openapi.json")
    listed = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    place = "/v1/namespaces/{namespace}/canaries/{name}"
    shapes = {"gate:open": "{gate}:open", "promotion:close": "{gate}:close", "check/promotion": "check/{gate}"}

    def shape(path: str) -> str:
        path = path.partition("?")[0].replace(ONE, place)
        for text, pattern in shapes.items():
            path = path.replace(text, pattern)
        head, _, last = path.rpartition("/")
        return f"{head}/{{verb}}" if head == place and last != "watch" else path

    tested = {(method, shape(path)) for method, path, *_ in (*READING, *MUTATING, *OPEN)}
    assert tested == {*listed, ("GET", "/openapi.json")}


async def test_listing_all_namespaces_is_a_right_of_its_own(stage: Stage) -> None:
    """Who may list in one namespace is told to name it."""
    code, told, _ = await stage.call("GET", "/v1/canaries")
    assert code == 403
    assert told["message"].endswith("bind a Role that allows it; name one of yours with ?namespace=")
    code, listed, _ = await stage.call("GET", "/v1/canaries", READER)
    assert (code, [one["name"] for one in listed]) == (200, [NAME])


async def test_canary_that_is_not_there_is_told_to_those_alone_who_might_see_it(stage: Stage) -> None:
    """Without the right nobody learns which names there are."""
    path = f"/v1/namespaces/{NS}/canaries/none"
    assert await status_of(stage, "GET", path, CI, None) == 404
    assert await status_of(stage, "GET", path, NOBODY, None) == 403
