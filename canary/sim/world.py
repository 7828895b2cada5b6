"""The true state of the invented cluster: what an API server stores, and every change to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from canary.core.objects import (
    AUTOSCALER,
    DAEMON_SET,
    DEPLOYMENT,
    DESTINATION_RULE,
    FLAGGER_CANARY,
    NATIVE_CANARY,
    VIRTUAL_SERVICE,
    Object,
    Ref,
    Resource,
    apply_merge_patch,
)
from canary.ports import Conflict, NotFound, Refused
from canary.sim.defaults import defaulted, validate
from canary.sim.owners import owned

WITH_STATUS = {AUTOSCALER, DAEMON_SET, DEPLOYMENT, NATIVE_CANARY, FLAGGER_CANARY, VIRTUAL_SERVICE, DESTINATION_RULE}
"""Types whose `status` is a subresource and whose `generation` counts changes of the rest."""

SERVER_KEYS = (
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "generation",
    "resourceVersion",
    "managedFields",
)
"""Metadata that only the API server writes."""

Verb = Literal["create", "patch", "delete"]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the store, in the order it happened."""

    at: float
    writer: str
    verb: Verb
    subresource: str
    ref: Ref
    before: Object | None
    after: Object | None
    version: int
    sent_version: str | None = None
    sent_uid: str | None = None


