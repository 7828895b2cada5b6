"""Obstacles that lie in VirtualServices: another one for the host, or one that cannot do what the plan asks."""

from __future__ import annotations

from dataclasses import replace

from canary.core.mentions import delegate_name, delegate_of, delegates, is_delegate
from canary.core.names import is_ours
from canary.core.obstacle import Obstacle
from canary.core.routes.choice import refuse_adoption, routes_host
from canary.core.routes.delegation import find_claim, find_root_conflict, in_full
from canary.core.routes.istio import planned_entries, refuse_generated
from canary.core.routes.routing import TO_PRIMARY, Routing
from canary.core.routes.sections import wanted_sections
from canary.core.view import View


def host_taken(view: View) -> Obstacle | None:
    """Find another VirtualService of the namespace that routes the same host."""
    snapshot, names, ours = view.snapshot, view.snapshot.names, view.snapshot.route_ref
    if is_delegate(snapshot.route, snapshot.spec):
        return None
    for route in snapshot.neighbours.routes:
        name = route["metadata"]["name"]
        if name == ours.name or not routes_host(route, names):
            continue
        taken = f"VirtualService {name} routes host {names.apex} too"
        if delegate_name(ours.namespace, ours.name) in delegates(route):
            cure = f"since it delegates to VirtualService {ours.name}, set spec.service.delegation to true"
            return Obstacle("HostTaken", f"{taken}; {cure}, without hosts and gateways")
        return Obstacle("HostTaken", f"{taken}; move its routes into one and delete the other")
    return None


def route_unfit(view: View) -> Obstacle | None:
    """Find routes, the user's or those that spec.service asks for, that cannot be shared out as the plan asks."""
    route, spec, names = view.snapshot.route, view.snapshot.spec, view.snapshot.names
    plan = _planned(view)
    if route is not None and not is_ours(route):
        sections, name = wanted_sections(spec, route), route["metadata"]["name"]
        why = refuse_adoption(route, sections, names, plan)
        return Obstacle("RouteNotAdoptable", f"VirtualService {name} cannot be adopted: {why}") if why else None
    why = refuse_generated(spec, names, plan) if spec is not None else None
    beside = "appProtocol tcp" if spec is not None and spec.service.carries_connections else "spec.analysis"
    return Obstacle("RouteNotPossible", f"spec.service does not fit {beside}: {why}") if why else None


def delegation_unfit(view: View) -> Obstacle | None:
    """Find what would be lost between the VirtualServices that delegate and the routes they delegate to."""
    snapshot, ref, plan = view.snapshot, view.snapshot.route_ref, _planned(view)
    if not is_delegate(snapshot.route, snapshot.spec):
        return None
    entries = [
        in_full(one, ref.namespace) for one in planned_entries(snapshot.route, snapshot.spec, snapshot.names, plan)
    ]
    if claim := find_claim(entries):
        told = f"{claim}, which Istio takes beside gateways alone; name gateways instead of delegation"
        return Obstacle("DelegationUnfit", f"VirtualService {ref.name} has no gateways and {told}")
    name = delegate_name(ref.namespace, ref.name)
    for root in snapshot.roots:
        place = root["metadata"]["namespace"]
        for number, entry in enumerate((root.get("spec") or {}).get("http") or (), 1):
            hands_on = delegate_of(entry, place) == name
            if hands_on and (why := find_root_conflict(in_full(entry, place), entries, plan)):
                label = f"http route {entry.get('name') or number}"
                told = f"VirtualService {place}/{root['metadata']['name']} cannot delegate to {ref.name}: {label} {why}"
                return Obstacle("DelegationUnfit", told)
    return None


def _planned(view: View) -> list[Routing]:
    return [TO_PRIMARY, *(replace(step.routing, sessions=view.sessions) for step in view.plan.steps)]
