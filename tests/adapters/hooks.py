"""Hooks on loopback, well and unwell, and questions to them."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp import web

from canary.adapters.webhooks import WebhookCaller
from canary.core.measurement import HookAnswer, HookCall, HookQuery, Unavailable

PAYLOAD = {"name": "catalog", "namespace": "shop", "phase": "Progressing", "metadata": {"cmd": "true"}}
PASSED = HookAnswer(passed=True)
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Hook:
    """Give prepared answers, the last one for ever, and keep what was asked."""

    url: str = ""
    answers: list[tuple[int, str, dict[str, str]]] = field(default_factory=lambda: [(200, "", {})])
    asked: list[tuple[web.Request, bytes]] = field(default_factory=list)

    def says(self, status: int, body: str = "", **headers: str) -> None:
        """Answer everything with this; underscores in names of headers are hyphens."""
        self.answers = [(status, body, {name.replace("_", "-"): value for name, value in headers.items()})]

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.asked.append((request, await request.read()))
        status, body, headers = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return web.Response(status=status, text=body, headers=headers)

    @property
    def paths(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [request.path for request, _ in self.asked]


@asynccontextmanager
async def serving(hook: Hook, context: ssl.SSLContext | None = None) -> AsyncIterator[Hook]:
    """Serve a hook on loopback."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", hook.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    hook.url = f"http{'s' if context else ''}://127.0.0.1:{runner.addresses[0][1]}/check"
    try:
        yield hook
    finally:
        await runner.cleanup()


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[str]:
    """Serve connections by a script; give the URL."""
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/check"
    finally:
        server.close()
        await server.wait_closed()


def a_call(url: str, name: str = "gate", retries: int = 0, seconds: float = 20.0) -> HookCall:
    """Return one call."""
    return HookCall(name, url, PAYLOAD, timedelta(seconds=seconds), retries)


def query(*calls: HookCall) -> HookQuery:
    """Return a question to hooks."""
    return HookQuery("rollout", calls)


async def reason(caller: WebhookCaller, call: HookCall) -> str:
    """Return why one hook decided nothing, without its name and URL."""
    answer = await caller.ask(query(call))
    assert isinstance(answer, Unavailable)
    begin = f"hook {call.name} at {call.url} "
    assert answer.reason.startswith(begin)
    return answer.reason.removeprefix(begin)


def reset(writer: asyncio.StreamWriter) -> None:
    """Cut a connection with RST."""
    plug: socket.socket = writer.get_extra_info("socket")
    plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def request_of(reader: asyncio.StreamReader) -> None:
    """Read a request to its end."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(int(length.split(b":")[1]))
