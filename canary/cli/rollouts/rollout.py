"""One Rollout as a Deployment and a Canary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canary.api.admission import refusals
from canary.api.groups import NATIVE
from canary.cli.rollouts.checks import Template
from canary.cli.rollouts.judging import Judging
from canary.cli.rollouts.reading import Reading
from canary.cli.rollouts.strategies import blue_green_spec, canary_spec
from canary.cli.rollouts.traffic import Services, service_spec

KIND = "Rollout"
HARMLESS = {
    "spec.analysis": "how many AnalysisRuns are kept; there are none",
    "spec.strategy.canary.trafficRouting.managedRoutes": "names of routes for cohorts; they are made without",
}
"""Fields that need no word, with the reason."""
_KEPT = ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds", "selector", "template")
_READ = (*_KEPT, "workloadRef", "strategy", "paused", "progressDeadlineAbort", "analysis")
_TOLD = {
    "restartAt": "kubectl rollout restart restarts pods, by a release",
    "rollbackWindow": "a release of an older revision takes all steps; canary rollback brings back the one before",
}


@dataclass(frozen=True, slots=True)
class Neighbours:
    """What of the other objects in the files a Rollout needs."""

    templates: Mapping[tuple[str, str, str], Template]
    services: Services


def convert_rollout(reading: Reading, neighbours: Neighbours) -> Sequence[dict[str, Any]]:
    """Return the objects that take the place of a Rollout, none when there are none; all else is told."""
    content = reading.document.content
    spec = reading.mapping("spec", content.get("spec"))
    reading.tell_rest("spec", spec, _READ, _TOLD)
    if spec.get("progressDeadlineAbort") is False:
        told = "is false: here a release that makes no progress for progressDeadlineSeconds is rolled back"
        reading.warn("spec.progressDeadlineAbort", told)
    workload = _workload(reading, spec)
    strategy = reading.mapping("spec.strategy", spec.get("strategy"))
    kinds = [kind for kind in ("canary", "blueGreen") if kind in strategy]
    reading.tell_rest("spec.strategy", strategy, ("canary", "blueGreen"), {})
    if len(kinds) != 1 or workload is None:
        if len(kinds) != 1:
            reading.refuse("spec.strategy", "must be canary or blueGreen; the Rollout stays as it is")
        return ()
    target, made = workload
    canary = _canary(reading, spec, kinds[0], target, neighbours)
    for one in refusals(canary):
        reading.refuse("spec.strategy", f"makes a Canary that is refused: {one}")
    return (*made, canary)


def _workload(reading: Reading, spec: Mapping[str, Any]) -> tuple[str, list[dict[str, Any]]] | None:
    """Return the name of the Deployment that is released, and the Deployment unless it is there already."""
    metadata = reading.document.content["metadata"]
    if "workloadRef" not in spec:
        if not spec.get("template"):
            reading.refuse("spec.template", "is not given, nor workloadRef; the Rollout stays as it is")
            return None
        return metadata["name"], [_deployment(metadata, spec)]
    reference = reading.mapping("spec.workloadRef", spec["workloadRef"])
    reading.tell_rest("spec.workloadRef", reference, ("apiVersion", "kind", "name", "scaleDown"), {})
    name = str(reference.get("name"))
    if reference.get("kind") != "Deployment":
        told = f"is {reference.get('kind')}; only a Deployment can be released, and the Rollout stays as it is"
        reading.refuse("spec.workloadRef.kind", told)
        return None
    if reference.get("scaleDown", "never") != "never":
        told = f"is {reference['scaleDown']}: give Deployment {name} its replicas back before the Rollout goes"
        reading.warn("spec.workloadRef.scaleDown", told)
    for field in _KEPT:
        if field in spec and field != "progressDeadlineSeconds":
            reading.warn(f"spec.{field}", f"is left out: Deployment {name} says its own")
    return name, []


def _deployment(metadata: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _named(metadata) | {key: metadata[key] for key in ("labels", "annotations") if key in metadata},
        "spec": {field: spec[field] for field in _KEPT if field in spec},
    }


def _named(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: metadata[key] for key in ("name", "namespace") if key in metadata}


def _canary(
    reading: Reading, spec: Mapping[str, Any], kind: str, target: str, neighbours: Neighbours
) -> dict[str, Any]:
    """Return the Canary for a Deployment."""
    metadata = reading.document.content["metadata"]
    strategy = reading.mapping(f"spec.strategy.{kind}", spec["strategy"][kind])
    judging = Judging(reading, neighbours.templates)
    service = service_spec(reading, kind, strategy, neighbours.services)
    released = (canary_spec if kind == "canary" else blue_green_spec)(reading, strategy, judging)
    for name, value in judging.asked_of((strategy.get("canaryService"), strategy.get("previewService"))):
        told = f"judges {value} by check {name}: requests to a release come by Service {service['name']}-canary"
        reading.warn(f"spec.strategy.{kind}", f"{told}, say that in spec.analysis.metrics")
    deadline = spec.get("progressDeadlineSeconds")
    return {
        "apiVersion": NATIVE.api_version,
        "kind": NATIVE.kind,
        "metadata": _named(metadata),
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            **({"progressDeadlineSeconds": deadline} if deadline is not None else {}),
            **({"paused": True} if spec.get("paused") else {}),
            "service": service,
            **released,
        },
    }
