"""Which Canaries a change of one object may concern."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from canary.core.configuration import tracking_key
from canary.core.mentions import pointed_by, points_at
from canary.core.names import CANARY_LABEL, Names, owner_of
from canary.core.objects import (
    CONFIG_MAP,
    DAEMON_SET,
    DEPLOYMENT,
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    SECRET,
    SERVICE,
    VIRTUAL_SERVICE,
    CanaryKey,
    Object,
    Ref,
    Resource,
    labels_of,
)
from canary.engine.differences import held, scaling, selection
from canary.engine.observe import GROUPS, mentioning_here
from canary.engine.owned import SCALERS
from canary.engine.surroundings import AROUND, concerned
from canary.ports import Cluster


def affected(cluster: Cluster, resource: Resource, before: Object | None, after: Object | None) -> Iterator[CanaryKey]:
    """Yield the Canaries that a change of one object may concern; some may come twice."""
    obj = after or before
    if obj is not None and resource == ENDPOINT_SLICE:
        yield from _reached_by(cluster, obj)
        return
    yield from concerned(cluster, resource, before, after)
    if obj is None or resource in AROUND or (resource in SCALERS and scaling(before) == scaling(after)):
        return
    namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    if resource in GROUPS.values():
        yield CanaryKey(resource.group, namespace, name)
    for state in (before, after):
        owner = owner_of(state) if state is not None else None
        if owner is not None and owner.group in GROUPS:
            yield owner.key(namespace)
    for group in GROUPS.values():
        for canary in _candidates(cluster, group, resource, obj, before, after):
            key = CanaryKey(group.group, namespace, canary["metadata"]["name"])
            if key.ref != Ref(resource, namespace, name) and _concerns(canary, resource, obj, before, after):
                yield key


def _candidates(
    cluster: Cluster, group: Resource, resource: Resource, obj: Object, before: Object | None, after: Object | None
) -> Sequence[Object]:
    """Return the Canaries of a group among which those are that a change concerns: all, or some by index."""
    namespace, name = obj["metadata"]["namespace"], obj["metadata"]["name"]
    if resource in GROUPS.values():
        return mentioning_here(cluster, group, namespace, [pointed_by(namespace, one) for one in points_at(obj)])
    routed = resource in (VIRTUAL_SERVICE, DESTINATION_RULE) and owner_of(obj) is not None
    served = resource == SERVICE and selection(before) == selection(after)
    if routed or served or resource in (DAEMON_SET, DEPLOYMENT):
        bare = (name, name.removesuffix("-primary"), name.removesuffix("-canary"))
        return mentioning_here(cluster, group, namespace, [pointed_by(namespace, one) for one in bare])
    return cluster.list(group, namespace)


def _reached_by(cluster: Cluster, endpoint_slice: Object) -> Iterator[CanaryKey]:
    """Yield the Canary whose Service an EndpointSlice belongs to: it bears the labels of that."""
    namespace, name = endpoint_slice["metadata"]["namespace"], labels_of(endpoint_slice).get(CANARY_LABEL, "")
    keys = (CanaryKey(group.group, namespace, name) for group in GROUPS.values())
    yield from (key for key in keys if cluster.get(key.ref) is not None)


def _concerns(canary: Object, resource: Resource, obj: Object, before: Object | None, after: Object | None) -> bool:
    """Return whether an object may matter to a Canary, by its name or by what it points at."""
    target, apex = points_at(canary)
    name = obj["metadata"]["name"]
    if resource in GROUPS.values():
        other_target, other_apex = points_at(obj)
        return target == other_target or apex == other_apex
    if resource in (CONFIG_MAP, SECRET):
        return held(before) != held(after) and _refers_to(canary, resource, str(name))
    if resource in (DAEMON_SET, DEPLOYMENT):
        # By name and not by owner alone: an object of others may hold a name that is needed.
        names = Names(obj["metadata"]["namespace"], target, apex)
        return name in (target, names.workload("primary").name, names.workload("canary").name)
    if name == apex:
        return True
    # Obstacles: what another object routes, rules, scales or selects is compared by the decision itself.
    if resource == SERVICE:
        return selection(before) != selection(after)
    if resource in SCALERS:
        return _scales(canary, before) or _scales(canary, after)
    return resource in (VIRTUAL_SERVICE, DESTINATION_RULE) and owner_of(obj) is None


def _scales(canary: Object, scaler: Object | None) -> bool:
    """Return whether an autoscaler is the one a Canary names, or scales one of its Deployments."""
    if scaler is None:
        return False
    target, _ = points_at(canary)
    named = ((canary.get("spec") or {}).get("autoscalerRef") or {}).get("name")
    pointed = ((scaler.get("spec") or {}).get("scaleTargetRef") or {}).get("name")
    return scaler["metadata"]["name"] == named or pointed in (target, f"{target}-primary", f"{target}-canary")


def _refers_to(canary: Object, resource: Resource, name: str) -> bool:
    """Return whether a Canary's status says that its target refers to an object, or that a copy bears its name."""
    status = canary.get("status") or {}
    if tracking_key(resource, name) in (status.get("trackedConfigs") or {}):
        return True
    revision = (status.get("revision") or {}).get("candidate")
    return bool(revision) and name.endswith(f"-{revision}")
