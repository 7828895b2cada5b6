"""Manifests for simulations: read from files, or invented where a file says nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from canary.core.configuration import references
from canary.core.objects import Object

LISTING_5_1 = """\
apiVersion: flagger.app/v1beta1
kind: Canary
metadata:
  name: catalog-release
  namespace: istioinaction
spec:
  targetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: catalog
  progressDeadlineSeconds: 60
  service:
    name: catalog
    port: 80
    targetPort: 3000
    gateways:
    - mesh
    hosts:
    - catalog
  analysis:
    interval: 45s
    threshold: 5
    maxWeight: 50
    stepWeight: 10
    metrics:
    - name: request-success-rate
      thresholdRange:
        min: 99
        interval: 1m
    - name: request-duration
      thresholdRange:
        max: 500
        interval: 30s
"""


def deployment(
    name: str = "catalog",
    *,
    namespace: str = "istioinaction",
    image: str = "catalog:v1",
    replicas: int | None = 2,
    labels: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    port: int = 3000,
) -> dict[str, Any]:
    """Return a Deployment as a user writes it."""
    labels = dict(labels or {"app": name})
    container: dict[str, Any] = {"name": name, "image": image, "ports": [{"containerPort": port}]}
    if env:
        container["env"] = [{"name": key, "value": value} for key, value in env.items()]
    spec: dict[str, Any] = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
    }
    if replicas is not None:
        spec["replicas"] = replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def daemon_set(workload: Object) -> dict[str, Any]:
    """Return a DaemonSet with the pods of a Deployment."""
    spec = {key: value for key, value in workload["spec"].items() if key not in ("replicas", "strategy")}
    return {**workload, "kind": "DaemonSet", "spec": spec}


def service(
    name: str = "catalog",
    *,
    namespace: str = "istioinaction",
    selector: Mapping[str, str] | None = None,
    port: int = 80,
    target_port: int | str = 3000,
    protocol: str | None = None,
) -> dict[str, Any]:
    """Return a Service as a user writes it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": dict(selector or {"app": name}),
            "ports": [{"name": protocol or "http", "port": port, "targetPort": target_port}],
        },
    }


def config_map(name: str = "catalog-config", *, namespace: str = "istioinaction", **data: str) -> dict[str, Any]:
    """Return a ConfigMap as a user writes it."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def reading(manifest: Object, *names: str, kind: str = "configMap", optional: bool = False) -> dict[str, Any]:
    """Return a Deployment manifest whose first container takes its environment from ConfigMaps or Secrets."""
    spec = manifest["spec"]
    pod = spec["template"]["spec"]
    sources = [{f"{kind}Ref": {"name": name, **({"optional": True} if optional else {})}} for name in names]
    containers = [{**pod["containers"][0], "envFrom": sources}, *pod["containers"][1:]]
    template = {**spec["template"], "spec": {**pod, "containers": containers}}
    return {**manifest, "spec": {**spec, "template": template}}


def with_image(manifest: Object, image: str) -> dict[str, Any]:
    """Return a Deployment manifest whose first container runs another image."""
    spec = manifest["spec"]
    pod = spec["template"]["spec"]
    containers = [{**pod["containers"][0], "image": image}, *pod["containers"][1:]]
    template = {**spec["template"], "spec": {**pod, "containers": containers}}
    return {**manifest, "spec": {**spec, "template": template}}


def completed(canary: Object, given: Iterable[Object]) -> list[dict[str, Any]]:
    """Return the Deployment and Service of a Canary, invented when they are not among `given`."""
    spec, namespace = canary["spec"], canary["metadata"].get("namespace", "default")
    target = spec["targetRef"]["name"]
    apex = spec["service"].get("name") or target
    port = spec["service"].get("targetPort") or spec["service"]["port"]
    here = [dict(one) for one in given if one["metadata"].get("namespace", "default") == namespace]
    found = {(one["kind"], one["metadata"]["name"]): one for one in here}
    kind = spec["targetRef"]["kind"]
    workload = found.get((kind, target)) or deployment(
        target, namespace=namespace, image=f"{target}:v1", port=port if isinstance(port, int) else 8080
    )
    if kind == "DaemonSet" and workload["kind"] != kind:
        workload = daemon_set(workload)
    selector = workload["spec"]["selector"]["matchLabels"]
    front = found.get(("Service", apex)) or service(
        apex,
        namespace=namespace,
        selector=selector,
        port=spec["service"]["port"],
        target_port=port,
        protocol=spec["service"].get("appProtocol"),
    )
    return [workload, front]


def configuration_of(workload: Object, given: Iterable[Object]) -> list[dict[str, Any]]:
    """Return the ConfigMaps and Secrets a Deployment needs, invented when they are not among `given`."""
    here = {(one.get("kind"), one["metadata"]["name"]): dict(one) for one in given if "name" in one["metadata"]}
    found = []
    for source, needed in sorted(references(workload["spec"]["template"]).items()):
        metadata = {"name": source.name, "namespace": workload["metadata"].get("namespace", "default")}
        invented = {"apiVersion": "v1", "kind": source.resource.kind, "metadata": metadata}
        if (one := here.get((source.resource.kind, source.name))) or needed:
            found.append(one or invented)
    return found
