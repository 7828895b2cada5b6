"""A pretended cluster with Canaries, for commands that are typed."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from canary.adapters.kube.paths import collection, single
from canary.api.command import ANNOTATION
from canary.cli import main
from canary.cli.access import WHO_AM_I
from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY, Ref, Resource, apply_merge_patch
from tests.adapters.api_server import ApiServer, serving
from tests.api.manifests import listing

NS, NAME = "shop", "catalog-release"
PATH = collection(NATIVE_CANARY, NS)
Answer = Callable[[dict[str, Any]], str]
"""What the pretended controller answers to a command."""


@dataclass
class Cluster(ApiServer):
    """Serve single objects and patches too; a controller answers commands."""

    controller: Answer | None = None
    user: str = "ann@example.com"
    commands: list[dict[str, Any]] = field(default_factory=list)
    logins: set[str] = field(default_factory=set)
    """What requests were authorized by."""

    def place(self, resource: Resource, *objects: dict[str, Any], everywhere: bool = False) -> None:
        """Serve objects of a type in their namespace, or in the list of all."""
        self.objects.setdefault(collection(resource, "" if everywhere else NS), []).extend(objects)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.logins.add(request.headers.get("Authorization", ""))
        if request.path == WHO_AM_I and request.path not in self.refused:
            return web.json_response({"status": {"userInfo": {"username": self.user}}}, status=201)
        path, _, name = request.path.rpartition("/")
        listed = self.objects.get(path, [])
        found = next((one for one in listed if one["metadata"]["name"] == name), None)
        if found is None or request.path in self.refused:
            return await super().answer(request)
        if request.method == "PATCH":
            return web.json_response(await self._patched(path, found, await request.json()))
        return web.json_response(found)

    async def _patched(self, path: str, obj: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        written = await self.change(path, obj, body)
        self.commands.append(json.loads(written["metadata"]["annotations"][ANNOTATION]))
        if self.controller is not None:
            last = {"id": self.commands[-1]["id"], "verb": self.commands[-1]["verb"]}
            await self.change(path, obj, {"status": {"lastCommand": {**last, "result": self.controller(last)}}})
        return written

    async def change(self, path: str, obj: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
        """Merge a change into an object and tell who watches."""
        changed = apply_merge_patch(obj, body)
        obj.update(changed)
        await self.tell(path, "MODIFIED", obj)
        obj["metadata"] = {**obj["metadata"], "resourceVersion": str(self.version)}
        return copy.deepcopy(obj)

    async def move(self, **status: Any) -> None:
        """Change the status of the Canary."""
        (canary,) = self.objects[PATH]
        await self.change(PATH, canary, {"status": status})

    async def watched(self, path: str = PATH) -> None:
        """Wait until somebody watches."""
        await self.until(lambda: bool(self.asked["watch", path]))

    @staticmethod
    async def until(true: Callable[[], bool]) -> None:
        """Wait until something is so."""
        async with asyncio.timeout(20):
            while not true():  # noqa: ASYNC110 - a server's counters have no event to wait for
                await asyncio.sleep(0.01)


@dataclass
class Typing:
    """Type commands, and read what they print."""

    capsys: pytest.CaptureFixture[str]
    kubeconfig: Path

    async def __call__(self, *words: str) -> tuple[int, str, str]:
        """Run a command in the namespace; return exit code, output and errors."""
        given = [words[0], "-n", NS, "--kubeconfig", str(self.kubeconfig), *words[1:]]
        code = await asyncio.to_thread(main, given)
        out, err = self.capsys.readouterr()
        return code, out, err


@asynccontextmanager
async def cluster_of(folder: Path, *canaries: dict[str, Any]) -> AsyncIterator[Cluster]:
    """Run a cluster that knows Canaries of both groups."""
    cluster = Cluster()
    cluster.place(NATIVE_CANARY, *canaries)
    cluster.place(FLAGGER_CANARY)
    async with serving(folder, lambda: cluster):
        yield cluster


def canary(name: str = NAME, **status: Any) -> dict[str, Any]:
    """Return listing 5.1 as a stored Canary."""
    made = listing({"apiVersion": NATIVE_CANARY.api_version})
    metadata = {"name": name, "namespace": NS, "uid": "u1", "generation": 3, "resourceVersion": "9"}
    return {**made, "metadata": metadata, "status": status}


def path_of(resource: Resource, name: str) -> str:
    """Return the path of an object of the namespace."""
    return single(Ref(resource, NS, name))
