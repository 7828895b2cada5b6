"""Virtual time: an asyncio event loop that jumps to its next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from math import ulp
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
"""What the virtual clock shows when a simulation begins."""

MAX_TURNS_AT_ONE_MOMENT = 200_000
"""Turns of the loop without a step of time after which something is spinning."""


class DeadlockError(RuntimeError):
    """Nothing is ready and no timer is set: the simulation would wait for ever."""


class LivelockError(RuntimeError):
    """Callbacks keep each other busy and time stands still."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Run callbacks in virtual time, without sockets or threads."""

    _scheduled: list[asyncio.TimerHandle]

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._turns = 0
        self._clock_resolution = ulp(0.0)
        # There are no descriptors to wait for: waiting means moving the clock.
        self._selector = self
        self.faults: list[BaseException] = []
        self.set_exception_handler(self._note)

    def time(self) -> float:
        """Return the seconds of virtual time since the loop was made."""
        return self._now

    def select(self, timeout: float | None) -> list[Any]:
        """Move the clock to the next timer if the loop would wait, and report no I/O."""
        if timeout is None:
            raise DeadlockError(f"nothing is scheduled after {self._now} s")
        if timeout > 0:
            # Exactly to the timer: a sum of differences would fall short of it by a rounding error.
            # Nor may a timer a rounding error ahead be due, or whoever compares times spins.
            self._now = max(self._now, self._scheduled[0].when())
            self._clock_resolution = ulp(self._now)
            self._turns = 0
            return []
        self._turns += 1
        if self._turns > MAX_TURNS_AT_ONE_MOMENT:
            self._turns = 0
            raise LivelockError(f"time stands still at {self._now} s")
        return []

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.faults.append(error if isinstance(error, BaseException) else RuntimeError(context["message"]))

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass


def run(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on `loop` to its end, cancel what it left behind, and re-raise what a callback raised."""
    asyncio.set_event_loop(loop)
    try:
        result = loop.run_until_complete(main)
    finally:
        try:
            _cancel_all(loop)
        finally:
            asyncio.set_event_loop(None)
            loop.close()
    if loop.faults:
        raise loop.faults[0]
    return result


def _cancel_all(loop: VirtualLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())


class VirtualClock:
    """Show wall-clock time that moves with a virtual loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """Return the present virtual time, aware, in UTC."""
        return EPOCH + timedelta(seconds=self._loop.time())
