"""The two sides of a Canary in the caches: workloads with what their Services lead to, and their traffic policies."""

from __future__ import annotations

from canary.core.endpoints import count_ready
from canary.core.names import Names, Role
from canary.core.objects import DESTINATION_RULE, ENDPOINT_SLICE, SERVICE, Object, Ref
from canary.core.routes.hosts import qualified
from canary.core.routes.istio import cohorts_of
from canary.core.snapshot import CohortService
from canary.core.workload import Workload
from canary.ports import Cluster


def clone(cluster: Cluster, names: Names, role: Role, route: Object | None = None) -> Workload | None:
    """Return the workload of one side, with how many pods every Service leads to by which a route reaches it."""
    found = cluster.get(names.workload(role))
    if found is None:
        return None
    apart = sorted(cohorts_of(route, names)) if route is not None else ()
    services = (names.service(role), *map(names.cohort_service, apart))
    return Workload(found, min(_ready(cluster, one) for one in services))


def cohort_services(cluster: Cluster, names: Names) -> dict[int, CohortService]:
    """Return what has the names of the Services of cohorts, by number."""
    found = ((names.cohort_of(one["metadata"]["name"]), one) for one in cluster.list(SERVICE, names.namespace))
    return {
        number: CohortService(one, _ready(cluster, names.cohort_service(number)))
        for number, one in found
        if number is not None
    }


def rules(cluster: Cluster, names: Names) -> dict[str, Object]:
    """Return what has the names of the DestinationRules of the two sides and of cohorts, by name."""
    sides = (names.rule("primary").name, names.rule("canary").name)
    found = ((one["metadata"]["name"], one) for one in cluster.list(DESTINATION_RULE, names.namespace))
    return {name: one for name, one in found if name in sides or names.cohort_of(name) is not None}


def _ready(cluster: Cluster, service: Ref) -> int:
    return count_ready(cluster.mentioning(ENDPOINT_SLICE, qualified(service.name, service.namespace)))
