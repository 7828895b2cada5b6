"""Obstacles that lie in VirtualServices: another one for the host, or one that cannot do what the plan asks."""

from __future__ import annotations

from dataclasses import replace

from canary.core.mentions import delegate_name, delegate_of, delegates, is_delegate
from canary.core.names import is_ours, key_of, named_route
from canary.core.objects import VIRTUAL_SERVICE, ref_of
from canary.core.obstacle import Obstacle
from canary.core.routes.choice import is_marked, refuse_adoption, routes_host
from canary.core.routes.delegation import find_claim, find_root_conflict, in_full
from canary.core.routes.istio import planned_entries, refuse_generated
from canary.core.routes.policy import find_rule, find_stray_subset
from canary.core.routes.routing import TO_PRIMARY, Routing
from canary.core.routes.sections import wanted_sections
from canary.core.snapshot import Snapshot
from canary.core.view import View


def virtual_service_unfit(view: View) -> Obstacle | None:
    """Find a VirtualService that the spec names and that cannot be this Canary's."""
    snapshot, canary = view.snapshot, view.snapshot.canary
    named, ref = named_route(canary or {}), snapshot.route_ref
    if canary is None or (named is None and snapshot.names.named is None):
        return None
    label = f"VirtualService {snapshot.route_label}"
    if not snapshot.route_seen:
        return Obstacle("NamespaceNotWatched", out_of_sight(snapshot))
    if named != ref:
        asked = f"names {named.namespace}/{named.name}" if named is not None else "names none"
        told = f"{label} is still shared out for this Canary, but spec.service.virtualService {asked}; name it, or "
        return Obstacle("VirtualServiceChanged", f"{told}delete the Canary until the route is as it was")
    if snapshot.route is None:
        told = f"{label}, named in spec.service.virtualService, not found; create it, or correct the name"
        return Obstacle("VirtualServiceMissing", told)
    if serves_another(snapshot):
        owner = key_of(snapshot.route)
        told = f"{label} is the route of Canary {owner.namespace}/{owner.name}" if owner else label
        return Obstacle("VirtualServiceTaken", f"{told} already; give this Canary a VirtualService of its own")
    return None


def out_of_sight(snapshot: Snapshot) -> str:
    """Say that the route cannot be seen, and what would show it."""
    place = snapshot.route_ref.namespace
    told = f"VirtualService {snapshot.route_label} is in namespace {place}, which this controller does not watch"
    return f"{told}; add {place} to --namespaces, or CANARY_NAMESPACES, and start it again"


def serves_another(snapshot: Snapshot) -> bool:
    """Return whether the route bears the mark of a Canary of another name or namespace."""
    owner, key = key_of(snapshot.route) if snapshot.route is not None else None, snapshot.key
    return owner is not None and (owner.namespace, owner.name) != (key.namespace, key.name)


def host_taken(view: View) -> Obstacle | None:
    """Find another VirtualService of the namespace that routes the same host."""
    snapshot, names, ours = view.snapshot, view.snapshot.names, view.snapshot.route_ref
    label = snapshot.route_label
    if is_delegate(snapshot.route, snapshot.spec):
        return None
    for route in snapshot.neighbours.routes:
        name = route["metadata"]["name"]
        if ref_of(VIRTUAL_SERVICE, route) == ours or not routes_host(route, names):
            continue
        taken = f"VirtualService {name} routes host {names.apex} too"
        if delegate_name(ours.namespace, ours.name) in delegates(route):
            cure = f"since it delegates to VirtualService {label}, set spec.service.delegation to true"
            return Obstacle("HostTaken", f"{taken}; {cure}, without hosts and gateways")
        return Obstacle("HostTaken", f"{taken}; move its routes into one and delete the other")
    return None


def route_unfit(view: View) -> Obstacle | None:
    """Find routes, the user's or those that spec.service asks for, that cannot be shared out as the plan asks."""
    route, spec, names = view.snapshot.route, view.snapshot.spec, view.snapshot.names
    plan = _planned(view)
    if route is not None and not is_ours(route):
        sections, name = wanted_sections(spec, route), view.snapshot.route_label
        why = refuse_adoption(route, sections, names, plan)
        return Obstacle("RouteNotAdoptable", f"VirtualService {name} cannot be adopted: {why}") if why else None
    why = refuse_generated(spec, names, plan) if spec is not None else None
    beside = "appProtocol tcp" if spec is not None and spec.service.carries_connections else "spec.analysis"
    return Obstacle("RouteNotPossible", f"spec.service does not fit {beside}: {why}") if why else None


def subset_of_others(view: View) -> Obstacle | None:
    """Find a user's route to pods beside the target's, whose requests the primary would get."""
    route, target, names = view.snapshot.route, view.target, view.snapshot.names
    if route is None or is_marked(route) or target is None:
        return None
    rule, sections = find_rule(view.snapshot.neighbours.rules, names), wanted_sections(view.snapshot.spec, route)
    if not (why := find_stray_subset(route, rule, sections, names, target.pod_labels)):
        return None
    return Obstacle(
        "RouteNotAdoptable",
        f"VirtualService {view.snapshot.route_label} cannot be adopted: {why}, which those of {view.kind} "
        f"{names.target} do not have; take the subset out, or lead it to a Service of their own",
    )


def delegation_unfit(view: View) -> Obstacle | None:
    """Find what would be lost between the VirtualServices that delegate and the routes they delegate to."""
    snapshot = view.snapshot
    if not is_delegate(snapshot.route, snapshot.spec):
        return None
    ref, plan, label = snapshot.route_ref, _planned(view), snapshot.route_label
    entries = [
        in_full(one, ref.namespace) for one in planned_entries(snapshot.route, snapshot.spec, snapshot.names, plan)
    ]
    if claim := find_claim(entries):
        told = f"{claim}, which Istio takes beside gateways alone; name gateways instead of delegation"
        return Obstacle("DelegationUnfit", f"VirtualService {label} has no gateways and {told}")
    name = delegate_name(ref.namespace, ref.name)
    for root in snapshot.roots:
        place = root["metadata"]["namespace"]
        for number, entry in enumerate((root.get("spec") or {}).get("http") or (), 1):
            hands_on = delegate_of(entry, place) == name
            if hands_on and (why := find_root_conflict(in_full(entry, place), entries, plan)):
                handing = f"http route {entry.get('name') or number}"
                told = f"VirtualService {place}/{root['metadata']['name']} cannot delegate to {label}: {handing} {why}"
                return Obstacle("DelegationUnfit", told)
    return None


def _planned(view: View) -> list[Routing]:
    return [TO_PRIMARY, *(replace(step.routing, sessions=view.sessions) for step in view.plan.steps)]
