"""How often somebody may ask, and what was asked a moment ago."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
KNOWN = 4096
"""How many keys are remembered; those that were seen longest ago go first."""


class Rates(Generic[Key]):
    """So many requests at once, and then so many a second, for each key."""

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._per_second = per_second
        self._clock = clock
        self._left: OrderedDict[Key, tuple[float, float]] = OrderedDict()

    def wait(self, key: Key) -> float:
        """Count one request and return 0; when it comes too early, return how many seconds."""
        now = self._clock()
        left, at = self._left.pop(key, (float(self._burst), now))
        left = min(float(self._burst), left + (now - at) * self._per_second)
        allowed = left >= 1
        self._left[key] = (left - 1 if allowed else left, now)
        if len(self._left) > KNOWN:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._per_second


class Recent(Generic[Key, Value]):
    """Answers that hold for some seconds."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._held: OrderedDict[Key, tuple[float, Value]] = OrderedDict()

    def find(self, key: Key) -> Value | None:
        """Return the answer to a question, None when there is none or it is too old."""
        until, value = self._held.get(key, (0.0, None))
        return value if value is not None and self._clock() < until else None

    def keep(self, key: Key, value: Value) -> Value:
        """Keep an answer and return it."""
        self._held.pop(key, None)
        self._held[key] = (self._clock() + self._seconds, value)
        if len(self._held) > KNOWN:
            self._held.popitem(last=False)
        return value
