"""The hooks port over invented services: each address answers as it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal, get_args

from canary.core.measurement import HookAnswer, HookCall, HookQuery, HookType, Unavailable
from canary.core.objects import CanaryKey

LATENCY = 0.02
"""Seconds a hook takes for an answer."""

State = Literal["open", "closed", "down", "slow"]


TYPES: tuple[HookType, ...] = get_args(HookType)


def every_hook() -> list[dict[str, Any]]:
    """Return a webhook of each type that is asked, each at an address of its own."""
    return [{"name": kind, "type": kind, "url": address(kind), "timeout": "3s"} for kind in TYPES]


def address(kind: str) -> str:
    """Return the address of the hook of a type."""
    return f"http://hooks.test/{kind}"


class SimHooks:
    """Implement `ports.Hooks`; an address that nobody spoke of is open, but for that of a rollback."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.lasts: dict[str, float] = {}
        """Seconds an address takes for its answer, where it is not the usual."""
        self.asked: list[HookQuery] = []
        self.told: list[HookCall] = []

    def tell(self, key: CanaryKey, calls: Sequence[HookCall]) -> None:
        """Remember what was told."""
        self.told.extend(calls)

    async def ask(self, query: HookQuery) -> HookAnswer | Unavailable:
        """Call the hooks in order until one does not pass."""
        self.asked.append(query)
        for call in query.calls:
            state = self.states.get(call.url, "closed" if query.type == "rollback" else "open")
            await asyncio.sleep(call.timeout.total_seconds() if state == "slow" else self.lasts.get(call.url, LATENCY))
            if state == "closed":
                return HookAnswer(False, call.name, "HTTP 403: closed")
            if state != "open":
                what = "did not answer in time" if state == "slow" else "refused the connection"
                return Unavailable(f"hook {call.name} at {call.url} {what}")
        return HookAnswer(True)
