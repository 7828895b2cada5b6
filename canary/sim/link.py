"""The way between one controller process and the API server, and whether the process runs at all."""

from __future__ import annotations

import asyncio
from random import Random

from canary.ports import Retryable

GIVES_UP = 2.0
"""Seconds after which a process that cannot reach the API server is told so."""


class Link:
    """Let calls leave and answers come; a process may be killed, stand still, or be cut off for a time."""

    def __init__(self, loop: asyncio.AbstractEventLoop, random: Random) -> None:
        self._loop = loop
        self._random = random
        self._frozen_until = self._cut_until = 0.0
        self.dead = False

    def freeze(self, seconds: float) -> None:
        """Let the process stand still, as SIGSTOP does: it sends nothing and hears nothing."""
        self._frozen_until = max(self._frozen_until, self._loop.time() + seconds)

    def cut(self, seconds: float) -> None:
        """Keep the process from the API server."""
        self._cut_until = max(self._cut_until, self._loop.time() + seconds)

    @property
    def holds_back(self) -> float:
        """Return for how many seconds nothing reaches the process."""
        return max(0.0, self._frozen_until - self._loop.time(), self._cut_until - self._loop.time())

    async def pass_out(self) -> None:
        """Wait until the process may send; ``Retryable`` when what it sends gets nowhere."""
        await self.pass_on()
        if (left := self._cut_until - self._loop.time()) > 0:
            await asyncio.sleep(min(left, GIVES_UP))
            raise Retryable("simulated: the API server cannot be reached")

    async def pass_in(self) -> None:
        """Wait until the process can take an answer; ``Retryable`` when it was lost on the way."""
        await self.pass_out()

    async def pass_on(self) -> None:
        """Wait until the process runs; for ever when it is dead."""
        await self._stop_if_dead()
        while (left := self._frozen_until - self._loop.time()) > 0:
            await asyncio.sleep(left)
            await self._stop_if_dead()

    async def travel(self) -> None:
        """Take the time of one way."""
        await self._stop_if_dead()
        await asyncio.sleep(self._random.uniform(0.001, 0.003))
        await self._stop_if_dead()

    async def _stop_if_dead(self) -> None:
        if self.dead:
            await self._loop.create_future()
