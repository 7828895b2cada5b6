"""Hooks over HTTP: what counts as their decision, and the words for what does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import structlog
from tenacity import wait_none

from canary.adapters.webhooks import WAIT, WebhookCaller
from canary.core.measurement import HookAnswer, Unavailable
from canary.core.objects import CanaryKey
from tests.adapters.hooks import PASSED, Hook, a_call, query, reason, request_of, reset, serving, talking

ENVOY = {"Server": "istio-envoy"}
Recorded = tuple[int, dict[str, str], str]
_TIMED, _TEXT = {"x-envoy-upstream-service-time": "0"}, {"content-type": "text/plain"}
# What Envoy 1.40 under istiod gave on the testbed, before an application that answered by itself, and in its place.
OF_THE_APPLICATION: Recorded = (404, {"x-content-type-options": "nosniff", **_TEXT, **_TIMED, **ENVOY}, "404 page\n")
HEADERS_PASSED: Recorded = (403, {**ENVOY, "x-authz": "mine", **_TEXT, **_TIMED}, "no such luck\n")
HEADERS_KEPT: Recorded = (403, {**_TEXT, **ENVOY}, "no such luck\n")
THROUGH_OUR_SIDECAR: Recorded = (403, {**_TEXT, "server": "envoy", **_TIMED}, "no such luck\n")
AUTHORIZER_GONE: Recorded = (403, ENVOY, "")


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    """Return a hook that passes."""
    async with serving(Hook()) as served:
        yield served


@pytest.fixture
async def caller() -> AsyncIterator[WebhookCaller]:
    """Return a caller that does not wait between attempts."""
    made = WebhookCaller("canary-test/1", wait=wait_none())
    yield made
    await made.close()


class TestCalls:
    """What is sent, and in which order."""

    async def test_each_call_is_told_of(self, hook: Hook) -> None:
        """By type and outcome, whoever waits for it."""
        told: list[tuple[str, str]] = []
        caller = WebhookCaller("test", on_answer=lambda kind, outcome, seconds: told.append((kind, outcome)))
        hook.answers = [(200, "", {}), (403, "", {}), (401, "", {}), (200, "", {})]
        for _ in range(3):
            await caller.ask(query(a_call(hook.url)))
        caller.tell(CanaryKey("flagger.app", "shop", "catalog"), [a_call(hook.url)])
        await caller.close()
        assert told == [("rollout", "yes"), ("rollout", "no"), ("rollout", "undecided"), ("event", "yes")]

    async def test_what_nobody_waits_for_and_fails_is_logged_and_the_next_is_sent(self, hook: Hook) -> None:
        """A no as well as no decision; nobody else can be told."""
        caller = WebhookCaller("test")
        hook.answers = [(403, "closed", {}), (401, "", {}), (200, "", {})]
        with structlog.testing.capture_logs() as logs:
            caller.tell(
                CanaryKey("flagger.app", "shop", "catalog"), [a_call(hook.url, name) for name in ("a", "b", "c")]
            )
            await caller.close()
        assert len(hook.asked) == 3
        assert [(one["event"], one["hook"], one["error"].split(" ")[0]) for one in logs] == [
            ("hook_not_told", "a", "HTTP"),
            ("hook_not_told", "b", "hook"),
        ]

    async def test_ask_posts_the_payload_as_json(self, hook: Hook, caller: WebhookCaller) -> None:
        """With an id and the name of who calls."""
        assert await caller.ask(query(a_call(hook.url + "?x=1"))) == PASSED
        ((request, body),) = hook.asked
        assert (request.method, request.path_qs) == ("POST", "/check?x=1")
        assert body == b'{"name":"catalog","namespace":"shop","phase":"Progressing","metadata":{"cmd":"true"}}'
        assert request.headers["Content-Type"] == "application/json"
        assert request.headers["User-Agent"] == "canary-test/1"
        assert len(request.headers["X-Request-Id"]) == 36

    async def test_ask_keeps_the_id_of_a_call_through_its_attempts(self, hook: Hook, caller: WebhookCaller) -> None:
        """Each call has an id of its own."""
        hook.answers = [(503, "", {}), (200, "", {})]
        call = a_call(hook.url, retries=1)
        assert await caller.ask(query(call, call)) == PASSED
        first, second, third = [request.headers["X-Request-Id"] for request, _ in hook.asked]
        assert first == second != third

    async def test_ask_sends_credentials_of_the_url_and_never_tells_them(
        self, hook: Hook, caller: WebhookCaller
    ) -> None:
        """Neither those of the user nor those in the query."""
        hook.says(401)
        url = hook.url.replace("http://", "http://user:secret@") + "?token=secret#secret"
        answer = await caller.ask(query(a_call(url)))
        assert hook.asked[0][0].headers["Authorization"] == "Basic dXNlcjpzZWNyZXQ="
        assert answer == Unavailable(f"hook gate at {hook.url} decided nothing: it answered HTTP 401")

    async def test_ask_keeps_no_cookies(self, hook: Hook, caller: WebhookCaller) -> None:
        """What one Canary's hook sets is not sent for another Canary."""
        hook.says(200, Set_Cookie="session=1")
        await caller.ask(query(a_call(hook.url.replace("127.0.0.1", "localhost"))))
        await caller.ask(query(a_call(hook.url.replace("127.0.0.1", "localhost"))))
        assert ["Cookie" in request.headers for request, _ in hook.asked] == [False, False]

    async def test_ask_ends_at_the_first_hook_that_says_no(self, hook: Hook, caller: WebhookCaller) -> None:
        """The hooks behind it are not called."""
        hook.answers = [(200, "", {}), (403, "not before Monday", {})]
        calls = [a_call(hook.url, name) for name in ("smoke", "gate", "late")]
        assert await caller.ask(query(*calls)) == HookAnswer(False, "gate", "HTTP 403: not before Monday")
        assert len(hook.asked) == 2

    async def test_ask_ends_at_the_first_hook_that_decides_nothing(self, hook: Hook, caller: WebhookCaller) -> None:
        """A later approval does not make up for it."""
        hook.answers = [(502, "", {}), (200, "", {})]
        assert isinstance(await caller.ask(query(a_call(hook.url), a_call(hook.url))), Unavailable)
        assert len(hook.asked) == 1

    async def test_ask_passes_without_hooks(self, caller: WebhookCaller) -> None:
        """Nobody objects."""
        assert await caller.ask(query()) == PASSED


