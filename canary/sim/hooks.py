"""The hooks port over invented services: each address answers as it is told to."""

from __future__ import annotations

import asyncio
from typing import Literal

from canary.core.measurement import HookAnswer, HookQuery, Unavailable

LATENCY = 0.02
"""Seconds a hook takes for an answer."""

State = Literal["open", "closed", "down", "slow"]


class SimHooks:
    """Implement `ports.Hooks`; an address that nobody spoke of is open."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.asked: list[HookQuery] = []

    async def ask(self, query: HookQuery) -> HookAnswer | Unavailable:
        """Call the hooks in order until one does not pass."""
        self.asked.append(query)
        for call in query.calls:
            state = self.states.get(call.url, "open")
            await asyncio.sleep(call.timeout.total_seconds() if state == "slow" else LATENCY)
            if state == "closed":
                return HookAnswer(False, call.name, "HTTP 403: closed")
            if state != "open":
                what = "did not answer in time" if state == "slow" else "refused the connection"
                return Unavailable(f"hook {call.name} at {call.url} {what}")
        return HookAnswer(True)
