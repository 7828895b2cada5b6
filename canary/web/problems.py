"""What is answered when a request is not done: a status and one sentence, as JSON."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from canary.ports import ClusterError, Conflict, NotFound

OF_CALLERS = (401, 403, 404, 408, 409, 413, 422, 429, 503)
"""What may become of a request whose caller must be known."""


class Told(BaseModel):
    """Why a request was not done."""

    code: int
    message: str


class Problem(Exception):
    """A request is not done."""

    def __init__(self, code: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after


def described(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI says of problems with these codes."""
    schema = Told.model_json_schema()
    content = {"application/json": {"schema": schema}}
    return {code: {"description": HTTPStatus(code).phrase, "content": content} for code in codes}


def answer_problems(app: FastAPI) -> None:
    """Have an application answer with sentences."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(ClusterError, _cluster_error)
    app.add_exception_handler(RequestValidationError, _wrong_request)
    app.add_exception_handler(HTTPException, _no_route)
    # It is raised again after the answer, and logged by the server.
    app.add_exception_handler(Exception, _own_fault)


def _answer(problem: Problem) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if problem.code == 401 else {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after)))
    told = Told(code=problem.code, message=problem.message)
    return JSONResponse(told.model_dump(), status_code=problem.code, headers=headers)


async def _problem(_: Request, fault: Exception) -> JSONResponse:
    assert isinstance(fault, Problem)
    return _answer(fault)


async def _cluster_error(_: Request, fault: Exception) -> JSONResponse:
    match fault:
        case Conflict():
            return _answer(Problem(409, f"the Canary changes too fast to write on it; ask again ({fault})", 1))
        case NotFound():
            return _answer(Problem(404, f"the Canary is not there any more ({fault})"))
        case _:
            return _answer(Problem(503, f"the Kubernetes API did not do what this needs: {fault}", 1))


async def _wrong_request(_: Request, fault: Exception) -> JSONResponse:
    assert isinstance(fault, RequestValidationError)
    first = fault.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return _answer(Problem(422, f"{place}: {first['msg']}"))


async def _no_route(request: Request, fault: Exception) -> JSONResponse:
    assert isinstance(fault, HTTPException)
    words = {404: "there is nothing at this path", 405: f"this path takes no {request.method}"}
    said = words.get(fault.status_code, str(fault.detail))
    return _answer(Problem(fault.status_code, f"{said}; /openapi.json lists what there is"))


async def _own_fault(_: Request, fault: Exception) -> JSONResponse:
    return _answer(Problem(500, "the controller failed at this; its log says more"))
