"""What a spec puts on every http route made for it."""

from __future__ import annotations

from typing import Any

from canary.api.canary import CanarySpec


def route_fields(spec: CanarySpec) -> dict[str, Any]:
    """Return the http route fields that come from the spec, those named there alone."""
    service = spec.service
    fields = {
        "match": list(service.match) or None,
        "timeout": service.timeout,
        "retries": _wire(service.retries),
        "rewrite": _wire(service.rewrite, drop="type"),
        "headers": service.headers,
        "corsPolicy": service.cors_policy,
        "fault": service.fault.wire if service.fault else None,
    }
    return {name: value for name, value in fields.items() if value}


def _wire(model: Any, drop: str = "") -> dict[str, Any] | None:
    if model is None:
        return None
    wire: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    wire.pop(drop, None)
    return wire
