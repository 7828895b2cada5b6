"""Virtual time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from canary.sim.clock import EPOCH, DeadlockError, LivelockError, VirtualClock, VirtualLoop, run


def test_sleep_moves_the_clock_and_takes_no_time() -> None:
    """A day of virtual time is over at once and to the second."""

    async def main() -> tuple[float, object]:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(86400)
        return loop.time(), VirtualClock(loop).now()

    assert run(VirtualLoop(), main()) == (86400.0, EPOCH + timedelta(days=1))


def test_timers_fire_in_order_and_never_early() -> None:
    """Times that differ by a rounding error are two times."""
    seen: list[tuple[float, float]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        for when in (0.1 + 0.2, 0.3, 5.0, 1.0):
            loop.call_at(when, lambda when=when: seen.append((when, loop.time())))
        await asyncio.sleep(6)

    run(VirtualLoop(), main())
    assert [when for when, _ in seen] == [0.3, 0.1 + 0.2, 1.0, 5.0]
    assert all(at >= when for when, at in seen)


def test_waiting_for_nothing_is_a_deadlock() -> None:
    """A wait that no timer can end is told, not waited for."""

    async def main() -> None:
        await asyncio.sleep(3)
        await asyncio.get_running_loop().create_future()

    with pytest.raises(DeadlockError, match=r"after 3\.0 s"):
        run(VirtualLoop(), main())


def test_spinning_is_a_livelock() -> None:
    """Tasks that keep each other busy without a step of time are told."""

    async def main() -> None:
        while True:  # noqa: ASYNC110 - spinning is the point
            await asyncio.sleep(0)

    with pytest.raises(LivelockError):
        run(VirtualLoop(), main())


def test_fault_in_a_callback_fails_the_run() -> None:
    """What a timer raises is raised by the run."""

    async def main() -> None:
        asyncio.get_running_loop().call_later(1, lambda: [][0])
        await asyncio.sleep(2)

    with pytest.raises(IndexError):
        run(VirtualLoop(), main())


def test_debug_mode_sees_nothing_slow() -> None:
    """The loop runs clean in asyncio's debug mode."""

    async def main() -> None:
        await asyncio.sleep(60)

    loop = VirtualLoop()
    loop.set_debug(True)
    run(loop, main())
