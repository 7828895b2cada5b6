"""What the caches keep of an object: everything but what would only cost memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from sys import intern
from typing import Any

from canary.core.objects import (
    DEPLOYMENT,
    FLAGGER_CANARY,
    NATIVE_CANARY,
    POD,
    SERVICE,
    VIRTUAL_SERVICE,
    Object,
    Resource,
)
from canary.core.scaler import FIELDS
from canary.core.warnings.injection import INJECTED
from canary.core.workload import LAST_APPLIED, applied_replicas

_OWNED_FIELDS = (
    "f:replicas",
    "f:selector",
    *("f:http", "f:tls", "f:tcp"),
    "f:scaleTargetRef",
    *(f"f:{bound}" for one in FIELDS.values() for bound in (one.lowest, one.highest)),
)
_POD_METADATA = ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp", "labels")
_SCALERS = tuple(one.resource for one in FIELDS.values())

Fields = Callable[[Mapping[str, Any]], dict[str, Any] | None]


def trim(resource: Resource, obj: Object) -> dict[str, Any]:
    """Return an object with last-applied and managedFields reduced to what the core asks for.

    Deployments, Services, VirtualServices and autoscalers keep who owns the fields of their specs that we
    write; Canaries keep who wrote them; other types keep nothing of it.  Autoscalers lose their status, pods
    all metadata that nobody reads.
    The input is not changed.
    """
    metadata = dict(obj["metadata"])
    entries = metadata.pop("managedFields", None) or ()
    if kept := [entry for item in entries if (entry := _entry(resource, item))]:
        metadata["managedFields"] = kept
    annotations = metadata.get("annotations")
    if annotations and LAST_APPLIED in annotations:
        rest = {key: value for key, value in annotations.items() if key != LAST_APPLIED}
        if resource == DEPLOYMENT:
            rest[LAST_APPLIED] = applied_replicas(annotations[LAST_APPLIED])
        metadata["annotations"] = rest
        if not rest:
            del metadata["annotations"]
    if resource == POD:
        metadata = _of_pod(metadata)
    if resource in _SCALERS:
        obj = {key: value for key, value in obj.items() if key != "status"}
    # Items of a list carry neither apiVersion nor kind; events and single answers do.
    return {**obj, "apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata}


def _of_pod(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is read of a pod's metadata: there may be many of them."""
    kept = {name: metadata[name] for name in _POD_METADATA if name in metadata}
    marked = INJECTED in (metadata.get("annotations") or {})
    return {**kept, "annotations": {INJECTED: ""}} if marked else kept


def _entry(resource: Resource, item: Mapping[str, Any]) -> dict[str, Any] | None:
    if resource in (DEPLOYMENT, SERVICE, VIRTUAL_SERVICE, *_SCALERS):
        return _owner(item)
    if resource in (NATIVE_CANARY, FLAGGER_CANARY):
        return _pick(item, "manager", "operation", "subresource")
    return None


def _owner(item: Mapping[str, Any]) -> dict[str, Any] | None:
    spec = (item.get("fieldsV1") or {}).get("f:spec") or {}
    owned = {name: spec[name] for name in _OWNED_FIELDS if name in spec}
    if not owned:
        return None
    return {
        **_pick(item, "manager", "operation", "subresource", "time"),
        "fieldsV1": {"f:spec": owned},
    }


def _pick(item: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: intern(item[name]) for name in names if name in item}
