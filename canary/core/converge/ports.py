"""The ports of the Services we make: those of the user's apex Service, else those the spec asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from canary.api.service import Service
from canary.core.names import CHANGED, OWNER
from canary.core.objects import Object, annotations_of
from canary.core.protocols import prefixed
from canary.core.view import View

PORT_FIELDS = ("name", "port", "protocol", "targetPort", "appProtocol")
_PROXIES = ("istio-proxy", "envoy")
"""Containers of the mesh, whose ports are not the application's."""


def wanted_ports(view: View) -> list[dict[str, Any]]:
    """Return the ports of the Services we make: the apex's when the user made it, else the spec's."""
    apex, spec = view.snapshot.apex, view.snapshot.spec
    if spec is None:
        return []
    ours = apex is None or (OWNER in annotations_of(apex) and CHANGED not in annotations_of(apex))
    if ours or apex is None:
        return [_named_port(spec.service), *discovered_ports(view, spec.service)]
    ports = (apex.get("spec") or {}).get("ports") or []
    kept = [{k: p[k] for k in PORT_FIELDS if k in p} for p in ports]
    return [{**p, "name": prefixed(p.get("name") or "http")} for p in kept]


def _named_port(service: Service) -> dict[str, Any]:
    port: dict[str, Any] = {
        "name": prefixed(service.port_name),
        "port": service.port,
        "protocol": "TCP",
        "targetPort": service.pod_port,
    }
    if service.app_protocol:
        port["appProtocol"] = service.app_protocol
    return port


def discovered_ports(view: View, service: Service) -> list[dict[str, Any]]:
    """Return the other container ports of all revisions that serve or are about to, by number.

    They have the names of the container ports, for whoever refers to them; one that is taken, or none, is told
    from protocol and number, which no other port has.
    """
    if not service.port_discovery:
        return []
    found: dict[tuple[int, str], str] = {}
    for template in _templates(view):
        for number, protocol, name in _other_ports(template, service):
            found.setdefault((number, protocol), name)
    taken, ports = {prefixed(service.port_name)}, []
    for (number, protocol), name in sorted(found.items()):
        name = name if name and name not in taken else f"{protocol.lower()}-{number}"
        taken.add(name)
        ports.append({"name": name, "port": number, "protocol": protocol, "targetPort": number})
    return ports


def _templates(view: View) -> Iterator[Object]:
    """Yield what production and the candidate run or are to run, so that no port comes late or goes early."""
    yield from (one.template for one in (view.promoted, view.candidate_revision) if one is not None)
    yield from (one.template for one in (view.primary,) if one is not None)


def _other_ports(template: Object, service: Service) -> Iterator[tuple[int, str, str]]:
    """Yield number, protocol and name of the container ports that are neither the mesh's nor the spec's own."""
    for container in template["spec"].get("containers") or ():
        if container.get("name") in _PROXIES:
            continue
        for port in container.get("ports") or ():
            number, protocol = int(port["containerPort"]), str(port.get("protocol") or "TCP")
            served = service.pod_port in (number, port.get("name")) or number == service.port
            if not (served and protocol == "TCP"):
                yield number, protocol, str(port.get("name") or "")
