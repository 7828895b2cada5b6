"""A cluster, a measurer and a notifier in memory that note every call; what shall fail is told in advance."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from canary.core.actions import Event
from canary.core.endpoints import SERVICE_NAME
from canary.core.measurement import Measurement, Query
from canary.core.mentions import mentions
from canary.core.names import Role
from canary.core.objects import (
    CONTROLLER_REVISION,
    ENDPOINT_SLICE,
    CanaryKey,
    Object,
    Ref,
    Resource,
    apply_merge_patch,
    labels_of,
    ref_of,
)
from canary.core.snapshot import Snapshot
from canary.core.workload import Workload
from canary.ports import Conflict, Listener, NotFound
from tests.answers import answer
from tests.builders import NAMES


def _slice(role: Role, clone: Workload) -> tuple[Ref, Object]:
    """Return what leads to all ready pods of one side."""
    service = NAMES.service(role)
    ref = Ref(ENDPOINT_SLICE, service.namespace, service.name)
    metadata = {"name": ref.name, "namespace": ref.namespace, "labels": {SERVICE_NAME: service.name}}
    return ref, {"metadata": metadata, "endpoints": [{"addresses": [f"10.0.0.{n}"]} for n in range(clone.running)]}


class FakeCluster:
    """Keep objects by reference; `failing` maps "verb Kind name" to the error its call raises."""

    def __init__(self, *objects: tuple[Ref, Object]) -> None:
        self.objects: dict[Ref, Object] = dict(objects)
        self.live: dict[Ref, Object | None] = {}
        self.failing: dict[str, Exception] = {}
        self.calls: list[str] = []
        self.served = True
        self.unseen: set[str] = set()
        self._version = 1000

    @classmethod
    def of(cls, world: Snapshot) -> FakeCluster:
        """Return the cluster that a snapshot shows."""
        found: list[tuple[Ref, Object | None]] = [(world.key.ref, world.canary), (NAMES.route_ref, world.route)]
        found += [(NAMES.apex_ref, world.apex), (NAMES.service("primary"), world.primary_service)]
        found += [(NAMES.service("canary"), world.canary_service)]
        found += [(one.ref, one.raw) for one in (world.target, world.primary, world.candidate) if one is not None]
        found += [(ref_of(CONTROLLER_REVISION, r.raw), r.raw) for r in world.revisions if r.raw is not None]
        found += [_slice(role, one) for role, one in (("primary", world.primary), ("canary", world.candidate)) if one]
        return cls(*((ref, obj) for ref, obj in found if obj is not None))

    def _note(self, verb: str, ref: Ref) -> None:
        call = f"{verb} {ref.resource.kind} {ref.name}"
        self.calls.append(call)
        if call in self.failing:
            raise self.failing[call]

    def _store(self, ref: Ref, obj: Mapping[str, Any]) -> Object:
        self._version += 1
        metadata = {"uid": f"uid-{ref.name}", "generation": 1, **obj["metadata"], "resourceVersion": str(self._version)}
        self.objects[ref] = {**obj, "metadata": metadata}
        return self.objects[ref]

    def get(self, ref: Ref) -> Object | None:
        """Return an object."""
        return self.objects.get(ref)

    def list(self, resource: Resource, namespace: str) -> Sequence[Object]:
        """Return the objects of a type."""
        return [
            self.objects[ref]
            for ref in sorted(self.objects)
            if ref.resource == resource and namespace in ("", ref.namespace)
        ]

    def mentioning(self, resource: Resource, name: str) -> Sequence[Object]:
        """Return the objects of a type that mention a host or Gateway."""
        return [one for one in self.list(resource, "") if name in mentions(resource, one)]

    def sees(self, resource: Resource, namespace: str) -> bool:
        """Return whether a type is watched: everywhere but in `unseen`."""
        return namespace not in self.unseen

    def subscribe(self, listener: Listener) -> None:
        """Tell nobody."""

    async def read(self, ref: Ref) -> Object | None:
        """Read live: what `live` holds, else what the cache shows."""
        self._note("read", ref)
        return self.live[ref] if ref in self.live else self.objects.get(ref)

    async def select(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> Sequence[Object]:
        """Read live what carries the labels."""
        self._note("list", Ref(resource, namespace, ""))
        return [one for one in self.list(resource, namespace) if labels.items() <= labels_of(one).items()]

    async def create(self, ref: Ref, body: Object) -> Object:
        """Create an object."""
        self._note("create", ref)
        if ref in self.objects:
            raise Conflict(str(ref))
        return self._store(ref, body)

    async def patch(self, ref: Ref, body: Mapping[str, Any], *, resource_version: str, subresource: str = "") -> Object:
        """Patch an object."""
        self._note(subresource or "patch", ref)
        found = self.objects.get(ref)
        if found is None:
            raise NotFound(str(ref))
        if found["metadata"]["resourceVersion"] != resource_version:
            raise Conflict(str(ref))
        return self._store(ref, apply_merge_patch(found, body))

    async def delete(self, ref: Ref, *, uid: str, resource_version: str) -> None:
        """Delete an object."""
        self._note("delete", ref)
        if ref not in self.objects:
            raise NotFound(str(ref))
        del self.objects[ref]

    async def dry_run(self, ref: Ref, body: Object) -> Object:
        """Return the object unchanged."""
        self._note("dry-run", ref)
        return body

    async def established(self, resource: Resource) -> bool:
        """Return whether the type is served."""
        return self.served


class FakeMeasurer:
    """Answer as a healthy world does, or with `errors`; `hang` makes it wait until released."""

    def __init__(self, errors: float = 0) -> None:
        self.errors = errors
        self.asked: list[Query] = []
        self.released = asyncio.Event()
        self.released.set()

    async def measure(self, query: Query) -> Measurement:
        """Answer one question."""
        self.asked.append(query)
        await self.released.wait()
        return Measurement(query, answer(query, errors=self.errors))


class FakeNotifier:
    """Keep the reasons of events, and note each call among those of the cluster."""

    def __init__(self, calls: list[str]) -> None:
        self._calls = calls
        self.told: list[str] = []

    async def notify(self, key: CanaryKey, uid: str, events: Sequence[Event]) -> None:
        """Record events."""
        self._calls.append("notify")
        self.told += [event.reason for event in events]
