"""What others made around a release: where it is found, and which Canaries a change of it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from canary.api.canary import CanarySpec
from canary.core.mentions import (
    DELEGATE,
    MESH,
    NO_HOST,
    asked_by,
    mentions,
    named_by,
    points_at,
    wanted_gateways,
    wanted_hosts,
)
from canary.core.names import ROOT_NAMESPACE, Names, Role, owner_of
from canary.core.objects import (
    DESTINATION_RULE,
    FLAGGER_CANARY,
    FLAGGER_PROVIDER,
    FLAGGER_TEMPLATE,
    GATEWAY,
    NAMESPACE,
    NATIVE_CANARY,
    NATIVE_PROVIDER,
    NATIVE_TEMPLATE,
    PEER_AUTHENTICATION,
    POD,
    SIDECAR,
    VIRTUAL_SERVICE,
    WORKLOAD_ENTRY,
    CanaryKey,
    Object,
    Ref,
    Resource,
    labels_of,
    ref_of,
)
from canary.core.routes.hosts import covering, qualified_hosts, service_of
from canary.core.snapshot import Surroundings
from canary.core.warnings.injection import INJECTION_LABELS, is_bare
from canary.core.workload import Workload
from canary.ports import Cluster

NAMED_BY = {
    NATIVE_TEMPLATE: NATIVE_CANARY,
    NATIVE_PROVIDER: NATIVE_CANARY,
    FLAGGER_TEMPLATE: FLAGGER_CANARY,
    FLAGGER_PROVIDER: FLAGGER_CANARY,
}
"""MetricTemplates and AlertProviders, with the Canaries that may name them."""
AROUND = frozenset({GATEWAY, NAMESPACE, PEER_AUTHENTICATION, POD, SIDECAR, WORKLOAD_ENTRY, *NAMED_BY})
"""Types of which a release only takes notice."""


def surroundings_of(cluster: Cluster, names: Names, spec: CanarySpec | None, route: Object | None) -> Surroundings:
    """Return what others made around a Canary, each found by name or index."""
    here, hosts = names.namespace, qualified_hosts(names)
    spoken = (*hosts.values(), *covering(hosts["apex"]))
    asked = {hosts["apex"], *wanted_hosts(route, spec, here)}
    sidecars = (*_in_force(cluster, SIDECAR, here), *_naming(cluster, SIDECAR, hosts.values()))
    return Surroundings(
        namespace=cluster.get(Ref(NAMESPACE, "", here)),
        routes=_naming(cluster, VIRTUAL_SERVICE, sorted(asked)),
        rules=_naming(cluster, DESTINATION_RULE, spoken),
        sidecars=_distinct(SIDECAR, sidecars),
        entries=cluster.list(WORKLOAD_ENTRY, here),
        authentications=_in_force(cluster, PEER_AUTHENTICATION, here),
        bare=tuple(_bare(cluster, names)),
        absent_gateways=tuple(_absent(cluster, wanted_gateways(route, spec, here))),
    )


def concerned(cluster: Cluster, resource: Resource, before: Object | None, after: Object | None) -> Iterator[CanaryKey]:
    """Yield the Canaries that may take notice of a change; some may come twice."""
    obj = after or before
    if obj is None or not _notable(resource, before, after):
        return
    if resource == NAMESPACE:
        yield from _canaries(cluster, obj["metadata"]["name"])
        return
    namespace = obj["metadata"]["namespace"]
    if resource == POD:
        yield from _canaries(cluster, namespace)
        return
    if resource in (WORKLOAD_ENTRY, SIDECAR, PEER_AUTHENTICATION):
        whole_mesh = namespace == ROOT_NAMESPACE and resource != WORKLOAD_ENTRY
        yield from _canaries(cluster, "" if whole_mesh else namespace)
    if resource == GATEWAY:
        yield from _owners(cluster, f"{namespace}/{obj['metadata']['name']}")
    if resource in NAMED_BY:
        yield from _asking(cluster, ref_of(resource, obj))
    named = frozenset().union(*(mentions(resource, one) for one in (before, after) if one is not None))
    for host in sorted(one for one in named if not one.startswith(NO_HOST)):
        yield from _served(cluster, resource, host)
    if resource == VIRTUAL_SERVICE:
        yield from _naming_route(cluster, ref_of(resource, obj))


def _notable(resource: Resource, before: Object | None, after: Object | None) -> bool:
    """Return whether what is looked at moved; a Gateway is only looked for, and a pod for what it lacks."""
    if resource == POD:
        was, now = (one is not None and is_bare(one) for one in (before, after))
        return was != now
    if before is None or after is None:
        return True
    if resource == NAMESPACE:
        return any(labels_of(before).get(key) != labels_of(after).get(key) for key in INJECTION_LABELS)
    moved = before.get("spec") != after.get("spec")
    return resource != GATEWAY and (moved or (resource == WORKLOAD_ENTRY and labels_of(before) != labels_of(after)))


def _served(cluster: Cluster, resource: Resource, host: str) -> Iterator[CanaryKey]:
    """Yield the Canaries for whose requests a host may be asked."""
    service = service_of(host)
    if host.startswith(DELEGATE):
        namespace, _, name = host.removeprefix(DELEGATE).partition("/")
        yield from _canaries(cluster, namespace, lambda apex: name == apex)
        yield from _naming_route(cluster, Ref(VIRTUAL_SERVICE, namespace, name))
        route = cluster.get(Ref(VIRTUAL_SERVICE, namespace, name))
        if route is not None and (owner := owner_of(route)) is not None:
            yield owner.key(namespace)
    elif host.startswith("*"):
        # A rule for a wildcard; those of VirtualServices are looked up by nobody.
        inside = service_of(host.replace("*", "any", 1))
        rule = resource == DESTINATION_RULE
        yield from _canaries(cluster, inside[1] if inside else "") if rule else ()
    elif service is not None:
        name, namespace = service
        yield from _canaries(cluster, namespace, lambda apex: name in (apex, f"{apex}-primary", f"{apex}-canary"))
    elif resource == VIRTUAL_SERVICE and "/" not in host:
        yield from _owners(cluster, host)


def _owners(cluster: Cluster, name: str) -> Iterator[CanaryKey]:
    """Yield the Canaries whose routes name a host or a Gateway."""
    for route in cluster.mentioning(VIRTUAL_SERVICE, name):
        if (owner := owner_of(route)) is not None:
            yield owner.key(route["metadata"]["namespace"])


def _naming_route(cluster: Cluster, route: Ref) -> Iterator[CanaryKey]:
    """Yield the Canaries that name a VirtualService."""
    for group in (NATIVE_CANARY, FLAGGER_CANARY):
        for canary in cluster.mentioning(group, named_by(route)):
            yield CanaryKey(group.group, canary["metadata"]["namespace"], canary["metadata"]["name"])


def _asking(cluster: Cluster, named: Ref) -> Iterator[CanaryKey]:
    """Yield the Canaries of its group that name a MetricTemplate or an AlertProvider."""
    group = NAMED_BY[named.resource]
    for canary in cluster.mentioning(group, asked_by(named)):
        yield CanaryKey(group.group, canary["metadata"]["namespace"], canary["metadata"]["name"])


def _canaries(cluster: Cluster, namespace: str, wanted: Callable[[str], bool] | None = None) -> Iterator[CanaryKey]:
    """Yield the Canaries of a namespace (all: ""), those with a wanted apex alone."""
    for group in (NATIVE_CANARY, FLAGGER_CANARY):
        for canary in cluster.list(group, namespace):
            if wanted is None or wanted(points_at(canary)[1]):
                yield CanaryKey(group.group, canary["metadata"]["namespace"], canary["metadata"]["name"])


def _in_force(cluster: Cluster, resource: Resource, namespace: str) -> tuple[Object, ...]:
    """Return the objects of a namespace and of Istio's root namespace."""
    return tuple(one for place in sorted({namespace, ROOT_NAMESPACE}) for one in cluster.list(resource, place))


