"""Follow a few objects for as long as somebody waits for them: list, watch, and list again when a watch breaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import orjson

from canary.adapters.kube.answers import error_of
from canary.adapters.kube.backoff import Backoff
from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.paths import collection
from canary.adapters.kube.patience import PATIENCE
from canary.core.objects import Object, Resource
from canary.ports import Retryable

LONGEST_PAUSE = 10.0

World = dict[tuple[str, str], Object]
"""Objects by namespace and name."""


async def list_objects(
    client: KubeClient, resource: Resource, namespace: str, params: Mapping[str, str]
) -> tuple[list[Object], str]:
    """Return the objects of a type, in all namespaces when empty, and the version they were read at."""
    answer = await client.read(collection(resource, namespace), resource=resource.plural, verb="list", params=params)
    marks = {"apiVersion": resource.api_version, "kind": resource.kind}
    return [{**marks, **item} for item in answer["items"] or ()], str(answer["metadata"]["resourceVersion"])


async def follow(client: KubeClient, resource: Resource, namespace: str, name: str = "") -> AsyncGenerator[World, None]:
    """Give the objects of a type (or the one of a name) as they are, and again after each change, without end.

    What the first list is refused is raised; later, faults that pass are waited for.
    """
    selection = {"fieldSelector": f"metadata.name={name}"} if name else {}
    backoff, known = Backoff(longest=LONGEST_PAUSE), False
    while True:
        try:
            listed, version = await list_objects(client, resource, namespace, selection)
            world = {_place(obj): obj for obj in listed}
            known = True
            yield world
            params = {**selection, "watch": "1", "allowWatchBookmarks": "true", "resourceVersion": version}
            async with client.watch(collection(resource, namespace), resource=resource.plural, params=params) as events:
                while (event := await asyncio.wait_for(anext(events, None), PATIENCE.idle)) is not None:
                    backoff.reset()
                    if _take(world, event):
                        yield world
        except (Retryable, TimeoutError):
            if not known:
                raise
            await asyncio.sleep(backoff.next())


def _take(world: World, event: Mapping[str, Any]) -> bool:
    """Take an event of a watch into what is known; return whether that changed."""
    kind, obj = event["type"], event["object"]
    if kind == "ERROR":
        raise error_of(obj.get("code") or 500, orjson.dumps(obj))
    if kind == "BOOKMARK":
        return False
    if kind == "DELETED":
        world.pop(_place(obj), None)
    else:
        world[_place(obj)] = obj
    return True


def _place(obj: Object) -> tuple[str, str]:
    return obj["metadata"]["namespace"], obj["metadata"]["name"]
