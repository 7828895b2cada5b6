"""Serve the book's catalog: v1 lists items, v2 adds an image to each; failures and delays on request."""

import asyncio
import os
import random
from dataclasses import dataclass

from aiohttp import web

from e2e.testbed.apps.serving import serve

ITEMS = (
    {"id": 1, "color": "amber", "department": "Eyewear", "name": "Elinor Glasses", "price": "282.00"},
    {"id": 2, "color": "cyan", "department": "Clothing", "name": "Atlas Shirt", "price": "127.00"},
    {"id": 3, "color": "teal", "department": "Clothing", "name": "Small Metal Shoes", "price": "232.00"},
    {"id": 4, "color": "red", "department": "Watches", "name": "Red Dragon Watch", "price": "232.00"},
)
IMAGE = "http://lorempixel.com/640/480"


@dataclass(slots=True)
class Behaviour:
    """How the application answers now; environment first, changed at run time."""

    version: str
    shows_image: bool
    fail_percent: float = 0.0
    delay_ms: float = 0.0
    healthy: bool = True
    blowup: str | None = None
    blowup_volatile: bool = False
    blowup_delay_ms: float = 1000.0


def behaviour_from_environment() -> Behaviour:
    """Read VERSION, SHOW_IMAGE, FAIL_PERCENT and DELAY_MS."""
    version = os.environ.get("VERSION", "v1")
    return Behaviour(
        version=version,
        shows_image=os.environ.get("SHOW_IMAGE", str(version == "v2")).lower() == "true",
        fail_percent=float(os.environ.get("FAIL_PERCENT", "0")),
        delay_ms=float(os.environ.get("DELAY_MS", "0")),
    )


def items(behaviour: Behaviour) -> list[dict[str, object]]:
    """Return the items in the form of the version."""
    if behaviour.shows_image:
        return [{**item, "imageUrl": IMAGE} for item in ITEMS]
    return [dict(item) for item in ITEMS]


def application(behaviour: Behaviour) -> web.Application:
    """Build the application that customers reach."""

    async def list_items(request: web.Request) -> web.Response:
        await asyncio.sleep(_delay(behaviour))
        headers = {"x-version": behaviour.version}
        if _fails(behaviour):
            return web.json_response({"error": "blowup"}, status=500, headers=headers)
        return web.json_response(items(behaviour), headers=headers)

    async def blow_up(request: web.Request) -> web.Response:
        """Take the book's {"active": true, "type": "500" | "latency", "delayMs": n, "volatile": true}."""
        wish = await request.json()
        behaviour.blowup = str(wish.get("type", "500")) if wish.get("active", True) else None
        behaviour.blowup_volatile = bool(wish.get("volatile", False))
        behaviour.blowup_delay_ms = float(wish.get("delayMs", 1000))
        return web.json_response({"blowups": [wish]}, headers={"x-version": behaviour.version})

    app = web.Application()
    app.router.add_get("/items", list_items)
    app.router.add_get("/items/{id}", list_items)
    app.router.add_post("/blowup", blow_up)
    return app


def control(behaviour: Behaviour) -> web.Application:
    """Build the application on the health port: health, and changes of behaviour that bypass the mesh."""

    async def health(request: web.Request) -> web.Response:
        return web.Response(status=200 if behaviour.healthy else 503)

    async def change(request: web.Request) -> web.Response:
        wish = await request.json()
        behaviour.fail_percent = float(wish.get("failPercent", behaviour.fail_percent))
        behaviour.delay_ms = float(wish.get("delayMs", behaviour.delay_ms))
        behaviour.healthy = bool(wish.get("healthy", behaviour.healthy))
        return web.json_response({})

    app = web.Application()
    app.router.add_get("/healthz", health)
    app.router.add_post("/behaviour", change)
    return app


def _fails(behaviour: Behaviour) -> bool:
    blown = behaviour.blowup is not None and behaviour.blowup != "latency" and _strikes(behaviour)
    return blown or random.random() * 100 < behaviour.fail_percent


def _delay(behaviour: Behaviour) -> float:
    blown = behaviour.blowup == "latency" and _strikes(behaviour)
    return (behaviour.delay_ms + (behaviour.blowup_delay_ms if blown else 0)) / 1000


def _strikes(behaviour: Behaviour) -> bool:
    """Decide whether this request is hit; a volatile blowup spares half of them."""
    return not behaviour.blowup_volatile or random.random() < 0.5


if __name__ == "__main__":
    current = behaviour_from_environment()
    asyncio.run(serve(application(current), control(current), default_port=3000))
