"""Words that the scenario tests share: the objects of listing 5.1, and what to look at."""

from __future__ import annotations

from typing import Any

from canary.core.names import MANAGER
from canary.core.objects import DEPLOYMENT, SERVICE, Object, Ref
from canary.sim.driver import Simulation
from canary.sim.pods import version_of
from canary.sim.routing import weights_of
from canary.sim.scenario import Scenario, listing_5_1
from canary.sim.world import Change

NAMESPACE = "istioinaction"
TARGET = Ref(DEPLOYMENT, NAMESPACE, "catalog")
PRIMARY = Ref(DEPLOYMENT, NAMESPACE, "catalog-primary")
CANARY = Ref(DEPLOYMENT, NAMESPACE, "catalog-canary")
APEX = Ref(SERVICE, NAMESPACE, "catalog")
ROUTE = Scenario().route

V1, V2, V3 = "catalog:v1", "catalog:v2", "catalog:v3"
ROUTE_WRITES = [(90, 10), (80, 20), (70, 30), (60, 40), (50, 50), (0, 100), (100, 0)]
"""The weights a good release of listing 5.1 writes."""


def quick(replicas: int = 2, **analysis: Any) -> Scenario:
    """Return listing 5.1 with an interval of 10 s, a settle time of 5 s and two steps of 25 %."""
    fields = {"interval": "10s", "stepWeight": 25, "drainSeconds": 5, **analysis}
    return Scenario(listing_5_1(**fields), replicas=replicas)


def found(sim: Simulation, ref: Ref) -> Any:
    """Return an object that must exist, as it truly is."""
    obj = sim.world.find(ref)
    assert obj is not None, f"{ref} does not exist"
    return obj


def weights(sim: Simulation) -> tuple[int, ...]:
    """Return the weights in the route, the primary's first."""
    return shares(found(sim, ROUTE))


def shares(route: Object) -> tuple[int, ...]:
    """Return the weights of a route, the primary's first."""
    legs = {host.partition(".")[0]: weight for host, weight in weights_of(route)}
    return legs.get("catalog-primary", 0), legs.get("catalog-canary", 0)


def apex_role(sim: Simulation) -> str:
    """Return the role the apex Service selects."""
    selector: dict[str, str] = found(sim, APEX)["spec"]["selector"]
    return selector.get("canary.delivery/role", "")


def image(sim: Simulation, ref: Ref) -> str:
    """Return the image a Deployment's template names."""
    return str(found(sim, ref)["spec"]["template"]["spec"]["containers"][0]["image"])


def replicas(sim: Simulation, ref: Ref) -> int:
    """Return the size a Deployment asks for."""
    return int(found(sim, ref)["spec"]["replicas"])


def ready(sim: Simulation, ref: Ref) -> int:
    """Return how many pods of a Deployment are ready."""
    obj = sim.world.find(ref)
    return sum(pod.ready for pod in sim.pods.of(obj["metadata"]["uid"])) if obj else 0


def condition(sim: Simulation, kind: str, ref: Ref | None = None) -> dict[str, Any]:
    """Return a condition of a Canary, empty when it has none of the kind."""
    conditions: list[dict[str, Any]] = sim.status(ref).get("conditions") or []
    return next((one for one in conditions if one["type"] == kind), {})


def ours(sim: Simulation, since: float, ref: Ref | None = None) -> list[Change]:
    """Return what the controller wrote from a moment on, to one object or to all."""
    return [one for one in sim.history.writes(MANAGER, since) if ref in (None, one.ref)]


def route_writes(sim: Simulation, since: float) -> list[tuple[int, ...]]:
    """Return the weights the controller wrote from a moment on."""
    return [shares(one.after) for one in ours(sim, since, ROUTE) if one.after is not None]


def steps(sim: Simulation, since: float) -> list[tuple[str, int]]:
    """Return the rows from a moment on, without times."""
    return [(row.phase, row.weight) for row in sim.rows(since)]


def harmed(sim: Simulation) -> int:
    """Return how many requests failed because of the release until now."""
    sim.dataplane.settle()
    return sim.dataplane.requests.harmed


def received(sim: Simulation, version: str) -> int:
    """Return how many requests pods of a version got until now."""
    sim.dataplane.settle()
    return sum(count for (_, name), count in sim.dataplane.received.items() if name == version)


def version(scenario: Scenario, name: str) -> str:
    """Return the short name of what the target says with an image."""
    from canary.sim.defaults import defaulted

    manifest = defaulted(TARGET, scenario.revised(name))
    return version_of(manifest["spec"]["template"])
