"""What a decision costs, and what 1,000 Canaries leave in memory: the controller's caches and reconciles, no network.

``make soak`` reconciles each of them thousands of times while users edit them, and watches its memory:
``CANARIES`` (1,000) and ``RECONCILES`` (10,000) set the size, a multiple of ten each.
"""

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from canary.adapters.kube.cluster import KubeCluster
from canary.core.actions import Event
from canary.core.decide import decide, questions
from canary.core.measurement import Measurement, Query, Unavailable
from canary.core.objects import ENDPOINT_SLICE, NAMESPACE, CanaryKey, Object, Ref, Resource, apply_merge_patch, ref_of
from canary.core.runs import Limits
from canary.engine.observe import observe
from canary.engine.reconcile import Reconciler
from canary.engine.runs import RunBook
from canary.ports import ClusterError, NotFound
from canary.sim.clock import EPOCH
from canary.sim.driver import GROUPS, Simulation, simulate
from canary.sim.hooks import SimHooks
from canary.sim.scenario import Scenario, initialise, listing_5_1

OF_A_NAMESPACE = 10
CANARIES = 1000
RECONCILES = 10_000
DECISION = 5.0
"""Milliseconds that 99 % of decisions may take."""
GROWTH = 5.0
"""Percent by which memory may grow from the second tenth of a soak to its end."""
SHOP = "istioinaction"


