"""Flagger's gates: the paths of its load tester, so that manifests and scripts need another host alone."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.requests import Request
from fastapi.responses import PlainTextResponse

from canary.api.open_gates import NAME
from canary.core.access import Caller
from canary.core.own_gates import GATE, ROLLBACK, is_open
from canary.web import problems
from canary.web.bodies import Asked, described, read
from canary.web.canaries import Canaries
from canary.web.guard import Guard

_NO: dict[int | str, dict[str, Any]] = {403: {"description": "No", "content": {"text/plain": {}}}}
_CHECKED = _NO | problems.described(408, 413, 422, 503)
_TURNED = problems.described(*problems.OF_CALLERS)
_Gate = Annotated[str, Path(pattern=f"^{NAME}$", description="A gate of a name of its own.")]


def gates(canaries: Canaries, guard: Guard) -> APIRouter:
    """Return the routes; who only checks is not asked who they are."""
    router = APIRouter(default_response_class=PlainTextResponse)

    @router.post("/gate/approve")
    async def approve() -> PlainTextResponse:
        """Say yes, always."""
        return _answer(True)

    @router.post("/gate/halt", responses=_NO)
    async def halt() -> PlainTextResponse:
        """Say no, always."""
        return _answer(False)

    @router.post("/gate/check", openapi_extra=described(Asked), responses=_CHECKED)
    async def check_gate(request: Request) -> PlainTextResponse:
        """Tell whether the gate of a Canary is open: 200 or 403."""
        return await _checked(canaries, request, GATE)

    @router.post("/gate/check/{gate}", openapi_extra=described(Asked), responses=_CHECKED)
    async def check_named_gate(request: Request, gate: _Gate) -> PlainTextResponse:
        """Tell whether a gate of a name of its own is open: 200 or 403."""
        return await _checked(canaries, request, gate)

    @router.post("/rollback/check", openapi_extra=described(Asked), responses=_CHECKED)
    async def check_rollback(request: Request) -> PlainTextResponse:
        """Tell whether a Canary is to be rolled back: 200 or 403."""
        return await _checked(canaries, request, ROLLBACK)

    _add_turning(router, canaries, Depends(guard.caller))
    return router


def _add_turning(router: APIRouter, canaries: Canaries, known: Any) -> None:
    async def turn(request: Request, caller: Caller, gate: str, opens: str) -> PlainTextResponse:
        asked = await read(request, Asked)
        key = await canaries.admit(caller, "create", asked.namespace, asked.name, "gate")
        if opens == "open":
            await canaries.open(caller, key, gate, asked.revision)
        else:
            await canaries.close(caller, key, gate)
        return PlainTextResponse("Accepted\n", status_code=202)

    @router.post("/gate/open", openapi_extra=described(Asked), status_code=202, responses=_TURNED)
    async def open_gate(request: Request, caller: Caller = known) -> PlainTextResponse:
        """Open the gate of a Canary until it is closed, or for one revision."""
        return await turn(request, caller, GATE, "open")

    @router.post("/gate/close", openapi_extra=described(Asked), status_code=202, responses=_TURNED)
    async def close_gate(request: Request, caller: Caller = known) -> PlainTextResponse:
        """Close the gate of a Canary."""
        return await turn(request, caller, GATE, "close")

    @router.post("/rollback/open", openapi_extra=described(Asked), status_code=202, responses=_TURNED)
    async def open_rollback(request: Request, caller: Caller = known) -> PlainTextResponse:
        """Have the present and every later run rolled back, until it is closed; or one revision."""
        return await turn(request, caller, ROLLBACK, "open")

    @router.post("/rollback/close", openapi_extra=described(Asked), status_code=202, responses=_TURNED)
    async def close_rollback(request: Request, caller: Caller = known) -> PlainTextResponse:
        """Roll nothing back any more."""
        return await turn(request, caller, ROLLBACK, "close")


async def _checked(canaries: Canaries, request: Request, gate: str) -> PlainTextResponse:
    """Answer from the caches; a Canary that is not there has no open gate, and one of two is not guessed."""
    asked = await read(request, Asked)
    canaries.require_caches()
    found = canaries.named(asked.namespace, asked.name)
    return _answer(len(found) == 1 and is_open(canaries.read(found[0]), gate, asked.revision))


def _answer(yes: bool) -> PlainTextResponse:
    """Answer in the words of Flagger's load tester, which tell nothing else."""
    return PlainTextResponse("Approved\n" if yes else "Forbidden\n", status_code=200 if yes else 403)
