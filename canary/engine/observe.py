"""Assemble the snapshot of one Canary from caches, and tell which Canaries a change concerns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from canary.api import status as wire_status
from canary.api.admission import refusals
from canary.api.canary import Canary, CanarySpec
from canary.api.warnings import Caution, warnings
from canary.core.configuration import tracking_key
from canary.core.mentions import delegate_name
from canary.core.names import (
    CANARY_LABEL,
    Names,
    Owner,
    key_of,
    named_route,
    owner_of,
    workloads_of,
)
from canary.core.objects import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    FLAGGER_CANARY,
    NATIVE_CANARY,
    SECRET,
    SERVICE,
    VIRTUAL_SERVICE,
    CanaryKey,
    Object,
    Ref,
    Resource,
    labels_of,
    ref_of,
)
from canary.core.revisions import from_object
from canary.core.scaler import FIELDS, Scaler
from canary.core.snapshot import Neighbours, Snapshot, Surroundings
from canary.core.workload import Workload
from canary.engine.configured import PINNED, configured
from canary.engine.differences import held, scaling, selection
from canary.engine.metric_templates import templates_of
from canary.engine.owned import SCALERS, find_owner, find_route
from canary.engine.sides import clone, cohort_services, rules
from canary.engine.surroundings import AROUND, concerned, points_at, surroundings_of
from canary.ports import Cluster

_GROUPS = {NATIVE_CANARY.group: NATIVE_CANARY, FLAGGER_CANARY.group: FLAGGER_CANARY}
_DEFAULT_DRAIN = 15


def observe(cluster: Cluster, key: CanaryKey, pinned: tuple[Resource, ...] = PINNED) -> Snapshot | None:
    """Return everything that concerns a Canary; None when there is neither it nor anything of its."""
    raw = cluster.get(key.ref)
    if raw is not None:
        return configured(cluster, _observe_present(cluster, key, raw), pinned)
    owner = find_owner(cluster, key)
    if owner is None:
        return None
    return configured(cluster, _assemble(cluster, key, None, None, (), owner), pinned)


def _observe_present(cluster: Cluster, key: CanaryKey, raw: Object) -> Snapshot:
    wanted = {name: part for name, part in raw.items() if name == "spec"}
    spec, refused, cautions = _read(json.dumps({"metadata": {"name": key.name}, **wanted}))
    target, apex = points_at(raw)
    drain = spec.analysis.drain_seconds if spec else _DEFAULT_DRAIN
    threshold = spec.analysis.primary_ready_threshold if spec else 100
    workloads = workloads_of(((raw.get("spec") or {}).get("targetRef") or {}).get("kind"))
    uid, named = raw["metadata"]["uid"], named_route(raw)
    owner = Owner(key.group, key.name, uid, target, apex, drain, threshold, workloads, named)
    templates = templates_of(cluster, key, raw)
    return replace(_assemble(cluster, key, raw, spec, refused, owner), cautions=cautions, templates=templates)


@lru_cache(maxsize=1024)
def _read(text: str) -> tuple[CanarySpec | None, tuple[str, ...], tuple[Caution, ...]]:
    """Return the spec in a Canary's JSON text, or what is wrong with it, and what it asks for in vain.

    Most looks find the one of before.
    """
    raw = json.loads(text)
    if refused := tuple(str(r) for r in refusals(raw)):
        return None, refused, ()
    try:
        return Canary.parse(raw).spec, (), warnings(raw)
    except ValidationError as error:
        return None, tuple(f"spec.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()), ()


def _assemble(
    cluster: Cluster,
    key: CanaryKey,
    raw: Object | None,
    spec: CanarySpec | None,
    refused: tuple[str, ...],
    owner: Owner,
) -> Snapshot:
    names, owner, route = _routed(cluster, key, raw, owner)
    at = names.route_ref if route is None else ref_of(VIRTUAL_SERVICE, route)
    target = cluster.get(names.target_ref)
    return Snapshot(
        key=key,
        names=names,
        owner=owner,
        canary=raw,
        spec=spec,
        refusals=refused,
        status=_status(raw),
        target=Workload(target) if target is not None else None,
        primary=clone(cluster, names, "primary"),
        candidate=clone(cluster, names, "canary", route),
        apex=cluster.get(names.apex_ref),
        primary_service=cluster.get(names.service("primary")),
        canary_service=cluster.get(names.service("canary")),
        keeper=cluster.get(names.keeper),
        route=route,
        cohort_services=cohort_services(cluster, names),
        rules=rules(cluster, names),
        revisions=_revisions(cluster, key),
        scalers=_scalers(cluster, key, owner),
        neighbours=_neighbours(cluster, key) if raw is not None else Neighbours(),
        roots=tuple(cluster.mentioning(VIRTUAL_SERVICE, delegate_name(at.namespace, at.name))),
        route_seen=names.named is None or cluster.sees(VIRTUAL_SERVICE, at.namespace),
        target_seen=owner.workloads != DAEMON_SET or cluster.sees(DAEMON_SET, key.namespace),
        all_roots_seen=cluster.sees(VIRTUAL_SERVICE, ""),
        surroundings=surroundings_of(cluster, names, spec, route) if raw is not None else Surroundings(),
    )


def _routed(cluster: Cluster, key: CanaryKey, raw: Object | None, owner: Owner) -> tuple[Names, Owner, Object | None]:
    """Return the route of a Canary, and names and mark that tell where it is unless that goes without saying."""
    names = Names(key.namespace, owner.target, owner.apex, owner.workloads, owner.route)
    route = find_route(cluster, key, names, owner)
    if raw is None and route is not None and names.named is not None and key_of(route) not in (None, key):
        # Given back, and another's by now.
        names = replace(names, named=None)
        route = find_route(cluster, key, names, owner)
    at = names.route_ref if route is None else ref_of(VIRTUAL_SERVICE, route)
    if names.named is not None or at.namespace != key.namespace:
        names = replace(names, named=at)
        owner = replace(owner, route=at, namespace=key.namespace)
    return names, owner, route


def _status(raw: Object | None) -> wire_status.CanaryStatus:
    """Return the status of a Canary; one that cannot be read counts as erased."""
    try:
        return wire_status.parse((raw or {}).get("status"))
    except ValidationError:
        return wire_status.CanaryStatus()


def _revisions(cluster: Cluster, key: CanaryKey) -> tuple[Any, ...]:
    owned = (
        obj for obj in cluster.list(CONTROLLER_REVISION, key.namespace) if labels_of(obj).get(CANARY_LABEL) == key.name
    )
    return tuple(r for obj in owned if (r := from_object(obj)) is not None)


def _scalers(cluster: Cluster, key: CanaryKey, owner: Owner) -> tuple[Scaler, ...]:
    if owner.workloads == DAEMON_SET:
        # None scales a DaemonSet, but maybe a Deployment of its name.
        return ()
    kinds = ((fields, cluster.list(fields.resource, key.namespace)) for fields in FIELDS.values())
    return tuple(Scaler(obj, fields) for fields, found in kinds for obj in found)


def _neighbours(cluster: Cluster, key: CanaryKey) -> Neighbours:
    canaries = [
        other
        for resource in _GROUPS.values()
        for other in cluster.list(resource, key.namespace)
        if (resource.group, other["metadata"]["name"]) != (key.group, key.name)
    ]
    return Neighbours(
        canaries=canaries,
        services=cluster.list(SERVICE, key.namespace),
        routes=cluster.list(VIRTUAL_SERVICE, key.namespace),
        rules=cluster.list(DESTINATION_RULE, key.namespace),
    )


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
    if resource in _GROUPS.values():
        yield CanaryKey(resource.group, namespace, name)
    for state in (before, after):
        owner = owner_of(state) if state is not None else None
        if owner is not None and owner.group in _GROUPS:
            yield owner.key(namespace)
    for group in _GROUPS.values():
        for canary in cluster.list(group, namespace):
            key = CanaryKey(group.group, namespace, canary["metadata"]["name"])
            if key.ref != Ref(resource, namespace, name) and _concerns(canary, resource, obj, before, after):
                yield key


def _reached_by(cluster: Cluster, endpoint_slice: Object) -> Iterator[CanaryKey]:
    """Yield the Canary whose Service an EndpointSlice belongs to: it bears the labels of that."""
    namespace, name = endpoint_slice["metadata"]["namespace"], labels_of(endpoint_slice).get(CANARY_LABEL, "")
    keys = (CanaryKey(group.group, namespace, name) for group in _GROUPS.values())
    yield from (key for key in keys if cluster.get(key.ref) is not None)


def _concerns(canary: Object, resource: Resource, obj: Object, before: Object | None, after: Object | None) -> bool:
    """Return whether an object may matter to a Canary, by its name or by what it points at."""
    target, apex = points_at(canary)
    name = obj["metadata"]["name"]
    if resource in _GROUPS.values():
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
