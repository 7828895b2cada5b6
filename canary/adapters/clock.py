"""The clocks of the machine."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from canary.core.election import Instant

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where there is such a clock."""


class SystemClock:
    """Tell the time of the machine."""

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""
        return datetime.now(UTC)


def instant() -> Instant:
    """Return the present moment on all clocks."""
    return Instant(time.monotonic(), time.clock_gettime(_BOOTTIME), time.time())
