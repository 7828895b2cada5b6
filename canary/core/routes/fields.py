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


def route_port(spec: CanarySpec) -> dict[str, int] | None:
    """Return the port that every destination of the made route names; None where that of the request holds.

    A Service of several ports is called at each of them from the mesh; at a gateway the port of the request is the
    gateway's own.
    """
    service = spec.service
    named = service.port_discovery and (service.delegation or service.route_gateways[0] != "mesh")
    return {"number": service.port} if named else None


def _wire(model: Any, drop: str = "") -> dict[str, Any] | None:
    if model is None:
        return None
    wire: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    wire.pop(drop, None)
    return wire
