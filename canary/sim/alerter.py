"""The alerter port over invented receivers, which take everything unless told otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from canary.core.alerts import AlertCall

LATENCY = 0.05
"""Seconds until an alert has arrived."""


class SimAlerter:
    """Implement `ports.Alerter`; the receivers live on when a controller dies."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.faults: dict[str, str] = {}
        """Why alerts do not arrive, by the name of the AlertProvider."""
        self.sent: list[AlertCall] = []

    def alert(self, calls: Sequence[AlertCall], ended: Callable[[AlertCall, str], None]) -> None:
        """Remember what was sent, and say a little later how that ended."""
        self.sent.extend(calls)
        for call in calls:
            self._loop.call_later(LATENCY, ended, call, self.faults.get(call.provider.name, ""))

    def told(self, severity: str = "") -> list[str]:
        """Return the messages of the alerts, those of one severity if given."""
        return [one.message for one in self.sent if severity in ("", one.severity)]
