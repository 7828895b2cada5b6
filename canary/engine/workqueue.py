"""A queue of keys as client-go has it: each key once, worked on by one at a time, with timers and backoff."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Hashable
from datetime import timedelta
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

FIRST_PAUSE = timedelta(milliseconds=5)
LONGEST_PAUSE = timedelta(seconds=300)


class WorkQueue(Generic[K]):
    """Hand out keys in the order they were added, on the time of the running event loop.

    A key added while it is worked on is handed out again after ``done``; a key has at most one timer.
    """

    def __init__(self) -> None:
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._getters: deque[asyncio.Future[None]] = deque()
        self._news: dict[K, asyncio.Event] = {}
        self._failures: dict[K, int] = {}
        self._due: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._sequence = 0
        self._alarm: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """Hand a key out as soon as possible; adding it again before that changes nothing."""
        if (news := self._news.get(key)) is not None:
            news.set()
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._make_ready(key)

    def add_after(self, key: K, delay: timedelta) -> None:
        """Add a key later; of two timers for a key the earlier one holds."""
        when = asyncio.get_running_loop().time() + delay.total_seconds()
        if key not in self._due or when < self._due[key][0]:
            self._set_timer(key, when)

    def schedule(self, key: K, delay: timedelta | None) -> None:
        """Replace the timer of a key; None takes it away."""
        self._due.pop(key, None)
        if delay is not None:
            self.add_after(key, delay)

    def add_rate_limited(
        self, key: K, *, at_least: timedelta = timedelta(0), at_most: timedelta = LONGEST_PAUSE
    ) -> timedelta:
        """Add a key after a pause that doubles from 5 ms to 300 s until ``forget``; return the pause."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        doubled: timedelta = FIRST_PAUSE * (1 << min(failures, 20))
        pause = max(min(doubled, LONGEST_PAUSE, at_most), at_least)
        self.add_after(key, pause)
        return pause

    def forget(self, key: K) -> None:
        """Start the backoff of a key over."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for a key and take it; ``done`` must follow."""
        while not self._ready:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                if getter in self._getters:
                    self._getters.remove(getter)
                elif self._ready:
                    # It was woken and cannot take the key any more: the next one shall.
                    self._wake()
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        self._news[key] = asyncio.Event()
        return key

    def done(self, key: K) -> None:
        """Give a key back; it is ready again at once when it was added meanwhile."""
        self._processing.discard(key)
        self._news.pop(key, None)
        if key in self._dirty:
            self._make_ready(key)

    async def wait_dirty(self, key: K) -> None:
        """Wait until a key that is worked on is added again; each call waits for news since the last."""
        news = self._news.setdefault(key, asyncio.Event())
        await news.wait()
        news.clear()

    def _make_ready(self, key: K) -> None:
        self._ready.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return

    def _set_timer(self, key: K, when: float) -> None:
        self._sequence += 1
        self._due[key] = (when, self._sequence)
        heapq.heappush(self._heap, (when, self._sequence, key))
        if len(self._heap) > 2 * len(self._due) + 64:
            # Replaced timers stay in the heap until their time; a busy key leaves many.
            self._heap = [(at, number, key) for key, (at, number) in self._due.items()]
            heapq.heapify(self._heap)
        self._set_alarm()

    def _set_alarm(self) -> None:
        when = self._heap[0][0] if self._heap else None
        if self._alarm is not None:
            if when == self._alarm.when():
                return
            self._alarm.cancel()
        loop = asyncio.get_running_loop()
        self._alarm = None if when is None else loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0][0] <= now:
            when, number, key = heapq.heappop(self._heap)
            if self._due.get(key) == (when, number):
                del self._due[key]
                self.add(key)
        self._set_alarm()
