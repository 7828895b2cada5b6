"""One controller process: the real engine over the invented ports, from start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from canary.core.objects import CanaryKey, Resource
from canary.core.runs import Limits
from canary.engine.configured import PINNED
from canary.engine.controller import Controller
from canary.engine.elector import Elector
from canary.engine.reconcile import Reconciler
from canary.engine.runs import RunBook
from canary.engine.work import work
from canary.engine.workqueue import WorkQueue
from canary.ports import Alerter, Clock, ClusterError, Hooks, Measurer, Notifier
from canary.sim.cluster import SimCluster


class Process:
    """Run the engine until it is stopped or killed: at once, or in each term that an elector wins."""

    def __init__(
        self,
        cluster: SimCluster,
        measurer: Measurer,
        hooks: Hooks,
        alerter: Alerter,
        notifier: Notifier,
        clock: Clock,
        groups: tuple[str, ...],
        on_fault: Callable[[Exception], None],
        pinned: tuple[Resource, ...] = PINNED,
        elector: Elector | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.cluster = cluster
        self.elector = elector
        self._on_fault = on_fault

        def make(queue: WorkQueue[CanaryKey], runs: RunBook) -> Controller:
            ports = cluster, measurer, hooks, notifier, clock
            reconciler = Reconciler(
                *ports,
                groups,
                interrupted=queue.wait_dirty,
                pinned=pinned,
                runs=runs,
                alerter=alerter,
                wake=queue.add,
            )
            return Controller(queue, lambda key: self._reconcile(reconciler, key))

        async def serve() -> None:
            await work(cluster, make, limits)

        self._task = asyncio.ensure_future(serve() if elector is None else elector.run(serve))

    async def _reconcile(self, reconciler: Reconciler, key: CanaryKey) -> timedelta | None:
        try:
            return await reconciler.reconcile(key)
        except ClusterError:
            raise
        except Exception as fault:
            self._on_fault(fault)
            raise

    def kill(self) -> None:
        """End the process as SIGKILL does."""
        self.cluster.kill()
        self._task.cancel()

    async def stop(self) -> None:
        """End the process as SIGTERM does: what is under way ends, and a lease is given back."""
        self._task.cancel()
        await asyncio.wait({self._task})
        self.cluster.kill()
