"""The Services and routes of a Rollout as `spec.service` of a Canary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canary.cli.rollouts.reading import Reading

Services = Mapping[tuple[str, str], Mapping[str, Any]]
_ROUTING = "spec.strategy.canary.trafficRouting"
_SERVICES = {"canary": ("stableService", "canaryService"), "blueGreen": ("activeService", "previewService")}


def service_spec(reading: Reading, kind: str, strategy: Mapping[str, Any], services: Services) -> dict[str, Any]:
    """Return the Service that callers name, with its port and its VirtualService."""
    content = reading.document.content
    path, (main, other) = f"spec.strategy.{kind}", _SERVICES[kind]
    name = str(strategy.get(main) or content["metadata"]["name"])
    if main in strategy:
        made = f"it becomes the Service that callers name, beside {name}-primary and {name}-canary, which are made"
        reading.warn(f"{path}.{main}", f"is {name}: {made}")
    else:
        reading.warn(path, f"has no {main}: Service {name} is taken for the one that callers name, see spec.service")
    if other in strategy:
        told = f"leads to the pods of a release no more: take {name}-canary, and delete it"
        reading.warn(f"{path}.{other}", f"is {strategy[other]}: it {told}")
    service = {"name": name, **_port(reading, name, services)}
    routing = reading.mapping(_ROUTING, strategy.get("trafficRouting"))
    if kind == "canary":
        if not routing and strategy.get("steps"):
            told = "has no trafficRouting: weights are shares of requests here, and no more of pods; it takes Istio"
            reading.warn(path, told)
        service |= _route(reading, routing, str(strategy.get(other) or ""))
    return service


def _port(reading: Reading, name: str, services: Services) -> dict[str, Any]:
    """Return the port of the Service in the files, else of the first container that has one."""
    content = reading.document.content
    found = services.get((str(content["metadata"].get("namespace", "")), name))
    ports = _listed(found, "spec", "ports")
    if ports:
        if len(ports) > 1:
            told = f"Service {name} has {len(ports)} ports, and one is routed: {ports[0].get('port')}"
            reading.refuse("spec.strategy", f"is for all ports of a Service; {told}")
        names = {"port": "port", "targetPort": "targetPort", "portName": "name", "appProtocol": "appProtocol"}
        return {ours: ports[0][theirs] for ours, theirs in names.items() if theirs in ports[0]}
    pods = _listed(content, "spec", "template", "spec", "containers")
    listed = [port.get("containerPort") for one in pods for port in _listed(one, "ports")]
    port = {"port": 80, "targetPort": listed[0]} if listed else {"port": 80}
    told = f"does not say the port, and Service {name} is in none of the files: 80 is taken for it, see spec.service"
    reading.warn("spec.strategy", told)
    return port


def _listed(value: object, *path: str) -> list[Mapping[str, Any]]:
    """Return the objects listed at a path, none when something else is there."""
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _route(reading: Reading, routing: Mapping[str, Any], canary: str) -> dict[str, Any]:
    """Return the VirtualService to share out."""
    reading.tell_rest(_ROUTING, routing, ("istio", "managedRoutes", "maxTrafficWeight"), {})
    if routing.get("maxTrafficWeight", 100) != 100:
        told = "weights are percentages here; write them so in the Canary"
        reading.refuse(f"{_ROUTING}.maxTrafficWeight", f"is {routing['maxTrafficWeight']}: {told}")
    at = f"{_ROUTING}.istio"
    istio = reading.mapping(at, routing.get("istio"))
    subsets = "primary and canary have Services and DestinationRules of their own, no subsets"
    reading.tell_rest(at, istio, ("virtualService", "virtualServices"), {"destinationRule": subsets})
    one = reading.mapping(f"{at}.virtualService", istio.get("virtualService"))
    routes = [(f"{at}.virtualService", one)] if one else []
    routes += reading.entries(f"{at}.virtualServices", istio.get("virtualServices"))
    for path, extra in routes[1:]:
        reading.refuse(path, f"is {extra.get('name')}: one VirtualService is shared out, have it delegate to that one")
    return _shared(reading, *routes[0], canary) if routes else {}


def _shared(reading: Reading, path: str, route: Mapping[str, Any], canary: str) -> dict[str, Any]:
    told = {
        "routes": "every route that leads to the Service is shared out",
        "tlsRoutes": "every TLS route that leads to the Service is shared out, see your-routes.md",
        "tcpRoutes": "every TCP route that leads to the Service is shared out, with service.appProtocol: tcp",
    }
    reading.tell_rest(path, route, ("name",), told)
    name, _, namespace = str(route.get("name")).partition(".")
    left = f"its destination {canary} without a weight on the other" if canary else "one of its two destinations"
    reading.warn(f"{path}.name", f"is {name}, which is shared out where it is: take out {left} first")
    return {"virtualService": {"name": name} | ({"namespace": namespace} if namespace else {})}
