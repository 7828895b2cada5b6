"""Hooks over HTTP that cannot be reached, and many at once."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tenacity import wait_none

from canary.adapters.webhooks import WebhookCaller
from canary.core.measurement import Unavailable
from tests.adapters.certificates import Authority
from tests.adapters.hooks import PASSED, Hook, a_call, query, reason, request_of, reset, serving, talking

MTLS = " (mTLS? a STRICT PeerAuthentication admits only callers that have a sidecar)"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority nobody trusts."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority").create()


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


class TestFaults:
    """Connections that fail."""

    async def test_ask_tells_a_refused_connection(self, caller: WebhookCaller) -> None:
        """In the words of the operating system."""
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{bound.getsockname()[1]}/check"
            assert await reason(caller, a_call(url)) == "cannot be reached: Connection refused"

    async def test_ask_tells_an_unknown_name(self) -> None:
        """In the words of the name server."""

        def unknown(*_: object) -> Sequence[Any]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        caller = WebhookCaller("test", lookup=unknown)
        assert await reason(caller, a_call("http://gate.shop/")) == "cannot be reached: Name or service not known"
        await caller.close()

    async def test_ask_tells_a_reset(self, caller: WebhookCaller) -> None:
        """And what it may mean in a mesh."""

        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            reset(writer)

        async with talking(cut) as url:
            assert await reason(caller, a_call(url)) == "broke the connection: Connection reset by peer" + MTLS

    async def test_ask_does_not_speak_of_mtls_where_tls_is_spoken(self, caller: WebhookCaller) -> None:
        """A hook that is asked by https is not hidden behind a PeerAuthentication."""

        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            reset(writer)

        async with talking(cut) as url:
            said = await reason(caller, a_call(url.replace("http:", "https:")))
            assert said == "broke the connection: Connection reset by peer"

    async def test_ask_uses_no_connection_twice(self, caller: WebhookCaller) -> None:
        """A hook that cuts idle connections is not unavailable for that."""

        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            if await reader.read(1):
                reset(writer)
            writer.close()

        async with talking(once) as url:
            assert await caller.ask(query(a_call(url), a_call(url))) == PASSED

    async def test_ask_tells_a_connection_that_is_closed(self, caller: WebhookCaller) -> None:
        """Before an answer, and within one."""

        async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            writer.close()

        async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 403 No\r\nContent-Length: 9\r\n\r\nhalf")
            await close(reader, writer)

        async with talking(close) as url:
            assert await reason(caller, a_call(url)) == "broke the connection: closed without an answer" + MTLS
        async with talking(break_off) as url:
            assert await reason(caller, a_call(url)) == "broke off its answer"

    async def test_ask_tells_another_protocol(self, caller: WebhookCaller) -> None:
        """Where http speaks to what is none, and https to what has no TLS."""

        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await reader.read()
            writer.close()

        async with talking(greet) as url:
            assert await reason(caller, a_call(url)) == "gave an answer that is not HTTP"
            said = await reason(caller, a_call(url.replace("http:", "https:")))
            assert said == "cannot be reached: TLS failed: wrong version number"

    async def test_ask_trusts_no_unknown_certificate(self, caller: WebhookCaller, authority: Authority) -> None:
        """Unless the call says so, and then for this call only."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*authority.issue("server"))
        async with serving(Hook(), context) as hook:
            call = a_call(hook.url)
            said = await reason(caller, call)
            assert said == "cannot be trusted: TLS failed: unable to get local issuer certificate"
            assert await caller.ask(query(replace(call, verify=False))) == PASSED
            assert isinstance(await caller.ask(query(call)), Unavailable)
            assert len(hook.asked) == 1

    async def test_ask_does_not_wait_for_a_certificate(self, authority: Authority) -> None:
        """None becomes valid within seconds."""

        def never(_: object) -> float:
            raise AssertionError("no other attempt is expected")

        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*authority.issue("server"))
        caller = WebhookCaller("test", wait=never)
        async with serving(Hook(), context) as hook:
            assert "TLS failed" in await reason(caller, a_call(hook.url, retries=3))
        await caller.close()

    @pytest.mark.parametrize(
        ("url", "shown"),
        [
            ("", "''"),
            ("gate.shop/check?token=secret", "'gate.shop/check'"),
            ("ftp://user:secret@gate.shop/", "'gate.shop/'"),
            ("http://", "'http://'"),
            ("http://[::1", "'http://[::1'"),
            ("http://gate:99999/", "'http://gate:99999/'"),
            ("http://a..b/", "'http://a..b/'"),
        ],
    )
    async def test_ask_tells_a_url_that_is_none(self, caller: WebhookCaller, url: str, shown: str) -> None:
        """Without what may be a secret in it."""
        said = f"hook gate has the url {shown}; name one such as http://gate.example/check"
        assert await caller.ask(query(a_call(url, retries=1))) == Unavailable(said)


