"""The cluster contract on the simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest

from canary.core.objects import Object, Ref
from canary.sim.clock import EPOCH
from canary.sim.cluster import SimCluster
from canary.sim.world import World
from tests.contract.cluster_contract import ClusterContract


class SimStranger:
    """Write to the world behind the cluster's back."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def create(self, ref: Ref, body: Object) -> Object:
        """Create an object and return it as stored."""
        return self._world.create(ref, body, writer="stranger")

    async def patch(self, ref: Ref, body: Mapping[str, Any]) -> Object:
        """Merge-patch an object and return it as stored."""
        return self._world.patch(ref, body, writer="stranger")

    async def delete(self, ref: Ref) -> None:
        """Delete an object."""
        self._world.delete(ref, writer="stranger")


class TestSimCluster(ClusterContract):
    """What ``ports.Cluster`` promises, kept by the simulator."""

    @pytest.fixture
    async def world(self) -> World:
        """Return an empty world on the time of the running loop."""
        return World(asyncio.get_running_loop().time, EPOCH)

    @pytest.fixture
    async def cluster(self, world: World) -> SimCluster:
        """Return a cluster over the world."""
        return SimCluster(world, Random(1))

    @pytest.fixture
    def stranger(self, world: World) -> SimStranger:
        """Return somebody else."""
        return SimStranger(world)

    @pytest.fixture
    def namespace(self) -> str:
        """Return the namespace of a test."""
        return "test"
