"""Bodies of requests: JSON of a bounded size, whatever their Content-Type says, as Flagger's callers send them."""

from __future__ import annotations

import asyncio
from typing import Annotated, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from canary.web.problems import Problem

LONGEST = 65536
SECONDS = 10.0
"""How long a body may take to come."""
_Word = Annotated[str, Field(max_length=253)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class GateBody(_Body):
    """For what a gate is opened."""

    revision: _Word = Field("", description="The one revision to open it for; empty is all until it is closed.")


class CommandBody(_Body):
    """What a command is meant for."""

    revision: _Word = Field("", description="The revision it is meant for; with another one there, nothing happens.")
    gate: _Word = Field("", description="Name or type of the gate to approve or reject.")


class Asked(BaseModel):
    """What Flagger sends to a gate, and what its users send to open one; other fields are passed over."""

    name: _Word
    namespace: _Word
    revision: _Word = ""


Model = TypeVar("Model", bound=BaseModel)


async def read(request: Request, model: type[Model], within: float = SECONDS) -> Model:
    """Return the body of a request; an empty one says nothing."""
    try:
        async with asyncio.timeout(within):
            content = await _content(request)
    except TimeoutError:
        raise Problem(408, f"the body did not come within {within:g} s") from None
    try:
        return model.model_validate_json(content or b"{}")
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "body"
        raise Problem(422, f"{place}: {first['msg']}") from None


async def _content(request: Request) -> bytes:
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > LONGEST:
            raise Problem(413, f"the body is longer than {LONGEST} bytes")
    return bytes(content)


def described(model: type[BaseModel]) -> dict[str, object]:
    """Return what OpenAPI says of a body."""
    return {"requestBody": {"content": {"application/json": {"schema": model.model_json_schema()}}}}
