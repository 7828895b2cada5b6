"""Requests that do not pass the route: they are not split, and the analysis judges fewer than it seems."""

from __future__ import annotations

from collections.abc import Sequence

from canary.api.warnings import Caution
from canary.core.mentions import (
    MESH,
    destinations,
    gateways_of,
    is_delegate,
    route_gateways,
    route_hosts,
    wanted_gateways,
    wanted_hosts,
)
from canary.core.names import ROOT_NAMESPACE, is_ours
from canary.core.objects import VIRTUAL_SERVICE, Object, ref_of
from canary.core.routes.choice import routes_host
from canary.core.routes.hosts import qualified_hosts
from canary.core.view import View
from canary.core.warnings.wording import listed, named


def gateway_missing(view: View) -> Caution | None:
    """Find a Gateway that the route names and nobody made (R-GW-2)."""
    absent = view.snapshot.surroundings.absent_gateways
    if not absent:
        return None
    are, it = ("do", "them") if len(absent) > 1 else ("does", "it")
    return Caution(
        "GatewayMissing",
        f"Gateway {listed(absent)}, named in {_place(view, 'gateways')}, {are} not exist: no request comes in there; "
        f"create {it}, or correct the name",
    )


def gateway_not_routed(view: View) -> Caution | None:
    """Find cohorts that ask for a Gateway at which the route does not hold: Istio takes it and never heeds it."""
    route, spec, place = view.snapshot.route, view.snapshot.spec, view.snapshot.names.route_ref.namespace
    if spec is None or _is_delegate(view):
        return None
    ours = route is None or is_ours(route)
    held = gateways_of(spec.service.route_gateways, place) if ours else _gateways(view)
    for number, cohort in enumerate(view.plan.last.routing.cohorts, 1):
        asked = frozenset().union(*(gateways_of(one["gateways"], place) for one in cohort if one.get("gateways")))
        if absent := sorted(asked - held):
            it, them = ("them", "conditions") if len(absent) > 1 else ("it", "condition")
            return Caution(
                "GatewayNotRouted",
                f"cohort {number} of the plan asks for gateway {listed(absent)}, while {_place(view, 'gateways')} has "
                f"{listed(sorted(held))} alone: no request of the cohort comes in there; add {it} there, or correct "
                f"the {them}",
            )
    return None


def host_routed_twice(view: View) -> Caution | None:
    """Find VirtualServices for one of the route's hosts at one of its gateways, which may take the requests."""
    found = [one for one in _others(view) if _competes(one, view)]
    if not found:
        return None
    shared = sorted(_hosts(view) & frozenset().union(*map(route_hosts, found)))
    kind = VIRTUAL_SERVICE.kind
    return Caution(
        "HostRoutedTwice",
        f"{named(found, kind)} {'route' if len(found) > 1 else 'routes'} host {listed(shared)} too: requests that "
        f"follow it are not split; move its routes into {kind} {view.snapshot.route_label} and delete it",
    )


def route_bypassed(view: View) -> Caution | None:
    """Find VirtualServices that send requests straight to the apex (R-DARK-4)."""
    names = view.snapshot.names
    apex = qualified_hosts(names)["apex"]
    found = [one for one in _others(view) if apex in destinations(one) and not _competes(one, view)]
    if not found:
        return None
    gateways = sorted(frozenset().union(*(route_gateways(one) for one in found)))
    return Caution(
        "RouteBypassed",
        f"{named(found, VIRTUAL_SERVICE.kind)} at gateway {listed(gateways)} {_verb(found, 'send')} requests straight "
        f"to Service {names.apex}: none of them is split or reaches the canary; {_instead(view)}",
    )


def _instead(view: View) -> str:
    """Return what leads requests to the route that pass it by now."""
    ref = view.snapshot.route_ref
    if _is_delegate(view):
        return f"let it delegate to VirtualService {ref.namespace}/{ref.name} instead"
    hosts, gateways = _place(view, "hosts"), _place(view, "gateways")
    return f"give {gateways} and {hosts} its gateway and hosts, and take the route out of it"


def route_hidden(view: View) -> Caution | None:
    """Find a route of another namespace that callers of the Canary's are not told of."""
    route, here = view.snapshot.route, view.snapshot.names.namespace
    if route is None or not view.snapshot.names.routed_from_elsewhere or _is_delegate(view):
        return None
    shown = (route.get("spec") or {}).get("exportTo") or ["*"]
    if MESH not in route_gateways(route) or {"*", here} & set(shown):
        return None
    return Caution(
        "RouteHidden",
        f"VirtualService {view.snapshot.route_label} is exported to {listed(shown)} alone: requests of pods in "
        f"namespace {here} pass it and are not split; add {here} to its exportTo",
    )


def not_delegated_to(view: View) -> Caution | None:
    """Find a route without hosts that nobody delegates to, so that no request follows it."""
    snapshot, ref, label = view.snapshot, view.snapshot.route_ref, view.snapshot.route_label
    if not _is_delegate(view) or snapshot.roots or not snapshot.all_roots_seen:
        return None
    return Caution(
        "NotDelegatedTo",
        f"VirtualService {label} has no hosts and no other one delegates to it: no request is split or reaches the "
        f"canary; delegate to name {ref.name}, namespace {ref.namespace}, in an http route of the VirtualService that "
        "has the hosts",
    )


