"""The HTTP API: read Canaries, watch one, open and close its gates, send it commands."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from fastapi.requests import Request
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from canary.api.command import Verb
from canary.api.open_gates import NAME
from canary.core.access import Caller
from canary.core.objects import CanaryKey
from canary.core.own_gates import hooks_by_gate
from canary.web import problems
from canary.web.bodies import CommandBody, GateBody, described, read
from canary.web.canaries import Canaries
from canary.web.guard import Guard
from canary.web.problems import Problem
from canary.web.shown import Shown, Summary, summary

ALIVE = 15.0
"""Seconds after which a watch says that it is still there."""
WATCHED = 300.0
"""Seconds after which a watch ends, so that the caller's rights are looked at again."""
WATCHES = 8
"""How many watches one caller may have open."""

BEARER = HTTPBearer(auto_error=False)
"""Tells OpenAPI of the token; the guard looks at it."""
Show = Callable[[CanaryKey], Shown | None]
_Gate = Annotated[str, Path(pattern=f"^{NAME}$", description="`gate`, `rollback`, or a name that a webhook asks for.")]


class Answered(BaseModel):
    """A command that was taken, with the controller's answer."""

    id: str
    verb: str
    by: str
    result: str | None


def api(canaries: Canaries, guard: Guard, show: Show) -> APIRouter:
    """Return the routes of the API."""
    router = APIRouter(prefix="/v1", responses=problems.described(*problems.OF_CALLERS), dependencies=[Depends(BEARER)])
    one = "/namespaces/{namespace}/canaries/{name}"
    known = Depends(guard.caller)
    _add_reading(router, one, canaries, show, known)
    _add_gates(router, one, canaries, show, known)

    @router.post(one + "/{verb}", openapi_extra=described(CommandBody), status_code=200)
    async def command(request: Request, namespace: str, name: str, verb: Verb, caller: Caller = known) -> Any:
        """Send a command and wait some seconds for its answer: 200 done, 409 refused, 202 not answered yet."""
        key = await canaries.admit(caller, "create", namespace, name, "command")
        body = await read(request, CommandBody)
        sent, result = await canaries.command(caller, key, verb, body.revision, body.gate)
        if result is not None and not result.startswith("Obeyed"):
            raise Problem(409, result)
        answered = Answered(id=sent.id, verb=verb, by=sent.by, result=result)
        return JSONResponse(answered.model_dump(), status_code=200 if result is not None else 202)

    return router


def _add_reading(router: APIRouter, one: str, canaries: Canaries, show: Show, known: Any) -> None:
    watches: Counter[str] = Counter()

    @router.get("/canaries")
    async def canaries_list(
        namespace: Annotated[str, Query(description="Of this namespace alone.")] = "", caller: Caller = known
    ) -> list[Summary]:
        """List the Canaries of a namespace, or of all."""
        return [summary(obj) for obj in await canaries.listed(caller, namespace)]

    @router.get(one)
    async def canary(namespace: str, name: str, caller: Caller = known) -> Shown:
        """Show one Canary."""
        key = await canaries.admit(caller, "get", namespace, name)
        found = show(key)
        if found is None:
            raise Problem(404, f"there is no Canary {namespace}/{name} any more")
        return found

    @router.get(one + "/watch", response_class=StreamingResponse)
    async def watch(namespace: str, name: str, caller: Caller = known) -> StreamingResponse:
        """Show one Canary again each time it changes, as server-sent events; ends after five minutes."""
        key = await canaries.admit(caller, "get", namespace, name)
        if watches[caller.name] >= WATCHES:
            raise Problem(429, f"{caller.name} has {WATCHES} watches open; end one of them", ALIVE)

        async def counted() -> AsyncIterator[str]:
            watches.update([caller.name])
            try:
                async for text in _told(canaries, key, show):
                    yield text
            finally:
                watches.subtract([caller.name])
                if not watches[caller.name]:
                    del watches[caller.name]

        return StreamingResponse(counted(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def _add_gates(router: APIRouter, one: str, canaries: Canaries, show: Show, known: Any) -> None:
    async def turn(
        request: Request, namespace: str, name: str, gate: str, caller: Caller, to: Literal["open", "close"]
    ) -> Shown:
        key = await canaries.admit(caller, "create", namespace, name, "gate")
        body = await read(request, GateBody)
        asked = hooks_by_gate(canaries.read(key))
        if gate not in asked:
            names = ", ".join(sorted(asked))
            raise Problem(404, f"no webhook of Canary {namespace}/{name} asks for gate {gate}; there are {names}")
        if to == "open":
            await canaries.open(caller, key, gate, body.revision)
        else:
            await canaries.close(caller, key, gate)
        found = show(key)
        if found is None:
            raise Problem(404, f"there is no Canary {namespace}/{name} any more")
        return found

    @router.post(one + "/gates/{gate}:open", openapi_extra=described(GateBody))
    async def open_gate(request: Request, namespace: str, name: str, gate: _Gate, caller: Caller = known) -> Shown:
        """Open a gate, for one revision or for all; its webhook hears of it when it asks next."""
        return await turn(request, namespace, name, gate, caller, "open")

    @router.post(one + "/gates/{gate}:close")
    async def close_gate(request: Request, namespace: str, name: str, gate: _Gate, caller: Caller = known) -> Shown:
        """Close a gate."""
        return await turn(request, namespace, name, gate, caller, "close")


async def _told(canaries: Canaries, key: CanaryKey, show: Show) -> AsyncIterator[str]:
    """Yield a Canary whenever it changes, a comment when nothing does, and an end when it is gone."""
    loop = asyncio.get_running_loop()
    until, last = loop.time() + WATCHED, ""
    with canaries.changes.of(key.ref) as changed:
        while loop.time() < until:
            changed.clear()
            found = show(key)
            if found is None:
                yield "event: deleted\ndata: {}\n\n"
                return
            text = found.model_dump_json()
            yield f"event: canary\ndata: {text}\n\n" if text != last else ": still here\n\n"
            last = text
            try:
                async with asyncio.timeout(min(ALIVE, until - loop.time())):
                    await changed.wait()
            except TimeoutError:
                continue
