"""Credentials of hooks: what is sent from which Secret, what is told when it lacks, and what nobody may see."""

from __future__ import annotations

import base64
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tenacity import wait_none

from canary.adapters.webhooks import WebhookCaller
from canary.core.hosts import Hosts
from canary.core.measurement import HookAnswer, HookCall, Unavailable
from canary.core.objects import SECRET, Object, Ref
from canary.ports import Refused
from tests.adapters.certificates import Authority
from tests.adapters.hooks import PASSED, Hook, a_call, query, reason, serving

PAGE = Path(__file__).parents[2] / "docs/webhooks.md"
NOW = 1_900_000_000.7
KEY = b"hunter2-key"


class World:
    """One hook, the Secrets beside it, and a clock that moves with every look at it."""

    def __init__(self, hook: Hook) -> None:
        self.hook = hook
        self.secrets: dict[str, dict[str, bytes]] = {}
        self.read: list[Ref] = []
        self.refused = False
        self.now = NOW
        self.caller = WebhookCaller("test", read=self.find, wait=wait_none(), now=self.tick)

    async def find(self, ref: Ref) -> Object | None:
        """Read a Secret as a cluster does."""
        self.read.append(ref)
        if self.refused:
            raise Refused('secrets "access" is forbidden')
        data = self.secrets.get(ref.name)
        return data and {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}

    def tick(self) -> float:
        """Return the time, a minute later at each look."""
        self.now += 60
        return self.now - 60

    def call(self, secret: str = "access", **fields: Any) -> HookCall:
        """Return a call with the credentials of a Secret."""
        return replace(a_call(self.hook.url), namespace="shop", secret=secret, **fields)

    async def ask(self, call: HookCall | None = None) -> HookAnswer | Unavailable:
        """Ask the hook."""
        return await self.caller.ask(query(call or self.call()))

    @property
    def last(self) -> web.Request:
        """Return the last request."""
        return self.hook.asked[-1][0]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Serve a hook that passes."""
    async with serving(Hook()) as hook:
        found = World(hook)
        yield found
        await found.caller.close()


def check_of_the_page() -> Any:
    """Return the function by which docs/webhooks.md checks signatures."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(source, found)
    return found["is_signed"]


class TestSent:
    """What a hook gets."""

    @pytest.mark.parametrize(
        ("secret", "expected"),
        [
            ({"token": b"hunter2\n"}, "Bearer hunter2"),
            ({"username": b"me", "password": b"hunter2"}, "Basic bWU6aHVudGVyMg=="),
        ],
    )
    async def test_credentials_are_sent(self, world: World, secret: dict[str, bytes], expected: str) -> None:
        """From the Secret of the Canary's namespace, read for each call, before those of the URL."""
        world.secrets = {"access": secret}
        url = world.hook.url.replace("http://", "http://user:pass@")
        for _ in range(2):
            assert await world.ask(replace(world.call(), url=url)) == PASSED
            assert world.last.headers["Authorization"] == expected
        assert world.read == [Ref(SECRET, "shop", "access")] * 2

    async def test_headers_are_sent_and_ours_win(self, world: World) -> None:
        """A name given twice is sent twice; no Secret is read where none is named."""
        headers = (("X-Team", "a"), ("X-Team", "b"), ("User-Agent", "mine"), ("Content-Type", "text/plain"))
        assert await world.ask(replace(world.call(secret=""), headers=headers)) == PASSED
        assert world.last.headers.getall("X-Team") == ["a", "b"]
        assert world.last.headers["User-Agent"] == "mine"
        assert world.last.headers.getall("Content-Type") == ["application/json"]
        assert world.read == []

    async def test_each_attempt_is_signed_anew(self, world: World) -> None:
        """Over the time and the very bytes that were sent, as the page's own check finds."""
        is_signed = check_of_the_page()
        world.secrets = {"access": {"hmac": KEY + b"\n"}}
        world.hook.answers = [(503, "", {}), (200, "", {})]
        assert await world.ask(replace(world.call(), retries=1)) == PASSED
        for number, (request, body) in enumerate(world.hook.asked):
            now = NOW + 60 * number
            assert request.headers["X-Canary-Timestamp"] == str(int(now))
            assert is_signed(KEY, request.headers, body, now + 299)
            assert is_signed(KEY, request.headers, body, now - 299)
            assert not is_signed(KEY, request.headers, body, now + 302)
            assert not is_signed(KEY, request.headers, body + b" ", now)
            assert not is_signed(b"another", request.headers, body, now)
            assert not is_signed(KEY, {**request.headers, "X-Canary-Timestamp": str(int(now) + 1)}, body, now)
            assert not is_signed(KEY, {}, body, now)
        assert len(world.hook.asked) == 2

    async def test_own_authority_and_client_certificate(self, tmp_path: Path) -> None:
        """A hook that wants a certificate of ours is asked with those of the Secret, and only with them."""
        authority = Authority(tmp_path, "authority").create()
        certificate, key = authority.issue("client")
        async with serving(Hook(), authority.server("server", authority)) as hook:
            world = World(hook)
            trusted = {"ca.crt": authority.certificate.read_bytes()}
            pair = {"tls.crt": certificate.read_bytes(), "tls.key": key.read_bytes()}
            world.secrets = {"whole": {**trusted, **pair}, "half": trusted, "untrusting": pair}
            assert await world.ask(world.call("whole")) == PASSED
            assert "wants a client certificate gets tls.crt" in await reason(world.caller, world.call("half"))
            assert "cannot be trusted: TLS failed" in await reason(world.caller, world.call("untrusting"))
            assert await world.ask(world.call("untrusting", verify=False)) == PASSED
            await world.caller.close()


