"""The invented traffic."""

from __future__ import annotations

from typing import Any

import pytest

from canary.core.objects import DEPLOYMENT, VIRTUAL_SERVICE, Ref
from canary.sim.behaviour import Behaviour
from canary.sim.dataplane import Proxies
from canary.sim.driver import Simulation, simulate
from canary.sim.manifests import deployment, service
from canary.sim.routing import Caller, takes_caller

NAMESPACE = "istioinaction"
ROUTE = Ref(VIRTUAL_SERVICE, NAMESPACE, "shop")
MESH = Caller("shop", NAMESPACE, 100.0)
PLAIN = Caller("shop", NAMESPACE, 100.0, mesh=False)


async def shop(sim: Simulation, old: int = 100, new: int = 0) -> None:
    """Serve host shop from two Deployments by weights; the apex Service selects the old one."""
    for side in ("old", "new"):
        labels = {"app": "shop", "side": side}
        sim.user.apply(deployment(f"shop-{side}", image=f"shop:{side}", labels=labels, replicas=2))
        sim.user.apply(service(f"shop-{side}", selector=labels))
    sim.user.apply(service("shop", selector={"app": "shop", "side": "old"}))
    sim.world.create(ROUTE, routes(old, new), writer="user")
    await sim.rest(5)
    sim.dataplane.stable |= {pod.version for pod in sim.pods.all() if pod.deployment == "shop-old"}


def routes(old: int, new: int, host: str = "shop-new") -> dict[str, Any]:
    """Return a VirtualService with two weights."""
    legs = [
        {"destination": {"host": "shop-old"}, "weight": old},
        {"destination": {"host": host}, "weight": new},
    ]
    return {"spec": {"hosts": ["shop"], "gateways": ["mesh"], "http": [{"route": legs}]}}


def received(sim: Simulation) -> dict[str, int]:
    """Return the requests each Deployment got so far."""
    sim.dataplane.settle()
    found: dict[str, int] = {}
    for (name, _), count in sim.dataplane.received.items():
        found[name] = found.get(name, 0) + count
    return found


def test_mesh_callers_follow_weights_and_plain_callers_the_service() -> None:
    """Weights share out mesh traffic; without a sidecar the Service decides."""

    async def story(sim: Simulation) -> None:
        await shop(sim, 70, 30)
        sim.dataplane.call(MESH)
        await sim.rest(50)
        counts = received(sim)
        assert sum(counts.values()) == pytest.approx(5000, abs=300)
        assert counts["shop-new"] / sum(counts.values()) == pytest.approx(0.30, abs=0.02)
        sim.dataplane.call(PLAIN)
        await sim.rest(50)
        assert received(sim)["shop-new"] == pytest.approx(3000, abs=250)
        assert received(sim)["shop-old"] == pytest.approx(12000, abs=500)

    simulate(story)


def test_routes_reach_proxies_after_a_delay() -> None:
    """For 0.15 s after a write requests go the old way, then none does."""

    async def story(sim: Simulation) -> None:
        await shop(sim)
        sim.dataplane.call(MESH)
        sim.world.patch(ROUTE, routes(0, 100), writer="user")
        await sim.rest(0.149)
        assert "shop-new" not in received(sim)
        await sim.rest(0.1)
        old = received(sim)["shop-old"]
        await sim.rest(5)
        assert received(sim)["shop-old"] == old

    simulate(story)


def test_some_proxies_may_never_be_told() -> None:
    """A group without pushes goes on as before until it is told again."""

    async def story(sim: Simulation) -> None:
        await shop(sim)
        sim.dataplane.call(MESH)
        sim.dataplane.split(Proxies(0.9), Proxies(0.1, None))
        sim.world.patch(ROUTE, routes(0, 100), writer="user")
        await sim.rest(1)
        before = received(sim)["shop-old"]
        await sim.rest(50)
        assert received(sim)["shop-old"] - before == pytest.approx(500, abs=120)
        sim.dataplane.delay(0.15)
        await sim.rest(1)
        before = received(sim)["shop-old"]
        await sim.rest(5)
        assert received(sim)["shop-old"] == before

    simulate(story)


