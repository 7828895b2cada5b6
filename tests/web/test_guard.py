"""Who is served: reviews of tokens and rights, how long they hold, how often one may ask, and what is logged."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from starlette.requests import Request

from canary.adapters.kube.access import ACCESS_REVIEW, TOKEN_REVIEW
from canary.adapters.kube.paths import collection
from canary.core.access import Caller, Right
from canary.engine.telemetry import LogFormat, configure_logging
from canary.web.guard import BURST, REMEMBERED, STRANGERS_BURST, Guard
from canary.web.problems import Problem
from canary.web.rates import KNOWN, Rates, Recent
from tests.web.stage import ACCOUNTS, CI, NAME, NOBODY, NS, ONE, WRONG, Stage, staged

RIGHT = Right("get", "canary.delivery", NS, NAME)


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """Serve the API."""
    async with staged(tmp_path) as found:
        yield found


class Known:
    """An API server that knows every token but one, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.allowed = True

    async def identify(self, token: str) -> Caller | None:
        """Return who a token names."""
        self.asked.append(token)
        return None if token == WRONG else Caller(token)

    async def permits(self, caller: Caller, right: Right) -> bool:
        """Return what is told."""
        self.asked.append(f"{caller.name} {right}")
        return self.allowed


class Watch:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def request(token: str, address: str = "10.0.0.1") -> Request:
    """Return a request with a token."""
    headers = [(b"authorization", f"Bearer {token}".encode("latin-1", "replace"))]
    return Request({"type": "http", "headers": headers, "client": (address, 1)})


async def test_answers_hold_for_seconds() -> None:
    """A token and a right are asked about once, and again when the answer is old."""
    access, clock = Known(), Watch()
    guard = Guard(access, clock)
    for _ in range(3):
        caller = await guard.caller(request("ann"))
        assert await guard.permits(caller, RIGHT)
    assert access.asked == ["ann", f"ann {RIGHT}"]
    clock.now += REMEMBERED
    access.allowed = False
    assert not await guard.permits(await guard.caller(request("ann")), RIGHT)
    assert len(access.asked) == 4
    assert REMEMBERED <= 10


async def test_rights_are_of_the_groups_of_the_caller() -> None:
    """The same name with other groups is asked about anew."""
    access = Known()
    guard = Guard(access)
    for groups in (("a",), ("b",), ("a",)):
        await guard.permits(Caller("ann", groups=groups), RIGHT)
    assert len(access.asked) == 2


async def test_wrong_token_is_refused_and_remembered() -> None:
    """Asked again at once it costs no request."""
    access = Known()
    guard = Guard(access)
    for _ in range(2):
        with pytest.raises(Problem, match="does not know this token") as told:
            await guard.caller(request(WRONG))
        assert told.value.code == 401
    assert access.asked == [WRONG]


@pytest.mark.parametrize("token", ["x" * 20000, "ü"])
async def test_token_that_can_be_none_is_not_asked_about(token: str) -> None:
    """Neither one of absurd length nor one of other letters."""
    access = Known()
    with pytest.raises(Problem, match="does not know this token"):
        await Guard(access).caller(request(token))
    assert access.asked == []


async def test_caller_who_asks_too_often_waits() -> None:
    """Others are not slowed by it, and a second later there is room again."""
    clock = Watch()
    guard = Guard(Known(), clock)
    for _ in range(BURST):
        await guard.caller(request("ann"))
    with pytest.raises(Problem, match="ann asks more than 10 times a second") as told:
        await guard.caller(request("ann"))
    assert (told.value.code, told.value.retry_after) == (429, pytest.approx(0.1))
    assert (await guard.caller(request("bob"))).name == "bob"
    clock.now += 0.2
    assert (await guard.caller(request("ann"))).name == "ann"


async def test_address_that_tries_tokens_waits() -> None:
    """The API server is not flooded; a caller who is known, and one from elsewhere, are served."""
    access = Known()
    guard = Guard(access, Watch())
    await guard.caller(request("ann"))
    for n in range(STRANGERS_BURST - 1):
        await guard.caller(request(f"token {n}"))
    with pytest.raises(Problem, match=r"too many tokens from 10\.0\.0\.1") as told:
        await guard.caller(request("one more"))
    assert told.value.code == 429
    assert (await guard.caller(request("ann"))).name == "ann"
    assert (await guard.caller(request("one more", "10.0.0.2"))).name == "one more"


