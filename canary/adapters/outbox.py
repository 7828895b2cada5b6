"""Calls that nobody waits for: sent in the background, those of one Canary one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import structlog

from canary.core.measurement import HookAnswer, HookCall, Unavailable
from canary.core.objects import CanaryKey

LONGEST = 100
"""Calls that may wait behind a slow one of the same Canary."""
FAREWELL = 2.0
"""Seconds that what is under way gets when the process ends."""

_log = structlog.get_logger(__name__)
Send = Callable[[HookCall], Awaitable[HookAnswer | Unavailable]]


class Outbox:
    """Send calls in order per Canary; a slow receiver delays no other Canary, and at most so many of its own."""

    def __init__(self, send: Send, *, farewell: float = FAREWELL) -> None:
        """Prepare to send by ``send``, which does not raise for what the other side does."""
        self._send = send
        self._farewell = farewell
        self._waiting: dict[CanaryKey, deque[HookCall]] = {}
        self._tasks: dict[CanaryKey, asyncio.Task[None]] = {}

    def put(self, key: CanaryKey, calls: Sequence[HookCall]) -> None:
        """Send calls of a Canary when those before are through; what is too much is dropped and logged."""
        waiting = self._waiting.setdefault(key, deque())
        room = LONGEST - len(waiting)
        waiting.extend(calls[:room])
        for call in calls[room:]:
            _log.warning("hook_not_told", canary=str(key), hook=call.name, error=f"{LONGEST} calls wait already")
        if waiting and key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._through(key, waiting), name=f"tell hooks of {key}")

    async def close(self) -> None:
        """Let what is under way end for a moment, and drop the rest."""
        tasks = [*self._tasks.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=self._farewell)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _through(self, key: CanaryKey, waiting: deque[HookCall]) -> None:
        try:
            while waiting:
                await self._one(key, waiting.popleft())
        finally:
            del self._tasks[key], self._waiting[key]

    async def _one(self, key: CanaryKey, call: HookCall) -> None:
        answer = await self._send(call)
        if isinstance(answer, Unavailable):
            _log.warning("hook_not_told", canary=str(key), hook=call.name, error=answer.reason)
        elif not answer.passed:
            _log.warning("hook_not_told", canary=str(key), hook=call.name, error=answer.message)