def _naming(cluster: Cluster, resource: Resource, names: Iterable[str]) -> tuple[Object, ...]:
    return _distinct(resource, (one for name in names for one in cluster.mentioning(resource, name)))


def _distinct(resource: Resource, objects: Iterable[Object]) -> tuple[Object, ...]:
    found = {ref_of(resource, one): one for one in objects}
    return tuple(found[ref] for ref in sorted(found))


def _bare(cluster: Cluster, names: Names) -> Iterator[str]:
    """Yield the sets that have pods without a sidecar."""
    roles: tuple[Role, Role] = ("primary", "canary")
    bare = [labels_of(one).items() for one in cluster.list(POD, names.namespace) if is_bare(one)]
    for ref in map(names.workload, roles) if bare else ():
        found = cluster.get(ref)
        selector = Workload(found).selector.items() if found is not None else None
        if selector and any(selector <= labels for labels in bare):
            yield f"{ref.resource.kind} {ref.name}"


def _absent(cluster: Cluster, gateways: Iterable[str]) -> Iterator[str]:
    """Yield the Gateways that surely do not exist."""
    for gateway in sorted(gateways):
        namespace, _, name = gateway.partition("/")
        seen = gateway != MESH and cluster.sees(GATEWAY, namespace)
        if seen and cluster.get(Ref(GATEWAY, namespace, name)) is None:
            yield gateway
