"""When a cache may be relied on: definitions that come and go, and a server that is lost or silent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from canary.adapters.kube.backoff import Backoff
from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.paths import collection, definitions
from canary.adapters.kube.patience import Patience
from canary.adapters.kube.reflector import Reflector
from canary.adapters.kube.watched import Watched
from canary.core.objects import NAMESPACE, NATIVE_CANARY
from tests.adapters.api_server import ApiServer, crd, serving

PATH = collection(NATIVE_CANARY)
BRIEF = Patience(idle=0.4, stall=0.2, absent=0.3, poll=0.02, contact=0.25)
LONG = Patience(idle=60, stall=60, absent=60, poll=0.02, contact=60)

ASKED_SOON = 3
"""How many pauses of the tests' reflector, 0.01, 0.02 and 0.04 s, are shorter than its longest."""

CANARIES = Watched(NATIVE_CANARY)

World = tuple[ApiServer, KubeClient]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Return an empty server and a client of it."""
    async with serving(tmp_path) as (server, client):
        yield server, client


@asynccontextmanager
async def following(
    client: KubeClient, patience: Patience, watched: Watched = CANARIES, namespace: str = ""
) -> AsyncIterator[Reflector]:
    """Run a reflector, of Canaries if no other type is named."""
    reflector = Reflector(
        client,
        watched,
        namespace,
        transform=lambda _, obj: dict(obj),
        listener=lambda *_: None,
        backoff=Backoff(first=0.01, longest=0.05),
        patience=patience,
    )
    task = asyncio.create_task(reflector.run())
    try:
        yield reflector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def eventually(condition: Callable[[], object]) -> None:
    """Wait until a condition holds; at most five seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - a server's counters have no event to wait for
            await asyncio.sleep(0.005)


def canary(name: str) -> dict[str, Any]:
    """Return a Canary."""
    return {"metadata": {"namespace": "shop", "name": name, "uid": name, "resourceVersion": "5"}}


async def test_type_without_definition_is_known_to_be_absent(world: World) -> None:
    """Take a type as empty when its definition is missing, say so, and ask no more."""
    server, client = world
    server.objects[definitions()] = []
    async with following(client, LONG) as reflector:
        await eventually(lambda: server.asked["watch", definitions()])
        assert reflector.synced.is_set()
        assert reflector.absent
        assert reflector.trouble() == "not installed: no CustomResourceDefinition serves v1beta1"
        before = server.asked.copy()
        await asyncio.sleep(0.1)
        assert server.asked == before


async def test_type_that_is_defined_but_not_served_yet_is_waited_for(world: World) -> None:
    """Believe no 404 of a server that is still loading its definitions."""
    server, client = world
    server.install(NATIVE_CANARY)
    server.objects[PATH] = [canary("web")]
    server.refused[PATH] = 404
    async with following(client, BRIEF) as reflector:
        await eventually(lambda: server.asked["list", definitions()] > 3)
        assert not reflector.synced.is_set()
        await eventually(lambda: reflector.trouble() == "404: defined, but not served yet")
        del server.refused[PATH]
        await eventually(lambda: len(reflector.store) == 1)
        assert reflector.trouble() is None


async def test_definition_that_appears_is_followed_at_once(world: World) -> None:
    """Read a type as soon as the watch of its definition tells that it is served."""
    server, client = world
    server.objects[definitions()] = []
    async with following(client, LONG) as reflector:
        await eventually(lambda: server.asked["watch", definitions()])
        young = {**crd(NATIVE_CANARY), "status": {}}
        await server.tell(definitions(), "ADDED", young)
        asked = server.asked["watch", PATH]
        server.objects[PATH] = [canary("web")]
        server.objects[definitions()] = [crd(NATIVE_CANARY)]
        await server.tell(definitions(), "MODIFIED", crd(NATIVE_CANARY))
        await eventually(lambda: len(reflector.store) == 1)
        assert server.asked["watch", PATH] == asked + 1
        assert not reflector.absent
        assert reflector.trouble() is None


async def test_another_version_of_a_definition_does_not_count(world: World) -> None:
    """Take a type as absent when its definition serves other versions only."""
    server, client = world
    other = crd(NATIVE_CANARY)
    other["spec"]["versions"] = [{"name": "v1alpha3", "served": True}, {"name": "v1beta1", "served": False}]
    server.objects[definitions()] = [other]
    async with following(client, LONG) as reflector:
        await eventually(reflector.synced.is_set)
        assert reflector.absent


async def test_definitions_nobody_may_read_are_asked_for_now_and_then(world: World) -> None:
    """Without the right to look, believe a 404 after a while and go on asking for the type."""
    server, client = world
    server.refused[definitions()] = 403
    async with following(client, BRIEF) as reflector:
        await eventually(lambda: server.asked["watch", PATH] > 2)
        assert not reflector.synced.is_set()
        await eventually(reflector.synced.is_set)
        assert reflector.absent
        server.objects[PATH] = [canary("web")]
        await eventually(lambda: len(reflector.store) == 1)


