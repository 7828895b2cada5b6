"""The controller's own HTTP pages: health, readiness, metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import orjson
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

Unready = Callable[[], Sequence[Mapping[str, str]]]
"""Return what keeps the controller from working now: for each its kind, namespace and reason."""


def create_app(*, unready: Unready, metrics: Callable[[], bytes]) -> FastAPI:
    """Return the application."""
    app = FastAPI(title="canary", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> PlainTextResponse:
        """Answer for as long as the event loop lives."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz() -> Response:
        """Answer 200 while all that is needed is read and followed, else 503 with the reasons as JSON."""
        reasons = unready()
        if not reasons:
            return PlainTextResponse("ok\n")
        body = orjson.dumps({"unready": list(reasons)}, option=orjson.OPT_APPEND_NEWLINE)
        return Response(body, status_code=503, media_type="application/json")

    @app.get("/metrics")
    async def metrics_page() -> Response:
        """Answer with the controller's metrics."""
        return Response(metrics(), media_type=CONTENT_TYPE_LATEST)

    return app
