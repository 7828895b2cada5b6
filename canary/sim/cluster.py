"""The cluster port of one controller process: a delayed cache and calls to the invented API server."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, TypeVar

from canary.adapters.kube.digest import digested
from canary.adapters.kube.trim import trim
from canary.adapters.kube.watched import SHARED
from canary.core.mentions import mentions
from canary.core.names import MANAGER
from canary.core.objects import CONFIG_MAP, LEASE, SECRET, Object, Ref, Resource, labels_of
from canary.ports import ClusterError, Fence, Listener, NotLeading, unfenced
from canary.sim.faults import WRITES, ApiFault, Faults
from canary.sim.link import Link
from canary.sim.world import Change, World

T = TypeVar("T")

_WATCHED = {one.resource: one for one in SHARED}


def _kept(ref: Ref, obj: Object) -> Object:
    """Return an object as caches keep it."""
    kept = trim(ref.resource, obj)
    return digested(kept) if ref.resource in (CONFIG_MAP, SECRET) else kept


@dataclass(frozen=True, slots=True)
class Call:
    """One call a controller made, as an audit log has it."""

    at: float
    verb: str
    ref: Ref
    subresource: str
    outcome: str
    by: str = ""
    """Who made it, where several electing controllers run."""


class SimCluster:
    """Implement `ports.Cluster` over a `World`, with a cache of its own that lags behind."""

    def __init__(
        self,
        world: World,
        random: Random,
        faults: Faults | None = None,
        *,
        manager: str = MANAGER,
        unserved: frozenset[Resource] = frozenset(),
        namespaces: frozenset[str] | None = None,
        identity: str = "",
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.link = Link(self._loop, random)
        self.identity = identity
        self.fence: Fence = unfenced
        self._world = world
        self._random = random
        self._faults = faults or Faults()
        self._manager = manager
        self._unserved = unserved
        self._namespaces = namespaces
        self._cache: dict[Resource, dict[Ref, Object]] = {}
        self._floor: dict[Ref, int] = {}
        self._pending: dict[Resource, deque[tuple[float, Callable[[], None]]]] = {}
        self._listeners: list[Listener] = []
        self.calls: list[Call] = []
        self.observers: list[Callable[[Call], None]] = []
        self.on_crash: Callable[[], None] = lambda: None
        for ref, obj in world.everything():
            self._take(ref, obj, int(obj["metadata"]["resourceVersion"]))
        world.watch(self._on_change)

    def get(self, ref: Ref) -> Object | None:
        """Return an object from the cache."""
        return self._cache.get(ref.resource, {}).get(ref)

    def list(self, resource: Resource, namespace: str) -> Sequence[Object]:
        """Return the objects of a type in a namespace (all: "") from the cache, sorted by name."""
        found = self._cache.get(resource, {})
        return tuple(found[ref] for ref in sorted(ref for ref in found if namespace in ("", ref.namespace)))

    def mentioning(self, resource: Resource, name: str) -> Sequence[Object]:
        """Return the objects of a type in any namespace that mention a host or Gateway."""
        found = self._cache.get(resource, {})
        named = sorted(ref for ref, obj in found.items() if name in mentions(resource, obj))
        return tuple(found[ref] for ref in named)

    def sees(self, resource: Resource, namespace: str) -> bool:
        """Return whether what the cache does not hold of a type in a namespace does not exist."""
        here = self._namespaces is None or namespace in self._namespaces
        return here and resource not in self._unserved

    @property
    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._loop.time()

    def cached(self) -> tuple[tuple[Resource, Object], ...]:
        """Return all that the cache holds, in a fixed order."""
        refs = sorted(ref for found in self._cache.values() for ref in found)
        return tuple((ref.resource, self._cache[ref.resource][ref]) for ref in refs)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call the listener on every later change of the cache, until what is returned is called."""
        self._listeners.append(listener)

        def forget() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return forget

    async def read(self, ref: Ref) -> Object | None:
        """Read an object live from the API server."""
        found = await self.call("get", ref, "", lambda: self._world.find(ref))
        return trim(ref.resource, found) if found is not None else None

    async def select(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> Sequence[Object]:
        """Read the objects of a type in a namespace that carry all labels live."""

        def act() -> Sequence[Object]:
            found = self._world.select(resource, namespace)
            return tuple(one for one in found if labels.items() <= labels_of(one).items())

        return await self.call("list", Ref(resource, namespace, ""), "", act)

    async def create(self, ref: Ref, body: Object) -> Object:
        """Create an object and return it as stored."""
        made = await self.call("create", ref, "", lambda: self._world.create(ref, body, writer=self._manager))
        return self._remember(ref, made)

    async def patch(self, ref: Ref, body: Mapping[str, Any], *, resource_version: str, subresource: str = "") -> Object:
        """Merge-patch an object or its status that is at `resource_version`."""

        def act() -> Object:
            return self._world.patch(
                ref,
                body,
                writer=self._manager,
                resource_version=resource_version,
                subresource=subresource,
            )

        return self._remember(ref, await self.call("patch", ref, subresource, act))

    async def delete(self, ref: Ref, *, uid: str, resource_version: str) -> None:
        """Delete an object at this version."""

        def act() -> tuple[Object | None, int]:
            self._world.delete(ref, writer=self._manager, uid=uid, resource_version=resource_version)
            return self._world.find(ref), self._world.version

        self._take(ref, *await self.call("delete", ref, "", act))

    async def dry_run(self, ref: Ref, body: Object) -> Object:
        """Return what creating this object would store."""
        return await self.call(
            "dry-run", ref, "", lambda: self._world.create(ref, body, writer=self._manager, dry_run=True)
        )

    async def established(self, resource: Resource) -> bool:
        """Return whether the CustomResourceDefinition of a resource is Established."""
        ref = Ref(resource, "", f"{resource.plural}.{resource.group}")
        return await self.call("get-crd", ref, "", lambda: resource in self._world.established)

    def kill(self) -> None:
        """End the process: no call is sent, answered or listened to from now on."""
        self.link.dead = True
        self._listeners.clear()

    async def call(self, verb: str, ref: Ref, subresource: str, act: Callable[[], T]) -> T:
        """Send a call, let the API server act, and return its answer."""
        await self.link.pass_out()
        if verb in WRITES and ref.resource != LEASE and self.fence() <= timedelta(0):
            raise NotLeading(f"{verb} {ref} was not sent")
        await self.link.travel()
        fault = self._faults.of_call(self._loop.time(), verb, ref, subresource)
        await self._fail(verb, ref, subresource, fault, "before")
        try:
            answer = act()
        except ClusterError as error:
            self._note(verb, ref, subresource, type(error).__name__)
            raise
        self._note(verb, ref, subresource, "ok")
        await self._fail(verb, ref, subresource, fault, "after")
        await self.link.travel()
        await self.link.pass_in()
        return answer

    async def _fail(self, verb: str, ref: Ref, subresource: str, fault: ApiFault | None, when: str) -> None:
        if fault is None or (when == "after") != (fault.kind in ("lost answer", "crash after")):
            return
        if fault.kind.startswith("crash"):
            self.kill()
            self._loop.call_soon(self.on_crash)
            await self.link.pass_on()
        if when == "before":
            self._note(verb, ref, subresource, fault.kind)
        await self.link.travel()
        raise fault.error(ref)

    def _note(self, verb: str, ref: Ref, subresource: str, outcome: str) -> None:
        call = Call(self._loop.time(), verb, ref, subresource, outcome, self.identity)
        self.calls.append(call)
        for observer in self.observers:
            observer(call)

    def _remember(self, ref: Ref, obj: Object) -> Object:
        version = obj["metadata"]["resourceVersion"]
        self._take(ref, obj, int(version))
        held = self.get(ref)
        return held if held and held["metadata"]["resourceVersion"] == version else _kept(ref, obj)

    def _on_change(self, change: Change) -> None:
        if self.link.dead:
            return
        now, ref = self._loop.time(), change.ref
        fault = self._faults.of_event(now, ref)
        delay = self._random.uniform(0.005, 0.020)

        def deliver() -> None:
            self._take(ref, change.after, change.version)

        if fault is None:
            self._queue(ref.resource, delay, deliver)
        elif fault.kind == "lost":
            self._queue(ref.resource, fault.delay, lambda: self._relist(ref.resource))
        elif fault.kind == "late":
            self._queue(ref.resource, delay + fault.delay, deliver)
        else:
            self._queue(ref.resource, delay, deliver)
            self._loop.call_later(delay + fault.delay, self._repeat, ref, change)

    def _queue(self, resource: Resource, delay: float, act: Callable[[], None]) -> None:
        """Deliver in order within a type: a watch is one stream."""
        pending = self._pending.setdefault(resource, deque())
        at = self._loop.time() + max(delay, self.link.holds_back)
        if pending:
            at = max(at, pending[-1][0])
        pending.append((at, act))
        self._loop.call_at(at, self._deliver, resource)

    def _deliver(self, resource: Resource) -> None:
        _, act = self._pending[resource].popleft()
        act()

    def _repeat(self, ref: Ref, change: Change) -> None:
        if change.version == self._floor.get(ref):
            self._tell(ref, self.get(ref), self.get(ref))

    def _relist(self, resource: Resource) -> None:
        true = dict(self._world.items(resource))
        for ref in sorted({*true, *self._cache.get(resource, {})}):
            found = true.get(ref)
            version = self._world.version if found is None else int(found["metadata"]["resourceVersion"])
            self._take(ref, found, version)

    def _take(self, ref: Ref, obj: Object | None, version: int) -> None:
        if version <= self._floor.get(ref, 0) or self.link.dead:
            return
        self._floor[ref] = version
        found = self._cache.setdefault(ref.resource, {})
        before = found.get(ref)
        if obj is None or not self._caches(ref, obj):
            after = None
            found.pop(ref, None)
        else:
            after = found[ref] = _kept(ref, obj)
        if before is not None or after is not None:
            self._tell(ref, before, after)

    def _tell(self, ref: Ref, before: Object | None, after: Object | None) -> None:
        for listener in list(self._listeners):
            listener(ref.resource, before, after)

    def _caches(self, ref: Ref, obj: Object) -> bool:
        """Return whether the cache holds an object: of some types only those that bear our label."""
        watched = _WATCHED.get(ref.resource)
        known = watched is None or watched.holds(obj)
        here = self._namespaces is None or (ref.namespace or ref.name) in self._namespaces
        return known and here and ref.resource not in self._unserved