@pytest.mark.parametrize(
    ("condition", "taken"),
    [
        ({"sourceLabels": {"app": "webapp"}}, True),
        ({"sourceLabels": {"app": "other"}}, False),
        ({"gateways": ["mesh", "edge/public"]}, True),
        ({"gateways": ["edge/public"]}, False),
        ({"gateways": ["mesh"], "sourceLabels": {"app": "other"}}, True),
        ({"gateways": ["edge/public"], "sourceLabels": {"app": "webapp"}}, False),
    ],
)
def test_labels_of_callers_are_not_heeded_beside_gateways(condition: dict[str, Any], taken: bool) -> None:
    """A route is one for a caller as Istio decides it: by gateways if there are any, else by labels."""
    assert takes_caller({"match": [condition]}, MESH) is taken


def test_unknown_host_and_missing_endpoints_are_harm() -> None:
    """Requests that a route sends nowhere fail and count as harmed."""

    async def story(sim: Simulation) -> None:
        await shop(sim)
        sim.dataplane.call(MESH)
        sim.world.patch(ROUTE, routes(50, 50, "shop-none"), writer="user")
        await sim.rest(20)
        requests = sim.dataplane.requests
        assert requests.harmed == requests.failed == pytest.approx(1000, abs=150)
        sim.user.scale(Ref(DEPLOYMENT, NAMESPACE, "shop-new"), 0)
        sim.world.patch(ROUTE, routes(0, 100), writer="user")
        await sim.rest(5)
        before = requests.harmed
        await sim.rest(5)
        sim.dataplane.settle()
        assert requests.harmed - before == pytest.approx(500, abs=100)

    simulate(story)


def test_errors_of_production_are_no_harm() -> None:
    """What the stable version itself answers is failed, not harmed; the new version's errors are harm."""

    async def story(sim: Simulation) -> None:
        await shop(sim, 50, 50)
        sim.behaviours.put(Behaviour(errors=10), image="shop:old")
        sim.dataplane.call(MESH)
        await sim.rest(20)
        requests = sim.dataplane.requests
        assert requests.failed > 50
        assert requests.harmed == 0
        sim.behaviours.put(Behaviour(timeouts=100), image="shop:new")
        await sim.rest(20)
        assert requests.harmed > 800

    simulate(story)


def test_killed_pods_of_production_are_no_harm() -> None:
    """Requests that fail because a node took production's pods away are not the release's fault."""

    async def story(sim: Simulation) -> None:
        await shop(sim)
        sim.dataplane.call(MESH)
        sim.kill_pods(NAMESPACE, "shop-old")
        await sim.rest(10)
        assert sim.dataplane.requests.failed > 100
        assert sim.dataplane.requests.harmed == 0

    simulate(story)


def test_rolling_a_set_without_failed_requests() -> None:
    """A plain roll-out loses nothing: terminating pods answer until the proxies know."""

    async def story(sim: Simulation) -> None:
        await shop(sim)
        sim.dataplane.call(MESH)
        sim.dataplane.call(PLAIN)
        labels = {"app": "shop", "side": "old"}
        sim.user.apply(deployment("shop-old", image="shop:next", labels=labels, replicas=2))
        await sim.rest(30)
        assert sim.dataplane.requests.failed == 0

    simulate(story)


def test_equal_seeds_give_equal_histories() -> None:
    """Chance is the seed's alone."""

    async def story(sim: Simulation) -> None:
        await shop(sim, 60, 40)
        sim.dataplane.call(MESH)
        await sim.rest(30)

    def counts(seed: int) -> list[Any]:
        sim = simulate(story, seed=seed)
        return [sorted(sim.dataplane.received.items()), [(one.at, str(one.ref)) for one in sim.history.changes]]

    assert counts(1) == counts(1)
    assert counts(1) != counts(2)
