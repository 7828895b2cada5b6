"""Assemble the snapshot of one Canary from caches, and tell which Canaries a change concerns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from canary.api import status as wire_status
from canary.api.admission import refusals
from canary.api.canary import Canary, CanarySpec
from canary.api.warnings import Caution, warnings
from canary.core.mentions import delegate_name, pointed_by, points_at, selected_by
from canary.core.names import (
    CANARY_LABEL,
    ROLE_LABEL,
    Names,
    Owner,
    key_of,
    named_route,
    workloads_of,
)
from canary.core.objects import (
    CONTROLLER_REVISION,
    DAEMON_SET,
    DESTINATION_RULE,
    FLAGGER_CANARY,
    NATIVE_CANARY,
    SERVICE,
    VIRTUAL_SERVICE,
    CanaryKey,
    Object,
    Resource,
    labels_of,
    ref_of,
)
from canary.core.revisions import from_object
from canary.core.routes.hosts import qualified, spellings
from canary.core.scaler import FIELDS, Scaler
from canary.core.snapshot import Neighbours, Snapshot, Surroundings
from canary.core.workload import Workload
from canary.engine.alert_providers import providers_of
from canary.engine.configured import PINNED, configured
from canary.engine.metric_templates import templates_of
from canary.engine.owned import find_owner, find_route
from canary.engine.sides import clone, cohort_services, rules
from canary.engine.surroundings import surroundings_of
from canary.ports import Cluster

GROUPS = {NATIVE_CANARY.group: NATIVE_CANARY, FLAGGER_CANARY.group: FLAGGER_CANARY}
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
    providers = providers_of(cluster, key, raw)
    assembled = _assemble(cluster, key, raw, spec, refused, owner)
    return replace(assembled, cautions=cautions, templates=templates, providers=providers)


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
        neighbours=_neighbours(cluster, key, names, target) if raw is not None else Neighbours(),
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


def _neighbours(cluster: Cluster, key: CanaryKey, names: Names, target: Object | None) -> Neighbours:
    """Return what could stand in the way of a Canary, each found by index: a namespace may hold hundreds."""
    space = names.namespace
    pointed = [pointed_by(space, name) for name in dict.fromkeys((names.target, names.apex))]
    canaries = [
        other
        for resource in GROUPS.values()
        for other in mentioning_here(cluster, resource, space, pointed)
        if (resource.group, other["metadata"]["name"]) != (key.group, key.name)
    ]
    labels = {**Workload(target).pod_labels, ROLE_LABEL: "canary"} if target is not None else {}
    selected = [selected_by(space, label, value) for label, value in labels.items()]
    hosts = sorted({qualified(host, space) for host in spellings(names.apex, space)})
    return Neighbours(
        canaries=canaries,
        services=mentioning_here(cluster, SERVICE, space, selected),
        routes=mentioning_here(cluster, VIRTUAL_SERVICE, space, hosts),
        rules=mentioning_here(cluster, DESTINATION_RULE, space, hosts),
    )


def mentioning_here(cluster: Cluster, resource: Resource, namespace: str, names: Sequence[str]) -> list[Object]:
    """Return the objects of a namespace that mention any of some names, sorted by their own."""
    found = (one for name in names for one in cluster.mentioning(resource, name))
    here = {one["metadata"]["name"]: one for one in found if one["metadata"]["namespace"] == namespace}
    return [here[name] for name in sorted(here)]