class TestDecisions:
    """What is a hook's own answer."""

    @pytest.mark.parametrize("status", [200, 201, 202, 203, 204, 206, 299])
    async def test_ask_passes_any_2xx(self, hook: Hook, caller: WebhookCaller, status: int) -> None:
        """No content is as good as content."""
        hook.says(status)
        assert await caller.ask(query(a_call(hook.url))) == PASSED

    @pytest.mark.parametrize("status", [400, 403, 404, 409, 422, 500, 501])
    async def test_ask_takes_other_statuses_as_no(self, hook: Hook, caller: WebhookCaller, status: int) -> None:
        """With what the hook said."""
        hook.says(status, "3 checks\n\tfailed\x1b\n")
        expected = HookAnswer(False, "gate", f"HTTP {status}: 3 checks failed")
        assert await caller.ask(query(a_call(hook.url))) == expected

    async def test_ask_takes_a_no_through_a_proxy_as_no(self, hook: Hook, caller: WebhookCaller) -> None:
        """Envoy puts its name on what it passes on, too."""
        hook.says(403, "closed", **ENVOY, X_Envoy_Upstream_Service_Time="0")
        assert await caller.ask(query(a_call(hook.url))) == HookAnswer(False, "gate", "HTTP 403: closed")

    async def test_ask_takes_words_of_a_proxy_under_another_status_as_no(
        self, hook: Hook, caller: WebhookCaller
    ) -> None:
        """A proxy says them with 403 only."""
        hook.says(409, "RBAC: access denied")
        assert await caller.ask(query(a_call(hook.url))) == HookAnswer(False, "gate", "HTTP 409: RBAC: access denied")

    async def test_ask_says_the_status_when_the_hook_says_nothing(self, hook: Hook, caller: WebhookCaller) -> None:
        """Without a colon."""
        hook.says(403)
        assert await caller.ask(query(a_call(hook.url))) == HookAnswer(False, "gate", "HTTP 403")

    async def test_ask_reads_the_beginning_of_a_long_body(self, caller: WebhookCaller) -> None:
        """A hook that never ends is a no all the same."""

        async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            writer.write(b"HTTP/1.1 403 No\r\n\r\n" + b"n\xff" * 5000)
            await reader.read()
            writer.close()

        async with talking(flood) as url:
            assert await caller.ask(query(a_call(url))) == HookAnswer(False, "gate", "HTTP 403: " + "n�" * 100)


