"""Wait for conditions with a deadline and say what was seen."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")

POLL_INTERVAL = timedelta(milliseconds=100)


class DeadlineExceededError(AssertionError):
    """Report a condition that did not come true in time, with what was seen instead."""


def wait_until(
    condition: Callable[[], T],
    deadline: timedelta,
    describe: str | Callable[[], str],
    *,
    interval: timedelta = POLL_INTERVAL,
) -> T:
    """Return the first truthy value of `condition`; raise DeadlineExceededError with `describe` otherwise."""
    end = time.monotonic() + deadline.total_seconds()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= end:
            seen = describe if isinstance(describe, str) else describe()
            raise DeadlineExceededError(f"after {deadline.total_seconds():g} s: {seen}")
        time.sleep(interval.total_seconds())
