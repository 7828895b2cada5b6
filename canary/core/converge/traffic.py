"""Actions on the route and the apex Service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from canary.api.status import Phase
from canary.core.actions import Action, Create, Patch
from canary.core.advance.run import run_id
from canary.core.converge.objects import make_service, service_patch
from canary.core.converge.ports import wanted_ports
from canary.core.converge.wanted import wanted_apex_role, wanted_routing
from canary.core.names import CHANGED, OWNER, ROLE_LABEL, ROLLED_BACK, Role, is_ours
from canary.core.objects import Object, Ref, annotations_of, merge_patch
from canary.core.routes.istio import make_route, rewrite_route
from canary.core.routes.marks import roll_back_mark
from canary.core.routes.routing import TO_PRIMARY, Routing, Weights
from canary.core.view import View


def traffic_actions(view: View) -> tuple[Action, ...]:
    """Return the writes that move traffic, in the order that keeps every caller served.

    Towards the canary the route goes first; back to the primary the apex Service does.
    """
    routing = wanted_routing(view)
    role = wanted_apex_role(view, routing)
    route = _route_actions(view, routing)
    apex = _apex_actions(view, role)
    back = view.status.phase is Phase.FINALISING and routing == TO_PRIMARY
    return (*apex, *route) if back else (*route, *apex)


def urgent_actions(view: View, traffic: tuple[Action, ...]) -> tuple[Action, ...]:
    """Return those of the traffic writes that take callers off the canary to protect users (I22)."""
    wanted, phase = wanted_routing(view), view.status.phase
    ordinary = phase is Phase.FINALISING or (phase is Phase.PROMOTING and view.in_place)
    if ordinary and not view.canary_lost:
        return ()
    if _takes_off(wanted, view.weights):
        return traffic
    # A selector without role, or with the canary's, gives callers without sidecar code that was not judged.
    strays = view.apex_role in ("", "canary") and wanted_apex_role(view, wanted) == "primary"
    if phase is Phase.INITIALIZING or not (strays and view.canary_has_pods):
        return ()
    return tuple(a for a in traffic if a.ref == view.snapshot.names.apex_ref)


def _takes_off(wanted: Routing | None, shown: Weights | None) -> bool:
    """Return whether a routing gives the canary less than the routes show, and nothing more."""
    if wanted is None or shown is None or wanted.canary == 100:
        return False
    pairs = (
        (wanted.canary, shown.canary),
        (wanted.mirror, shown.mirror),
        (len(wanted.cohorts), shown.cohorts),
        (wanted.sticky, shown.sticky),
    )
    return any(less < more for less, more in pairs) and all(less <= more for less, more in pairs)


def _route_actions(view: View, routing: Routing | None) -> tuple[Action, ...]:
    snapshot, names = view.snapshot, view.snapshot.names
    if routing is None or view.puts_off("route"):
        return ()
    if routing.canary == 100:
        # The write that moves everybody to the canary ends their cookies too.
        routing = replace(routing, sessions=view.sessions)
    if snapshot.route is None:
        if snapshot.spec is None or names.named is not None:
            return ()
        body = make_route(snapshot.spec, names, snapshot.owner, routing)
        return (Create(names.route_ref, body, f"route {routing.weights.label}"),)
    shown = annotations_of(snapshot.route)
    mark = shown.get(ROLLED_BACK)
    if routing.weights != view.weights:
        mark = _mark(view) if view.status.phase is Phase.FAILED else None
    wanted = rewrite_route(snapshot.route, snapshot.spec, names, routing, mark)
    wanted["metadata"]["annotations"][OWNER] = snapshot.owner.to_text()
    present = {"metadata": {"annotations": shown}, "spec": snapshot.route.get("spec") or {}}
    patch = merge_patch(present, wanted)
    if not patch:
        return ()
    version = snapshot.route["metadata"]["resourceVersion"]
    return (Patch(snapshot.route_ref, patch, version, f"route {routing.weights.label}"),)


def _mark(view: View) -> str:
    status = view.status
    condition = status.condition("Progressing")
    reason = condition.reason if condition else "RolledBack"
    prefix = f"Rolled back revision {status.revisions.candidate}: "
    message = (status.message or "").removeprefix(prefix)
    return roll_back_mark(status.revisions.candidate or "", run_id(status), reason, message)


def _apex_actions(view: View, role: Role | None) -> tuple[Action, ...]:
    snapshot, names = view.snapshot, view.snapshot.names
    apex = snapshot.apex
    if role is None or view.puts_off("selector"):
        return ()
    if apex is None:
        if snapshot.spec is None:
            return ()
        return (Create(names.apex_ref, make_service(view, names.apex, role), f"apex Service to the {role}"),)
    patch = service_patch(view, apex, role) if is_ours(apex) else _adopt_patch(view, apex, role)
    if not patch:
        return ()
    return (Patch(names.apex_ref, patch, apex["metadata"]["resourceVersion"], f"apex Service to the {role}"),)


def _adopt_patch(view: View, apex: Object, role: Role) -> dict[str, object]:
    """Return the patch that adds our role to the user's Service, and remembers what we changed."""
    patch: dict[str, object] = {}
    if view.apex_role != role:
        patch["spec"] = {"selector": {ROLE_LABEL: role}}
    wanted = {OWNER: view.snapshot.owner.to_text(), CHANGED: json.dumps({"selector": [ROLE_LABEL]})}
    shown = annotations_of(apex)
    if missing := {k: v for k, v in wanted.items() if shown.get(k) != v}:
        patch["metadata"] = {"annotations": missing}
    return patch


def service_actions(view: View) -> tuple[Action, ...]:
    """Return the writes that keep the two Services of the sides; they exist before any route names them."""
    if view.snapshot.spec is None or not wanted_ports(view):
        return ()
    names, snapshot = view.snapshot.names, view.snapshot
    pairs: tuple[tuple[Role, Object | None], ...] = (
        ("primary", snapshot.primary_service),
        ("canary", snapshot.canary_service),
    )
    return tuple(action for role, one in pairs for action in follow_service(view, names.service(role), one, role))


def follow_service(view: View, ref: Ref, service: Object | None, role: Role) -> Iterator[Action]:
    """Yield the write that makes a Service over the pods of one side, or brings it back to what we wrote."""
    why = f"Service {ref.name} of the {role}"
    if service is None:
        yield Create(ref, make_service(view, ref.name, role), why)
    elif patch := service_patch(view, service, role):
        yield Patch(ref, patch, service["metadata"]["resourceVersion"], why)
