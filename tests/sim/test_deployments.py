"""The invented Deployment controller."""

from __future__ import annotations

from typing import Any

from canary.core.objects import DEPLOYMENT, Ref
from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.manifests import deployment

TARGET = Ref(DEPLOYMENT, "istioinaction", "catalog")


def status(sim: Simulation) -> dict[str, Any]:
    """Return the status of the Deployment."""
    found = sim.world.find(TARGET)
    assert found is not None
    result: dict[str, Any] = found["status"]
    return result


def progressing(sim: Simulation) -> tuple[str, str]:
    """Return status and reason of the Progressing condition."""
    condition = next(one for one in status(sim)["conditions"] if one["type"] == "Progressing")
    return condition["status"], condition["reason"]


def test_pods_get_ready_after_their_delay() -> None:
    """A new Deployment counts its pods as they come, zeros left out, and ends complete."""

    async def story(sim: Simulation) -> None:
        sim.user.apply(deployment(replicas=3))
        await sim.rest(1)
        assert status(sim)["unavailableReplicas"] == 3
        assert "readyReplicas" not in status(sim)
        assert progressing(sim) == ("True", "ReplicaSetUpdated")
        await sim.rest(2)
        assert status(sim)["availableReplicas"] == 3
        assert progressing(sim) == ("True", "NewReplicaSetAvailable")

    simulate(story)


def test_rolling_update_keeps_its_bounds() -> None:
    """A roll-out never has fewer than desired - maxUnavailable ready pods nor more than the surge."""
    seen: list[tuple[int, int]] = []

    async def story(sim: Simulation) -> None:
        sim.user.apply(deployment(replicas=4))
        await sim.rest(5)
        uid = (sim.world.find(TARGET) or {})["metadata"]["uid"]

        def count(pod: object) -> None:
            pods = sim.pods.of(uid)
            seen.append((len(pods), sum(one.ready for one in pods)))

        sim.pods.after.append(count)
        sim.user.apply(deployment(replicas=4, image="catalog:v2"))
        await sim.rest(30)
        assert {pod.image for pod in sim.pods.all()} == {"catalog:v2"}
        assert progressing(sim) == ("True", "NewReplicaSetAvailable")

    simulate(story)
    assert max(total for total, _ in seen) == 5
    assert min(ready for _, ready in seen) == 3


def test_recreate_ends_all_before_it_starts_any() -> None:
    """With strategy Recreate old and new pods never exist together."""
    images: list[set[str]] = []

    async def story(sim: Simulation) -> None:
        manifest = deployment(replicas=2)
        manifest["spec"]["strategy"] = {"type": "Recreate"}
        sim.user.apply(manifest)
        await sim.rest(5)
        sim.pods.after.append(lambda pod: images.append({one.image for one in sim.pods.all()}))
        again = deployment(replicas=2, image="catalog:v2")
        again["spec"]["strategy"] = {"type": "Recreate"}
        sim.user.apply(again)
        await sim.rest(20)
        assert status(sim)["availableReplicas"] == 2

    simulate(story)
    assert all(len(found) <= 1 for found in images)


def test_deadline_passes_without_progress() -> None:
    """A template whose pods never get ready ends in ProgressDeadlineExceeded, and old pods stay."""

    async def story(sim: Simulation) -> None:
        sim.behaviours.put(Behaviour(ready_after=None), image="catalog:v2")
        manifest = deployment(replicas=2)
        manifest["spec"]["progressDeadlineSeconds"] = 60
        sim.user.apply(manifest)
        await sim.rest(5)
        again = deployment(replicas=2, image="catalog:v2")
        again["spec"]["progressDeadlineSeconds"] = 60
        sim.user.apply(again)
        await sim.rest(50)
        assert progressing(sim)[0] == "True"
        await sim.rest(20)
        assert progressing(sim) == ("False", "ProgressDeadlineExceeded")
        assert status(sim)["readyReplicas"] == 2

    simulate(story)


def test_scaling_a_complete_deployment_starts_no_deadline() -> None:
    """As in apps/v1, pods that do not come after a scaling leave the Progressing condition alone."""

    async def story(sim: Simulation) -> None:
        sim.user.apply(deployment(replicas=1))
        await sim.rest(5)
        sim.behaviours.put(Behaviour(ready_after=None), image="catalog:v1")
        sim.user.scale(TARGET, 3)
        await sim.rest(1000)
        assert progressing(sim) == ("True", "NewReplicaSetAvailable")
        assert status(sim)["unavailableReplicas"] == 2

    simulate(story)


def test_killed_pods_are_replaced() -> None:
    """A pod that vanishes is started again and counted as missing meanwhile."""

    async def story(sim: Simulation) -> None:
        sim.user.apply(deployment(replicas=2))
        await sim.rest(5)
        sim.kill_pods("istioinaction", "catalog")
        await sim.rest(0.5)
        assert "readyReplicas" not in status(sim)
        await sim.rest(5)
        assert status(sim)["readyReplicas"] == 2

    simulate(story)


def test_crash_loops_come_back_ever_later() -> None:
    """A crashing container is ready for a while, then not, with a growing pause."""

    async def story(sim: Simulation) -> None:
        sim.behaviours.put(Behaviour(crash_after=3.0))
        sim.user.apply(deployment(replicas=1))
        pods = []
        for _ in range(40):
            await sim.rest(1)
            pods.append(sum(pod.ready for pod in sim.pods.all()))
        assert 0 < sum(pods) < 15
        assert len(sim.pods.all()) == 1

    simulate(story)


def test_min_ready_seconds_delay_availability() -> None:
    """A ready pod counts as available only after minReadySeconds."""

    async def story(sim: Simulation) -> None:
        manifest = deployment(replicas=1)
        manifest["spec"]["minReadySeconds"] = 10
        sim.user.apply(manifest)
        await sim.rest(5)
        assert status(sim)["readyReplicas"] == 1
        assert "availableReplicas" not in status(sim)
        await sim.rest(10)
        assert status(sim)["availableReplicas"] == 1

    simulate(story)


def test_deleted_deployment_takes_its_pods_along() -> None:
    """Pods of a deleted Deployment answer for their grace time and are gone."""

    async def story(sim: Simulation) -> None:
        sim.user.apply(deployment(replicas=2))
        await sim.rest(5)
        sim.user.delete(TARGET)
        await sim.rest(0.2)
        assert [pod.answers and not pod.ready for pod in sim.pods.all()] == [True, True]
        await sim.rest(1)
        assert sim.pods.all() == []

    simulate(story)