class Clock:
    """A clock that goes on when it is told to."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """Return the moment."""
        return self.moment


class Cached(KubeCluster):
    """The controller's own caches, and an API server that takes everything and has nothing more to tell."""

    def __init__(self) -> None:
        super().__init__(None, groups=GROUPS)  # type: ignore[arg-type]
        self._version = 0
        for reflector in self._reflectors.values():
            reflector.synced.set()

    def store(self, ref: Ref, obj: Object) -> Object:
        """Take an object as a watch tells of it."""
        self._version += 1
        version = str(self._version)
        stored = {**obj, "metadata": {**obj["metadata"], "resourceVersion": version}}
        return self._put(ref, stored)

    async def create(self, ref: Ref, body: Object) -> Object:
        """Create an object."""
        metadata = {**body["metadata"], "name": ref.name, "namespace": ref.namespace, "uid": f"uid-{self._version}"}
        kind = {"apiVersion": ref.resource.api_version, "kind": ref.resource.kind}
        return self.store(ref, {**body, **kind, "metadata": metadata})

    async def patch(self, ref: Ref, body: Mapping[str, Any], *, resource_version: str, subresource: str = "") -> Object:
        """Change an object."""
        found = self.get(ref)
        if found is None:
            raise NotFound(str(ref))
        return self.store(ref, apply_merge_patch(found, body))

    async def delete(self, ref: Ref, *, uid: str, resource_version: str) -> None:
        """Drop an object."""
        reflector = self._reflector(ref.resource, ref.namespace)
        if reflector is not None:
            reflector.store.delete(ref.namespace, ref.name, uid)

    async def read(self, ref: Ref) -> Object | None:
        """Read what the cache has."""
        return self.get(ref)

    async def select(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> Sequence[Object]:
        """Read nothing: pods are not known."""
        raise ClusterError("nobody knows of pods here")


class Silence:
    """Tell nobody."""

    async def notify(self, key: CanaryKey, uid: str, events: Sequence[Event]) -> None:
        """Forget the events."""


def world() -> tuple[list[tuple[Ref, Object]], datetime]:
    """Return ten Canaries with all that belongs to them, each at another stage of a release."""
    found: list[tuple[Ref, Object]] = []
    moment = [EPOCH]

    async def story(sim: Simulation) -> None:
        members = [_member(f"service-{number}") for number in range(OF_A_NAMESPACE)]
        for one in members:
            await initialise(sim, one, settle=0)
        await sim.rest(60)
        for one in members[:-2]:
            sim.user.apply(one.revised(f"{one.target.name}:v2"))
            await sim.rest(9)
        found.extend((ref, deepcopy(obj)) for ref, obj in sim.world.everything() if ref.resource != NAMESPACE)
        found.extend((ref_of(ENDPOINT_SLICE, one), one) for one in sim.world.select(ENDPOINT_SLICE))
        moment[0] = EPOCH + timedelta(seconds=sim.now)

    simulate(story, judge=False)
    return found, moment[0]


def _member(name: str) -> Scenario:
    canary = listing_5_1(interval="10s", drainSeconds=1)
    canary["metadata"] |= {"name": name, "namespace": SHOP}
    canary["spec"]["targetRef"]["name"] = name
    canary["spec"]["service"] |= {"name": name, "hosts": [name]}
    return Scenario(canary, rps=2.0, replicas=1)


def crowd(count: int, found: Sequence[tuple[Ref, Object]]) -> tuple[Cached, list[CanaryKey]]:
    """Return caches that hold so many Canaries, ten in each namespace."""
    cluster, keys = Cached(), []
    for number in range(count // OF_A_NAMESPACE):
        namespace = f"shop-{number:04}"
        for ref, obj in found:
            placed = json.loads(json.dumps(obj).replace(SHOP, namespace))
            at = Ref(ref.resource, namespace if ref.namespace else "", ref.name.replace(SHOP, namespace))
            cluster.store(at, placed)
            if ref.resource.kind == "Canary":
                keys.append(CanaryKey(ref.resource.group, namespace, ref.name))
    return cluster, keys


def decision_milliseconds(cluster: Cached, keys: Sequence[CanaryKey], moment: datetime) -> list[float]:
    """Return what each decision costs: the Canary is observed, what is owed is asked for, and it is decided."""
    book = RunBook(Limits(together=len(keys) // 2))
    for resource, obj in cluster.cached():
        book.changed(resource, None, obj)
    took = []
    for key in keys:
        began = time.thread_time()
        snapshot = observe(cluster, key)
        assert snapshot is not None, f"{key} is not there"
        questions(snapshot, moment)
        decide(snapshot, (), moment)
        took.append((time.thread_time() - began) * 1000)
    return took


def decisions(count: int) -> list[float]:
    """Return what decisions on so many Canaries cost, in milliseconds; the first of each is not counted."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    found, moment = world()
    cluster, keys = crowd(count, found)
    decision_milliseconds(cluster, keys, moment)
    return decision_milliseconds(cluster, keys, moment)


class Soak:
    """Reconcile a crowd again and again while users touch it, and see what stays in memory."""

    def __init__(self, canaries: int) -> None:
        found, moment = world()
        self.cluster, self.keys = crowd(canaries, found)
        self._clock = Clock(moment)
        book = RunBook(Limits(together=canaries))

        def changed(resource: Resource, before: Object | None, after: Object | None) -> None:
            book.changed(resource, before, after)

        self.cluster.subscribe(changed)
        ports = self.cluster, self, SimHooks(), Silence(), self._clock
        self._reconciler = Reconciler(*ports, GROUPS, self._never, runs=book)

    async def measure(self, query: Query) -> Measurement:
        """Answer nothing, so that runs hold where they are."""
        return Measurement(query, Unavailable(f"metrics are down at {query}"))

    async def _never(self, key: CanaryKey) -> None:
        await asyncio.Event().wait()

    async def run(self, rounds: int) -> list[float]:
        """Reconcile all once in each round; return the memory of the process after each tenth of the rounds."""
        memory = []
        for number in range(1, rounds + 1):
            self._clock.moment += timedelta(seconds=10)
            for position, key in enumerate(self.keys):
                if position % 10 == number % 10:
                    self._touch(key, number)
                try:
                    await self._reconciler.reconcile(key)
                except ClusterError:
                    continue
            if number % max(1, rounds // 10) == 0:
                gc.collect()
                memory.append(_rss())
                print(f"round {number}: {memory[-1]:.1f} MB", flush=True)
        return memory

    def _touch(self, key: CanaryKey, number: int) -> None:
        """Annotate a Canary as a user does."""
        found = self.cluster.get(key.ref)
        assert found is not None, f"{key} is not there"
        annotations = {**(found["metadata"].get("annotations") or {}), "touched": str(number)}
        self.cluster.store(key.ref, {**found, "metadata": {**found["metadata"], "annotations": annotations}})


def soaked(canaries: int, rounds: int) -> float:
    """Return by how many percent memory grew from the second tenth of a soak to its end."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    memory = asyncio.run(Soak(canaries).run(rounds))
    return 100 * (memory[-1] / memory[1] - 1)


def _rss() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    """Soak as the environment says, and return 1 when memory grew."""
    canaries = int(os.environ.get("CANARIES", CANARIES))
    rounds = int(os.environ.get("RECONCILES", RECONCILES))
    print(f"{canaries} Canaries, {rounds} reconciles each", flush=True)
    growth = soaked(canaries, rounds)
    print(f"memory grew by {growth:.2f} %, at most {GROWTH:g} %")
    return 1 if growth > GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