class TestManyCalls:
    """Calls beside one another."""

    async def test_ask_is_not_delayed_by_hooks_that_hang(self, hook: Hook) -> None:
        """More of them than a pool of connections usually has room for."""
        hanging, over = asyncio.Semaphore(0), asyncio.Event()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            hanging.release()
            await over.wait()
            writer.close()

        def lookup(host: str, port: int, *_: object) -> Sequence[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        caller = WebhookCaller("test", lookup=lookup)
        async with talking(hang) as url, asyncio.timeout(30):
            urls = [url.replace("127.0.0.1", f"hook-{number}.example") for number in range(120)]
            tasks = [asyncio.create_task(caller.ask(query(a_call(one, seconds=60)))) for one in urls]
            for _ in urls:
                await hanging.acquire()
            assert await caller.ask(query(a_call(hook.url))) == PASSED
            assert not any(task.done() for task in tasks)
            over.set()
            assert all(isinstance(answer, Unavailable) for answer in await asyncio.gather(*tasks))
        await caller.close()

    async def test_ask_is_not_delayed_by_name_servers_that_hang(self, hook: Hook) -> None:
        """Fifty look-ups that hang leave room for one more."""
        hanging, over = threading.Semaphore(0), threading.Event()

        def lookup(host: str, port: int, *_: object) -> Sequence[Any]:
            if host.startswith("silent"):
                hanging.release()
                over.wait(30)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

        caller = WebhookCaller("test", lookup=lookup)
        urls = [hook.url.replace("127.0.0.1", f"silent-{number}.example") for number in range(50)]
        async with asyncio.timeout(30):
            tasks = [asyncio.create_task(caller.ask(query(a_call(one, seconds=60)))) for one in urls]
            await asyncio.to_thread(lambda: [hanging.acquire(timeout=20) for _ in urls])
            assert await caller.ask(query(a_call(hook.url.replace("127.0.0.1", "gate.example")))) == PASSED
            assert not any(task.done() for task in tasks)
            over.set()
            assert await asyncio.gather(*tasks) == [PASSED] * 50
        await caller.close()

    async def test_ask_is_cancelled_at_once(self) -> None:
        """While it waits for an answer, and while it pauses before the next attempt."""
        asked, pausing = asyncio.Event(), asyncio.Event()

        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.set()
            await reader.read()
            writer.close()

        async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            reset(writer)

        def wait(_: object) -> float:
            pausing.set()
            return 60

        caller = WebhookCaller("test", wait=wait)
        for talk, begun in ((hang, asked), (cut, pausing)):
            async with talking(talk) as url, asyncio.timeout(20):
                task = asyncio.create_task(caller.ask(query(a_call(url, retries=5, seconds=60))))
                await begun.wait()
                task.cancel()
                await asyncio.wait({task}, timeout=10)
                assert task.cancelled()
        await caller.close()
