"""The wall clock of the machine."""

from __future__ import annotations

from datetime import UTC, datetime


class SystemClock:
    """Tell the time of the machine."""

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""
        return datetime.now(UTC)
