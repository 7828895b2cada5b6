"""The Lease on the wire, and the fence that other writes ask in the last moment."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from canary.adapters.clock import instant
from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.cluster import KubeCluster
from canary.adapters.kube.events import KubeNotifier
from canary.adapters.kube.lease import KubeLeases
from canary.core.actions import Event
from canary.core.election import Claim, Lease
from canary.core.objects import SERVICE, CanaryKey, Object, Ref, apply_merge_patch
from canary.ports import Conflict, NotFound, NotLeading, Retryable
from tests.adapters.api_server import kubeconfig

PLACE = "/apis/coordination.k8s.io/v1/namespaces/canary-system/leases"
NAME = "canary-controller"
PATIENCE = timedelta(seconds=0.2)
BARELY = timedelta(seconds=0.3)
CLOSED = timedelta(0)
MINE = Claim("me", timedelta(seconds=10), 1, anew=True)
APEX = Ref(SERVICE, "shop", "web")
KEY = CanaryKey("canary.delivery", "shop", "web")


class Now:
    """A clock that stands."""

    def now(self) -> datetime:
        """Return the moment."""
        return datetime(2026, 1, 2, 3, 4, 5, 60, UTC)


class Store:
    """An API server that stores one object of any kind at a path; it can be told to hang."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.hangs = False
        self._version = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Answer one request."""
        self.asked.append((request.method, request.path, request.content_type))
        if self.hangs:
            await asyncio.Event().wait()
        found = self.objects.get(request.path)
        if request.method == "POST":
            body = await request.json()
            path = f"{request.path}/{body['metadata']['name']}"
            return self._refuse(409) if path in self.objects else self._store(path, body)
        if found is None:
            return self._refuse(404)
        if request.method == "PATCH":
            body = await request.json()
            if body["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
                return self._refuse(409)
            return self._store(request.path, apply_merge_patch(found, body))
        return web.json_response(found)

    def _store(self, path: str, body: Object) -> web.Response:
        self._version += 1
        self.objects[path] = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self._version)}}
        return web.json_response(self.objects[path])

    def _refuse(self, status: int) -> web.Response:
        return web.json_response({"kind": "Status", "message": f"told to answer {status}"}, status=status)


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Store, KubeClient]]:
    """Run a server, and a client of it."""
    store, application = Store(), web.Application()
    application.router.add_route("*", "/{path:.*}", store.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    config = kubeconfig(folder, f"http://127.0.0.1:{runner.addresses[0][1]}")
    client = await KubeClient.connect(str(config), None, user_agent="test")
    try:
        yield store, client
    finally:
        await client.close()
        await runner.cleanup()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[tuple[Store, KubeClient]]:
    """Return an empty server and a client of it."""
    async with serving(tmp_path) as made:
        yield made


def leases(client: KubeClient) -> KubeLeases:
    """Return the lease."""
    return KubeLeases(client, "canary-system", NAME, Now(), PATIENCE)


async def test_lease_is_made_read_and_renewed(world: tuple[Store, KubeClient]) -> None:
    """What is stored is a Lease as other tools read it; a renewal keeps since when it is held."""
    store, client = world
    assert await leases(client).read() is None
    assert await leases(client).create(MINE) == Lease("1", "me", timedelta(seconds=10), 1)
    stored = store.objects[f"{PLACE}/{NAME}"]
    assert (stored["apiVersion"], stored["kind"]) == ("coordination.k8s.io/v1", "Lease")
    assert stored["spec"] == {
        "holderIdentity": "me",
        "leaseDurationSeconds": 10,
        "leaseTransitions": 1,
        "acquireTime": "2026-01-02T03:04:05.000060Z",
        "renewTime": "2026-01-02T03:04:05.000060Z",
    }
    earlier = {**stored["spec"], "acquireTime": "2025-01-01T00:00:00.000000Z"}
    store.objects[f"{PLACE}/{NAME}"] = {**stored, "spec": earlier}
    renewed = await leases(client).update(Claim("me", timedelta(seconds=20), 1, anew=False), "1")
    assert renewed == await leases(client).read() == Lease("2", "me", timedelta(seconds=20), 1)
    spec = store.objects[f"{PLACE}/{NAME}"]["spec"]
    assert spec["acquireTime"] == "2025-01-01T00:00:00.000000Z"
    assert store.asked[-2] == ("PATCH", f"{PLACE}/{NAME}", "application/merge-patch+json")


async def test_lease_of_others_may_lack_fields(world: tuple[Store, KubeClient]) -> None:
    """All of a Lease's spec is optional, and what others wrote into it is kept."""
    store, client = world
    labels = {"metadata": {"name": NAME, "labels": {"team": "x"}, "resourceVersion": "7"}}
    store.objects[f"{PLACE}/{NAME}"] = labels
    assert await leases(client).read() == Lease("7", "", None, 0)
    await leases(client).update(MINE, "7")
    assert store.objects[f"{PLACE}/{NAME}"]["metadata"]["labels"] == {"team": "x"}