def delegate_has_hosts(view: View) -> Caution | None:
    """Find VirtualServices that delegate to a route with hosts, which Istio leaves out."""
    roots = view.snapshot.roots
    if _is_delegate(view) or not roots:
        return None
    route, ref = view.snapshot.route, view.snapshot.route_ref
    ours = route is None or is_ours(route)
    cure = "set spec.service.delegation to true, without hosts and gateways" if ours else "take its hosts out of it"
    return Caution(
        "DelegateHasHosts",
        f"{named(roots, VIRTUAL_SERVICE.kind)} {_verb(roots, 'delegate')} to VirtualService "
        f"{ref.namespace}/{ref.name}, which has hosts: Istio leaves that out, its requests have nowhere to go; {cure}",
    )


def sidecar_hides_host(view: View) -> Caution | None:
    """Find Sidecars that keep the apex from callers of its namespace, or list its sides without it (R-SCOPE-1).

    Of a host that a Sidecar lists Istio adds the destinations of its route by itself.
    """
    hosts = qualified_hosts(view.snapshot.names)
    if _is_delegate(view) and not any(_is_for(one, hosts["apex"]) for one in view.snapshot.roots):
        return None
    found = [one for one in view.snapshot.surroundings.sidecars if _hides(one, view)]
    if not found:
        return None
    wanted = f"{view.snapshot.names.namespace}/{hosts['apex']}"
    return Caution(
        "SidecarHidesHost",
        f"{named(found, 'Sidecar')} {_verb(found, 'list')} egress hosts without {hosts['apex']}: requests of its "
        f"pods reach the Service past the route and are not split; add {wanted} to spec.egress[].hosts",
    )


def _place(view: View, field: str) -> str:
    """Return where a field of the route is written by its user."""
    route = view.snapshot.route
    if route is None or is_ours(route):
        return f"spec.service.{field}"
    return f"{field} of VirtualService {view.snapshot.route_label}"


def _others(view: View) -> list[Object]:
    """Return the VirtualServices beside the Canary's own, but those that are an obstacle."""
    ours, names, hostless = view.snapshot.route_ref, view.snapshot.names, _is_delegate(view)
    found = ((ref_of(VIRTUAL_SERVICE, one), one) for one in view.snapshot.surroundings.routes)
    return [
        one
        for ref, one in found
        if ref != ours and (hostless or ref.namespace != names.namespace or not routes_host(one, names))
    ]


def _is_delegate(view: View) -> bool:
    return is_delegate(view.snapshot.route, view.snapshot.spec)


def _is_for(route: Object, host: str) -> bool:
    """Return whether a VirtualService is asked for a host by sidecars."""
    return host in route_hosts(route) and MESH in route_gateways(route)


def _competes(route: Object, view: View) -> bool:
    return bool(route_hosts(route) & _hosts(view) and route_gateways(route) & _gateways(view))


def _hosts(view: View) -> frozenset[str]:
    snapshot = view.snapshot
    return wanted_hosts(snapshot.route, snapshot.spec, snapshot.names.namespace)


def _gateways(view: View) -> frozenset[str]:
    snapshot = view.snapshot
    return wanted_gateways(snapshot.route, snapshot.spec, snapshot.names.namespace)


def _hides(sidecar: Object, view: View) -> bool:
    spec, place = sidecar.get("spec") or {}, sidecar["metadata"]["namespace"]
    hosts, here = qualified_hosts(view.snapshot.names), view.snapshot.names.namespace
    lists = [str(entry) for listener in spec.get("egress") or () for entry in listener.get("hosts") or ()]
    if not lists:
        return False
    callers = here if place == ROOT_NAMESPACE else place
    shown = {side for side, host in hosts.items() if any(_takes_in(one, host, here, callers) for one in lists)}
    if "apex" in shown:
        return False
    return bool(shown) or (not spec.get("workloadSelector") and _holds_for_the_namespace(place, view))


def _holds_for_the_namespace(place: str, view: View) -> bool:
    """Return whether a Sidecar without selector is the one that holds where the Service lives."""
    here = view.snapshot.names.namespace
    others = (one for one in view.snapshot.surroundings.sidecars if one["metadata"]["namespace"] == here)
    own = any(not (one.get("spec") or {}).get("workloadSelector") for one in others)
    return place == here or (place == ROOT_NAMESPACE and not own)


def _takes_in(entry: str, host: str, namespace: str, callers: str) -> bool:
    """Return whether an entry of a Sidecar's list, for callers of a namespace, takes in a host of another one."""
    where, _, pattern = entry.partition("/")
    there = where == "*" or (callers if where == "." else where) == namespace
    return there and (pattern in ("*", host) or (pattern.startswith("*.") and host.endswith(pattern[1:])))


def _verb(found: Sequence[Object], verb: str) -> str:
    return verb if len(found) > 1 else f"{verb}s"
