"""The Services that the controller makes: what the spec asks for on them, in releases and after the Canary."""

from __future__ import annotations

import copy
from typing import Any

from canary.core.names import ASKED, CANARY_LABEL
from canary.core.objects import SERVICE, Object, Ref
from canary.sim.checks import healthy
from canary.sim.driver import Simulation, simulate
from canary.sim.routing import Caller
from canary.sim.scenario import Scenario, release
from tests.sim.stories import APEX, NAMESPACE, ROUTE, V1, V2, found, harmed, ours, quick, steps
from tests.sim.stories import CANARY as CANARY_SET

PRIMARY, CANARY = (Ref(SERVICE, NAMESPACE, f"catalog-{role}") for role in ("primary", "canary"))
METADATA: dict[str, Any] = {
    "apex": {"labels": {"team": "shop"}, "annotations": {"example.com/by": "apex"}},
    "primary": {"labels": {"side": "primary"}},
    "canary": {"labels": {"side": "canary"}},
    "trafficDistribution": "PreferClose",
}


def asking(given: Object, **service: Any) -> dict[str, Any]:
    """Return a Canary with fields of its service replaced; None leaves one out."""
    edited: dict[str, Any] = copy.deepcopy(dict(given))
    fields = {**edited["spec"]["service"], **service}
    edited["spec"]["service"] = {name: value for name, value in fields.items() if value is not None}
    return edited


async def begin(sim: Simulation, scenario: Scenario, *manifests: Object) -> None:
    """Let the controller make all of the Services: the user has a workload alone."""
    for manifest in manifests or (scenario.workload,):
        sim.user.apply(manifest)
    await sim.until(lambda: any(pod.ready for pod in sim.pods.all()), 600, "a ready pod")
    sim.measurer.numbers = healthy(scenario.canary)
    sim.start_controller()
    sim.user.apply(scenario.canary)
    await sim.until_phase("Initialized", 600)
    for mesh in (True, False):
        sim.dataplane.call(Caller(scenario.apex, NAMESPACE, 25.0, mesh=mesh))
    await sim.rest(60)


def labels(sim: Simulation, key: str) -> list[str | None]:
    """Return a label of the route and the three Services."""
    return [(found(sim, ref)["metadata"].get("labels") or {}).get(key) for ref in (ROUTE, APEX, PRIMARY, CANARY)]


def test_metadata_is_followed_in_a_release_and_outlives_the_canary() -> None:
    """Edits in mid-run change neither steps nor weights; idle nothing is written; the apex keeps what it has."""
    scenario = quick()
    scenario = Scenario(asking(scenario.canary, **METADATA), replicas=2)

    async def story(sim: Simulation) -> None:
        await begin(sim, scenario)
        assert labels(sim, "team") == ["shop", "shop", None, None]
        assert labels(sim, "side") == [None, None, "primary", "canary"]
        begun = await release(sim, scenario, V2)
        await sim.until_weight(25, 60)
        edited = {"apex": {"labels": {"squad": "shop"}}, "canary": None}
        sim.user.apply(asking(scenario.canary, **edited))
        await sim.rest(2)
        assert labels(sim, "team") == [None] * 4
        assert labels(sim, "squad") == ["shop", "shop", None, None]
        assert labels(sim, "side") == [None, None, "primary", None]
        await sim.until_phase("Succeeded", 300)
        assert steps(sim, begun)[:3] == [("Progressing", 0), ("Progressing", 25), ("Progressing", 50)]
        await sim.rest(60)
        now = sim.now
        await sim.rest(300)
        assert ours(sim, now) == []
        sim.user.delete(scenario.ref)
        await sim.rest(180)
        apex = found(sim, APEX)["metadata"]
        assert apex["labels"] == {"squad": "shop"}
        assert ASKED not in apex.get("annotations", {})
        assert CANARY_LABEL not in apex["labels"]
        assert harmed(sim) == 0

    simulate(story, seed=1)


def port_numbers(sim: Simulation) -> list[list[int]]:
    """Return the ports of the three Services."""
    return [[port["port"] for port in found(sim, ref)["spec"]["ports"]] for ref in (APEX, PRIMARY, CANARY)]


def with_port(workload: Object, number: int, image: str) -> dict[str, Any]:
    """Return a Deployment with an image and one container port more."""
    edited: dict[str, Any] = copy.deepcopy(dict(workload))
    container = edited["spec"]["template"]["spec"]["containers"][0]
    container |= {"image": image, "ports": [*container["ports"], {"name": "metrics", "containerPort": number}]}
    return edited


def test_ports_of_both_revisions_are_served_in_a_release() -> None:
    """The new one comes before the canary's first pod, the old one goes when the primary runs the new revision."""
    scenario = Scenario(asking(quick().canary, portDiscovery=True), replicas=2)
    old, new = (with_port(scenario.workload, number, image) for number, image in ((9090, V1), (9091, V2)))

    async def story(sim: Simulation) -> None:
        await begin(sim, scenario, old)
        assert port_numbers(sim) == [[80, 9090]] * 3
        sim.user.apply(new)
        await sim.until(lambda: sim.world.find(CANARY_SET) is not None, 60, "a canary")
        assert port_numbers(sim) == [[80, 9090, 9091]] * 3
        await sim.until_weight(50, 100)
        assert port_numbers(sim) == [[80, 9090, 9091]] * 3
        await sim.until_phase("Succeeded", 300)
        await sim.rest(60)
        assert port_numbers(sim) == [[80, 9091]] * 3
        now = sim.now
        await sim.rest(300)
        assert ours(sim, now) == []
        assert harmed(sim) == 0

    simulate(story, seed=2)
