"""Field ownership (managedFields), reduced to the fields the core looks at."""

from __future__ import annotations

from typing import Any

from canary.core.objects import (
    AUTOSCALER,
    DEPLOYMENT,
    FLAGGER_CANARY,
    NATIVE_CANARY,
    SERVICE,
    VIRTUAL_SERVICE,
    Object,
    Resource,
)

TRACKED: dict[Resource, tuple[tuple[str, ...], ...]] = {
    AUTOSCALER: (("spec", "scaleTargetRef"), ("spec", "minReplicas"), ("spec", "maxReplicas")),
    DEPLOYMENT: (("spec", "replicas"), ("spec", "selector")),
    SERVICE: (("spec", "selector"),),
    VIRTUAL_SERVICE: (("spec", "http"), ("spec", "tls"), ("spec", "tcp")),
    NATIVE_CANARY: (("status", "phase"),),
    FLAGGER_CANARY: (("status", "phase"),),
}


def dig(obj: Any, path: tuple[str, ...]) -> Any:
    """Return the value at a path, or None."""
    for key in path:
        if not isinstance(obj, dict) or key not in obj:
            return None
        obj = obj[key]
    return obj


def owned(
    resource: Resource,
    before: Object | None,
    after: Object,
    manager: str,
    *,
    operation: str,
    subresource: str,
    sent: Object | None = None,
) -> list[dict[str, Any]]:
    """Return the managedFields of `after`: a field belongs to whoever wrote it last.

    As in the API server an Update owns what it changed, values the server filled in included; an
    Apply owns only what it sent.
    """
    entries = [dict(one) for one in ((before or {}).get("metadata") or {}).get("managedFields") or ()]
    taken: list[tuple[str, ...]] = []
    for path in TRACKED.get(resource, ()):
        if dig(before, path) == dig(after, path):
            continue
        for one in entries:
            one["fieldsV1"] = _without(one["fieldsV1"], path)
        filled_in = operation == "Apply" and sent is not None and dig(sent, path) is None
        if dig(after, path) is not None and not filled_in:
            taken.append(path)
    mine = next((one for one in entries if _is(one, manager, operation, subresource)), None)
    if mine is None and taken:
        mine = _entry(resource, manager, operation, subresource)
        entries.append(mine)
    if mine is not None:
        for path in taken:
            mine["fieldsV1"] = _with(mine["fieldsV1"], path)
    return [one for one in entries if one["fieldsV1"]]


def _entry(resource: Resource, manager: str, operation: str, subresource: str) -> dict[str, Any]:
    entry = {
        "apiVersion": resource.api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": {},
        "manager": manager,
        "operation": operation,
    }
    return {**entry, "subresource": subresource} if subresource else entry


def _is(entry: dict[str, Any], manager: str, operation: str, subresource: str) -> bool:
    found = (entry["manager"], entry["operation"], entry.get("subresource", ""))
    return found == (manager, operation, subresource)


def _with(fields: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    key = f"f:{path[0]}"
    inner = fields.get(key, {})
    return {**fields, key: _with(inner, path[1:]) if len(path) > 1 else inner}


def _without(fields: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    key = f"f:{path[0]}"
    if key not in fields:
        return fields
    inner = _without(fields[key], path[1:]) if len(path) > 1 else {}
    rest = {name: value for name, value in fields.items() if name != key}
    return {**rest, key: inner} if inner else rest
