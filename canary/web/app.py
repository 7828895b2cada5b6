"""The controller's own HTTP pages: health, readiness, metrics."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST


def create_app(*, not_ready: Callable[[], str | None], metrics: Callable[[], bytes]) -> FastAPI:
    """Return the application; ``not_ready`` tells why the controller cannot work yet, None when it can."""
    app = FastAPI(title="canary", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/healthz")
    async def healthz() -> PlainTextResponse:
        """Answer for as long as the event loop lives."""
        return PlainTextResponse("ok\n")

    @app.get("/readyz")
    async def readyz() -> PlainTextResponse:
        """Answer 200 once the caches were filled, before that 503 with the reason."""
        reason = not_ready()
        return PlainTextResponse(f"{reason or 'ok'}\n", status_code=503 if reason else 200)

    @app.get("/metrics")
    async def metrics_page() -> Response:
        """Answer with the controller's metrics."""
        return Response(metrics(), media_type=CONTENT_TYPE_LATEST)

    return app
