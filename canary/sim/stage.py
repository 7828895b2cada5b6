"""Where the things of a schedule happen: a simulation, and the names that a schedule has for its objects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from canary.core.names import ROLE_LABEL
from canary.core.objects import (
    AUTOSCALER,
    DESTINATION_RULE,
    SERVICE,
    VIRTUAL_SERVICE,
    WORKLOAD_ENTRY,
    Ref,
    Resource,
)
from canary.sim.driver import Simulation
from canary.sim.history import state_of
from canary.sim.pods import version_of
from canary.sim.routing import reach_of
from canary.sim.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Stage:
    """Where actions happen."""

    sim: Simulation
    scenario: Scenario

    def workload(self, role: str) -> Ref:
        """Return the Deployment of a role; `target` is the user's own."""
        target = self.scenario.target
        return target if role == "target" else replace(target, name=f"{target.name}-{role}")

    def named(self, what: str) -> Ref:
        """Return the object a schedule calls target, primary, canary, apex, route, Canary or a Service."""
        namespace, apex = self.scenario.ref.namespace, self.scenario.apex
        known = {
            "apex": Ref(SERVICE, namespace, apex),
            "primary service": Ref(SERVICE, namespace, f"{apex}-primary"),
            "canary service": Ref(SERVICE, namespace, f"{apex}-canary"),
            "cohort service": Ref(SERVICE, namespace, f"{apex}-cohort2"),
            "route": self.scenario.route,
            "Canary": self.scenario.ref,
            "autoscaler": self.scenario.scaler_ref or self.scenario.ref,
        }
        return known.get(what) or self.workload(what)

    @property
    def let_go(self) -> bool:
        """Return whether the target has the traffic: no Canary took it yet, or the one there was gave it back."""
        world = self.sim.world
        selector = ((world.find(self.named("apex")) or {}).get("spec") or {}).get("selector") or {}
        route = world.find(self.scenario.route)
        clones = {f"{self.scenario.apex}-primary", f"{self.scenario.apex}-canary"}
        held = route is not None and clones & {host.partition(".")[0] for host in reach_of(route)}
        canary = world.find(self.scenario.ref)
        taken = canary is not None and state_of(canary)[0] not in ("", "Initializing")
        return not taken and not held and ROLE_LABEL not in selector

    def write_configuration(self, manifest: dict[str, Any]) -> None:
        """Apply a ConfigMap; pods of a target that carries production read what it says from now on."""
        world, namespace = self.sim.world, self.scenario.ref.namespace
        self.sim.user.apply(manifest)
        selector = ((world.find(self.named("apex")) or {}).get("spec") or {}).get("selector") or {}
        target = world.find(self.scenario.target)
        if target is not None and (ROLE_LABEL not in selector or world.find(self.scenario.ref) is None):
            version = version_of(target["spec"]["template"], world.configuration(namespace))
            self.sim.dataplane.stable.add(version)

    @property
    def manifests(self) -> list[dict[str, Any]]:
        """Return what was applied at first: Deployment, Service and Canary."""
        scaler = self.scenario.scaler
        return [*self.scenario.objects, dict(self.scenario.canary), *([dict(scaler)] if scaler else [])]

    def obstacle(self, kind: str) -> dict[str, Any]:
        """Return the manifest of an object that a Canary cannot live with, or must warn of."""
        apex, target = self.scenario.apex, self.scenario.target.name
        selector = self.scenario.workload["spec"]["selector"]["matchLabels"]
        past = {"route": [{"destination": {"host": apex}}]}
        specs: dict[str, tuple[Resource, dict[str, Any]]] = {
            "service": (SERVICE, {"selector": selector, "ports": [{"name": "http", "port": 80}]}),
            "autoscaler": (AUTOSCALER, {"scaleTargetRef": {"kind": "Deployment", "name": target}, "maxReplicas": 3}),
            "rule": (DESTINATION_RULE, {"host": apex}),
            "route": (VIRTUAL_SERVICE, {"hosts": [apex], "gateways": ["elsewhere"], "http": []}),
            "machine": (WORKLOAD_ENTRY, {"address": "10.0.0.9", "labels": selector}),
            "bypass": (VIRTUAL_SERVICE, {"hosts": ["shop.io"], "gateways": ["edge"], "http": [past]}),
        }
        resource, spec = specs[kind]
        metadata = {"name": f"{apex}-in-the-way", "namespace": self.scenario.ref.namespace}
        return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, "spec": spec}