async def test_claims_on_what_moved_are_refused(world: tuple[Store, KubeClient]) -> None:
    """One that exists is not made, one at another version not written, one that is gone not found."""
    _, client = world
    with pytest.raises(NotFound):
        await leases(client).update(MINE, "1")
    await leases(client).create(MINE)
    with pytest.raises(Conflict):
        await leases(client).create(MINE)
    with pytest.raises(Conflict):
        await leases(client).update(MINE, "99")


async def test_claim_waits_no_longer_than_told(world: tuple[Store, KubeClient]) -> None:
    """A server that hangs must leave time for a second try."""
    store, client = world
    store.hangs = True
    begun = time.monotonic()
    with pytest.raises(Retryable):
        await leases(client).create(MINE)
    assert time.monotonic() - begun < 3


async def test_closed_fence_lets_nothing_but_the_lease_be_written(world: tuple[Store, KubeClient]) -> None:
    """Every write of cluster and notifier asks it; reads do not."""
    store, client = world
    cluster, body = KubeCluster(client, groups=()), {"metadata": {"name": "web"}}
    client.fence = lambda: CLOSED
    with pytest.raises(NotLeading, match="does not hold the lease"):
        await cluster.create(APEX, body)
    with pytest.raises(NotLeading):
        await cluster.patch(APEX, {}, resource_version="1")
    with pytest.raises(NotLeading):
        await cluster.delete(APEX, uid="u", resource_version="1")
    with pytest.raises(NotLeading):
        await cluster.dry_run(APEX, body)
    await KubeNotifier(client, Now()).notify(KEY, "uid", [Event("Normal", "Released", "said to nobody")])
    assert store.asked == []
    assert await cluster.read(APEX) is None
    await leases(client).create(MINE)
    assert [method for method, *_ in store.asked] == ["GET", "POST"]


async def test_fence_is_asked_after_the_login_was_renewed(world: tuple[Store, KubeClient]) -> None:
    """A plug-in may take longer for a token than the lease lasts."""
    store, client = world
    open_at = [True]
    client.fence = lambda: BARELY if open_at[0] else CLOSED

    async def plugin(configuration: object) -> None:
        open_at[0] = False

    client._api.configuration.refresh_api_key_hook = plugin
    client._api.configuration.api_key["BearerToken"] = "token"
    with pytest.raises(NotLeading):
        await KubeCluster(client, groups=()).create(APEX, {})
    assert store.asked == []


async def test_write_is_given_up_when_others_may_lead(world: tuple[Store, KubeClient]) -> None:
    """Its answer is awaited for as long as the fence said, and no longer; it may have happened."""
    store, client = world
    store.hangs = True
    client.fence = lambda: BARELY
    begun = time.monotonic()
    with pytest.raises(Retryable):
        await KubeCluster(client, groups=()).create(APEX, {})
    assert BARELY.total_seconds() - 0.05 < time.monotonic() - begun < 5
    assert len(store.asked) == 1


def test_clocks_of_the_machine_go_on_together() -> None:
    """What may have passed is never less than what must have."""
    before = instant()
    time.sleep(0.02)
    after = instant()
    passed = timedelta(seconds=0.02)
    assert passed <= after.at_least_since(before) < timedelta(seconds=5)
    assert after.at_most_since(before) >= passed
