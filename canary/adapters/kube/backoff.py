"""Growing pauses between attempts."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Give pauses that double from ``first`` to ``longest`` seconds, shortened by up to half at random.

    The chance keeps the watches of one controller, and of many, from returning in step.
    """

    def __init__(self, first: float = 0.2, longest: float = 30.0, chance: Callable[[], float] = random.random) -> None:
        self._first = first
        self._longest = longest
        self._chance = chance
        self._attempt = 0

    @property
    def spent(self) -> bool:
        """Return whether pauses grow no more."""
        return self._pause >= self._longest

    def next(self) -> float:
        """Return the next pause in seconds."""
        pause = min(self._longest, self._pause)
        self._attempt += 1
        return pause * (1 - self._chance() / 2)

    @property
    def _pause(self) -> float:
        return self._first * 2.0 ** min(self._attempt, 32)

    def reset(self) -> None:
        """Start over at the shortest pause."""
        self._attempt = 0
