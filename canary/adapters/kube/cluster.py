"""The cluster the engine sees, on a real API server: caches fed by watches, writes with preconditions."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import structlog

from canary.adapters.kube.client import FIELD_MANAGER, MERGE_PATCH, KubeClient
from canary.adapters.kube.definition import DEFINITIONS, is_established
from canary.adapters.kube.pack import all_whole, keep, whole
from canary.adapters.kube.paths import collection, definition, kind_name, single
from canary.adapters.kube.reflector import Reflector
from canary.adapters.kube.trim import trim
from canary.adapters.kube.watched import CANARIES, NAMED, SECRETS, SHARED
from canary.core.objects import Object, Ref, Resource
from canary.ports import Listener, NotFound

_log = structlog.get_logger(__name__)


class KubeCluster:
    """Read from caches of the watched namespaces (none named: all) and write to the API server."""

    def __init__(
        self, client: KubeClient, *, groups: Iterable[str], namespaces: Sequence[str] = (), secrets: bool = False
    ) -> None:
        self._client = client
        self._listeners: list[Listener] = []
        served = [watched for watched in (*CANARIES, *NAMED) if watched.resource.group in set(groups)]
        shared = (*SHARED, SECRETS) if secrets else SHARED
        self._reflectors = {
            (watched.resource, namespace): Reflector(client, watched, namespace, transform=keep, listener=self._changed)
            for watched in (*served, *shared)
            for namespace in (namespaces or ("",))
        }

    def writing_by(self, client: KubeClient) -> Self:
        """Return a cluster with these caches that writes by another client."""
        apart = copy.copy(self)
        apart._client = client
        return apart

    async def run(self) -> None:
        """Keep the caches up to date until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._client.stay_logged_in())
            for reflector in self._reflectors.values():
                group.create_task(reflector.run(), name=f"watch {reflector}")

    async def wait_synced(self, deadline: float | None = None) -> None:
        """Wait until every cache was filled once; ``TimeoutError`` after ``deadline`` seconds."""
        async with asyncio.timeout(deadline):
            for reflector in self._reflectors.values():
                await reflector.synced.wait()

    def unready(self) -> Sequence[dict[str, str]]:
        """Return which caches cannot be relied on now, and why; of the Canaries' groups one may be missing."""
        canaries = [one for one in self._reflectors.values() if one.watched in CANARIES]
        served = any(not one.absent for one in canaries)
        spared = [one for one in self._reflectors.values() if _may_be_missing(one, served)]
        return [
            {"kind": kind_name(one.resource), "namespace": one.namespace, "reason": trouble}
            for one in self._reflectors.values()
            if one not in spared and (trouble := one.trouble())
        ]

    def cached(self) -> Iterator[tuple[Resource, Object]]:
        """Give every object of every cache, Canaries first."""
        for (resource, _), reflector in self._reflectors.items():
            for obj in reflector.store:
                yield resource, obj

    def get(self, ref: Ref) -> Object | None:
        """Return an object from the cache; None too for what is not watched."""
        reflector = self._reflector(ref.resource, ref.namespace or ref.name)
        obj = reflector.store.get(ref.namespace, ref.name) if reflector else None
        return None if obj is None else whole(obj)

    def list(self, resource: Resource, namespace: str) -> Sequence[Object]:
        """Return the objects of a type in a namespace (all: "") from the cache, sorted by name."""
        if namespace:
            reflector = self._reflector(resource, namespace)
            return all_whole(reflector.store.list(namespace)) if reflector else ()
        stores = [one.store for (kind, _), one in self._reflectors.items() if kind == resource]
        return all_whole(tuple(obj for store in stores for obj in store.list("")))

    def mentioning(self, resource: Resource, name: str) -> Sequence[Object]:
        """Return the objects of a type in any namespace that mention a host or Gateway, from an index."""
        stores = [one.store for (kind, _), one in self._reflectors.items() if kind == resource]
        return all_whole(tuple(obj for store in stores for obj in store.mentioning(name)))

    def sees(self, resource: Resource, namespace: str) -> bool:
        """Return whether what the cache does not hold of a type in a namespace does not exist."""
        reflector = self._reflector(resource, namespace)
        return reflector is not None and reflector.synced.is_set() and not (reflector.absent or reflector.refused)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call the listener on every later change of the cache, until what is returned is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def read(self, ref: Ref) -> Object | None:
        """Read an object live, whole, and into the cache as it keeps it; None when it does not exist."""
        try:
            obj = await self._client.read(single(ref), resource=ref.resource.plural)
        except NotFound:
            return None
        kept = self._put(ref, obj)
        reflector = self._reflector(ref.resource, ref.namespace)
        return trim(ref.resource, obj) if reflector and reflector.watched.digested else kept

    async def select(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> Sequence[Object]:
        """Read the objects of a type in a namespace that carry all labels live, past the cache."""
        params = {"labelSelector": ",".join(f"{name}={value}" for name, value in sorted(labels.items()))}
        path = collection(resource, namespace)
        answer = await self._client.read(path, resource=resource.plural, verb="list", params=params)
        return tuple(trim(resource, one) for one in answer["items"])

    async def create(self, ref: Ref, body: Object) -> Object:
        """Create an object and return it as stored."""
        return self._put(ref, await self._post(ref, body, "create", {}))

    async def dry_run(self, ref: Ref, body: Object) -> Object:
        """Return what creating this object would store, without storing it."""
        return trim(ref.resource, await self._post(ref, body, "dry_run", {"dryRun": "All"}))

    async def patch(self, ref: Ref, body: Mapping[str, Any], *, resource_version: str, subresource: str = "") -> Object:
        """Merge-patch an object (or a subresource) that is at ``resource_version``; return it as stored."""
        metadata = {**(body.get("metadata") or {}), "resourceVersion": resource_version}
        obj = await self._client.write(
            "PATCH",
            single(ref, subresource),
            {**body, "metadata": metadata},
            resource=f"{ref.resource.plural}/{subresource}".rstrip("/"),
            verb="patch",
            params={"fieldManager": FIELD_MANAGER},
            content_type=MERGE_PATCH,
        )
        return self._put(ref, obj)

    async def delete(self, ref: Ref, *, uid: str, resource_version: str) -> None:
        """Delete an object at this version, its dependants in the background."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid, "resourceVersion": resource_version},
            "propagationPolicy": "Background",
        }
        answer = await self._client.write("DELETE", single(ref), options, resource=ref.resource.plural, verb="delete")
        if reflector := self._reflector(ref.resource, ref.namespace):
            if answer.get("kind") == "Status":
                reflector.store.delete(ref.namespace, ref.name, uid)
            else:
                # A finalizer holds it: the answer is the object, marked for deletion.
                reflector.put(answer)

    async def established(self, resource: Resource) -> bool:
        """Return whether the CustomResourceDefinition of a resource is Established, read live."""
        try:
            crd = await self._client.read(definition(resource), resource=DEFINITIONS)
        except NotFound:
            return False
        return is_established(crd)

    async def _post(self, ref: Ref, body: Object, verb: str, params: dict[str, str]) -> dict[str, Any]:
        metadata = {**(body.get("metadata") or {}), "name": ref.name, "namespace": ref.namespace}
        complete = {
            **body,
            "apiVersion": ref.resource.api_version,
            "kind": ref.resource.kind,
            "metadata": metadata,
        }
        return await self._client.write(
            "POST",
            collection(ref.resource, ref.namespace),
            complete,
            resource=ref.resource.plural,
            verb=verb,
            params={"fieldManager": FIELD_MANAGER, **params},
        )

    def _put(self, ref: Ref, obj: Object) -> Object:
        reflector = self._reflector(ref.resource, ref.namespace)
        return whole(reflector.put(obj)) if reflector else trim(ref.resource, obj)

    def _reflector(self, resource: Resource, namespace: str) -> Reflector | None:
        return self._reflectors.get((resource, "")) or self._reflectors.get((resource, namespace))

    def _changed(self, resource: Resource, before: Object | None, after: Object | None) -> None:
        for listener in list(self._listeners):
            try:
                listener(resource, before, after)
            except Exception:
                # A fault in one listener must not end the watch that feeds everybody.
                _log.exception("listener_failed", resource=resource.plural)


def _may_be_missing(reflector: Reflector, served: bool) -> bool:
    if reflector.watched.optional:
        return reflector.absent or reflector.refused
    return reflector.absent and reflector.watched in CANARIES and served
