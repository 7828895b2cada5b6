"""What nobody waits for: sent in the background, for one receiver one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

LONGEST = 100
"""Calls that may wait behind a slow one for the same receiver."""
FAREWELL = 2.0
"""Seconds that what is under way gets when the process ends."""


Key = TypeVar("Key", bound=Hashable)
Call = TypeVar("Call")


class Outbox(Generic[Key, Call]):
    """Send calls in order per key; a slow receiver delays no other key, and at most so many of its own."""

    def __init__(
        self,
        send: Callable[[Key, Call], Awaitable[None]],
        dropped: Callable[[Key, Call, str], None],
        *,
        farewell: float = FAREWELL,
    ) -> None:
        """Prepare to send by ``send``, which raises nothing; ``dropped`` hears of calls that are never sent."""
        self._send = send
        self._dropped = dropped
        self._farewell = farewell
        self._waiting: dict[Key, deque[Call]] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    def put(self, key: Key, calls: Sequence[Call]) -> None:
        """Send calls when those before are through; what is too much is dropped."""
        if not calls:
            return
        waiting = self._waiting.setdefault(key, deque())
        room = LONGEST - len(waiting)
        waiting.extend(calls[:room])
        for call in calls[room:]:
            self._dropped(key, call, f"{LONGEST} calls wait already")
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._through(key, waiting), name=f"outbox of {key}")

    async def close(self) -> None:
        """Let what is under way end for a moment, and drop the rest."""
        tasks = [*self._tasks.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._farewell)
        left = [(key, call) for key, waiting in self._waiting.items() for call in waiting]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for key, call in left:
            self._dropped(key, call, "the process ends")

    async def _through(self, key: Key, waiting: deque[Call]) -> None:
        try:
            while waiting:
                await self._send(key, waiting.popleft())
        finally:
            del self._tasks[key], self._waiting[key]
