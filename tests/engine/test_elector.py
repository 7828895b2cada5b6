"""The campaign for the lease on a virtual clock: who works when, whatever the API server does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from canary.core.election import Claim, Instant, Lease, Terms
from canary.engine.elector import Elector
from canary.ports import ClusterError, Conflict, NotFound, Retryable
from canary.sim.clock import VirtualLoop, run
from canary.sim.lease import LeaseBook

TERMS = Terms(timedelta(seconds=10), timedelta(seconds=7), timedelta(seconds=2))
Step = Callable[[], Awaitable[None]]


class Api:
    """One lease behind an API server that does to each call what it is told."""

    def __init__(self) -> None:
        self.book = LeaseBook()
        self.before: Step = self.nothing
        self.after: Step = self.nothing
        self.asked: list[str] = []

    async def nothing(self) -> None:
        """Answer at once."""

    async def hang(self) -> None:
        """Never answer."""
        await asyncio.get_running_loop().create_future()

    def fails(self, error: Exception) -> Step:
        """Return what answers with an error."""

        async def fail() -> None:
            raise error

        return fail

    async def read(self) -> Lease | None:
        """Read the lease."""
        return await self._call("read", lambda: self.book.lease)

    async def create(self, claim: Claim) -> Lease:
        """Make the lease."""
        return await self._call("create", lambda: self.book.store(claim, None))

    async def update(self, claim: Claim, version: str) -> Lease:
        """Write the lease."""
        return await self._call("release" if not claim.holder else "update", lambda: self.book.store(claim, version))

    async def _call(self, verb: str, act: Callable[[], Any]) -> Any:
        self.asked.append(verb)
        await self.before()
        found = act()
        await self.after()
        return found


class Bench:
    """An elector and its work, which notes when it began and ended."""

    def __init__(self, name: str, api: Api) -> None:
        self.api = api
        self.told: list[tuple[bool, str]] = []
        self.terms: list[tuple[str, float]] = []
        self.elector = Elector(api, name, TERMS, self.instant, lambda *news: self.told.append(news))
        self.task: asyncio.Task[None] | None = None
        self.wind_down = 0.0
        self.breaks: Exception | None = None

    @property
    def now(self) -> float:
        """Return the virtual time."""
        return asyncio.get_running_loop().time()

    def instant(self) -> Instant:
        """Return the present moment."""
        return Instant(self.now, self.now, self.now)

    async def work(self) -> None:
        """Work until cancelled; what is under way takes its time to end."""
        self.terms.append(("began", round(self.now, 3)))
        try:
            if self.breaks:
                raise self.breaks
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(self.wind_down)
            self.terms.append(("ended", round(self.now, 3)))

    def start(self) -> Bench:
        """Begin to campaign."""
        self.task = asyncio.create_task(self.elector.run(self.work))
        return self

    async def stop(self) -> None:
        """Tell it to end, and wait for that."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait({self.task})


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Play a story on a virtual clock."""
    run(VirtualLoop(), story())


def free() -> Api:
    """Return an API server with a lease that nobody holds."""
    api = Api()
    api.book.store(Claim("", TERMS.duration, 0, anew=False), None)
    return api


def test_free_lease_is_taken_at_once_and_renewed_each_period() -> None:
    """One look, then one write in two seconds."""

    async def story() -> None:
        bench = Bench("a", free()).start()
        await asyncio.sleep(10.5)
        assert bench.terms == [("began", 0.0)]
        assert bench.api.asked == ["read", *["update"] * 6]
        assert bench.told[-1] == (True, "a")
        await bench.stop()

    play(story)


def test_missing_lease_is_made_after_its_time() -> None:
    """At the first start of all nobody knows whether somebody leads: the second controller waits as long."""

    async def story() -> None:
        api = Api()
        first, second = Bench("a", api).start(), Bench("b", api).start()
        await asyncio.sleep(30)
        assert (first.terms, second.terms) == ([("began", 10.0)], [])
        assert second.told[-1] == (False, "a")
        await first.stop()
        await second.stop()

    play(story)


def test_work_that_is_under_way_ends_before_the_lease_is_given_back() -> None:
    """Told to end, the leader renews until its work is done; the other leads at its next look."""

    async def story() -> None:
        api = free()
        first = Bench("a", api).start()
        await asyncio.sleep(1)
        second = Bench("b", api).start()
        first.wind_down = 12
        await asyncio.sleep(4)
        await first.stop()
        assert first.terms == [("began", 0.0), ("ended", 17.0)]
        assert api.book.holder == ""
        await asyncio.sleep(2.1)
        assert second.terms == [("began", 19.0)]
        await second.stop()

    play(story)


def test_standby_that_ends_gives_nothing_back() -> None:
    """The lease is another's."""

    async def story() -> None:
        api = free()
        api.book.store(Claim("b", TERMS.duration, 0, anew=True), "1")
        bench = Bench("a", api).start()
        await asyncio.sleep(5)
        await bench.stop()
        assert api.book.holder == "b"
        assert bench.terms == []

    play(story)


def test_leader_that_lost_the_lease_gives_nothing_back() -> None:
    """It could not be reached; another one took the lease, and it stays that one's."""

    async def story() -> None:
        api = free()
        bench = Bench("a", api).start()
        await asyncio.sleep(1)
        api.before = api.fails(Retryable("503"))
        await asyncio.sleep(12)
        assert api.book.lease is not None
        api.book.store(Claim("b", TERMS.duration, 1, anew=True), api.book.lease.version)
        api.before = api.nothing
        await bench.stop()
        assert api.book.holder == "b"

    play(story)


