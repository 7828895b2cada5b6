"""What the API server adds to objects and refuses in them, as far as releases can meet it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from canary.core.objects import (
    AUTOSCALER,
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    SERVICE,
    VIRTUAL_SERVICE,
    Object,
    Ref,
)
from canary.ports import Refused
from canary.sim.matching import sections

NAME = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")


def defaulted(ref: Ref, obj: dict[str, Any]) -> dict[str, Any]:
    """Return an object with the API server's defaults filled in."""
    if ref.resource == DEPLOYMENT:
        return {**obj, "spec": _deployment(dict(obj.get("spec") or {}))}
    if ref.resource == DAEMON_SET:
        return {**obj, "spec": _daemon_set(dict(obj.get("spec") or {}))}
    if ref.resource == SERVICE:
        return {**obj, "spec": _service(dict(obj.get("spec") or {}))}
    if ref.resource == AUTOSCALER:
        return {**obj, "spec": {"minReplicas": 1, **(obj.get("spec") or {})}}
    return obj


def _deployment(spec: dict[str, Any]) -> dict[str, Any]:
    spec.setdefault("replicas", 1)
    spec.setdefault("progressDeadlineSeconds", 600)
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = dict(spec.get("strategy") or {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = {"maxSurge": "25%", "maxUnavailable": "25%", **(strategy.get("rollingUpdate") or {})}
        strategy["rollingUpdate"] = rolling
    spec["strategy"] = strategy
    spec["template"] = _template(spec.get("template") or {})
    return spec


def _daemon_set(spec: dict[str, Any]) -> dict[str, Any]:
    spec.setdefault("revisionHistoryLimit", 10)
    strategy = {"type": "RollingUpdate", **(spec.get("updateStrategy") or {})}
    if strategy["type"] == "RollingUpdate":
        strategy["rollingUpdate"] = {"maxSurge": 0, "maxUnavailable": 1, **(strategy.get("rollingUpdate") or {})}
    spec["updateStrategy"] = strategy
    spec["template"] = _template(spec.get("template") or {})
    if spec["template"]["spec"].get("nodeSelector") == {}:
        del spec["template"]["spec"]["nodeSelector"]
    return spec


def _template(template: Mapping[str, Any]) -> dict[str, Any]:
    pod = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "schedulerName": "default-scheduler",
        "securityContext": {},
        **(template.get("spec") or {}),
    }
    pod["containers"] = [_container(one) for one in pod.get("containers") or ()]
    return {**template, "metadata": dict(template.get("metadata") or {}), "spec": pod}


def _container(container: Mapping[str, Any]) -> dict[str, Any]:
    tag = container.get("image", "").rpartition("/")[2].rpartition(":")[2]
    pulls = "Always" if tag == "latest" or ":" not in container.get("image", "") else "IfNotPresent"
    result = {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": pulls,
        "resources": {},
        **container,
    }
    if "ports" in result:
        result["ports"] = [{"protocol": "TCP", **port} for port in result["ports"]]
    return result


def _service(spec: dict[str, Any]) -> dict[str, Any]:
    spec["ports"] = [{"protocol": "TCP", "targetPort": port.get("port"), **port} for port in spec.get("ports") or ()]
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("clusterIP", "10.96.0.10")
    spec.setdefault("clusterIPs", [spec["clusterIP"]])
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("sessionAffinity", "None")
    return spec


def validate(ref: Ref, before: Object | None, obj: Object) -> None:
    """Refuse what the API server would refuse."""
    if not NAME.fullmatch(ref.name) or len(ref.name) > (63 if ref.resource == SERVICE else 253):
        raise Refused(f"{ref}: metadata.name: Invalid value")
    for key, value in (obj["metadata"].get("labels") or {}).items():
        if not isinstance(value, str) or len(value) > 63:
            raise Refused(f"{ref}: metadata.labels[{key}]: Invalid value: {value!r}")
    if ref.resource in (DAEMON_SET, DEPLOYMENT):
        _validate_workload(ref, before, obj["spec"])
    elif ref.resource == CONTROLLER_REVISION:
        _validate_revision(ref, before, obj)
    elif ref.resource == AUTOSCALER:
        _validate_scaler(ref, obj["spec"])
    elif ref.resource == VIRTUAL_SERVICE:
        _validate_routes(ref, obj.get("spec") or {})


def _validate_workload(ref: Ref, before: Object | None, spec: Mapping[str, Any]) -> None:
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    labels = spec["template"]["metadata"].get("labels") or {}
    if not wanted or any(labels.get(key) != value for key, value in wanted.items()):
        raise Refused(f"{ref}: spec.template.metadata.labels: `selector` does not match template `labels`")
    if before is not None and before["spec"].get("selector") != spec.get("selector"):
        raise Refused(f"{ref}: spec.selector: field is immutable")
    if not spec["template"]["spec"]["containers"]:
        raise Refused(f"{ref}: spec.template.spec.containers: Required value")
    if ref.resource == DEPLOYMENT and (not isinstance(spec["replicas"], int) or spec["replicas"] < 0):
        raise Refused(f"{ref}: spec.replicas: Invalid value: {spec['replicas']!r}")


def _validate_revision(ref: Ref, before: Object | None, obj: Object) -> None:
    if not isinstance(obj.get("revision"), int):
        raise Refused(f"{ref}: revision: Required value")
    if before is not None and before.get("data") != obj.get("data"):
        raise Refused(f"{ref}: data: field is immutable")


def _validate_scaler(ref: Ref, spec: Mapping[str, Any]) -> None:
    low, high = spec["minReplicas"], spec.get("maxReplicas", 0)
    if low < 1 or high < low:
        raise Refused(f"{ref}: spec.maxReplicas: Invalid value: {high}: must not be less than minReplicas ({low})")


OBJECTS = ("uri", "scheme", "method", "authority", "headers", "withoutHeaders", "queryParams", "sourceLabels")
"""Parts of a condition that are objects."""


def _validate_routes(ref: Ref, spec: Mapping[str, Any]) -> None:
    # The CRD's schema knows types; that weights sum to 100 it does not check.
    for section, routes in sections({"spec": spec}).items():
        for condition in (one for route in routes for one in route.get("match") or ()):
            for name in OBJECTS:
                if not isinstance(condition.get(name, {}), Mapping):
                    raise Refused(f"{ref}: spec.{section}.match.{name}: must be of type object: {condition[name]!r}")
        for leg in (leg for route in routes for leg in route.get("route") or ()):
            weight = leg.get("weight", 0)
            if not isinstance(weight, int) or isinstance(weight, bool):
                raise Refused(f"{ref}: spec.{section}.route.weight: must be of type integer: {weight!r}")
            if not (leg.get("destination") or {}).get("host"):
                raise Refused(f"{ref}: spec.{section}.route.destination.host: Required value")