class World:
    """Store objects as an API server does and tell watchers of every change at once."""

    def __init__(self, now: Callable[[], float], epoch: datetime) -> None:
        self._now = now
        self._epoch = epoch.timestamp()
        self._objects: dict[Ref, Object] = {}
        self._version = 0
        self._uids = 0
        self.shown: dict[Resource, Callable[[], Sequence[Object]]] = {}
        """Types whose objects others keep; they can be listed alone."""
        self._watchers: list[Callable[[Change], None]] = []
        self.established: set[Resource] = {NATIVE_CANARY, FLAGGER_CANARY, VIRTUAL_SERVICE, DESTINATION_RULE}

    @property
    def version(self) -> int:
        """Return the resourceVersion of the last change."""
        return self._version

    @property
    def now(self) -> float:
        """Return the virtual time in seconds."""
        return self._now()

    def watch(self, watcher: Callable[[Change], None]) -> None:
        """Call `watcher` synchronously on every later change."""
        self._watchers.append(watcher)

    def find(self, ref: Ref) -> Object | None:
        """Return the object as it truly is, or None."""
        return self._objects.get(ref)

    def configuration(self, namespace: str) -> Callable[[Resource, str], Object | None]:
        """Return what finds the configuration of a namespace by kind and name."""
        return lambda resource, name: self._objects.get(Ref(resource, namespace, name))

    def select(self, resource: Resource, namespace: str | None = None) -> list[Object]:
        """Return the objects of a type, sorted by namespace and name."""
        shown = self.shown[resource]() if resource in self.shown else ()
        return [obj for _, obj in self.items(resource, namespace)] + [
            obj for obj in shown if namespace in (None, obj["metadata"]["namespace"])
        ]

    def items(self, resource: Resource, namespace: str | None = None) -> Iterator[tuple[Ref, Object]]:
        """Yield reference and object of a type, sorted."""
        for ref in sorted(ref for ref in self._objects if ref.resource == resource):
            if namespace in (None, ref.namespace):
                yield ref, self._objects[ref]

    def everything(self) -> list[tuple[Ref, Object]]:
        """Return all objects with their references, sorted."""
        return sorted(self._objects.items(), key=lambda item: item[0])

    def create(
        self, ref: Ref, body: Object, *, writer: str, operation: str = "Update", dry_run: bool = False
    ) -> Object:
        """Store a new object and return it as stored."""
        if ref in self._objects:
            raise Conflict(f'{ref.resource.plural} "{ref.name}" already exists')
        obj = {key: value for key, value in body.items() if key != "status"}
        if ref.resource not in WITH_STATUS and "status" in body:
            obj["status"] = body["status"]
        obj = self._shaped(ref, None, obj)
        self._uids += 0 if dry_run else 1
        obj["metadata"]["uid"] = f"00000000-0000-4000-8000-{self._uids:012d}"
        obj["metadata"]["creationTimestamp"] = self.stamp()
        if ref.resource in WITH_STATUS:
            obj["metadata"]["generation"] = 1
        fields = owned(ref.resource, None, obj, writer, operation=operation, subresource="", sent=body)
        obj["metadata"]["managedFields"] = fields
        if dry_run:
            return obj
        return self._store("create", ref, None, obj, writer)

    def patch(
        self,
        ref: Ref,
        body: Mapping[str, Any],
        *,
        writer: str,
        resource_version: str | None = None,
        subresource: str = "",
    ) -> Object:
        """Merge-patch an object or its status and return it as stored."""
        before = self._at(ref, resource_version, None)
        if subresource and ref.resource not in WITH_STATUS:
            raise NotFound(f"{ref} has no subresource {subresource}")
        merged = apply_merge_patch(before, body)
        after = self._after_patch(ref, before, merged, subresource)
        fields = owned(ref.resource, before, after, writer, operation="Update", subresource=subresource)
        after["metadata"]["managedFields"] = fields
        if after == before:
            return before
        if "deletionTimestamp" in after["metadata"] and not after["metadata"].get("finalizers"):
            del self._objects[ref]
            self._emit("delete", ref, before, None, writer, subresource, resource_version)
            return after
        return self._store("patch", ref, before, after, writer, subresource, resource_version)

    def _after_patch(self, ref: Ref, before: Object, merged: dict[str, Any], subresource: str) -> dict[str, Any]:
        if subresource:
            return {**before, "status": merged.get("status", {}), "metadata": dict(before["metadata"])}
        if ref.resource in WITH_STATUS:
            merged.pop("status", None)
            if "status" in before:
                merged["status"] = before["status"]
        after = self._shaped(ref, before, merged)
        if ref.resource in WITH_STATUS and _content(ref, before) != _content(ref, after):
            after["metadata"]["generation"] = before["metadata"]["generation"] + 1
        return after

    def delete(self, ref: Ref, *, writer: str, uid: str | None = None, resource_version: str | None = None) -> None:
        """Remove an object."""
        before = self._at(ref, resource_version, uid)
        if before["metadata"].get("finalizers"):
            if "deletionTimestamp" not in before["metadata"]:
                held = {**before, "metadata": {**before["metadata"], "deletionTimestamp": self.stamp()}}
                self._store("patch", ref, before, held, writer, "", resource_version)
            return
        del self._objects[ref]
        self._emit("delete", ref, before, None, writer, "", resource_version, uid)

    def _at(self, ref: Ref, resource_version: str | None, uid: str | None) -> Object:
        found = self._objects.get(ref)
        if found is None:
            raise NotFound(f'{ref.resource.plural} "{ref.name}" not found')
        if uid is not None and found["metadata"]["uid"] != uid:
            raise Conflict(f"{ref}: the UID in the precondition ({uid}) does not match")
        if resource_version is not None and found["metadata"]["resourceVersion"] != resource_version:
            raise Conflict(f"{ref}: the object has been modified; it is not at {resource_version}")
        return found

    def _shaped(self, ref: Ref, before: Object | None, obj: dict[str, Any]) -> dict[str, Any]:
        """Return an object with server-side metadata and defaults, or refuse it."""
        metadata = {key: value for key, value in (obj.get("metadata") or {}).items() if value is not None}
        kept = dict((before or {}).get("metadata") or {})
        for key in SERVER_KEYS:
            metadata.pop(key, None)
            if key in kept:
                metadata[key] = kept[key]
        metadata.setdefault("name", ref.name)
        if (metadata["name"], metadata.get("namespace", ref.namespace)) != (ref.name, ref.namespace):
            raise Refused(f"{ref}: the name of the object does not match the name on the URL")
        metadata["namespace"] = ref.namespace
        shaped = {**obj, "apiVersion": ref.resource.api_version, "kind": ref.resource.kind}
        shaped = defaulted(ref, {**shaped, "metadata": metadata})
        validate(ref, before, shaped)
        return shaped

    def stamp(self) -> str:
        """Return the present time as API objects write it."""
        at = datetime.fromtimestamp(self._epoch + int(self._now()), UTC)
        return at.strftime("%Y-%m-%dT%H:%M:%SZ")

    def _store(
        self,
        verb: Verb,
        ref: Ref,
        before: Object | None,
        after: dict[str, Any],
        writer: str,
        subresource: str = "",
        sent_version: str | None = None,
    ) -> Object:
        after["metadata"] = {**after["metadata"], "resourceVersion": str(self._version + 1)}
        self._objects[ref] = after
        self._emit(verb, ref, before, after, writer, subresource, sent_version)
        return after

    def _emit(
        self,
        verb: Verb,
        ref: Ref,
        before: Object | None,
        after: Object | None,
        writer: str,
        subresource: str,
        sent_version: str | None = None,
        sent_uid: str | None = None,
    ) -> None:
        self._version += 1
        change = Change(
            self._now(),
            writer,
            verb,
            subresource,
            ref,
            before,
            after,
            self._version,
            sent_version,
            sent_uid,
        )
        for watcher in list(self._watchers):
            watcher(change)


def _content(ref: Ref, obj: Object) -> dict[str, Any]:
    """Return what the generation of an object counts the changes of."""
    content = {key: value for key, value in obj.items() if key not in ("metadata", "status")}
    if ref.resource == DEPLOYMENT:
        # Its own controller copies annotations to the ReplicaSet.
        content["annotations"] = obj["metadata"].get("annotations") or {}
    return content