def test_renewal_that_failed_is_tried_again_without_a_look() -> None:
    """Nothing need have changed; when it was stored after all, the next one is refused, and then it is read."""

    async def story() -> None:
        api = free()
        bench = Bench("a", api).start()
        await asyncio.sleep(1)
        api.before = api.fails(Retryable("503"))
        await asyncio.sleep(2)
        api.before = api.nothing
        await asyncio.sleep(2)
        assert api.asked == ["read", "update", "update", "update"]
        api.after = api.fails(Retryable("lost"))
        await asyncio.sleep(2)
        api.after = api.nothing
        await asyncio.sleep(2)
        assert api.asked[4:] == ["update", "update", "read", "update"]
        assert bench.terms == [("began", 0.0)]
        await bench.stop()

    play(story)


def test_release_that_is_not_answered_does_not_keep_the_process() -> None:
    """The lease ends by itself; the process ends as well."""

    async def story() -> None:
        bench = Bench("a", free()).start()
        await asyncio.sleep(1)
        bench.api.before = bench.api.hang
        await bench.stop()
        assert bench.now == 1 + TERMS.answer_within.total_seconds()

    play(story)


def test_lease_is_given_back_even_if_its_last_renewal_was_not_answered() -> None:
    """The stored version is read first."""

    async def story() -> None:
        bench = Bench("a", free()).start()
        await asyncio.sleep(1)
        bench.api.after = bench.api.hang
        await asyncio.sleep(1.5)
        bench.api.after = bench.api.nothing
        await bench.stop()
        assert bench.api.asked[-2:] == ["read", "release"]
        assert bench.api.book.holder == ""

    play(story)


@pytest.mark.parametrize("when", ["before", "after"])
def test_work_ends_at_the_deadline_while_a_call_hangs(when: str) -> None:
    """Whatever the API server does not say: seven seconds after the last good renewal was sent."""

    async def story() -> None:
        bench = Bench("a", free()).start()
        await asyncio.sleep(4.5)
        setattr(bench.api, when, bench.api.hang)
        await asyncio.sleep(10)
        assert bench.terms == [("began", 0.0), ("ended", 11.0)]
        assert bench.elector.allowance() == timedelta(0)
        assert bench.told[-1][0] is False
        await bench.stop()

    play(story)


@pytest.mark.parametrize("error", [Retryable("503"), Conflict("moved"), NotFound("gone"), RuntimeError("a bug")])
def test_campaign_goes_on_after_any_error(error: Exception) -> None:
    """The work ends at the deadline, and begins anew once the API server answers again."""

    async def story() -> None:
        bench = Bench("a", free()).start()
        await asyncio.sleep(4.5)
        bench.api.before = bench.api.fails(error)
        await asyncio.sleep(10)
        assert bench.terms == [("began", 0.0), ("ended", 11.0)]
        assert len(bench.api.asked) < 25
        bench.api.before = bench.api.nothing
        await asyncio.sleep(2.1)
        assert bench.terms[2][0] == "began"
        await bench.stop()

    play(story)


def test_slow_api_server_costs_no_lease() -> None:
    """Answers that take three seconds come in time."""

    async def story() -> None:
        bench = Bench("a", free()).start()
        await asyncio.sleep(1)

        async def slow() -> None:
            await asyncio.sleep(3)

        bench.api.before = slow
        await asyncio.sleep(60)
        assert bench.terms == [("began", 0.0)]
        await bench.stop()

    play(story)


def test_next_term_begins_after_the_work_of_the_last_has_ended() -> None:
    """Two controllers in one process would be two as well."""

    async def story() -> None:
        bench = Bench("a", free()).start()
        bench.wind_down = 20
        await asyncio.sleep(1)
        bench.api.before = bench.api.fails(Retryable("503"))
        await asyncio.sleep(9)
        bench.api.before = bench.api.nothing
        await asyncio.sleep(30)
        assert bench.terms == [("began", 0.0), ("ended", 27.0), ("began", 27.0)]
        bench.wind_down = 0
        await bench.stop()

    play(story)


def test_term_that_was_lost_unnoticed_is_another_one() -> None:
    """The deadline passed while the process stood still: what was under way ends, although we lead again."""

    async def story() -> None:
        bench = Bench("a", free())
        jumped = [0.0]
        clock = bench.instant
        bench.elector = Elector(
            bench.api, "a", TERMS, lambda: Instant(clock().monotonic, clock().boottime + jumped[0], clock().wall)
        )
        bench.start()
        await asyncio.sleep(3.5)
        jumped[0] = 30
        await asyncio.sleep(1)
        assert bench.terms == [("began", 0.0), ("ended", 4.0), ("began", 4.0)]
        await bench.stop()

    play(story)


def test_work_that_fails_ends_the_process_with_its_error() -> None:
    """Nobody may lead and do nothing: the lease is given back, the error told."""

    async def story() -> None:
        bench = Bench("a", free())
        bench.breaks = ClusterError("broken")
        with pytest.raises(ClusterError, match="broken"):
            await bench.elector.run(bench.work)
        assert bench.api.book.holder == ""

    play(story)
