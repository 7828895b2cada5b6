"""Faults on the way to the API server."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from canary.core.objects import DEPLOYMENT, Object, Ref, Resource
from canary.ports import Conflict, Retryable
from canary.sim.cluster import SimCluster
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import ApiFault, WatchFault
from canary.sim.manifests import deployment

REF = Ref(DEPLOYMENT, "istioinaction", "catalog")


def made(sim: Simulation) -> SimCluster:
    """Return a port of a process that does nothing by itself."""
    return SimCluster(sim.world, Random(1), sim.faults)


def test_cut_call_does_not_arrive_and_lost_answer_does() -> None:
    """Both are Retryable to the caller; only one of them has happened."""

    async def story(sim: Simulation) -> None:
        cluster = made(sim)
        sim.faults.api = [ApiFault("cut"), ApiFault("lost answer")]
        with pytest.raises(Retryable):
            await cluster.create(REF, deployment())
        assert sim.world.find(REF) is None
        with pytest.raises(Retryable):
            await cluster.create(REF, deployment())
        assert sim.world.find(REF) is not None
        assert [call.outcome for call in cluster.calls] == ["cut", "ok"]

    simulate(story)


def test_faults_hit_the_calls_they_name() -> None:
    """Verb, kind, name, skip and times choose the calls."""

    async def story(sim: Simulation) -> None:
        cluster = made(sim)
        sim.faults.api = [ApiFault("conflict", verb="patch", kind_of_object="Deployment", skip=1, times=1)]
        await cluster.create(REF, deployment(replicas=1))
        for replicas in (2, 3, 4):
            found = await cluster.read(REF)
            assert found is not None
            body, version = {"spec": {"replicas": replicas}}, found["metadata"]["resourceVersion"]
            if replicas == 3:
                with pytest.raises(Conflict):
                    await cluster.patch(REF, body, resource_version=version)
            else:
                await cluster.patch(REF, body, resource_version=version)

    simulate(story)


def test_dead_process_writes_nothing_more() -> None:
    """After a kill no call arrives and no answer comes."""

    async def story(sim: Simulation) -> None:
        cluster = made(sim)
        call = asyncio.ensure_future(cluster.create(REF, deployment()))
        await asyncio.sleep(0)
        cluster.kill()
        await sim.rest(10)
        assert not call.done()
        assert sim.world.find(REF) is None
        call.cancel()

    simulate(story)


def test_lost_events_come_back_with_the_next_list() -> None:
    """The cache is stale until the watch is made again, then it is right."""

    async def story(sim: Simulation) -> None:
        cluster = made(sim)
        seen: list[tuple[Resource, Object | None, Object | None]] = []
        cluster.subscribe(lambda resource, before, after: seen.append((resource, before, after)))
        sim.faults.watch = [WatchFault("lost", 0, 1, delay=5.0)]
        sim.user.apply(deployment())
        await sim.rest(0.9)
        assert cluster.get(REF) is None
        await sim.rest(6)
        assert cluster.get(REF) is not None
        assert seen[0][1] is None

    simulate(story)


def test_late_events_keep_their_order_and_never_undo_answers() -> None:
    """An event older than an answer already seen is dropped."""

    async def story(sim: Simulation) -> None:
        cluster = made(sim)
        await cluster.create(REF, deployment(replicas=1))
        await sim.rest(5)
        stored = cluster.get(REF)
        assert stored is not None
        sim.faults.watch = [WatchFault("late", delay=3.0)]
        sim.world.patch(REF, {"metadata": {"labels": {"a": "b"}}}, writer="other")
        version = stored["metadata"]["resourceVersion"]
        with pytest.raises(Conflict):
            await cluster.patch(REF, {"spec": {"replicas": 5}}, resource_version=version)
        live = await cluster.read(REF)
        assert live is not None
        version = live["metadata"]["resourceVersion"]
        await cluster.patch(REF, {"spec": {"replicas": 5}}, resource_version=version)
        for _ in range(10):
            await sim.rest(1)
            found = cluster.get(REF)
            assert found is not None
            assert found["spec"]["replicas"] == 5

    simulate(story)
