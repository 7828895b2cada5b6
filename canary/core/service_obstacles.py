"""Obstacles about Services: ports that cannot be shared out, pods and machines that are not the release's."""

from __future__ import annotations

from canary.api.service import Service
from canary.core.names import ALLOW_CANARY, ROLE_LABEL, is_ours
from canary.core.objects import Object, annotations_of, labels_of
from canary.core.obstacle import Obstacle
from canary.core.protocols import opaque_protocol
from canary.core.view import View


def foreign_service(view: View) -> Obstacle | None:
    """Find a Service of others that would send live traffic to canary pods (I9)."""
    target, names = view.target, view.snapshot.names
    if target is None:
        return None
    labels = {**target.pod_labels, ROLE_LABEL: "canary"}
    ours = {names.apex, names.service("primary").name, names.service("canary").name}
    for service in view.snapshot.neighbours.services:
        selector = (service.get("spec") or {}).get("selector") or {}
        name = service["metadata"]["name"]
        if not selector or name in ours or not selector.items() <= labels.items():
            continue
        if is_ours(service) and (name == names.keeper.name or names.cohort_of(name) is not None):
            continue
        if annotations_of(service).get(ALLOW_CANARY) != "true":
            return Obstacle(
                "ForeignService",
                f'Service {name} selects the canary\'s pods; annotate it {ALLOW_CANARY}: "true" if it may',
            )
    return None


def apex_unusable(view: View) -> Obstacle | None:
    """Find an apex Service that does not carry the port of the spec, or selects other pods."""
    apex, spec, target = view.snapshot.apex, view.snapshot.spec, view.target
    if apex is None or spec is None or target is None:
        return None
    body = apex.get("spec") or {}
    ports = [p.get("port") for p in body.get("ports") or []]
    name = view.snapshot.names.apex
    if spec.service.port not in ports:
        listed = ", ".join(map(str, ports))
        return Obstacle(
            "PortMismatch",
            f"Service {name} has ports {listed}, spec.service.port is {spec.service.port}; correct one of them",
        )
    selector = _users_selector(apex)
    if not selector or not selector.items() <= target.pod_labels.items():
        return Obstacle(
            "ApexSelectsOthers",
            f"Service {name} does not select the pods of {view.kind} {view.snapshot.names.target}; correct its "
            "selector, or make the Canary again with another spec.service.name",
        )
    return None


def port_opaque(view: View) -> Obstacle | None:
    """Find a port in which Istio sees no requests, beside a plan that shares them out or asks for their metrics."""
    spec = view.snapshot.spec
    shared = any(step.routing.weights.exposes for step in view.plan.steps)
    if spec is None or spec.service.carries_connections or not (shared or view.built_in_checks):
        return None
    port = _port(view.snapshot.apex, spec.service)
    if port is None or not (protocol := opaque_protocol(port)):
        return None
    return Obstacle(
        "PortOpaque",
        f"port {port['port']} of Service {view.snapshot.names.apex} {_told(port)}: Istio takes it for {protocol}, in "
        "which it sees no requests to share out or to count; give it a protocol such as http or grpc if that is what "
        "it carries, else set spec.service.appProtocol to tcp to share out connections, without metrics",
    )


def port_not_opaque(view: View) -> Obstacle | None:
    """Find a port in which Istio sees requests, or looks for them, where connections are to be shared out."""
    spec = view.snapshot.spec
    if spec is None or not spec.service.carries_connections:
        return None
    port = _port(view.snapshot.apex, spec.service)
    if port is None or opaque_protocol(port):
        return None
    return Obstacle(
        "PortNotOpaque",
        f"port {port['port']} of Service {view.snapshot.names.apex} {_told(port)}, while spec.service.appProtocol is "
        f"{spec.service.app_protocol}: Istio does not take it for a port of connections and follows no tcp route "
        "there; set appProtocol of that port to tcp, or remove spec.service.appProtocol",
    )


def workload_entry_selected(view: View) -> Obstacle | None:
    """Find machines behind the user's apex Service, which our role in its selector would take out (R-VM-1)."""
    apex = view.snapshot.apex
    selector = _users_selector(apex) if apex is not None and not is_ours(apex) else {}
    for entry in view.snapshot.surroundings.entries if selector else ():
        # As Istio reads them: labels of the object go before those in its spec.
        labels = {**((entry.get("spec") or {}).get("labels") or {}), **labels_of(entry)}
        if selector.items() <= labels.items():
            name = entry["metadata"]["name"]
            return Obstacle(
                "WorkloadEntrySelected",
                f"Service {view.snapshot.names.apex} selects WorkloadEntry {name}, which a release would take out of "
                "it; take the labels off that entry, or give the Service another selector",
            )
    return None


def _port(apex: Object | None, wanted: Service) -> Object | None:
    """Return the port of the spec in the user's apex Service, or in the one of ours."""
    if apex is None or is_ours(apex):
        return {"port": wanted.port, "name": wanted.port_name, "appProtocol": wanted.app_protocol}
    ports = (apex.get("spec") or {}).get("ports") or ()
    return next((one for one in ports if one.get("port") == wanted.port), None)


def _told(port: Object) -> str:
    field = "appProtocol" if port.get("appProtocol") else "name"
    return f"has {field} {port[field]}" if port.get(field) else "has no name"


def _users_selector(service: Object) -> dict[str, str]:
    selector = (service.get("spec") or {}).get("selector") or {}
    return {key: value for key, value in selector.items() if key != ROLE_LABEL}
