"""The opening of most stories: an application that serves, a Canary, a first release under traffic."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from typing import Any

import yaml

from canary.core.names import named_route
from canary.core.objects import (
    AUTOSCALER,
    DAEMON_SET,
    FLAGGER_CANARY,
    NATIVE_CANARY,
    SERVICE,
    VIRTUAL_SERVICE,
    Object,
    Ref,
)
from canary.core.routes.hosts import qualified
from canary.sim.checks import healthy
from canary.sim.driver import Simulation
from canary.sim.manifests import LISTING_5_1, completed, with_image
from canary.sim.matching import sections
from canary.sim.pods import version_of
from canary.sim.routing import Caller, Headers
from canary.sim.user import ref_of_manifest

SETTLE = 60.0
"""Seconds after Initialized until the target is at 0 for sure."""

STAFF: Headers = (("x-group", "staff"),)
"""The header by which the staff's requests are told."""
TRIAL: Headers = (("x-plan", "trial"),)
"""The same of those who pay nothing yet."""

CANARY_API = {(one.api_version, one.kind) for one in (NATIVE_CANARY, FLAGGER_CANARY)}


def listing_5_1(**analysis: Any) -> dict[str, Any]:
    """Return the Canary of the book's listing 5.1, with fields of its analysis replaced; None leaves one out."""
    canary = deepcopy(_listing())
    fields = {**canary["spec"]["analysis"], **analysis}
    canary["spec"]["analysis"] = {name: value for name, value in fields.items() if value is not None}
    return canary


@cache
def _listing() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(LISTING_5_1)
    return read


def on_each_node(canary: Object) -> dict[str, Any]:
    """Return a Canary whose target is a DaemonSet."""
    ref = {**canary["spec"]["targetRef"], "kind": DAEMON_SET.kind}
    return {**canary, "spec": {**canary["spec"], "targetRef": ref}}


def own_route(canary: Object) -> dict[str, Any]:
    """Return a VirtualService that a user made for the apex: two routes to it and one elsewhere."""
    apex = canary["spec"]["service"]["name"]
    http: list[dict[str, Any]] = [
        {"name": "moved", "match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/items"}},
        {"name": "slow", "match": [{"uri": {"prefix": "/slow"}}], "timeout": "9s"},
        {"name": "rest"},
    ]
    for entry in http[1:]:
        entry["route"] = [{"destination": {"host": apex, "port": {"number": 80}}, "weight": 100}]
    sections: dict[str, Any] = {"http": http}
    if canary["spec"]["service"].get("appProtocol") == "tcp":
        passed = {"match": [{"port": 443, "sniHosts": ["shop.io"]}], "route": [{"destination": {"host": apex}}]}
        sections = {"tls": [passed], "tcp": [{"route": http[2]["route"]}]}
    return {
        "apiVersion": VIRTUAL_SERVICE.api_version,
        "kind": VIRTUAL_SERVICE.kind,
        "metadata": {"name": apex, "namespace": canary["metadata"]["namespace"]},
        "spec": {"hosts": [apex], **sections},
    }


def naming(canary: Object, namespace: str) -> dict[str, Any]:
    """Return a Canary that names a VirtualService of another namespace."""
    named = {"name": "shop-routes", "namespace": namespace}
    service = {**canary["spec"]["service"], "virtualService": named}
    return {**canary, "spec": {**canary["spec"], "service": service}}


def namesake(canary: Object) -> dict[str, Any]:
    """Return the Service that the apex's bare name means where the VirtualService is that a Canary names."""
    service, place = canary["spec"]["service"], canary["spec"]["service"]["virtualService"]["namespace"]
    spec = {"selector": {"app": "of-another-team"}, "ports": [{"name": "http", "port": 80}]}
    metadata = {"name": service["name"], "namespace": place}
    return {"apiVersion": SERVICE.api_version, "kind": SERVICE.kind, "metadata": metadata, "spec": spec}


