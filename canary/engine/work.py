"""The work of whoever leads: everything there is and everything that changes, queued and reconciled."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from canary.core.objects import CanaryKey, Object, Resource
from canary.core.runs import Limits
from canary.engine.affected import affected
from canary.engine.controller import Controller
from canary.engine.runs import RunBook
from canary.engine.workqueue import WorkQueue
from canary.ports import Cluster


class Cached(Cluster, Protocol):
    """A cluster whose caches can be gone through."""

    def cached(self) -> Iterable[tuple[Resource, Object]]:
        """Give every object of every cache."""


Make = Callable[[WorkQueue[CanaryKey], RunBook], Controller]
"""Return a controller that knows nothing yet, for a queue and the runs that are followed."""


async def work(cluster: Cached, make: Make, limits: Limits | None = None) -> None:
    """Reconcile with an empty memory until cancelled; what another leader did is read, not remembered."""
    queue: WorkQueue[CanaryKey] = WorkQueue()
    runs = RunBook(limits)
    controller = make(queue, runs)

    def changed(resource: Resource, before: Object | None, after: Object | None) -> None:
        free = runs.changed(resource, before, after)
        for key in (*affected(cluster, resource, before, after), *free):
            queue.add(key)

    forget = cluster.subscribe(changed)
    try:
        for resource, obj in cluster.cached():
            changed(resource, None, obj)
        await controller.run()
    finally:
        forget()
