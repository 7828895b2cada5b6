"""The controller's own HTTP pages: health, readiness, metrics, and the API where it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from fastapi import APIRouter, FastAPI, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from canary.version import version
from canary.web.canaries import Unready
from canary.web.problems import answer_problems

_UNREADY: dict[int | str, dict[str, Any]] = {503: {"description": "Unready", "content": {"application/json": {}}}}


class _Exposition(Response):
    """Metrics in the text format of Prometheus."""

    media_type = CONTENT_TYPE_LATEST


def create_app(*, unready: Unready, metrics: Callable[[], bytes], api: Sequence[APIRouter] = ()) -> FastAPI:
    """Return the application, with the routes of the API if there are any."""
    described = "/openapi.json" if api else None
    app = FastAPI(title="canary", version=version(), docs_url=None, redoc_url=None, openapi_url=described)
    answer_problems(app)
    for router in api:
        app.include_router(router)

    @app.get("/healthz", response_class=PlainTextResponse)
    async def healthz() -> PlainTextResponse:
        """Answer for as long as the event loop lives."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz", response_class=PlainTextResponse, responses=_UNREADY)
    async def readyz() -> Response:
        """Answer 200 while all that is needed is read and followed, else 503 with the reasons as JSON."""
        reasons = unready()
        if not reasons:
            return PlainTextResponse("ok\n")
        body = orjson.dumps({"unready": list(reasons)}, option=orjson.OPT_APPEND_NEWLINE)
        return Response(body, status_code=503, media_type="application/json")

    @app.get("/metrics", response_class=_Exposition)
    async def metrics_page() -> Response:
        """Answer with the controller's metrics."""
        return _Exposition(metrics())

    return app