def elsewhere(canary: Object) -> dict[str, Any]:
    """Return the VirtualService that a Canary names, in which hosts are written in full; a bare one is another's."""
    route, named = own_route(canary), canary["spec"]["service"]["virtualService"]
    full = qualified(canary["spec"]["service"]["name"], canary["metadata"]["namespace"])
    for entry in chain(*sections(route).values()):
        for leg in entry.get("route") or ():
            leg["destination"] = {**leg["destination"], "host": full}
    bare = {"destination": {"host": canary["spec"]["service"]["name"]}}
    other = {"name": "other", "match": [{"uri": {"prefix": "/other"}}], "route": [bare]}
    spec = {**route["spec"], "hosts": [full]}
    if "http" in spec:
        spec["http"] = [other, *spec["http"]]
    return {**route, "metadata": dict(named), "spec": spec}


def of_connections(canary: Object) -> dict[str, Any]:
    """Return a Canary that shares out connections, judged by readiness alone."""
    service = {**canary["spec"]["service"], "appProtocol": "tcp"}
    analysis = {**canary["spec"]["analysis"], "metrics": []}
    return {**canary, "spec": {**canary["spec"], "service": service, "analysis": analysis}}


def scaled(canary: Object, low: int, high: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a Canary that names the autoscaler of its target, and that autoscaler."""
    name, namespace = canary["spec"]["targetRef"]["name"], canary["metadata"]["namespace"]
    kind = {"apiVersion": AUTOSCALER.api_version, "kind": AUTOSCALER.kind}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    bounds = {"minReplicas": low, "maxReplicas": high}
    metrics = [{"type": "Resource", "resource": cpu}]
    scaler = {
        **kind,
        "metadata": {"name": f"{name}-sizes", "namespace": namespace},
        "spec": {"scaleTargetRef": target, **bounds, "metrics": metrics},
    }
    spec = {**canary["spec"], "autoscalerRef": {**kind, "name": f"{name}-sizes"}}
    return {**canary, "spec": spec}, scaler


def root_route(canary: Object) -> dict[str, Any]:
    """Return a VirtualService that a user made for the apex's host and that delegates to the apex's own."""
    apex = canary["spec"]["service"]["name"]
    http = [
        {"name": "moved", "match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/items"}},
        {"name": "shop", "match": [{"uri": {"prefix": "/"}}], "delegate": {"name": apex}},
    ]
    route = own_route(canary)
    return {**route, "metadata": {**route["metadata"], "name": f"{apex}-root"}, "spec": {"hosts": [apex], "http": http}}


def delegating(canary: Object) -> dict[str, Any]:
    """Return a Canary whose route is for delegation."""
    service = {key: value for key, value in canary["spec"]["service"].items() if key not in ("hosts", "gateways")}
    return {**canary, "spec": {**canary["spec"], "service": {**service, "delegation": True}}}


@dataclass(slots=True)
class Scenario:
    """Name what is applied and how much is requested."""

    canary: Object = field(default_factory=listing_5_1)
    given: Sequence[Object] = ()
    rps: float = 50.0
    replicas: int | None = None
    routes: Sequence[Object] = ()
    """VirtualServices that stood there before, and Services that they name."""
    configuration: Sequence[Object] = ()
    """ConfigMaps that the Deployment reads."""
    templates: Sequence[Object] = ()
    """MetricTemplates that the Canary's checks name."""
    providers: Sequence[Object] = ()
    """AlertProviders that the Canary's alerts name."""
    scaler: Object | None = None
    """A HorizontalPodAutoscaler on the target."""
    roots: Sequence[Object] = ()
    """VirtualServices that come once the Canary is initialised, and delegate to its route."""
    cohorts: Sequence[Headers] = ()
    """By the headers they carry, further callers in the mesh."""
    cohort_share: float = 0.25
    """What each cohort requests, as a share of what all others do."""

    @property
    def ref(self) -> Ref:
        """Return where the Canary lives."""
        return ref_of_manifest(self.canary)

    @property
    def objects(self) -> list[dict[str, Any]]:
        """Return Deployment and Service."""
        workload, front = completed(self.canary, self.given)
        if self.replicas is not None and workload["kind"] != DAEMON_SET.kind:
            workload = {**workload, "spec": {**workload["spec"], "replicas": self.replicas}}
        return [workload, front]

    @property
    def workload(self) -> dict[str, Any]:
        """Return the Deployment as first applied."""
        return self.objects[0]

    @property
    def image(self) -> str:
        """Return the image production starts with."""
        return str(self.workload["spec"]["template"]["spec"]["containers"][0]["image"])

    @property
    def target(self) -> Ref:
        """Return the user's Deployment."""
        return ref_of_manifest(self.workload)

    @property
    def route(self) -> Ref:
        """Return the VirtualService that is shared out: the one that the Canary names, else the apex's own."""
        return self.named or Ref(VIRTUAL_SERVICE, self.ref.namespace, self.apex)

    @property
    def named(self) -> Ref | None:
        """Return the VirtualService that the Canary names."""
        metadata = {**self.canary["metadata"], "namespace": self.ref.namespace}
        return named_route({**self.canary, "metadata": metadata})

    @property
    def apex(self) -> str:
        """Return the name of the Service that is called."""
        return str(self.objects[1]["metadata"]["name"])

    @property
    def scaler_ref(self) -> Ref | None:
        """Return where the autoscaler lives; None without one."""
        return ref_of_manifest(self.scaler) if self.scaler is not None else None

    def revised(self, image: str) -> dict[str, Any]:
        """Return the Deployment with another image."""
        return with_image(self.workload, image)


async def serve(sim: Simulation, scenario: Scenario) -> None:
    """Apply the application and let callers with and without sidecar call it."""
    scalers = filter(None, (scenario.scaler,))
    sim.daemon_sets.nodes = scenario.replicas or sim.daemon_sets.nodes
    apart = (*scenario.configuration, *scenario.templates, *scenario.providers)
    given = (*apart, *scenario.objects, *scenario.routes, *scalers)
    for manifest in given:
        sim.user.apply(manifest)
    sim.measurer.numbers = {**healthy(scenario.canary), **sim.measurer.numbers}
    workload = sim.world.find(scenario.target)
    assert workload is not None
    found = sim.world.configuration(scenario.ref.namespace)
    sim.dataplane.stable.add(version_of(workload["spec"]["template"], found))
    await sim.until(lambda: any(pod.ready for pod in sim.pods.all()), 600, "a ready pod")
    apex = Ref(SERVICE, scenario.ref.namespace, scenario.apex)
    await sim.until(lambda: sim.world.find(apex) is None or sim.endpoints.of(apex), 60, "an endpoint")
    await sim.rest(1)
    protocol = scenario.canary["spec"]["service"].get("appProtocol") or "http"
    for mesh in (True, False):
        caller = Caller(scenario.apex, scenario.ref.namespace, scenario.rps / 2, mesh=mesh, protocol=protocol)
        sim.dataplane.call(caller)
    rate = scenario.rps * scenario.cohort_share
    for number, headers in enumerate(scenario.cohorts, 1):
        name, place = f"cohort-{number}", scenario.ref.namespace
        caller = Caller(scenario.apex, place, rate, workload=name, headers=headers, protocol=protocol)
        sim.dataplane.call(caller)


async def initialise(sim: Simulation, scenario: Scenario, *, settle: float = SETTLE) -> None:
    """Serve, start the controller, apply the Canary and wait until it is initialised and settled."""
    await serve(sim, scenario)
    if sim.process is None:
        sim.start_controller()
    sim.user.apply(scenario.canary)
    await sim.until_phase("Initialized", 600, ref=scenario.ref)
    for manifest in scenario.roots:
        sim.user.apply(manifest)
    await sim.rest(settle)


async def release(sim: Simulation, scenario: Scenario, image: str) -> float:
    """Apply a new image and return when it was seen."""
    sim.user.apply(scenario.revised(image))
    await sim.until_phase("Progressing", 60, ref=scenario.ref)
    return sim.now
