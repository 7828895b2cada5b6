"""Find Canaries of either group."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from canary.adapters.kube.answers import Forbidden
from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.follow import World, follow, list_objects
from canary.cli.exits import Stopped
from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY, Object, Resource
from canary.ports import ClusterError, NotFound

GROUPS = (NATIVE_CANARY, FLAGGER_CANARY)


async def list_canaries(client: KubeClient, namespace: str, name: str = "") -> list[Object]:
    """Return the Canaries of a namespace (empty: of all), or those of a name, sorted by name."""
    params = {"fieldSelector": f"metadata.name={name}"} if name else {}
    found: list[Object] = []
    refused: list[Forbidden] = []
    absent = 0
    for resource in GROUPS:
        try:
            found += (await list_objects(client, resource, namespace, params))[0]
        except Forbidden as fault:
            refused.append(fault)
        except NotFound:
            absent += 1
    if not found and refused:
        raise refused[0]
    if absent == len(GROUPS):
        raise Stopped(
            "the cluster does not know Canaries; apply crds/canary.delivery_canaries.yaml, "
            "or crds/flagger.app_canaries.yaml for manifests of Flagger"
        )
    return sorted(found, key=lambda one: (one["metadata"]["namespace"], one["metadata"]["name"]))


async def get_canary(client: KubeClient, namespace: str, name: str) -> Object:
    """Return one Canary; of two of a name the one of canary.delivery."""
    found = await list_canaries(client, namespace, name)
    if not found:
        raise Stopped(f"there is no Canary {name} in namespace {namespace}; canary get -A lists all")
    return min(found, key=lambda one: resource_of(one) != NATIVE_CANARY)


async def follow_canary(client: KubeClient, canary: Object) -> AsyncGenerator[Object | None, None]:
    """Give a Canary as it is, and again after each change; None when it is gone."""
    place = canary["metadata"]["namespace"], canary["metadata"]["name"]
    async with contextlib.aclosing(follow(client, resource_of(canary), *place)) as worlds:
        async for world in worlds:
            yield world.get(place)


async def follow_canaries(client: KubeClient, namespace: str, name: str = "") -> AsyncGenerator[list[Object], None]:
    """Give the Canaries of both groups as they are, sorted by name, and again after each change.

    A group that is not installed, or that nobody may read, is left out.
    """
    news: asyncio.Queue[tuple[Resource, World] | ClusterError] = asyncio.Queue()

    async def feed(resource: Resource) -> None:
        try:
            async with contextlib.aclosing(follow(client, resource, namespace, name)) as worlds:
                async for world in worlds:
                    news.put_nowait((resource, dict(world)))
        except (NotFound, Forbidden):
            pass
        except ClusterError as fault:
            news.put_nowait(fault)

    feeds = [asyncio.create_task(feed(resource)) for resource in GROUPS]
    known: dict[Resource, World] = {}
    try:
        while True:
            found = await news.get()
            if isinstance(found, ClusterError):
                raise found
            known[found[0]] = found[1]
            yield [one for _, one in sorted((place, one) for world in known.values() for place, one in world.items())]
    finally:
        for task in feeds:
            task.cancel()
        await asyncio.gather(*feeds, return_exceptions=True)


def resource_of(canary: Object) -> Resource:
    """Return the type of a Canary."""
    return next(one for one in GROUPS if one.api_version == canary["apiVersion"])