def test_what_is_remembered_is_bounded() -> None:
    """Those seen longest ago are forgotten."""
    rates: Rates[int] = Rates(1, 0.001, Watch())
    recent: Recent[int, str] = Recent(10, Watch())
    for n in range(KNOWN + 1):
        assert rates.wait(n) == 0
        recent.keep(n, "x")
    assert (rates.wait(0), rates.wait(KNOWN) > 0) == (0, True)
    assert (recent.find(0), recent.find(KNOWN)) == (None, "x")


async def test_api_server_that_does_not_answer_is_no_permission(stage: Stage) -> None:
    """503 with the server's words, and nothing is written."""
    for review in (TOKEN_REVIEW, ACCESS_REVIEW):
        for status in (403, 500, 503):
            stage.server.refused = {collection(review): status}
            code, told, headers = await stage.call("POST", f"{ONE}/abort")
            assert (code, headers["Retry-After"]) == (503, "1")
            assert f"told to answer {status}" in told["message"]
    assert stage.server.patched == []


async def test_caches_that_are_not_filled_are_no_answer(stage: Stage) -> None:
    """Neither a gate nor a Canary is told from what may be out of date; 503 is no decision of a hook."""
    stage.trouble.append({"kind": "canaries.canary.delivery", "namespace": "", "reason": "not heard of for 60 s"})
    for path, token, body in ((ONE, CI, None), ("/gate/check", None, {"name": NAME, "namespace": NS})):
        code, told, _ = await stage.call("GET" if body is None else "POST", path, token, body)
        assert (code, told["message"].startswith("canaries.canary.delivery: ")) == (503, True)
    stage.trouble[0]["kind"] = "gateways.networking.istio.io"
    assert (await stage.call("GET", ONE))[0] == 200


async def test_token_for_another_audience_is_refused(tmp_path: Path) -> None:
    """With an audience of its own the controller asks for it, and cannot be sent tokens meant for others."""
    async with staged(tmp_path, audience="canary") as stage:
        assert (await stage.call("GET", ONE))[0] == 200
        assert stage.server.reviewed[0] == {"token": CI, "audiences": ["canary"]}
        stage.server.audience = "other"
        stage.server.rights.clear()
        code, _, headers = await stage.call("GET", ONE, NOBODY)
        assert (code, headers["WWW-Authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("style", ["json", "console"])
async def test_logs_and_answers_never_hold_a_token(
    stage: Stage, capfd: pytest.CaptureFixture[str], style: LogFormat
) -> None:
    """Whoever calls with whatever outcome, a fault of the controller among them; names of callers are logged."""
    before = logging.getLogger().handlers
    configure_logging("debug", style)
    said = ""
    try:
        for token in (CI, NOBODY, WRONG):
            for path in (f"{ONE}/gates/gate:open", f"{ONE}/pause", "/gate/open", f"{ONE}/stop"):
                _, told, headers = await stage.call("POST", path, token, {"name": NAME, "namespace": NS})
                said += f"{told}{headers}"
        stage.server.refused[collection(TOKEN_REVIEW)] = 500
        _, told, _ = await stage.call("POST", f"{ONE}/pause", "another-secret-token")
        said += str(told)
        # Neither a Status nor JSON that a review may be: the controller's own code fails on it.
        stage.server.refused.clear()
        stage.server.broken = True
        code, told, _ = await stage.call("POST", f"{ONE}/pause", "a-secret-token-that-breaks")
        said += str(told)
        assert (code, told["code"]) == (500, 500)
    finally:
        logging.getLogger().handlers = before
    said += "".join(capfd.readouterr()) + str(stage.server.events) + str(stage.server.patched)
    assert ACCOUNTS[CI] in said
    assert "api_refused" in said
    assert "Traceback" in said
    tokens = (CI, NOBODY, WRONG, "another-secret-token", "a-secret-token-that-breaks")
    assert [token for token in tokens if token in said] == []