async def test_objects_outlive_a_short_absence_every_time(world: World) -> None:
    """Keep what is known over a 404 that passes, also when another did before."""
    server, client = world
    server.install(NATIVE_CANARY)
    server.objects[PATH] = [canary("web")]
    server.refused[definitions()] = 403
    async with following(client, BRIEF) as reflector:
        await eventually(reflector.synced.is_set)
        for _ in range(2):
            server.refused[PATH] = 404
            server.cut()
            asked = server.asked["watch", PATH]
            await eventually(lambda: server.asked["watch", PATH] > asked + 1)  # noqa: B023
            assert len(reflector.store) == 1
            del server.refused[PATH]
            await eventually(lambda: reflector.trouble() is None)
            await asyncio.sleep(BRIEF.absent)
        assert len(reflector.store) == 1


async def test_type_with_objects_is_given_up_after_a_while(world: World) -> None:
    """Take a type as gone when its definition has been missing for long."""
    server, client = world
    server.install(NATIVE_CANARY)
    server.objects[PATH] = [canary("web")]
    async with following(client, BRIEF) as reflector:
        await eventually(reflector.synced.is_set)
        server.objects = {definitions(): []}
        server.cut()
        await eventually(lambda: server.asked["watch", definitions()])
        assert len(reflector.store) == 1
        await eventually(lambda: reflector.absent)
        assert len(reflector.store) == 0


async def test_lost_server_is_told_after_a_while(world: World) -> None:
    """Bear a short outage; afterwards say for how long nothing was followed, and why."""
    server, client = world
    server.install(NATIVE_CANARY)
    async with following(client, BRIEF) as reflector:
        await eventually(reflector.synced.is_set)
        server.refused[PATH] = 503
        server.cut()
        asked = server.asked["watch", PATH]
        await eventually(lambda: server.asked["watch", PATH] > asked)
        assert reflector.trouble() is None
        await eventually(reflector.trouble)
        trouble = reflector.trouble()
        assert trouble is not None
        assert trouble.startswith("not followed for 0 s: ")
        assert trouble.endswith("503: told to answer 503")
        del server.refused[PATH]
        await eventually(lambda: reflector.trouble() is None)


async def test_silence_counts_from_the_last_word(world: World) -> None:
    """Count a watch that hung until it was given up as silent from what it told last."""
    server, client = world
    server.install(NATIVE_CANARY)
    async with following(client, BRIEF) as reflector:
        await eventually(reflector.synced.is_set)
        assert reflector.trouble() is None
        server.refused[PATH] = 503
        asked = server.asked["watch", PATH]
        await eventually(lambda: server.asked["watch", PATH] > asked)
        assert reflector.trouble() is not None


async def test_optional_type_nobody_may_read_is_left_out(world: World) -> None:
    """Take it as empty and say so, ask soon at first, then rarely, and follow it once the right is there."""
    server, client = world
    server.install(NATIVE_CANARY)
    server.objects[PATH] = [canary("web")]
    server.refused[PATH] = 403
    async with following(client, LONG, Watched(NATIVE_CANARY, optional=True)) as reflector:
        await eventually(reflector.synced.is_set)
        assert (reflector.refused, reflector.absent, len(reflector.store)) == (True, False, 0)
        assert reflector.trouble() == "403: told to answer 403"
        await eventually(lambda: server.asked["watch", PATH] == ASKED_SOON + 1)
        asked = server.asked.copy()
        await asyncio.sleep(0.1)
        assert server.asked == asked
    async with following(client, replace(BRIEF, refused=0.02), Watched(NATIVE_CANARY, optional=True)) as reflector:
        await eventually(lambda: reflector.refused)
        del server.refused[PATH]
        await eventually(lambda: len(reflector.store) == 1)
        assert (reflector.refused, reflector.trouble()) == (False, None)


async def test_optional_type_that_a_starting_server_refuses_is_followed_at_once(world: World) -> None:
    """An API server knows nobody's rights until it has read the roles: its first word on them is not the last."""
    server, client = world
    server.install(NATIVE_CANARY)
    server.objects[PATH] = [canary("web")]
    server.refused[PATH] = 403
    async with following(client, LONG, Watched(NATIVE_CANARY, optional=True)) as reflector:
        await eventually(lambda: reflector.refused)
        del server.refused[PATH]
        await eventually(lambda: len(reflector.store) == 1)
        assert (reflector.refused, reflector.trouble()) == (False, None)


async def test_type_without_namespaces_is_followed_by_name(world: World) -> None:
    """A controller for one namespace asks for that Namespace alone."""
    server, client = world
    shop, other = ({"metadata": {"name": name, "uid": name, "resourceVersion": "5"}} for name in ("shop", "other"))
    server.objects[collection(NAMESPACE)] = [shop, other]
    async with following(client, LONG, Watched(NAMESPACE, cluster_scoped=True), "shop") as reflector:
        await eventually(lambda: len(reflector.store) == 1)
        assert reflector.store.get("", "shop") is not None


async def test_empty_list_of_bare_metadata_is_read(world: World) -> None:
    """Take no items for none: the API server writes null where it converts an empty list."""
    server, client = world
    server.objects[PATH] = []
    server.plain = True
    async with following(client, BRIEF, Watched(NATIVE_CANARY, metadata_only=True)) as reflector:
        await eventually(reflector.synced.is_set)
        assert server.asked["list", PATH] == 1
