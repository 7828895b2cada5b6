"""An API server of a few paths: lists, watches that stay open, and refusals on request."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.paths import collection, definitions
from canary.core.objects import Resource

INITIAL_END = {"k8s.io/initial-events-end": "true"}


@dataclass
class ApiServer:
    """Serve what ``objects`` has, by path of the collection; what is not there is answered 404."""

    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)
    plain: bool = False
    """Refuse streaming lists, and write null where there are no items."""
    url: str = ""
    version: int = 10
    _watches: list[tuple[str, web.StreamResponse, web.Request]] = field(default_factory=list)

    def install(self, *resources: Resource) -> None:
        """Serve types, with their definitions."""
        for resource in resources:
            self.objects.setdefault(collection(resource), [])
            self.objects.setdefault(definitions(), []).append(crd(resource))

    async def tell(self, path: str, kind: str, obj: dict[str, Any]) -> None:
        """Send an event to the watches of a path."""
        self.version += 1
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}}
        for watched, response, _ in self._watches:
            if watched == path:
                await _send(response, kind, obj)

    def cut(self) -> None:
        """Break every watch."""
        watches, self._watches = self._watches, []
        for _, _, request in watches:
            assert request.transport is not None
            request.transport.abort()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        path, watching = request.path, "watch" in request.query
        self.asked["watch" if watching else "list", path] += 1
        status = self.refused.get(path, 200 if path in self.objects else 404)
        if self.plain and "sendInitialEvents" in request.query:
            status = 500
        if status != 200:
            return web.json_response({"kind": "Status", "message": f"told to answer {status}"}, status=status)
        if watching:
            return await self._watch(request)
        items = self._selected(request)
        return web.json_response(
            {"metadata": {"resourceVersion": str(self.version)}, "items": items or (None if self.plain else [])}
        )

    def _selected(self, request: web.Request) -> list[dict[str, Any]]:
        wanted = [part.split("=") for part in request.query.get("fieldSelector", "").split(",") if part]
        listed = self.objects[request.path]
        return [obj for obj in listed if all(_field(obj, path) == value for path, value in wanted)]

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        if "sendInitialEvents" in request.query:
            for obj in self._selected(request):
                await _send(response, "ADDED", obj)
            end = {"metadata": {"resourceVersion": str(self.version), "annotations": INITIAL_END}}
            await _send(response, "BOOKMARK", end)
        self._watches.append((request.path, response, request))
        await asyncio.Event().wait()
        return response


def _field(obj: dict[str, Any], path: str) -> Any:
    for part in path.split("."):
        obj = obj[part]
    return obj


async def _send(response: web.StreamResponse, kind: str, obj: dict[str, Any]) -> None:
    await response.write(json.dumps({"type": kind, "object": obj}).encode() + b"\n")


def crd(resource: Resource) -> dict[str, Any]:
    """Return a definition that is Established."""
    return {
        "metadata": {"name": f"{resource.plural}.{resource.group}", "resourceVersion": "10"},
        "spec": {"versions": [{"name": resource.version, "served": True}]},
        "status": {"conditions": [{"type": "Established", "status": "True"}]},
    }


Server = TypeVar("Server", bound=ApiServer)


@asynccontextmanager
async def serving(folder: Path, kind: Callable[[], Server] = ApiServer) -> AsyncIterator[tuple[Server, KubeClient]]:
    """Run a server, and a client of it."""
    server = kind()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    client = await KubeClient.connect(str(kubeconfig(folder, server.url)), None, user_agent="test")
    try:
        yield server, client
    finally:
        await client.close()
        await runner.cleanup()


def kubeconfig(folder: Path, url: str, authority: Path | None = None, **user: Any) -> Path:
    """Write a kubeconfig and return its path."""
    cluster = {"server": url, **({"certificate-authority": str(authority)} if authority else {})}
    content = {
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(content))
    return path
