"""Stand between controller and API server and inject faults; runs as a process, controlled over HTTP.

Control: POST /_faults adds one fault, GET lists them with their hits, DELETE removes all,
POST /_cut breaks every open watch.
"""

import asyncio
import json
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web
from yarl import URL

from e2e.testbed import addresses, credentials
from e2e.testbed.faults import Action, Fault, Request, parse_request

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length"})
# Longer than any client's own time-out.
HANG_SECONDS = 3600.0


@dataclass
class State:
    """The faults to come and the watches that are open."""

    upstream: aiohttp.ClientSession
    context: ssl.SSLContext
    faults: list[Fault] = field(default_factory=list)
    watches: dict[int, web.Request] = field(default_factory=dict)

    def next_fault(self, request: Request) -> Fault | None:
        """Return the first fault that hits the request and count it."""
        for fault in self.faults:
            if fault.matches(request):
                fault.hits += 1
                return fault
        return None


def application(state: State) -> web.Application:
    """Build the proxy with its control endpoints."""

    async def add_fault(request: web.Request) -> web.Response:
        state.faults.append(Fault.from_wire(await request.json()))
        return web.json_response({})

    async def list_faults(request: web.Request) -> web.Response:
        return web.json_response([fault.to_wire() for fault in state.faults])

    async def remove_faults(request: web.Request) -> web.Response:
        state.faults.clear()
        return web.json_response({})

    async def cut_watches(request: web.Request) -> web.Response:
        watches = list(state.watches.values())
        for watch in watches:
            _cut(watch)
        return web.json_response({"cut": len(watches)})

    async def forward(request: web.Request) -> web.StreamResponse:
        return await _handle(state, request)

    app = web.Application(client_max_size=2**24)
    app.router.add_post("/_faults", add_fault)
    app.router.add_get("/_faults", list_faults)
    app.router.add_delete("/_faults", remove_faults)
    app.router.add_post("/_cut", cut_watches)
    app.router.add_route("*", "/{path:.*}", forward)
    return app


async def _handle(state: State, request: web.Request) -> web.StreamResponse:
    asked = parse_request(request.method, request.path, request.query)
    fault = state.next_fault(asked)
    match fault.action if fault else None:
        case Action.STATUS if fault:
            return _refusal(fault)
        case Action.CUT:
            _cut(request)
            return web.Response()
        case Action.DELAY if fault:
            await asyncio.sleep(fault.delay.total_seconds())
        case _:
            pass
    return await _forward(state, request, asked, fault)


async def _forward(state: State, request: web.Request, asked: Request, fault: Fault | None) -> web.StreamResponse:
    # Go clients send no token over plain HTTP: without one the caller is the controller.
    headers = {"Authorization": f"Bearer {credentials.token(credentials.CONTROLLER)}"}
    headers |= _passed_on(request.headers)
    body = await request.read()
    url = URL(addresses.API_SERVER_URL + request.raw_path, encoded=True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    try:
        async with state.upstream.request(
            request.method, url, headers=headers, data=body or None, ssl=state.context, timeout=timeout
        ) as answer:
            if asked.verb == "watch":
                return await _stream(state, request, answer, fault)
            content = await answer.read()
            if fault and fault.action in (Action.HANG_AFTER, Action.CUT_AFTER):
                return await _lose_answer(request, fault)
            return web.Response(status=answer.status, body=content, headers=_passed_on(answer.headers))
    except aiohttp.ClientError as error:
        return web.json_response({"message": f"API server: {error}"}, status=502)


async def _stream(
    state: State, request: web.Request, answer: aiohttp.ClientResponse, fault: Fault | None
) -> web.StreamResponse:
    """Pass a watch on; a fault may make it silent while it stays open, or let its events come late."""
    response = web.StreamResponse(status=answer.status, headers=_passed_on(answer.headers))
    await response.prepare(request)
    state.watches[id(request)] = request
    try:
        async for chunk in answer.content.iter_any():
            if fault and fault.action is Action.SILENCE:
                await asyncio.sleep(HANG_SECONDS)
            if fault and fault.action is Action.DELAY_EVENTS:
                await asyncio.sleep(fault.delay.total_seconds())
            await response.write(chunk)
        await response.write_eof()
    except (ConnectionError, aiohttp.ClientError):
        _cut(request)
    finally:
        state.watches.pop(id(request), None)
    return response


async def _lose_answer(request: web.Request, fault: Fault) -> web.Response:
    """Let the write have happened and the client never hear of it."""
    if fault.action is Action.HANG_AFTER:
        await asyncio.sleep(fault.delay.total_seconds() or HANG_SECONDS)
    _cut(request)
    return web.Response()


def _refusal(fault: Fault) -> web.Response:
    reasons = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": "injected by the testbed",
        "reason": reasons.get(fault.status, "Unknown"),
        "code": fault.status,
    }
    headers = {"Retry-After": "1"} if fault.status == 429 else {}
    return web.json_response(status, status=fault.status, headers=headers)


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


async def main(authority: Path) -> None:
    """Serve until the process is ended."""
    context = ssl.create_default_context(cafile=str(authority))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as upstream:
        app = application(State(upstream, context))
        # A client that goes away ends its watch upstream too.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, addresses.LOOPBACK, addresses.API_PROXY_PORT).start()
        print(json.dumps({"serving": addresses.API_PROXY_URL}), flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
