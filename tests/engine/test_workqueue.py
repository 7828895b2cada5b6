"""The work queue: once each, one at a time, timers and backoff."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from canary.engine.workqueue import WorkQueue

TICK = timedelta(milliseconds=20)


async def drained(queue: WorkQueue[str], seconds: float = 0.1) -> list[str]:
    """Take and give back all keys that become ready within some time."""
    taken: list[str] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                taken.append(await queue.get())
                queue.done(taken[-1])
    except TimeoutError:
        return taken


async def test_keys_come_once_and_in_order() -> None:
    """Hand each key out once, in the order they were first added."""
    queue: WorkQueue[str] = WorkQueue()
    for key in ("b", "a", "b", "c", "a"):
        queue.add(key)
    assert len(queue) == 3
    assert await drained(queue) == ["b", "a", "c"]


async def test_key_added_during_work_comes_again_after_it() -> None:
    """Give no key to two workers, and lose no change that comes during work."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert await drained(queue) == ["a"]


async def test_wait_dirty_returns_once_for_each_news() -> None:
    """Wake the worker of a key for what came since it began, and again only for more."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.get()
    waiting = asyncio.ensure_future(queue.wait_dirty("a"))
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add("a")
    await asyncio.wait_for(waiting, 1)
    again = asyncio.ensure_future(queue.wait_dirty("a"))
    await asyncio.sleep(0.01)
    assert not again.done()
    queue.add("a")
    await asyncio.wait_for(again, 1)


async def test_news_before_the_wait_is_not_lost() -> None:
    """Return at once for what was added between the start of the work and the wait."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    await queue.get()
    queue.add("a")
    await asyncio.wait_for(queue.wait_dirty("a"), 1)


async def test_of_two_timers_the_earlier_holds() -> None:
    """Keep the earlier time of two, and hand the key out once."""
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", TICK)
    queue.add_after("a", TICK * 100)
    queue.add_after("b", TICK * 100)
    queue.add_after("b", TICK)
    assert await drained(queue, 0.2) == ["a", "b"]


async def test_schedule_replaces_the_timer() -> None:
    """Let the newest decision set the time, later or never."""
    queue: WorkQueue[str] = WorkQueue()
    queue.schedule("a", TICK)
    queue.schedule("a", TICK * 100)
    queue.schedule("b", TICK)
    queue.schedule("b", None)
    queue.schedule("c", TICK)
    assert await drained(queue, 0.2) == ["c"]


async def test_replaced_timers_do_not_pile_up() -> None:
    """Bound the heap by the number of keys, however often their timers are replaced."""
    queue: WorkQueue[str] = WorkQueue()
    for _ in range(5000):
        queue.schedule("a", timedelta(seconds=300))
    assert len(queue._heap) < 200


async def test_pause_doubles_until_forgotten() -> None:
    """Double the pause from 5 ms to 300 s, each key by itself."""
    queue: WorkQueue[str] = WorkQueue()
    pauses = [queue.add_rate_limited("a").total_seconds() for _ in range(20)]
    assert pauses[:4] == [0.005, 0.01, 0.02, 0.04]
    assert pauses[-1] == 300
    assert queue.add_rate_limited("b").total_seconds() == 0.005
    queue.forget("a")
    assert queue.add_rate_limited("a").total_seconds() == 0.005


async def test_pause_keeps_to_its_bounds() -> None:
    """Respect a shortest and a longest pause."""
    queue: WorkQueue[str] = WorkQueue()
    assert queue.add_rate_limited("a", at_least=timedelta(seconds=7)) == timedelta(seconds=7)
    for _ in range(12):
        pause = queue.add_rate_limited("a", at_most=timedelta(seconds=1))
    assert pause == timedelta(seconds=1)


async def test_cancelled_getter_takes_no_key() -> None:
    """Leave a key to the next getter when the one that was woken is cancelled."""
    queue: WorkQueue[str] = WorkQueue()
    first = asyncio.ensure_future(queue.get())
    second = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await asyncio.wait_for(second, 1) == "a"
