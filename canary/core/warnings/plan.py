"""What a spec asks for that cannot do what it seems to: steps without requests, retries without time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from canary.api.warnings import Caution
from canary.core.converge.metadata import asked_metadata
from canary.core.converge.ports import discovered_ports
from canary.core.mentions import gateways_of, route_gateways, route_hosts
from canary.core.names import is_ours
from canary.core.objects import annotations_of, labels_of
from canary.core.routes.entries import touched
from canary.core.routes.fields import route_fields
from canary.core.routes.hosts import qualified
from canary.core.view import View
from canary.core.warnings.spec import idle_step, retries_cut_off
from canary.core.warnings.wording import listed


def nothing_to_judge(view: View) -> Caution | None:
    """Find a step that is judged although no request reaches the canary."""
    return idle_step(view.snapshot.spec) if view.snapshot.spec is not None else None


def retries_outlast_timeout(view: View) -> Caution | None:
    """Find retries for which the time-out of the route leaves no time (R-RES-7)."""
    found = (retries_cut_off(label, fields) for label, fields in _retried(view))
    return next((one for one in found if one is not None), None)


def route_fields_unused(view: View) -> Caution | None:
    """Find fields of the spec that a VirtualService of the user's overrules."""
    route, spec = view.snapshot.route, view.snapshot.spec
    if route is None or spec is None or is_ours(route):
        return None
    unused = list(route_fields(spec))
    namespace = view.snapshot.names.namespace
    if not frozenset(qualified(host, namespace) for host in spec.service.hosts) <= route_hosts(route):
        unused.append("hosts")
    asked = gateways_of(spec.service.gateways, namespace)
    written = "gateways" in spec.service.model_fields_set
    if written and not asked <= route_gateways(route):
        unused.append("gateways")
    if spec.service.delegation and route_hosts(route):
        unused.append("delegation")
    if not unused:
        return None
    name = view.snapshot.route_label
    fields = listed([f"spec.service.{field}" for field in unused])
    are = "are" if len(unused) > 1 else "is"
    return Caution(
        "RouteFieldsUnused",
        f"{fields} {are} not used, since VirtualService {name} is yours; write it there and remove it here",
    )


def service_fields_unused(view: View) -> Caution | None:
    """Find what the spec asks for on an apex Service of the user's, which does not have it and keeps its own."""
    apex, spec = view.snapshot.apex, view.snapshot.spec
    if apex is None or spec is None or is_ours(apex):
        return None
    shown = {"labels": labels_of(apex), "annotations": annotations_of(apex)}
    asked = {kind: asked_metadata(spec.service.apex, kind) for kind in shown}
    unused = [f"spec.service.apex.{kind}" for kind in shown if not asked[kind].items() <= shown[kind].items()]
    ports = {(one.get("port"), one.get("protocol") or "TCP") for one in (apex.get("spec") or {}).get("ports") or ()}
    discovered = [(one["port"], one["protocol"]) for one in discovered_ports(view, spec.service)]
    if absent := [f"{number}/{protocol}" for number, protocol in discovered if (number, protocol) not in ports]:
        unused.append(f"spec.service.portDiscovery (of {listed(absent)})")
    distribution = spec.service.traffic_distribution
    if distribution and (apex.get("spec") or {}).get("trafficDistribution") != distribution:
        unused.append("spec.service.trafficDistribution")
    if not unused:
        return None
    are = "are" if len(unused) > 1 else "is"
    name = view.snapshot.names.apex
    return Caution(
        "ServiceFieldsUnused",
        f"{listed(unused)} {are} not written to Service {name}, since that is yours; write it there",
    )


def _retried(view: View) -> Iterator[tuple[str, Any]]:
    """Yield the routes to the service with the place their fields are written at."""
    route, spec, names = view.snapshot.route, view.snapshot.spec, view.snapshot.names
    if route is None or is_ours(route):
        if spec is not None:
            yield "spec.service", route_fields(spec)
        return
    for number, entry in enumerate(touched((route.get("spec") or {}).get("http") or (), names), 1):
        yield f"VirtualService {view.snapshot.route_label}, http route {entry.get('name') or number}", entry