class TestHosts:
    """Who is not asked at all."""

    async def test_host_that_is_not_allowed_is_not_asked(self, world: World) -> None:
        """Nor is a Secret read for it."""
        caller = WebhookCaller("test", read=world.find, hosts=Hosts(("*.tools",)))
        said = await reason(caller, world.call())
        assert said.startswith("is not asked: host 127.0.0.1 is not in the controller's hookHosts (*.tools)")
        assert (world.read, world.hook.asked) == ([], [])
        await caller.close()

    @pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"])
    async def test_name_of_an_address_of_the_node_is_not_asked(self, world: World, address: str) -> None:
        """Whatever name leads there."""

        def lookup(host: str, port: int, *_: object) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

        caller = WebhookCaller("test", lookup=lookup)
        said = await reason(caller, a_call("http://metadata.example/"))
        place = f"metadata.example is {address}, an address of the node's own network"
        assert said == f"cannot be reached: {place}, which is never asked"
        await caller.close()


class TestLacking:
    """What is no decision because of the Secret."""

    @pytest.mark.parametrize(
        ("secrets", "words"),
        [
            ({}, "Secret shop/access not found; create it"),
            ({"access": {"pass": b"hunter2"}}, "Secret access needs token, username with password, hmac, ca.crt, or"),
            ({"access": {"username": b"hunter2"}}, "Secret access needs token, username with password, hmac"),
            ({"access": {"token": b"hunter2\nX: y"}}, "token of its Secret is more than one line of text"),
            ({"access": {"hmac": b"\n"}}, "hmac of its Secret is empty; give the key of the signature"),
            ({"access": {"ca.crt": b"hunter2"}}, "the certificates of its Secret cannot be read"),
            ({"access": {"tls.crt": b"hunter2"}}, "the certificates of its Secret cannot be read"),
        ],
    )
    async def test_unusable_secret_decides_nothing(
        self, world: World, secrets: dict[str, dict[str, bytes]], words: str
    ) -> None:
        """What is missing or wrong is said by Secret and key, and nobody is asked without it."""
        world.secrets = secrets
        said = await reason(world.caller, world.call())
        assert said.startswith(f"cannot be asked: {words}")
        assert "hunter2" not in said
        assert world.hook.asked == []

    async def test_forbidden_secret_is_told(self, world: World) -> None:
        """Without the right to read it the cure is named."""
        world.refused = True
        words = 'Secret shop/access cannot be read (secrets "access" is forbidden); allow the controller to get it'
        assert await reason(world.caller, world.call()) == f"cannot be asked: {words}"

    @pytest.mark.parametrize("header", [("X-Team", "a\r\nX: b"), ("X Team", "a")])
    async def test_headers_that_http_cannot_carry_are_told(self, world: World, header: tuple[str, str]) -> None:
        """No request with another header than was meant."""
        call = replace(world.call(secret=""), headers=(header,))
        assert "hold what HTTP cannot carry" in await reason(world.caller, call)
        assert world.hook.asked == []
