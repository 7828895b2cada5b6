"""One controller process: the real engine over the invented ports, from start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from canary.core.objects import CanaryKey, Object, Resource
from canary.engine.controller import Controller
from canary.engine.observe import PINNED, affected
from canary.engine.reconcile import Reconciler
from canary.engine.workqueue import WorkQueue
from canary.ports import Clock, ClusterError, Hooks, Measurer, Notifier
from canary.sim.cluster import SimCluster


class Process:
    """Run the engine until it is stopped or killed."""

    def __init__(
        self,
        cluster: SimCluster,
        measurer: Measurer,
        hooks: Hooks,
        notifier: Notifier,
        clock: Clock,
        groups: tuple[str, ...],
        on_fault: Callable[[Exception], None],
        pinned: tuple[Resource, ...] = PINNED,
    ) -> None:
        self.cluster = cluster
        self._on_fault = on_fault
        self._queue: WorkQueue[CanaryKey] = WorkQueue()
        self._reconciler = Reconciler(
            cluster, measurer, hooks, notifier, clock, groups, interrupted=self._queue.wait_dirty, pinned=pinned
        )
        controller = Controller(self._queue, self._reconcile)
        for resource, obj in cluster.everything():
            self._wake(resource, None, obj)
        cluster.subscribe(self._wake)
        self._task = asyncio.ensure_future(controller.run())

    async def _reconcile(self, key: CanaryKey) -> timedelta | None:
        try:
            return await self._reconciler.reconcile(key)
        except ClusterError:
            raise
        except Exception as fault:
            self._on_fault(fault)
            raise

    def _wake(self, resource: Resource, before: Object | None, after: Object | None) -> None:
        for key in affected(self.cluster, resource, before, after):
            self._queue.add(key)

    def kill(self) -> None:
        """End the process as SIGKILL does."""
        self.cluster.kill()
        self._task.cancel()
