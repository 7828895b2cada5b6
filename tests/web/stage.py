"""The API on a real socket, before an API server that reviews tokens and rights and takes annotations."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from aiohttp import web

from canary.adapters.clock import SystemClock
from canary.adapters.kube.access import ACCESS_REVIEW, TOKEN_REVIEW, KubeAccess
from canary.adapters.kube.cluster import KubeCluster
from canary.adapters.kube.events import EVENT, KubeNotifier
from canary.adapters.kube.paths import collection
from canary.adapters.kube.watched import CANARIES, SHARED
from canary.core.objects import DEPLOYMENT, FLAGGER_CANARY, NATIVE_CANARY, apply_merge_patch
from canary.web.api import api
from canary.web.app import create_app
from canary.web.canaries import ANSWERED, Canaries
from canary.web.gates import gates
from canary.web.guard import Guard
from canary.web.shown import shown
from tests.adapters.api_server import ApiServer, serving
from tests.builders import V2, canary_object, deployment, template

NS, NAME = "istioinaction", "catalog-release"
ONE = f"/v1/namespaces/{NS}/canaries/{NAME}"
LISTED = collection(NATIVE_CANARY)
CI, READER, NOBODY, WRONG = "token-of-ci", "token-of-reader", "token-of-nobody", "token-that-ended"
ACCOUNTS = {CI: "system:serviceaccount:ci:deployer", READER: "ann", NOBODY: "bob"}
RIGHTS = {
    (ACCOUNTS[CI], verb, sub, NS)
    for verb, sub in (("get", ""), ("list", ""), ("create", "gate"), ("create", "command"))
} | {(ACCOUNTS[READER], "get", "", NS), (ACCOUNTS[READER], "list", "", "")}


@dataclass
class Reviewer(ApiServer):
    """An API server that knows some callers, what they may do, and one Canary."""

    reviewed: list[Mapping[str, Any]] = field(default_factory=list)
    rights: set[tuple[str, str, str, str]] = field(default_factory=lambda: set(RIGHTS))
    audience: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    patched: list[dict[str, Any]] = field(default_factory=list)
    conflicts: int = 0
    broken: bool = False
    """Answer reviews with what is none."""
    obeys: bool = True
    """Answer each command as a controller does."""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        status = self.refused.get(request.path, 0)
        if request.method == "GET" or status:
            return await super().answer(request)
        body = await request.json()
        if self.broken:
            return web.json_response({"status": ["broken"]}, status=201)
        if request.path == collection(TOKEN_REVIEW):
            return web.json_response({"status": self._known(body["spec"])}, status=201)
        if request.path == collection(ACCESS_REVIEW):
            return web.json_response({"status": {"allowed": self._allowed(body["spec"])}}, status=201)
        # An event that is told again is written on.
        if request.path.startswith(collection(EVENT, NS)):
            self.events.append(body)
            return web.json_response(body, status=201)
        return await self._patch(body)

    @property
    def canary(self) -> dict[str, Any]:
        """Return the Canary as it is."""
        return self.objects[LISTED][0]

    def _known(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        self.reviewed.append(spec)
        meant = spec.get("audiences", [""]) == [self.audience]
        if spec["token"] not in ACCOUNTS or not meant:
            return {"authenticated": False, "error": "invalid bearer token"}
        audiences = {"audiences": [self.audience]} if self.audience else {}
        return {"authenticated": True, "user": {"username": ACCOUNTS[spec["token"]], "groups": ["all"]}, **audiences}

    def _allowed(self, spec: Mapping[str, Any]) -> bool:
        self.reviewed.append(spec)
        asked = spec["resourceAttributes"]
        assert (asked["resource"], asked["group"]) == ("canaries", NATIVE_CANARY.group)
        right = (spec["user"], asked["verb"], asked.get("subresource", ""), asked.get("namespace", ""))
        return right in self.rights

    async def _patch(self, body: Mapping[str, Any]) -> web.Response:
        if self.conflicts or body["metadata"]["resourceVersion"] != self.canary["metadata"]["resourceVersion"]:
            self.conflicts = max(0, self.conflicts - 1)
            return web.json_response({"kind": "Status", "message": "object has been modified"}, status=409)
        self.patched.append(dict(body))
        await self.change(body)
        answer = dict(self.canary)
        text = (answer["metadata"].get("annotations") or {}).get("canary.delivery/command")
        if text and self.obeys:
            command = json.loads(text)
            result = "Refused: nothing to retry" if command["verb"] == "retry" else "Obeyed: done"
            await self.change({"status": {"lastCommand": {"id": command["id"], "verb": "x", "result": result}}})
        return web.json_response(answer)

    async def change(self, patch: Mapping[str, Any]) -> None:
        """Merge a patch into the Canary and tell the watch."""
        changed = apply_merge_patch(self.canary, patch)
        version = str(self.version + 1)
        self.objects[LISTED][0] = {**changed, "metadata": {**changed["metadata"], "resourceVersion": version}}
        await self.tell(LISTED, "MODIFIED", self.canary)


@dataclass
class Stage:
    """The API under test, and who answers it."""

    url: str
    server: Reviewer
    session: aiohttp.ClientSession
    cluster: KubeCluster
    trouble: list[dict[str, str]]
    """What keeps the controller from working, beside its caches."""

    async def change(self, patch: Mapping[str, Any]) -> None:
        """Change the Canary as others do, and wait until the controller has heard of it."""
        heard = asyncio.Event()
        self.cluster.subscribe(lambda resource, before, after: heard.set())
        await self.server.change(patch)
        async with asyncio.timeout(5):
            await heard.wait()

    async def retarget(self, image: str) -> None:
        """Give the target another image."""
        path = collection(DEPLOYMENT)
        self.server.objects[path][0] = dict(deployment(pod=template(image), replicas=0, generation=2).raw)
        await self.server.tell(path, "MODIFIED", self.server.objects[path][0])

    async def call(
        self, method: str, path: str, token: str | None = CI, body: Any = None
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Send a request and return status, body and headers."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
        async with self.session.request(method, self.url + path, headers=headers, data=data) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text, response.headers


def canary(**annotations: str) -> dict[str, Any]:
    """Return a Canary whose hooks ask for two gates of the controller."""
    hooks = [
        {"name": "may begin", "type": "confirm-rollout", "url": "http://canary.system/gate/check"},
        {"name": "may end", "type": "confirm-promotion", "url": "https://x/canary/gate/check/promotion"},
    ]
    found = canary_object({"spec.analysis.webhooks": hooks})
    metadata = {"name": NAME, "namespace": NS, "uid": "uid-1", "resourceVersion": "9", "annotations": annotations}
    api_version = NATIVE_CANARY.api_version
    return {**found, "apiVersion": api_version, "kind": "Canary", "metadata": metadata, "status": {"phase": "Waiting"}}


class _Server(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """Leave signals alone."""


@asynccontextmanager
async def staged(
    folder: Path,
    audience: str = "",
    time_of_rates: Callable[[], float] = time.monotonic,
    answered_within: float = ANSWERED,
) -> AsyncIterator[Stage]:
    """Serve the API for one Canary."""
    async with serving(folder, Reviewer) as (server, client):
        server.install(*(one.resource for one in (*CANARIES, *SHARED) if one.resource != FLAGGER_CANARY))
        server.audience = audience
        server.objects[LISTED].append(canary())
        server.objects[collection(DEPLOYMENT)].append(dict(deployment(pod=V2, replicas=0).raw))
        cluster = KubeCluster(client, groups=(NATIVE_CANARY.group,))
        watching = asyncio.create_task(cluster.run())
        await cluster.wait_synced(10)
        clock = SystemClock()
        trouble: list[dict[str, str]] = []
        # Another replica leads.
        client.fence = timedelta
        client = client.for_callers()
        guard = Guard(KubeAccess(client, audience), time_of_rates)
        group = NATIVE_CANARY.group

        def unready() -> list[Mapping[str, str]]:
            return [*cluster.unready(), *trouble]

        notifier = KubeNotifier(client, clock)
        writing = cluster.writing_by(client)
        canaries = Canaries(writing, notifier, clock, (group,), guard, unready, answered_within)
        routes = (api(canaries, guard, lambda key: shown(cluster, key, (), clock.now())), gates(canaries, guard))
        app = create_app(unready=cluster.unready, metrics=bytes, api=routes)
        async with _listening(app) as url, aiohttp.ClientSession() as session:
            yield Stage(url, server, session, cluster, trouble)
        watching.cancel()
        await asyncio.wait({watching})


@asynccontextmanager
async def _listening(app: Any) -> AsyncIterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        listening.close()
