"""Record every version of the objects of a namespace as the API server tells them, with the time of arrival."""

import asyncio
import threading
from collections.abc import Collection, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Self

import aiohttp

from e2e.testbed import credentials
from e2e.testbed.kube import AsyncKubeClient, Object
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

FOLLOWED = {
    "canaries.flagger.app": "/apis/flagger.app/v1beta1/namespaces/{}/canaries",
    "canaries.canary.delivery": "/apis/canary.delivery/v1beta1/namespaces/{}/canaries",
    "pods": "/api/v1/namespaces/{}/pods",
    "deployments": "/apis/apps/v1/namespaces/{}/deployments",
    "daemonsets": "/apis/apps/v1/namespaces/{}/daemonsets",
    "services": "/api/v1/namespaces/{}/services",
    "virtualservices": "/apis/networking.istio.io/v1beta1/namespaces/{}/virtualservices",
    "destinationrules": "/apis/networking.istio.io/v1/namespaces/{}/destinationrules",
    "horizontalpodautoscalers": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "endpointslices": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
}

SOON = timedelta(seconds=30)
LATE_NEWS = timedelta(seconds=1)
"""How late the recorder may hear of a change, and proxies of a route, on a machine that testbeds share."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One change of one object: ``type`` is ADDED, MODIFIED or DELETED."""

    at: datetime
    kind: str
    type: str
    object: Object

    @property
    def name(self) -> str:
        """Return the object's name."""
        return str(self.object["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a Canary's history: what ``kubectl get canary -w`` would print anew."""

    at: datetime
    phase: str
    weight: int


class Recorder:
    """Follow a namespace in a thread of its own: inside ``with`` nothing is missed, after it nothing is left."""

    def __init__(self, testbed: Testbed, namespace: str, kinds: Collection[str] = FOLLOWED.keys()) -> None:
        self._testbed = testbed
        self._seen: list[Seen] = []
        self._latest: dict[str, dict[str, tuple[int, bool]]] = {}
        """By kind and uid: the last version that is recorded, and whether the object is gone."""
        self._paths = {kind: FOLLOWED[kind].format(namespace) for kind in kinds}
        self._loop: asyncio.AbstractEventLoop
        self._following: asyncio.Task[None]
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"record {namespace}")

    def __enter__(self) -> Self:
        served = {kind: path for kind, path in self._paths.items() if self._testbed.kube.find(path) is not None}
        self._loop = asyncio.new_event_loop()
        self._following = self._loop.create_task(self._follow_all(served))
        self._thread.start()
        try:
            wait_until(lambda: served.keys() == self._latest.keys(), SOON, lambda: f"followed: only {[*self._latest]}")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def seen(self, kind: str, name: str | None = None, since: datetime | None = None) -> list[Seen]:
        """List the changes of a kind up to now, of one name and from a time on if given."""
        self._catch_up(kind)
        return [
            s
            for s in list(self._seen)
            if s.kind == kind and (name is None or s.name == name) and (since is None or s.at >= since)
        ]

    def rows(self, name: str, since: datetime | None = None) -> list[Row]:
        """Return the rows of a Canary: each change of phase or weight once."""
        rows: list[Row] = []
        for kind in ("canaries.flagger.app", "canaries.canary.delivery"):
            for seen in self.seen(kind, name, since):
                status = seen.object.get("status") or {}
                row = Row(seen.at, str(status.get("phase", "")), int(status.get("canaryWeight", 0)))
                if row.phase and (not rows or (rows[-1].phase, rows[-1].weight) != (row.phase, row.weight)):
                    rows.append(row)
        return rows

    def settled(self) -> datetime:
        """Wait until everything up to now is recorded; return the time from which on all that comes is later."""
        for kind in self._latest:
            self._catch_up(kind)
        return datetime.now(UTC)

    def _catch_up(self, kind: str) -> None:
        """Wait until what the API server has of a kind is recorded: on a busy machine news is late."""
        listed = self._testbed.kube.find(self._paths[kind]) if kind in self._latest else None
        if listed is None:
            return
        now = int(listed["metadata"]["resourceVersion"])
        present = {one["metadata"]["uid"]: _version(one) for one in listed["items"]}

        def recorded() -> bool:
            latest = dict(self._latest[kind])
            told = all(latest.get(uid, (0, False))[0] >= version for uid, version in present.items())
            return told and all(uid in present or gone or version > now for uid, (version, gone) in latest.items())

        wait_until(recorded, SOON, lambda: f"{kind} up to version {now} are not recorded: {self._latest[kind]}")

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._following.cancel)
        self._thread.join()

    def _run(self) -> None:
        with closing(self._loop), suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._following)

    async def _follow_all(self, paths: Mapping[str, str]) -> None:
        async with aiohttp.ClientSession() as session:
            client = AsyncKubeClient(session, self._testbed.layout.authority, credentials.ADMIN)
            following = [asyncio.create_task(self._follow(client, kind, path)) for kind, path in paths.items()]
            try:
                failed, _ = await asyncio.wait(following, return_when=asyncio.FIRST_EXCEPTION)
                for one in failed:
                    one.result()
            finally:
                # A watch that is cancelled closes TLS politely, which would outlive the loop; this cuts and waits.
                await session.close()
                for one in following:
                    one.cancel()
                await asyncio.gather(*following, return_exceptions=True)

    async def _follow(self, client: AsyncKubeClient, kind: str, path: str) -> None:
        latest: dict[str, tuple[int, bool]] = {}
        async for change, content in client.follow(path):
            items = [content] if change != "LISTED" else _items(content)
            for one in items:
                uid, version, gone = one["metadata"]["uid"], _version(one), change == "DELETED"
                # A list made again tells what is there once more: only what moved is news.
                if version > latest.get(uid, (0, False))[0]:
                    type_ = "ADDED" if change == "LISTED" else change
                    self._seen.append(Seen(datetime.now(UTC), kind, type_, one))
                    latest[uid] = (version, gone)
            if change == "LISTED":
                latest = {one["metadata"]["uid"]: (_version(one), False) for one in items}
            self._latest[kind] = latest


def _version(found: Object) -> int:
    return int(found["metadata"]["resourceVersion"])


def _items(listed: Object) -> list[Object]:
    """Return a list's objects, which do not say themselves what they are."""
    what = {"apiVersion": listed["apiVersion"], "kind": listed["kind"].removesuffix("List")}
    return [{**what, **one} for one in listed["items"]]
