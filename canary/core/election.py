"""Who leads: what a replica may conclude from the lease as it saw it and from its own clocks.

Times that others wrote are never compared with ours: a lease has ended when it did not change for as long as
its holder promised to change it, on the clock of whoever watches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a lease lasts, when its holder gives up renewing it, and how often it is looked at.

    Between ``renew_deadline`` and ``duration`` nobody writes: what is under way ends there.
    """

    duration: timedelta
    renew_deadline: timedelta
    retry_period: timedelta

    @property
    def answer_within(self) -> timedelta:
        """Return how long an answer about the lease is waited for: a second try must fit into the deadline."""
        return self.renew_deadline / 2


@dataclass(frozen=True, slots=True)
class Instant:
    """One moment on the clocks of this machine, in seconds."""

    monotonic: float
    """Stands still while the machine sleeps, and is never set."""
    boottime: float
    """Goes on while the machine sleeps, and is never set."""
    wall: float
    """May be set, and may be all that tells of a pause of a virtual machine."""

    def at_least_since(self, earlier: Instant) -> timedelta:
        """Return the shortest time that can have passed."""
        return timedelta(seconds=self.monotonic - earlier.monotonic)

    def at_most_since(self, earlier: Instant) -> timedelta:
        """Return the longest time that can have passed."""
        return timedelta(seconds=max(self.boottime - earlier.boottime, self.wall - earlier.wall))


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease as the API server has it; nobody holds it when ``holder`` is empty."""

    version: str
    holder: str = ""
    duration: timedelta | None = None
    transitions: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """What a replica writes to hold the lease; ``anew`` when another one, or nobody, held it before."""

    holder: str
    duration: timedelta
    transitions: int
    anew: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What one replica knows of the lease."""

    lease: Lease | None = None
    """As last seen; None: there was none."""
    seen: Instant | None = None
    """When it was first seen so; None: it was never looked at."""
    held: timedelta = timedelta(0)
    """For how long its holder, or the one before it was deleted, may rely on it."""
    claimed: Instant | None = None
    """When our last successful claim was sent; None while we do not hold it."""


def looked(standing: Standing, lease: Lease | None, me: str, at: Instant, terms: Terms) -> Standing:
    """Return what a replica knows after it read the lease."""
    claimed = standing.claimed
    if lease is None and allowance(standing, at, terms) <= timedelta(0):
        # While we were not sure of it another one may have held what is gone now.
        claimed = None
    if lease is not None and lease.holder != me:
        claimed = None
    if standing.seen is not None and lease == standing.lease:
        return replace(standing, claimed=claimed)
    promised = lease.duration if lease is not None and lease.duration is not None else terms.duration
    return Standing(lease, at, promised if lease is not None else max(promised, standing.held), claimed)


def may_claim(standing: Standing, me: str, at: Instant) -> bool:
    """Return whether a replica may try to hold the lease: it is ours, free, or has ended."""
    if standing.seen is None:
        return False
    if standing.claimed is not None:
        return True
    # One that is missing may have been deleted under a holder that does not know it yet.
    if standing.lease is not None and standing.lease.holder in ("", me):
        return True
    return at.at_least_since(standing.seen) >= standing.held


def claim(standing: Standing, me: str, terms: Terms) -> Claim:
    """Return what to write to hold the lease."""
    before = standing.lease
    anew = before is None or before.holder != me
    transitions = before.transitions + anew if before is not None else 0
    return Claim(me, terms.duration, transitions, anew)


def granted(lease: Lease, sent: Instant, at: Instant, terms: Terms) -> Standing:
    """Return what a replica knows when a claim sent at ``sent`` was stored: it counts from then."""
    return Standing(lease, at, terms.duration, sent)


def allowance(standing: Standing, at: Instant, terms: Terms) -> timedelta:
    """Return within what time a write that begins now must be over; nothing: none may begin."""
    if standing.claimed is None or left(standing, at, terms) <= timedelta(0):
        return timedelta(0)
    return terms.duration - at.at_most_since(standing.claimed)


def left(standing: Standing, at: Instant, terms: Terms) -> timedelta:
    """Return for how long a replica leads if it hears nothing more."""
    if standing.claimed is None:
        return timedelta(0)
    return terms.renew_deadline - at.at_most_since(standing.claimed)


def pause(standing: Standing, at: Instant, terms: Terms) -> timedelta:
    """Return when to turn to the lease again: at its end, if that comes before the next round."""
    if standing.claimed is not None or standing.seen is None:
        return terms.retry_period
    ends_in = standing.held - at.at_least_since(standing.seen)
    return min(terms.retry_period, ends_in) if ends_in > timedelta(0) else terms.retry_period
