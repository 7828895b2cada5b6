"""Which hosts and Gateways an object names: how objects of any namespace are found without a search."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from pydantic import ValidationError

from canary.api.canary import CanarySpec
from canary.api.hooks import Alert
from canary.core.endpoints import service_host
from canary.core.names import ROLE_LABEL, named_route
from canary.core.objects import (
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    FLAGGER_CANARY,
    NATIVE_CANARY,
    SERVICE,
    SIDECAR,
    VIRTUAL_SERVICE,
    CanaryKey,
    Object,
    Ref,
    Resource,
    provider_ref,
    template_ref,
)
from canary.core.routes.hosts import qualified

MESH = "mesh"
"""The gateway that stands for all sidecars."""

DELEGATE = "delegate:"
"""What the name of a VirtualService is told by among hosts and Gateways."""

NAMED = "named:"
"""What the VirtualService that a Canary names is told by."""

ASKED = "asked:"
"""What the MetricTemplates and AlertProviders that a Canary names are told by."""

POINTED, SELECTED = "pointed:", "selected:"
"""What targets and apexes of Canaries are told by, and labels that Services select."""

NO_HOST = (NAMED, ASKED, POINTED, SELECTED)


def mentions(resource: Resource, obj: Object) -> frozenset[str]:
    """Return the qualified hosts an object names, and the Gateways as ``namespace/name``.

    Of a VirtualService its hosts, gateways, destinations and delegates, of a DestinationRule its host, of a
    Sidecar the hosts it lists, of an EndpointSlice its Service's, of a Canary its target and apex, and the
    VirtualService, MetricTemplates and AlertProviders that it names, of a Service one of the labels that it
    selects, which all that it selects have; of other types nothing.
    """
    if resource == VIRTUAL_SERVICE:
        return route_hosts(obj) | destinations(obj) | delegates(obj) | route_gateways(obj) - {MESH}
    if resource in (NATIVE_CANARY, FLAGGER_CANARY):
        named = named_route(obj)
        asked = frozenset(map(asked_by, (*named_templates(resource, obj), *named_providers(resource, obj))))
        return asked | ({named_by(named)} if named is not None else frozenset()) | _points(obj)
    if resource == SERVICE:
        return _selected(obj)
    if resource == DESTINATION_RULE:
        return frozenset({rule_host(obj)})
    if resource == ENDPOINT_SLICE:
        return frozenset({service_host(obj)} - {""})
    return frozenset(listed_hosts(obj)) if resource == SIDECAR else frozenset()


def named_by(route: Ref) -> str:
    """Return how a VirtualService is mentioned by the Canaries that name it."""
    return f"{NAMED}{route.namespace}/{route.name}"


def asked_by(ref: Ref) -> str:
    """Return how a MetricTemplate or an AlertProvider is mentioned by the Canaries that name it."""
    return f"{ASKED}{ref.resource.plural}/{ref.namespace}/{ref.name}"


def pointed_by(namespace: str, name: str) -> str:
    """Return how a target or apex is mentioned by the Canaries that point at it."""
    return f"{POINTED}{namespace}/{name}"


def selected_by(namespace: str, label: str, value: str) -> str:
    """Return how a label is mentioned by Services that select it."""
    return f"{SELECTED}{namespace}/{label}={value}"


def points_at(canary: Object) -> tuple[str, str]:
    """Return the names of a Canary's target and apex, empty where its spec cannot be read."""
    spec = canary.get("spec") or {}
    target, apex = (spec.get(field) for field in ("targetRef", "service"))
    name = str((target.get("name") if isinstance(target, Mapping) else "") or "")
    return name, str((apex.get("name") if isinstance(apex, Mapping) else "") or name)


def _points(canary: Object) -> frozenset[str]:
    namespace = canary["metadata"].get("namespace", "")
    return frozenset(pointed_by(namespace, name) for name in points_at(canary) if name)


def _selected(service: Object) -> frozenset[str]:
    selector = (service.get("spec") or {}).get("selector")
    if not selector:
        return frozenset()
    label = min(selector, key=_tells_little)
    return frozenset({selected_by(service["metadata"].get("namespace", ""), label, str(selector[label]))})


def _tells_little(label: str) -> tuple[bool, str]:
    """Return an order of labels in which those come last that half of all pods have."""
    return label == ROLE_LABEL, label


def named_templates(resource: Resource, canary: Object) -> Iterator[Ref]:
    """Yield the MetricTemplates that a Canary names, whether its spec can be used or not."""
    metadata, analysis = canary["metadata"], (canary.get("spec") or {}).get("analysis")
    metrics = analysis.get("metrics") if isinstance(analysis, Mapping) else None
    key = CanaryKey(resource.group, metadata.get("namespace", ""), metadata["name"])
    for metric in metrics if isinstance(metrics, list | tuple) else ():
        named = metric.get("templateRef") if isinstance(metric, Mapping) else None
        if isinstance(named, Mapping) and named.get("name"):
            yield template_ref(key, named.get("namespace"), str(named["name"]))


