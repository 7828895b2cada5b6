"""Where the proxies of callers send requests: VirtualService, Service and endpoints resolved to pods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from canary.core.objects import SERVICE, VIRTUAL_SERVICE, Object, Ref
from canary.core.routes.hosts import qualified
from canary.sim.endpoints import Endpoints
from canary.sim.matching import delegated, entries, takes
from canary.sim.pods import Pod
from canary.sim.world import World

Headers = tuple[tuple[str, str], ...]
"""Headers of every request of a caller, by which cohorts are told."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Call a host at a rate; in the mesh through VirtualServices, else straight to the Service."""

    host: str
    namespace: str
    rps: float
    mesh: bool = True
    workload: str = "webapp"
    headers: Headers = ()
    protocol: str = "http"
    """What is counted: requests, or with ``tcp`` connections, a new one each time."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A share of a caller's requests and the pods it may reach."""

    share: float
    host: str
    pods: tuple[Pod, ...] = ()
    problem: str = ""
    """Istio's response flag when there is nowhere to go: NC (no such host) or UH (no endpoint)."""
    copied: bool = False
    """Whether these are mirrored copies, whose answers nobody gets."""


def legs_of(world: World, endpoints: Endpoints, caller: Caller) -> tuple[Leg, ...]:
    """Return where the requests of a caller go by the objects as they are now."""
    route = _route_for(world, caller) if caller.mesh else None
    if route is None:
        return (_leg(world, endpoints, caller.namespace, caller.host, 1.0),)
    namespace, entry = route
    legs = [_leg(world, endpoints, namespace, host, share) for host, share in _shares(entry)]
    if host := (entry.get("mirror") or {}).get("host"):
        share = (entry.get("mirrorPercentage") or {}).get("value", 100) / 100
        legs.append(replace(_leg(world, endpoints, namespace, host, share), copied=True))
    return tuple(legs)


def weights_of(virtual_service: Object) -> list[tuple[str, int]]:
    """Return (host, weight) of the first route that takes every request, without one of the last that leads on."""
    routes = [one for one in entries(virtual_service) if one.get("route") or not one.get("match")]
    found = next((one for one in routes if not one.get("match")), routes[-1] if routes else {})
    return _weights(found.get("route") or ())


def reach_of(virtual_service: Object) -> dict[str, int]:
    """Return the largest share, of any route or of its mirror, by host."""
    reach: dict[str, int] = {}
    for route in entries(virtual_service):
        shares = _weights(route.get("route") or ())
        if host := (route.get("mirror") or {}).get("host"):
            shares.append((host, round((route.get("mirrorPercentage") or {}).get("value", 100))))
        for host, weight in shares:
            reach[host] = max(weight, reach.get(host, 0))
    return reach


def mirrored_to(virtual_service: Object, host: str) -> int:
    """Return the largest percentage of requests that any route copies to a Service."""
    copied = (route for route in entries(virtual_service) if route.get("mirror"))
    ours = (one for one in copied if str(one["mirror"].get("host")).partition(".")[0] == host)
    return max((round((one.get("mirrorPercentage") or {}).get("value", 100)) for one in ours), default=0)


def _weights(legs: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    if len(legs) == 1:
        return [(legs[0]["destination"]["host"], legs[0].get("weight", 100) or 100)]
    sums: dict[str, int] = {}
    for leg in legs:
        host = leg["destination"]["host"]
        sums[host] = sums.get(host, 0) + leg.get("weight", 0)
    return list(sums.items())


def _route_for(world: World, caller: Caller) -> tuple[str, Mapping[str, Any]] | None:
    asked = qualified(caller.host, caller.namespace)
    for ref, found in world.items(VIRTUAL_SERVICE):
        spec = found.get("spec") or {}
        hosts = {qualified(host, ref.namespace) for host in spec.get("hosts") or ()}
        if asked not in hosts or "mesh" not in (spec.get("gateways") or ["mesh"]) or not _shown(ref, found, caller):
            continue
        handed_on = delegated(found, ref.namespace, lambda place, name: world.find(Ref(VIRTUAL_SERVICE, place, name)))
        takes = ((place, one) for place, one in handed_on if takes_caller(one, caller))
        return next(takes, (ref.namespace, {}))
    return None


def _shown(ref: Ref, route: Object, caller: Caller) -> bool:
    """Return whether proxies of a caller's namespace are told of a VirtualService."""
    exported = (route.get("spec") or {}).get("exportTo") or ["*"]
    return not {"*", caller.namespace}.isdisjoint(ref.namespace if one == "." else one for one in exported)


def takes_caller(entry: Mapping[str, Any], caller: Caller) -> bool:
    """Return whether an http route takes a caller's requests."""
    return takes(entry, dict(caller.headers), {"app": caller.workload})


def _shares(entry: Mapping[str, Any]) -> list[tuple[str, float]]:
    weights = _weights(entry.get("route") or ())
    total = sum(weight for _, weight in weights)
    # A route without weight is refused by Istio's webhook; proxies keep what they had, we route nowhere.
    if total <= 0:
        return [("no-route", 1.0)]
    return [(host, weight / total) for host, weight in weights if weight]


def service_at(host: str, namespace: str) -> Ref:
    """Return the Service that a host means in a VirtualService of a namespace."""
    parts = host.split(".")
    return Ref(SERVICE, parts[1] if len(parts) > 1 else namespace, parts[0])


def _leg(world: World, endpoints: Endpoints, namespace: str, host: str, share: float) -> Leg:
    where = service_at(host, namespace)
    service = world.find(where)
    if service is None:
        return Leg(share, where.name, problem="NC")
    reached = endpoints.of(where)
    return Leg(share, where.name, reached, "" if reached else "UH")
