"""The alerter port over invented receivers, which take everything unless told otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from canary.core.alerts import AlertCall
from canary.core.objects import FLAGGER_PROVIDER, NATIVE_PROVIDER, Object

LATENCY = 0.05
"""Seconds until an alert has arrived."""
ON_CALL = "on-call"


def every_alert() -> list[dict[str, Any]]:
    """Return the alerts of a Canary that has everything told."""
    return [{"name": "team", "providerRef": {"name": ON_CALL}}]


def alert_provider(canary: Object, name: str = ON_CALL) -> dict[str, Any]:
    """Return an AlertProvider beside a Canary, of its group."""
    native = canary["apiVersion"] == NATIVE_PROVIDER.api_version
    resource = NATIVE_PROVIDER if native else FLAGGER_PROVIDER
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": canary["metadata"]["namespace"], "generation": 1},
        "spec": {"type": "webhook", "address": f"https://{name}.test/"},
    }


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