def alerts_of(canary: Object) -> Iterator[Alert]:
    """Yield the alerts that a Canary asks for, also while the rest of its spec cannot be used."""
    analysis = (canary.get("spec") or {}).get("analysis")
    alerts = analysis.get("alerts") if isinstance(analysis, Mapping) else None
    for one in alerts if isinstance(alerts, list | tuple) else ():
        with suppress(ValidationError):
            yield Alert.model_validate(one)


def named_providers(resource: Resource, canary: Object) -> Iterator[Ref]:
    """Yield the AlertProviders that a Canary names."""
    metadata = canary["metadata"]
    key = CanaryKey(resource.group, metadata.get("namespace", ""), metadata["name"])
    for one in alerts_of(canary):
        yield provider_ref(key, one.provider_ref.namespace, one.provider_ref.name)


def rule_host(rule: Object) -> str:
    """Return the host that a DestinationRule speaks of."""
    return qualified(str((rule.get("spec") or {}).get("host") or ""), rule["metadata"].get("namespace", ""))


def route_hosts(route: Object) -> frozenset[str]:
    """Return the hosts that a VirtualService is asked for."""
    return _qualified((route.get("spec") or {}).get("hosts"), route)


def route_gateways(route: Object) -> frozenset[str]:
    """Return the gateways at which a VirtualService holds."""
    return gateways_of((route.get("spec") or {}).get("gateways"), route["metadata"].get("namespace", ""))


def wanted_hosts(route: Object | None, spec: CanarySpec | None, namespace: str) -> frozenset[str]:
    """Return the qualified hosts of a Canary's route, as it is or as it will be made."""
    if route is not None:
        return route_hosts(route)
    return frozenset(qualified(host, namespace) for host in (spec.hosts if spec else ()))


def wanted_gateways(route: Object | None, spec: CanarySpec | None, namespace: str) -> frozenset[str]:
    """Return the gateways of a Canary's route, as it is or as it will be made."""
    if route is not None:
        return route_gateways(route)
    return gateways_of(spec.service.route_gateways if spec else (), namespace)


def destinations(route: Object) -> frozenset[str]:
    """Return the hosts that a VirtualService sends requests or connections to."""
    spec = route.get("spec") or {}
    entries = (one for kind in ("http", "tls", "tcp") for one in spec.get(kind) or ())
    targets = (one.get("destination") or {} for entry in entries for one in entry.get("route") or ())
    return _qualified((one.get("host") for one in targets), route)


def delegates(route: Object) -> frozenset[str]:
    """Return the VirtualServices that one hands requests on to, as ``delegate:namespace/name``."""
    entries = (route.get("spec") or {}).get("http") or ()
    return frozenset(found for one in entries if (found := delegate_of(one, route["metadata"].get("namespace", ""))))


def delegate_of(entry: Mapping[str, Any], namespace: str) -> str:
    """Return the VirtualService an http route hands its requests on to, as ``delegate:namespace/name``; "" for none."""
    delegate = entry.get("delegate") or {}
    return delegate_name(delegate.get("namespace") or namespace, str(delegate["name"])) if delegate.get("name") else ""


def delegate_name(namespace: str, name: str) -> str:
    """Return how a VirtualService is mentioned by those that delegate to it."""
    return f"{DELEGATE}{namespace}/{name}"


def is_delegate(route: Object | None, spec: CanarySpec | None) -> bool:
    """Return whether a Canary's route has, or will have, no hosts: requests come by others that delegate to it."""
    hosts = (route.get("spec") or {}).get("hosts") if route is not None else spec.hosts if spec is not None else True
    return not hosts


def gateways_of(names: Iterable[str] | None, namespace: str) -> frozenset[str]:
    """Return gateways as ``namespace/name``, as named in an object of a namespace; without any, the mesh."""
    return frozenset(_gateway(one, namespace) for one in names or (MESH,))


def _gateway(name: str, namespace: str) -> str:
    if name == MESH:
        return name
    place, slash, rest = name.partition("/")
    if slash:
        return f"{namespace}/{rest}" if place == "." else name
    # The form of old: a name with its domain.
    short, dot, domain = name.partition(".")
    return f"{domain.partition('.')[0]}/{short}" if dot else f"{namespace}/{name}"


def listed_hosts(sidecar: Object) -> Iterator[str]:
    """Yield the hosts in the egress lists of a Sidecar, without the namespaces before them."""
    for listener in (sidecar.get("spec") or {}).get("egress") or ():
        for entry in listener.get("hosts") or ():
            yield str(entry).partition("/")[2]


def _qualified(hosts: Iterable[object] | None, obj: Object) -> frozenset[str]:
    namespace = obj["metadata"].get("namespace", "")
    return frozenset(qualified(str(host), namespace) for host in hosts or () if host)
