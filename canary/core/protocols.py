"""How Istio tells the protocol of a Service's port: by appProtocol, else by what its name begins with."""

from __future__ import annotations

from canary.core.objects import Object

PROTOCOLS = ("http", "http2", "https", "grpc", "grpc-web", "tcp", "tls", "mongo", "mysql", "redis", "udp")


OPAQUE = ("https", "tcp", "tls", "mongo", "mysql", "redis", "udp", "kubernetes.io/wss")
"""Those in which Istio sees no requests, but connections."""


def opaque_protocol(port: Object) -> str | None:
    """Return the protocol of a Service's port when Istio sees no requests in it; None for any other."""
    told = str(port.get("appProtocol") or port.get("name") or "").lower()
    return next((one for one in (told, told.split("-")[0]) if one in OPAQUE), None)


def tells_protocol(port: Object) -> bool:
    """Return whether a Service's port says its protocol."""
    return bool(port.get("appProtocol")) or is_prefixed(str(port.get("name") or ""))


def is_prefixed(name: str) -> bool:
    """Return whether a port's name is a protocol, or begins with one and a dash."""
    return name in PROTOCOLS or name.split("-")[0] in PROTOCOLS


def prefixed(name: str) -> str:
    """Return a port's name with a protocol before it."""
    return name if is_prefixed(name) else f"http-{name}"
