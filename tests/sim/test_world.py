"""The invented API server, beyond what the cluster contract asks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from canary.core.objects import DEPLOYMENT, SERVICE, VIRTUAL_SERVICE, Ref
from canary.core.workload import field_managers
from canary.ports import Refused
from canary.sim.clock import EPOCH, VirtualLoop, run
from canary.sim.controllers import Collector
from canary.sim.manifests import deployment, service
from canary.sim.user import LAST_APPLIED, User
from canary.sim.world import World

TARGET = Ref(DEPLOYMENT, "istioinaction", "catalog")
REPLICAS = ("f:spec", "f:replicas")


@pytest.fixture
def world() -> World:
    """Return an empty world whose clock stands."""
    return World(lambda: 0.0, EPOCH)


def stored(world: World, ref: Ref = TARGET) -> Any:
    """Return an object that must be there."""
    found = world.find(ref)
    assert found is not None
    return found


def test_update_owns_what_the_server_filled_in(world: World) -> None:
    """As on a real server, defaulted replicas belong to whoever created the object by POST."""
    User(world, "kubectl-client-side-apply").apply(deployment(replicas=None))
    assert stored(world)["spec"]["replicas"] == 1
    assert field_managers(stored(world), *REPLICAS) == ("kubectl-client-side-apply",)


def test_server_side_apply_owns_what_it_sent(world: World) -> None:
    """Defaulted replicas belong to nobody after a server-side apply."""
    world.create(TARGET, deployment(replicas=None), writer="kubectl", operation="Apply")
    assert stored(world)["spec"]["replicas"] == 1
    assert field_managers(stored(world), *REPLICAS) == ()


def test_last_writer_owns_the_field(world: World) -> None:
    """A changed field changes hands; an equal value does not."""
    User(world).apply(deployment(replicas=2))
    world.patch(TARGET, {"spec": {"replicas": 0}}, writer="canary-controller")
    assert field_managers(stored(world), *REPLICAS) == ("canary-controller",)
    world.patch(TARGET, {"spec": {"replicas": 0}}, writer="other")
    assert field_managers(stored(world), *REPLICAS) == ("canary-controller",)


def test_apply_again_leaves_what_the_manifest_does_not_name(world: World) -> None:
    """`kubectl apply` of an unchanged manifest without replicas keeps the replicas of others."""
    user = User(world)
    user.apply(deployment(replicas=None))
    world.patch(TARGET, {"spec": {"replicas": 0}}, writer="canary-controller")
    before = stored(world)
    user.apply(deployment(replicas=None))
    assert stored(world) == before


def test_apply_again_puts_named_replicas_back(world: World) -> None:
    """`kubectl apply` with replicas in the manifest writes them again."""
    user = User(world)
    user.apply(deployment(replicas=2))
    world.patch(TARGET, {"spec": {"replicas": 0}}, writer="canary-controller")
    user.apply(deployment(replicas=2))
    assert stored(world)["spec"]["replicas"] == 2
    assert field_managers(stored(world), *REPLICAS) == ("kubectl-client-side-apply",)


def test_apply_removes_what_left_the_manifest(world: World) -> None:
    """A key of the last manifest that the new one lacks is removed; keys of others stay."""
    user = User(world)
    manifest = service()
    manifest["metadata"]["labels"] = {"team": "shop"}
    ref = user.apply(manifest)
    user.annotate(ref, "other", "stays")
    user.apply(service())
    found = stored(world, ref)
    assert not found["metadata"].get("labels")
    assert found["metadata"]["annotations"].keys() == {"other", LAST_APPLIED}


def test_selector_of_a_deployment_is_immutable(world: World) -> None:
    """A new selector is refused as the API server refuses it."""
    User(world).apply(deployment())
    body = {"spec": {"selector": {"matchLabels": {"app": "catalog", "x": "y"}}}}
    with pytest.raises(Refused, match=r"spec\.selector|selector"):
        world.patch(TARGET, body, writer="anyone")


def test_fractional_weights_are_refused_and_odd_sums_are_not(world: World) -> None:
    """The CRD checks types, not sums."""
    ref = Ref(VIRTUAL_SERVICE, "istioinaction", "catalog")

    def routes(weight: Any) -> dict[str, Any]:
        leg = {"destination": {"host": "catalog"}, "weight": weight}
        return {"spec": {"hosts": ["catalog"], "http": [{"route": [leg, leg]}]}}

    with pytest.raises(Refused):
        world.create(ref, routes(12.5), writer="anyone")
    world.create(ref, routes(70), writer="anyone")


def test_dependants_go_with_their_owner() -> None:
    """What an owner reference binds to a deleted object is collected a little later."""

    async def main() -> tuple[bool, bool]:
        loop = asyncio.get_running_loop()
        world = World(loop.time, EPOCH)
        Collector(loop, world)
        User(world).apply(deployment())
        child = service()
        child["metadata"]["ownerReferences"] = [{"uid": stored(world)["metadata"]["uid"]}]
        ref = Ref(SERVICE, "istioinaction", "catalog")
        world.create(ref, child, writer="anyone")
        world.delete(TARGET, writer="anyone")
        at_once = world.find(ref) is not None
        await asyncio.sleep(1)
        return at_once, world.find(ref) is not None

    assert run(VirtualLoop(), main()) == (True, False)
