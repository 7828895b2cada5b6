"""The measurer contract on the simulator's metrics."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.clock import VirtualClock
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import MetricsFault
from canary.sim.routing import Caller
from tests.contract.measurer_contract import MeasurerContract
from tests.contract.measurer_stage import Callers, Play, Sent, Story
from tests.sim.test_dataplane import MESH, NAMESPACE, PLAIN, shop

CALLERS: dict[Callers, Caller] = {"mesh": MESH, "plain": PLAIN}


class SimStage:
    """The shop of the simulated data plane, its weights at 50 to 50."""

    namespace = NAMESPACE
    primary = "shop-old"
    canary = "shop-new"

    def __init__(self, sim: Simulation) -> None:
        self._sim = sim
        self.measurer = sim.measurer
        self.scrape = sim.dataplane.scrape_interval

    def now(self) -> datetime:
        """Return the present virtual time."""
        return VirtualClock(self._sim.loop).now()

    async def rest(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def calling(self, callers: Callers) -> AsyncIterator[Sent]:
        """Let a caller send requests meanwhile."""
        before = self._received()
        self._sim.dataplane.call(CALLERS[callers])
        yield lambda: self._received() - before
        self._sim.dataplane.settle()
        self._sim.dataplane.callers.remove(CALLERS[callers])

    @asynccontextmanager
    async def failing(self) -> AsyncIterator[None]:
        """Let the canary answer 500 meanwhile."""
        self._sim.behaviours.put(Behaviour(errors=100), deployment=self.canary)
        yield
        self._sim.dataplane.settle()
        self._sim.behaviours.put(Behaviour(), deployment=self.canary)

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Let the metrics server be down meanwhile."""
        self._sim.faults.metrics.append(MetricsFault("down"))
        yield
        self._sim.faults.metrics.clear()

    def _received(self) -> Counter[str]:
        self._sim.dataplane.settle()
        received: Mapping[tuple[str, str], int] = self._sim.dataplane.received
        found: Counter[str] = Counter()
        for (deployment, _), number in received.items():
            found[deployment] += number
        return found


class TestSimMeasurer(MeasurerContract):
    """What ``ports.Measurer`` promises, kept by the simulator."""

    @pytest.fixture
    def play(self) -> Play:
        """Return a way to run a story on a stage whose first requests were scraped."""

        def run(story: Story) -> None:
            async def whole(sim: Simulation) -> None:
                await shop(sim, 50, 50)
                stage = SimStage(sim)
                for callers in CALLERS:
                    async with stage.calling(callers):
                        await stage.rest(2 * stage.scrape)
                await stage.rest(2 * stage.scrape)
                await story(stage)

            simulate(whole)

        return run