class TestRetries:
    """When a hook is asked again."""

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    async def test_ask_asks_again_what_may_pass(self, hook: Hook, caller: WebhookCaller, status: int) -> None:
        """As often as the call says, and no oftener."""
        hook.answers = [(status, "", {}), (status, "", {}), (200, "", {})]
        assert await caller.ask(query(a_call(hook.url, retries=1))) != PASSED
        assert len(hook.asked) == 2
        hook.answers = [(status, "", {}), (status, "", {}), (200, "", {})]
        assert await caller.ask(query(a_call(hook.url, retries=2))) == PASSED

    @pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 407, 501])
    async def test_ask_asks_once_what_stays(self, hook: Hook, caller: WebhookCaller, status: int) -> None:
        """A clear answer is not doubted."""
        hook.says(status)
        await caller.ask(query(a_call(hook.url, retries=3)))
        assert len(hook.asked) == 1

    async def test_ask_asks_again_after_a_cut_connection(self, caller: WebhookCaller) -> None:
        """And after a time-out."""
        faults = ["reset", "hang"]

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            fault = faults.pop(0) if faults else ""
            if fault == "reset":
                reset(writer)
                return
            if not fault:
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            await reader.read()
            writer.close()

        async with talking(talk) as url:
            assert await caller.ask(query(a_call(url, retries=2, seconds=2))) == PASSED
        assert faults == []

    def test_waits_double_up_to_half_a_minute(self) -> None:
        """Flagger's pauses."""

        @dataclass
        class State:
            attempt_number: int

        assert [WAIT(State(number)) for number in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]  # type: ignore[arg-type]


