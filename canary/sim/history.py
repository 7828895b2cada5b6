"""What a simulation leaves behind: status rows, events and writes, with exact virtual times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from canary.core.actions import Event
from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY, CanaryKey, Object, Ref
from canary.sim.world import Change

CANARIES = (NATIVE_CANARY, FLAGGER_CANARY)


@dataclass(frozen=True, slots=True)
class Row:
    """Phase and weight of a Canary from a moment on."""

    at: float
    phase: str
    weight: int


@dataclass(frozen=True, slots=True)
class Told:
    """An event recorded on a Canary."""

    at: float
    key: CanaryKey
    event: Event


class History:
    """Record what happens to Canaries."""

    def __init__(self) -> None:
        self._rows: dict[Ref, list[Row]] = {}
        self.changes: list[Change] = []
        self.events: list[Told] = []

    def see(self, change: Change) -> None:
        """Record a change of the world."""
        self.changes.append(change)
        if change.ref.resource not in CANARIES or change.after is None:
            return
        phase, weight = state_of(change.after)
        rows = self._rows.setdefault(change.ref, [])
        last = (rows[-1].phase, rows[-1].weight) if rows else ("", 0)
        if (phase, weight) != last:
            rows.append(Row(change.at, phase, weight))

    def rows(self, ref: Ref, since: float = 0.0) -> list[Row]:
        """Return the rows of a Canary from a moment on, in absolute virtual time."""
        return [row for row in self._rows.get(ref, []) if row.at >= since]

    def run_rows(self, ref: Ref, since: float = 0.0) -> list[Row]:
        """Return the rows of a Canary from a moment on, times counted from the first."""
        rows = self.rows(ref, since)
        return [Row(round(row.at - rows[0].at, 3), row.phase, row.weight) for row in rows]

    def writes(self, writer: str, since: float = 0.0) -> list[Change]:
        """Return the changes one manager made from a moment on."""
        return [one for one in self.changes if one.writer == writer and one.at >= since]

    def reasons(self, since: float = 0.0) -> list[str]:
        """Return the reasons of the events from a moment on."""
        return [told.event.reason for told in self.events if told.at >= since]


def state_of(canary: Object) -> tuple[str, int]:
    """Return phase and weight of a Canary."""
    status: Any = canary.get("status") or {}
    return status.get("phase", ""), status.get("canaryWeight", 0)


class Recorder:
    """Implement `ports.Notifier` by writing into a history."""

    def __init__(self, history: History, now: Any) -> None:
        self._history = history
        self._now = now

    async def notify(self, key: CanaryKey, uid: str, events: Sequence[Event]) -> None:
        """Record events on a Canary."""
        self._history.events.extend(Told(self._now(), key, event) for event in events)
