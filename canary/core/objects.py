"""Kubernetes objects as the core sees them: plain dicts, with names for where they live."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Object = Mapping[str, Any]
"""A Kubernetes object exactly as the API server returned it; unknown fields are kept."""


@dataclass(frozen=True, slots=True, order=True)
class Resource:
    """Name one served resource type, e.g. ``apps/v1 deployments``."""

    group: str
    version: str
    plural: str
    kind: str

    def __hash__(self) -> int:
        # Of one text, which keeps its hash: every look into a cache takes it.
        return hash(self.plural)

    @property
    def api_version(self) -> str:
        """Return the ``apiVersion`` string objects of this type carry."""
        return f"{self.group}/{self.version}" if self.group else self.version


DEPLOYMENT = Resource("apps", "v1", "deployments", "Deployment")
DAEMON_SET = Resource("apps", "v1", "daemonsets", "DaemonSet")
CONTROLLER_REVISION = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
SERVICE = Resource("", "v1", "services", "Service")
VIRTUAL_SERVICE = Resource("networking.istio.io", "v1beta1", "virtualservices", "VirtualService")
DESTINATION_RULE = Resource("networking.istio.io", "v1beta1", "destinationrules", "DestinationRule")
CONFIG_MAP = Resource("", "v1", "configmaps", "ConfigMap")
SECRET = Resource("", "v1", "secrets", "Secret")
POD = Resource("", "v1", "pods", "Pod")
ENDPOINT_SLICE = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
AUTOSCALER = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
GATEWAY = Resource("networking.istio.io", "v1beta1", "gateways", "Gateway")
SIDECAR = Resource("networking.istio.io", "v1beta1", "sidecars", "Sidecar")
WORKLOAD_ENTRY = Resource("networking.istio.io", "v1beta1", "workloadentries", "WorkloadEntry")
PEER_AUTHENTICATION = Resource("security.istio.io", "v1beta1", "peerauthentications", "PeerAuthentication")
NAMESPACE = Resource("", "v1", "namespaces", "Namespace")
SCALED_OBJECT = Resource("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject")
LEASE = Resource("coordination.k8s.io", "v1", "leases", "Lease")
NATIVE_CANARY = Resource("canary.delivery", "v1beta1", "canaries", "Canary")
FLAGGER_CANARY = Resource("flagger.app", "v1beta1", "canaries", "Canary")
NATIVE_TEMPLATE = Resource("canary.delivery", "v1beta1", "metrictemplates", "MetricTemplate")
FLAGGER_TEMPLATE = Resource("flagger.app", "v1beta1", "metrictemplates", "MetricTemplate")
NATIVE_PROVIDER = Resource("canary.delivery", "v1beta1", "alertproviders", "AlertProvider")
FLAGGER_PROVIDER = Resource("flagger.app", "v1beta1", "alertproviders", "AlertProvider")


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """Point at one namespaced object."""

    resource: Resource
    namespace: str
    name: str

    def __hash__(self) -> int:
        return hash((self.resource.plural, self.namespace, self.name))

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class CanaryKey:
    """Identify one Canary; the unit of work of the queue."""

    group: str
    namespace: str
    name: str

    @property
    def ref(self) -> Ref:
        """Return where the Canary itself lives."""
        resource = NATIVE_CANARY if self.group == NATIVE_CANARY.group else FLAGGER_CANARY
        return Ref(resource, self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}.{self.group}"


def template_ref(key: CanaryKey, namespace: str | None, name: str) -> Ref:
    """Return the MetricTemplate that a Canary names: of its own group, and in its namespace unless it says another."""
    resource = NATIVE_TEMPLATE if key.group == NATIVE_TEMPLATE.group else FLAGGER_TEMPLATE
    return Ref(resource, namespace or key.namespace, name)


def provider_ref(key: CanaryKey, namespace: str | None, name: str) -> Ref:
    """Return the AlertProvider that a Canary names: of its own group, and in its namespace unless it says another."""
    resource = NATIVE_PROVIDER if key.group == NATIVE_PROVIDER.group else FLAGGER_PROVIDER
    return Ref(resource, namespace or key.namespace, name)


def ref_of(resource: Resource, obj: Object) -> Ref:
    """Return the reference of an object of a known type."""
    metadata = obj["metadata"]
    return Ref(resource, metadata["namespace"], metadata["name"])


def labels_of(obj: Object) -> dict[str, str]:
    """Return the labels of an object, empty when it has none."""
    return obj["metadata"].get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    """Return the annotations of an object, empty when it has none."""
    return obj["metadata"].get("annotations") or {}


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_PLAIN = (str, int, bool, type(None))


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces."""
    return _CANONICAL.encode(value)


def _same(one: Any, other: Any) -> bool:
    """Return whether two values have the same JSON text, which is written only where it must be."""
    kind = type(one)
    if one is other or kind is not type(other):
        return one is other or canonical(one) == canonical(other)
    if kind is dict:
        return bool(one.keys() == other.keys()) and all(_same(value, other[key]) for key, value in one.items())
    if kind is list:
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) if kind in _PLAIN else canonical(one) == canonical(other)


def merge_patch(old: Any, new: Any) -> dict[str, Any]:
    """Return the JSON merge patch (RFC 7386) that turns ``old`` into ``new``; empty when equal.

    Keys that are missing in ``new`` are removed; lists are replaced whole.
    """
    patch: dict[str, Any] = {}
    for key in old.keys() - new.keys():
        patch[key] = None
    for key, value in new.items():
        if key not in old:
            patch[key] = value
        elif value is old[key]:
            continue
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            if inner := merge_patch(old[key], value):
                patch[key] = inner
        elif not _same(value, old[key]):
            patch[key] = value
    return patch


def combined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch that does what two do; a field that one of them removes whole stays removed."""
    result = dict(one)
    for key, value in other.items():
        mine = result.get(key)
        if isinstance(mine, Mapping) and isinstance(value, Mapping):
            result[key] = combined(mine, value)
        elif key not in result or mine is not None or _adds(value):
            result[key] = value
    return result


def _adds(patch: Any) -> bool:
    return any(map(_adds, patch.values())) if isinstance(patch, Mapping) else patch is not None


def apply_merge_patch(target: Any, patch: Any) -> Any:
    """Return ``target`` with a JSON merge patch (RFC 7386) applied; the input is not changed."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply_merge_patch(result.get(key), value)
    return result
