"""What Flagger leaves in a cluster when its controller is stopped: the objects it made of a target and its Canary."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from canary.core.configuration import references, renamed
from canary.core.flagger.remains import FLAGGER, TAKE_OVER
from canary.core.objects import DESTINATION_RULE, FLAGGER_CANARY, SERVICE, VIRTUAL_SERVICE, Object, Ref
from canary.sim.driver import Simulation
from canary.sim.pods import version_of
from canary.sim.routing import Caller
from canary.sim.scenario import Scenario
from canary.sim.user import User, ref_of_manifest

STATUS = {"phase": "Succeeded", "canaryWeight": 0, "failedChecks": 0, "iterations": 0, "lastAppliedSpec": "5d8c9f7b4"}
_MARKS = {
    "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
    "helm.toolkit.fluxcd.io/driftDetection": "disabled",
}


async def left_by_flagger(sim: Simulation, scenario: Scenario, **status: Any) -> None:
    """Let Flagger, which writes under its own name, have released an application, with callers, and stop."""
    flagger, primary = User(sim.world, FLAGGER), replace(scenario.target, name=f"{scenario.target.name}-primary")
    sim.user.apply(scenario.workload)
    whole = deepcopy(dict(sim.world.find(scenario.target) or {}))
    flagger.scale(scenario.target, 0)
    sim.user.apply(scenario.canary)
    for one in (*scenario.configuration, *filter(None, (scenario.scaler,))):
        sim.user.apply(one)
    for one in left_behind(
        sim.world.find(scenario.ref) or {}, whole, configuration=scenario.configuration, scaler=scenario.scaler
    ):
        sim.world.create(ref_of_manifest(one), one, writer=FLAGGER)
    tracked = {f"{one['kind'].lower()}/{one['metadata']['name']}": "0f1e2d3c4b5a6978" for one in scenario.configuration}
    flagger.edit_status(scenario.ref, {**STATUS, "trackedConfigs": tracked, **status})
    for ref in (primary, scenario.target):
        found = sim.world.find(ref) or {}
        sim.dataplane.stable.add(version_of(found["spec"]["template"], sim.world.configuration(ref.namespace)))
    apex = Ref(SERVICE, scenario.ref.namespace, scenario.apex)
    size = whole["spec"].get("replicas", sim.daemon_sets.nodes)
    await sim.until(lambda: len(sim.endpoints.of(apex)) == size, 600, "Flagger's primary")
    await sim.rest(1)
    for mesh in (True, False):
        sim.dataplane.call(Caller(scenario.apex, scenario.ref.namespace, scenario.rps / 2, mesh=mesh))


def ask(sim: Simulation, scenario: Scenario) -> None:
    """Ask for the take-over as a user does."""
    sim.user.annotate(scenario.ref, TAKE_OVER, FLAGGER)


def left_behind(
    canary: Object,
    workload: Object,
    label: str = "app",
    *,
    configuration: Sequence[Object] = (),
    scaler: Object | None = None,
) -> list[dict[str, Any]]:
    """Return the objects that belong to a Canary as stored, whose target is selected by one label.

    Names, selectors, owner references and annotations are those of Flagger 1.44.
    """
    service = canary["spec"]["service"]
    apex = service.get("name") or workload["metadata"]["name"]
    name = f"{workload['metadata']['name']}-primary"
    value = workload["spec"]["selector"]["matchLabels"][label]
    owned = _owned(canary)
    primary, canaries = {label: f"{value}-primary"}, {label: value}
    return [
        _primary(workload, name, primary, owned),
        _service(f"{apex}-canary", canaries, label, service, owned),
        _service(f"{apex}-primary", primary, label, service, owned),
        _service(apex, primary, label, service, owned),
        *(_rule(f"{apex}-{role}", service, owned) for role in ("canary", "primary")),
        _route(apex, service, owned),
        *(_copy(one, owned) for one in configuration),
        *([_scaler(scaler, name, owned)] if scaler is not None else []),
    ]


def _copy(one: Object, owned: dict[str, Any]) -> dict[str, Any]:
    return {**one, "metadata": {**owned, "name": f"{one['metadata']['name']}-primary"}}


def _scaler(one: Object, scales: str, owned: dict[str, Any]) -> dict[str, Any]:
    target = {**one["spec"]["scaleTargetRef"], "name": scales}
    return {**_copy(one, owned), "spec": {**one["spec"], "scaleTargetRef": target}}


def _owned(canary: Object) -> dict[str, Any]:
    """Return the metadata that makes an object go with its Canary."""
    owner = {
        "apiVersion": FLAGGER_CANARY.api_version,
        "kind": FLAGGER_CANARY.kind,
        "name": canary["metadata"]["name"],
        "uid": canary["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {"namespace": canary["metadata"]["namespace"], "ownerReferences": [owner]}


def _primary(workload: Object, name: str, selector: dict[str, str], owned: dict[str, Any]) -> dict[str, Any]:
    spec = deepcopy(dict(workload["spec"]))
    renamed(spec["template"], {one: f"{one.name}-primary" for one in references(spec["template"])})
    metadata = spec["template"].setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **selector}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), "flagger-id": "a8e6b1ac-6d0b-4a41-8b8c-5f0f7d3c"}
    spec["selector"] = {"matchLabels": selector}
    kinds = {"apiVersion": workload["apiVersion"], "kind": workload["kind"]}
    return {**kinds, "metadata": {**owned, "name": name, "labels": selector, "annotations": dict(_MARKS)}, "spec": spec}


def _service(name: str, selector: dict[str, str], label: str, service: Object, owned: dict[str, Any]) -> dict[str, Any]:
    port = {
        "name": service.get("portName", "http"),
        "port": service["port"],
        "protocol": "TCP",
        "targetPort": service.get("targetPort", service["port"]),
    }
    metadata = {**owned, "name": name, "labels": {label: name}, "annotations": dict(_MARKS)}
    kinds = {"apiVersion": SERVICE.api_version, "kind": SERVICE.kind}
    return {**kinds, "metadata": metadata, "spec": {"type": "ClusterIP", "selector": selector, "ports": [port]}}


def _rule(host: str, service: Object, owned: dict[str, Any]) -> dict[str, Any]:
    policy = {"trafficPolicy": service["trafficPolicy"]} if service.get("trafficPolicy") else {}
    kinds = {"apiVersion": DESTINATION_RULE.api_version, "kind": DESTINATION_RULE.kind}
    return {**kinds, "metadata": {**owned, "name": host}, "spec": {"host": host, **policy}}


def _route(apex: str, service: Object, owned: dict[str, Any]) -> dict[str, Any]:
    pair = ((f"{apex}-primary", 100), (f"{apex}-canary", 0))
    entry: dict[str, Any] = {key: service[key] for key in ("timeout", "retries") if key in service}
    entry["route"] = [{"destination": {"host": host}, "weight": weight} for host, weight in pair]
    hosts = [*(one for one in service.get("hosts") or () if one != apex), apex]
    kinds = {"apiVersion": VIRTUAL_SERVICE.api_version, "kind": VIRTUAL_SERVICE.kind}
    spec = {"gateways": service.get("gateways") or ["mesh"], "hosts": hosts, "http": [entry]}
    return {**kinds, "metadata": {**owned, "name": apex, "annotations": dict(_MARKS)}, "spec": spec}
