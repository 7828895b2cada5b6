"""Campaign for the lease, and work for as long as it is held: the decisions are those of ``core.election``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import structlog

from canary.core import election
from canary.core.election import Claim, Instant, Standing, Terms
from canary.ports import ClusterError, Conflict, Leases, NotFound

NOTHING = timedelta(0)

Told = Callable[[bool, str], None]
"""Called after each look at the lease with whether we lead and who holds it, "" for nobody."""

_log = structlog.get_logger(__name__)


def _ignore(leads: bool, holder: str) -> None:
    """Tell nobody."""


class Elector:
    """Hold the lease when nobody else does, and know at every moment whether it is held."""

    def __init__(
        self, leases: Leases, identity: str, terms: Terms, clock: Callable[[], Instant], told: Told = _ignore
    ) -> None:
        self.identity = identity
        self._leases = leases
        self._terms = terms
        self._clock = clock
        self._told = told
        self._standing = Standing()
        self._sure = False  # whether the lease may still be as we wrote it: no need to read it first
        self._term = 0  # counts the times we began to lead
        self._news = asyncio.Event()

    def allowance(self) -> timedelta:
        """Return within what time a write that begins now must be over; nothing: it must not begin."""
        return election.allowance(self._standing, self._clock(), self._terms)

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work in each term that we lead, until cancelled; then end it and give the lease back."""
        campaign = asyncio.create_task(self._campaign(), name="campaign")
        try:
            while True:
                while not self._leads():
                    await self._heard(None)
                await self._serve(work)
        finally:
            await _end(campaign)
            await self._release()

    async def _serve(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work through one term; the next one begins only after all of this one's work has ended."""
        term = self._term
        _log.info("leading", identity=self.identity)
        working = asyncio.ensure_future(work())
        over = asyncio.create_task(self._over(term))
        try:
            await asyncio.wait({working, over}, return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
                return
            _log.warning("lost_lease", identity=self.identity, last_seen_holder=self._holder())
        finally:
            await _end(over)
            await _end(working)
            self._told(self._leads(), self._holder())

    async def _over(self, term: int) -> None:
        """Wait until a term has ended, whatever the API server does."""
        while self._term == term and (left := self._left()) > NOTHING:
            await self._heard(left)

    async def _heard(self, at_most: timedelta | None) -> None:
        """Wait for news of the lease."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(at_most.total_seconds() if at_most is not None else None):
                await self._news.wait()

    async def _campaign(self) -> None:
        loop = asyncio.get_running_loop()
        failed = False
        while True:
            begun = loop.time()
            try:
                await self._turn()
                failed = False
            except (ClusterError, TimeoutError) as fault:
                tell = _log.debug if failed else _log.warning
                tell("lease_not_reached", error=str(fault) or "no answer in time")
                failed = True
            except Exception:
                # Whatever it was, the lease ends by itself; the next turn may go well.
                _log.exception("election_failed")
            self._spread()
            rest = election.pause(self._standing, self._clock(), self._terms).total_seconds()
            await asyncio.sleep(max(0.0, begun + rest - loop.time()) if self._leads() else rest)

    async def _turn(self) -> None:
        """Look at the lease unless we are sure of it, and claim it if we may; once more when it had moved."""
        for _ in range(2):
            if not self._sure:
                await self._look()
            if not election.may_claim(self._standing, self.identity, self._clock()):
                return
            try:
                await self._claim()
                return
            except (Conflict, NotFound) as fault:
                self._sure = False
                _log.debug("lease_moved", error=str(fault))

    async def _look(self) -> None:
        async with asyncio.timeout(self._terms.answer_within.total_seconds()):
            lease = await self._leases.read()
        self._standing = election.looked(self._standing, lease, self.identity, self._clock(), self._terms)

    async def _claim(self) -> None:
        wanted = election.claim(self._standing, self.identity, self._terms)
        before = self._standing.lease
        sent = self._clock()
        went_on = election.left(self._standing, sent, self._terms) > NOTHING
        if before is None:
            lease = await self._leases.create(wanted)
        else:
            lease = await self._leases.update(wanted, before.version)
        self._standing = election.granted(lease, sent, self._clock(), self._terms)
        self._sure = True
        self._term += not went_on

    async def _release(self) -> None:
        """Let others lead at once; they would after a while in any case."""
        if self._standing.claimed is None:
            return
        self._standing = replace(self._standing, claimed=None)
        try:
            async with asyncio.timeout(self._terms.answer_within.total_seconds()):
                await self._give_back()
        except (ClusterError, TimeoutError) as fault:
            _log.warning("lease_not_given_back", error=str(fault) or "no answer in time")

    async def _give_back(self) -> None:
        """Free the lease if it is ours; a last renewal may have been stored without our knowing."""
        for _ in range(2):
            if not self._sure:
                await self._look()
            lease = self._standing.lease
            if lease is None or lease.holder != self.identity:
                return
            try:
                free = Claim("", self._terms.duration, lease.transitions, anew=False)
                await self._leases.update(free, lease.version)
                _log.info("gave_lease_back", identity=self.identity)
                return
            except (Conflict, NotFound):
                self._sure = False

    def _left(self) -> timedelta:
        return election.left(self._standing, self._clock(), self._terms)

    def _leads(self) -> bool:
        return self._left() > NOTHING

    def _holder(self) -> str:
        return self._standing.lease.holder if self._standing.lease is not None else ""

    def _spread(self) -> None:
        self._told(self._leads(), self._holder())
        self._news.set()
        self._news = asyncio.Event()


async def _end(task: asyncio.Future[None]) -> None:
    """Cancel a task and wait until it has ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
