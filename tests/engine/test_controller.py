"""The controller: how a reconcile ends and what follows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from canary.core.objects import CanaryKey
from canary.engine.controller import Controller
from canary.engine.workqueue import WorkQueue
from canary.ports import Conflict, NotFound, NotLeading, Refused, Retryable

KEY = CanaryKey("canary.delivery", "shop", "web")
OTHER = CanaryKey("canary.delivery", "shop", "db")
Outcome = timedelta | None | BaseException


class Recorder(WorkQueue[CanaryKey]):
    """A queue that notes the timers it is given instead of setting them."""

    def __init__(self) -> None:
        super().__init__()
        self.timers: list[tuple[CanaryKey, timedelta | None]] = []

    def add_after(self, key: CanaryKey, delay: timedelta) -> None:
        """Note a timer."""
        self.timers.append((key, delay))

    def schedule(self, key: CanaryKey, delay: timedelta | None) -> None:
        """Note a timer."""
        self.timers.append((key, delay))


@contextlib.asynccontextmanager
async def running(controller: Controller):  # type: ignore[no-untyped-def]
    """Run a controller for a while and stop it."""
    task = asyncio.ensure_future(controller.run())
    try:
        yield task
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def ending(*outcomes: Outcome) -> Callable[[CanaryKey], Awaitable[timedelta | None]]:
    """Return a reconcile that ends in these ways, one after the other."""
    left = list(outcomes)

    async def reconcile(key: CanaryKey) -> timedelta | None:
        outcome = left.pop(0)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return reconcile


@pytest.mark.parametrize(
    ("outcome", "result", "pause"),
    [
        (timedelta(seconds=45), "done", 45),
        (None, "done", None),
        (Conflict("moved"), "conflict", 0.005),
        (NotFound("gone"), "conflict", 0.005),
        (NotLeading("not now"), "fenced", 0.005),
        (Retryable("slow"), "retry", 0.005),
        (Retryable("slow", 3.0), "retry", 3),
        (Refused("no"), "refused", 30),
        (KeyError("bug"), "error", 0.005),
    ],
)
async def test_each_end_has_its_pause(outcome: Outcome, result: str, pause: float | None) -> None:
    """Queue a Canary again as its reconcile ended, and count the result."""
    queue, results = Recorder(), list[str]()
    controller = Controller(queue, ending(outcome), observer=lambda name, _: results.append(name))
    queue.add(KEY)
    async with running(controller):
        await asyncio.sleep(0.02)
    assert results == [result]
    assert queue.timers == [(KEY, None if pause is None else timedelta(seconds=pause))]


async def test_success_starts_the_backoff_over() -> None:
    """Forget failures after a reconcile that went through."""
    queue = Recorder()
    controller = Controller(queue, ending(Retryable("a"), Retryable("b"), None, Retryable("c")))
    async with running(controller):
        for _ in range(4):
            queue.add(KEY)
            await asyncio.sleep(0.01)
    assert [pause for _, pause in queue.timers if pause] == [
        timedelta(milliseconds=5),
        timedelta(milliseconds=10),
        timedelta(milliseconds=5),
    ]


async def test_one_fault_leaves_the_others_alone() -> None:
    """Go on with other Canaries, and with this one, after a panic."""
    queue: WorkQueue[CanaryKey] = WorkQueue()
    seen: list[CanaryKey] = []

    async def reconcile(key: CanaryKey) -> timedelta | None:
        seen.append(key)
        if len(seen) == 1:
            raise ZeroDivisionError
        return None

    queue.add(KEY)
    queue.add(OTHER)
    async with running(Controller(queue, reconcile)) as task:
        await asyncio.sleep(0.05)
        assert not task.done()
    assert seen == [KEY, OTHER, KEY]


async def test_slow_canary_delays_no_other_and_runs_once_at_a_time() -> None:
    """Work on many Canaries at once, on each by one task."""
    queue: WorkQueue[CanaryKey] = WorkQueue()
    begun: list[CanaryKey] = []
    release = asyncio.Event()

    async def reconcile(key: CanaryKey) -> timedelta | None:
        begun.append(key)
        if key == KEY:
            await release.wait()
        return None

    async with running(Controller(queue, reconcile)):
        queue.add(KEY)
        await asyncio.sleep(0.01)
        queue.add(KEY)
        queue.add(OTHER)
        await asyncio.sleep(0.01)
        assert begun == [KEY, OTHER]
        release.set()
        await asyncio.sleep(0.01)
        assert begun == [KEY, OTHER, KEY]


async def test_concurrency_is_bounded() -> None:
    """Work on no more Canaries at once than allowed."""
    queue: WorkQueue[CanaryKey] = WorkQueue()
    now, most = 0, 0

    async def reconcile(key: CanaryKey) -> timedelta | None:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        return None

    for number in range(12):
        queue.add(CanaryKey("canary.delivery", "shop", f"web{number}"))
    async with running(Controller(queue, reconcile, concurrency=3)):
        await asyncio.sleep(0.1)
    assert most == 3


async def test_hanging_reconciles_delay_no_other() -> None:
    """Hundreds of Canaries whose hooks hang leave room for the one that is well."""
    queue: WorkQueue[CanaryKey] = WorkQueue()
    done = asyncio.Event()

    async def reconcile(key: CanaryKey) -> timedelta | None:
        if key != KEY:
            await asyncio.sleep(60)
        done.set()
        return None

    for number in range(300):
        queue.add(CanaryKey("canary.delivery", "shop", f"hangs{number}"))
    queue.add(KEY)
    async with running(Controller(queue, reconcile)):
        await asyncio.wait_for(done.wait(), 5)


async def test_stop_reaches_running_reconciles() -> None:
    """Cancel running reconciles when told to stop, and end."""
    queue: WorkQueue[CanaryKey] = WorkQueue()
    ended: list[str] = []

    async def reconcile(key: CanaryKey) -> timedelta | None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return None

    queue.add(KEY)
    async with running(Controller(queue, reconcile)):
        await asyncio.sleep(0.01)
    assert ended == ["cancelled"]