class TestNobodyDecided:
    """What never counts as an answer of the hook, and what is said of it."""

    @pytest.mark.parametrize("status", [401, 407, 429, 502, 503, 504])
    async def test_ask_takes_statuses_of_gatekeepers_as_nothing(
        self, hook: Hook, caller: WebhookCaller, status: int
    ) -> None:
        """Nobody was let in, or nobody was there."""
        hook.says(status, "log in\nfirst")
        said = f"decided nothing: it answered HTTP {status}: log in first"
        assert await reason(caller, a_call(hook.url, retries=1)) == said

    @pytest.mark.parametrize("body", ["RBAC: access denied", "denied by ext_authz for not found header"])
    async def test_ask_tells_denials_that_were_passed_on(self, hook: Hook, caller: WebhookCaller, body: str) -> None:
        """By our own proxy, which notes how long the hook's proxy took, or from an authorizer that speaks HTTP."""
        hook.says(403, body, **ENVOY, X_Envoy_Upstream_Service_Time="2")
        assert await reason(caller, a_call(hook.url)) == (
            "was not asked: the mesh's proxy refused the call; an AuthorizationPolicy must admit the controller"
            f" (HTTP 403: {body})"
        )

    @pytest.mark.parametrize("server", ["envoy", "istio-envoy"])
    async def test_ask_tells_a_denial_by_the_proxy(self, hook: Hook, caller: WebhookCaller, server: str) -> None:
        """Envoy's own answers lack the time that the hook took, whatever they say."""
        hook.says(403, "not you", Server=server)
        assert await reason(caller, a_call(hook.url)) == (
            "was not asked: the mesh's proxy refused the call; an AuthorizationPolicy must admit the controller"
            " (HTTP 403: not you)"
        )

    @pytest.mark.parametrize("status", [400, 401, 429])
    async def test_ask_tells_other_refusals_of_the_proxy(self, hook: Hook, caller: WebhookCaller, status: int) -> None:
        """Such as a missing token."""
        hook.says(status, "Jwt is missing", **ENVOY)
        said = f"was not asked: the mesh's proxy refused the call (HTTP {status}: Jwt is missing)"
        assert await reason(caller, a_call(hook.url)) == said

    @pytest.mark.parametrize("recorded", [HEADERS_KEPT, AUTHORIZER_GONE])
    async def test_ask_tells_denials_as_envoy_gave_them(
        self, hook: Hook, caller: WebhookCaller, recorded: Recorded
    ) -> None:
        """By an HTTP authorizer whose headers are not all passed on, and in place of one that is gone."""
        status, headers, body = recorded
        hook.answers = [(status, body, headers)]
        assert (await reason(caller, a_call(hook.url))).startswith("was not asked: the mesh's proxy refused the call")

    @pytest.mark.parametrize("recorded", [OF_THE_APPLICATION, HEADERS_PASSED, THROUGH_OUR_SIDECAR])
    async def test_ask_cannot_tell_a_denial_that_looks_like_an_answer(
        self, hook: Hook, caller: WebhookCaller, recorded: Recorded
    ) -> None:
        """With all headers of the authorizer passed on, or past a sidecar of ours, it is the application's no."""
        status, headers, body = recorded
        hook.answers = [(status, body, headers)]
        assert await caller.ask(query(a_call(hook.url))) == HookAnswer(False, "gate", f"HTTP {status}: {body.strip()}")

    @pytest.mark.parametrize(("status", "body"), [(404, ""), (500, "x"), (503, "no healthy upstream")])
    async def test_ask_tells_when_the_proxy_cannot_reach_the_hook(
        self, hook: Hook, caller: WebhookCaller, status: int, body: str
    ) -> None:
        """No route, or nobody behind it."""
        hook.says(status, body, **ENVOY)
        said = f"HTTP {status}: {body}" if body else f"HTTP {status}"
        assert await reason(caller, a_call(hook.url)) == f"was not asked: the mesh's proxy could not reach it ({said})"

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize(
        ("location", "shown"),
        [
            ("https://u:p@login.example/in?back=secret", "https://login.example/in"),
            ("http://127.0.0.1:1/check", "http://127.0.0.1:1/check"),
            ("/login?back=/check", "HOST/login"),
            ("mailto:admin@example.com", "mailto:admin@example.com"),
        ],
    )
    async def test_ask_does_not_follow_a_redirect_to_another_place(
        self, hook: Hook, caller: WebhookCaller, status: int, location: str, shown: str
    ) -> None:
        """A page to log in at, on the same host or elsewhere, is glad to answer 200."""
        hook.answers = [(status, "", {"Location": location}), (200, "", {})]
        shown = shown.replace("HOST", hook.url.removesuffix("/check"))
        said = f"redirects to {shown}; name the address that answers itself"
        assert await reason(caller, a_call(hook.url)) == said
        assert len(hook.asked) == 1

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("origin", ["", "HOST"])
    async def test_ask_follows_a_redirect_to_the_same_place(
        self, hook: Hook, caller: WebhookCaller, status: int, origin: str
    ) -> None:
        """Frameworks add and take slashes; the call stays the same."""
        origin = origin.replace("HOST", hook.url.removesuffix("/check"))
        hook.answers = [(status, "", {"Location": f"{origin}/check/?x=1"}), (204, "", {})]
        url = hook.url.replace("http://", "http://user:secret@")
        assert await caller.ask(query(a_call(url))) == PASSED
        (first, body), (second, again) = hook.asked
        assert (second.method, second.path_qs, again) == ("POST", "/check/?x=1", body)
        assert second.headers["Authorization"] == first.headers["Authorization"]
        assert second.headers["X-Request-Id"] == first.headers["X-Request-Id"]

    async def test_ask_does_not_go_in_circles(self, hook: Hook, caller: WebhookCaller) -> None:
        """Five times is enough."""
        hook.says(307, Location="/check/")
        said = "redirects to itself more than 5 times; name the address that answers itself"
        assert await reason(caller, a_call(hook.url)) == said
        assert hook.paths == ["/check", *["/check/"] * 5]

    @pytest.mark.parametrize("headers", [{}, {"Location": "http://[::1"}])
    async def test_ask_takes_a_redirect_to_nowhere_as_nothing(
        self, hook: Hook, caller: WebhookCaller, headers: dict[str, str]
    ) -> None:
        """Whether the target lacks or cannot be read."""
        hook.says(304, **headers)
        assert await reason(caller, a_call(hook.url)) == "decided nothing: it answered HTTP 304"

    async def test_ask_tells_a_time_out(self, caller: WebhookCaller) -> None:
        """Silence, and an answer that does not end in time."""

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nhalf")
            await hang(reader, writer)

        for talk in (hang, stall):
            async with talking(talk) as url:
                said = "timed out: no whole answer within 0.3 s"
                assert await reason(caller, a_call(url, seconds=0.3)) == said
