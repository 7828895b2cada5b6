"""Several electing controllers of one invented cluster: who leads, and what may happen to whoever does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from canary.core.election import Terms
from canary.engine.elector import Elector
from canary.sim.cluster import SimCluster
from canary.sim.lease import LeaseBook, SimInstants, SimLeases

TERMS = Terms(timedelta(seconds=10), timedelta(seconds=7), timedelta(seconds=2))
"""As `canary run` has them when nothing is said."""

APART = 0.7
"""Seconds between the looks of two replicas that were made one after the other."""

TAKEN_OVER = 15.0
"""Seconds within which another controller leads."""


class Replica:
    """What one electing controller has beside its engine."""

    def __init__(self, book: LeaseBook, cluster: SimCluster, told: Callable[[], None]) -> None:
        self.cluster = cluster
        self.instants = SimInstants(cluster)
        leases = SimLeases(book, cluster)
        self.elector = Elector(leases, cluster.identity, TERMS, self.instants, lambda leads, holder: told())
        cluster.fence = self.elector.allowance

    @property
    def may_write(self) -> bool:
        """Return whether a write would pass its fence now."""
        return not self.cluster.link.dead and self.elector.allowance() > timedelta(0)


class Replicas:
    """Make replicas, and know which of them may write."""

    def __init__(self, on_leaders: Callable[[int], None]) -> None:
        self.book = LeaseBook()
        self._on_leaders = on_leaders
        self._made: list[Replica] = []
        self._leaders = 0

    def name(self) -> str:
        """Return the identity of the next replica."""
        return f"canary-{len(self._made)}"

    def add(self, cluster: SimCluster) -> Replica:
        """Let a controller campaign for the lease, from another moment on than the others."""
        cluster.link.freeze(len(self._made) * APART % TERMS.retry_period.total_seconds())
        self._made.append(Replica(self.book, cluster, self.count))
        return self._made[-1]

    def leader(self) -> Replica | None:
        """Return the replica that holds the lease and lives."""
        living = (one for one in self._made if not one.cluster.link.dead)
        return next((one for one in living if one.cluster.identity == self.book.holder), None)

    def count(self) -> None:
        """Tell how many may write, when that changed."""
        leaders = sum(one.may_write for one in self._made)
        if leaders != self._leaders:
            self._leaders = leaders
            self._on_leaders(leaders)

    def writers(self) -> list[str]:
        """Return who may write now."""
        return [one.cluster.identity for one in self._made if one.may_write]
