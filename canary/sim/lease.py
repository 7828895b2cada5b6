"""The lease that electing controllers share in the invented cluster."""

from __future__ import annotations

from dataclasses import replace

from canary.core.election import Claim, Instant, Lease
from canary.core.objects import LEASE, Ref
from canary.ports import Conflict, NotFound
from canary.sim.cluster import SimCluster

LEASE_REF = Ref(LEASE, "canary-system", "canary-controller")


class LeaseBook:
    """Store the lease as the API server does; beside the world, whose changes tell that something happens."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self._version = 0

    @property
    def holder(self) -> str:
        """Return who holds the lease, "" for nobody."""
        return self.lease.holder if self.lease is not None else ""

    def store(self, claim: Claim, version: str | None) -> Lease:
        """Store a claim on the lease as it is at a version, or on none at all."""
        if version is None and self.lease is not None:
            raise Conflict("the lease exists")
        if version is not None and self.lease is None:
            raise NotFound("there is no lease")
        if version is not None and self.lease is not None and self.lease.version != version:
            raise Conflict("the lease was modified")
        self.lease = Lease(self._next(), claim.holder, claim.duration, claim.transitions)
        return self.lease

    def touch(self) -> None:
        """Let somebody annotate the lease."""
        if self.lease is not None:
            self.lease = replace(self.lease, version=self._next())

    def delete(self) -> None:
        """Let somebody delete the lease."""
        self.lease = None

    def _next(self) -> str:
        self._version += 1
        return str(self._version)


class SimLeases:
    """Implement ``ports.Leases`` for one process."""

    def __init__(self, book: LeaseBook, cluster: SimCluster) -> None:
        self._book = book
        self._cluster = cluster

    async def read(self) -> Lease | None:
        """Read the lease."""
        return await self._cluster.call("get", LEASE_REF, "", lambda: self._book.lease)

    async def create(self, claim: Claim) -> Lease:
        """Make the lease."""
        return await self._cluster.call("create", LEASE_REF, "", lambda: self._book.store(claim, None))

    async def update(self, claim: Claim, version: str) -> Lease:
        """Write the lease as it is at a version."""
        return await self._cluster.call("patch", LEASE_REF, "", lambda: self._book.store(claim, version))


class SimInstants:
    """The clocks of one machine, one of which may be set."""

    def __init__(self, cluster: SimCluster) -> None:
        self._cluster = cluster
        self._ahead = 0.0

    def set(self, ahead: float) -> None:
        """Set the wall clock forward, or back."""
        self._ahead += ahead

    def __call__(self) -> Instant:
        """Return the present moment."""
        now = self._cluster.time
        return Instant(now, now, now + self._ahead)
