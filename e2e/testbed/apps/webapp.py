"""Serve the book's webapp: /api/catalog asks catalog and passes headers on, both ways."""

import asyncio
import os
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

from e2e.testbed.apps.serving import serve

CATALOG_DEADLINE_SECONDS = 15.0
FORWARDED_PREFIXES = ("x-", "b3", "traceparent", "tracestate", "cookie", "authorization", "user-agent")
# Each hop's own Envoy writes these; sent on they would speak for another hop.
NOT_FORWARDED = frozenset({"x-forwarded-proto", "x-envoy-peer-metadata", "x-testbed-peer"})
SESSION: web.AppKey[aiohttp.ClientSession] = web.AppKey("session", aiohttp.ClientSession)


def catalog_url() -> str:
    """Return where catalog is: CATALOG_URL, or the Service in the own namespace."""
    namespace = os.environ.get("POD_NAMESPACE", "istioinaction")
    return os.environ.get("CATALOG_URL", f"http://catalog.{namespace}:80")


def forwarded_headers(request: web.Request) -> dict[str, str]:
    """Return the headers that belong to the customer's request as a whole."""
    return {
        name: value
        for name, value in request.headers.items()
        if name.lower().startswith(FORWARDED_PREFIXES) and name.lower() not in NOT_FORWARDED
    }


def application(url: str) -> web.Application:
    """Build the application that customers reach."""

    async def catalog(request: web.Request) -> web.Response:
        try:
            async with request.app[SESSION].get(f"{url}/items", headers=forwarded_headers(request)) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return web.json_response({"error": f"catalog: {error}"}, status=502)
        version = {name: answer.headers[name] for name in ("x-version",) if name in answer.headers}
        return web.Response(body=body, status=answer.status, headers=version, content_type=answer.content_type)

    async def home(request: web.Request) -> web.Response:
        return web.Response(text="webapp")

    app = web.Application()
    app.cleanup_ctx.append(_session)
    app.router.add_get("/", home)
    app.router.add_get("/api/catalog", catalog)
    return app


def health() -> web.Application:
    """Build the application on the health port."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application()
    app.router.add_get("/healthz", answer)
    return app


async def _session(app: web.Application) -> AsyncIterator[None]:
    timeout = aiohttp.ClientTimeout(total=CATALOG_DEADLINE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        app[SESSION] = session
        yield


if __name__ == "__main__":
    asyncio.run(serve(application(catalog_url()), health(), default_port=8080))
