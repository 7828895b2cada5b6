"""The questions of one Canary that are being asked: what is answered, and who is still awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from canary.core.measurement import HookQuery, Measurement, Query

Group = tuple[Query, ...]
Ask = Callable[[Group], Coroutine[Any, Any, tuple[Measurement, ...]]]
Asked = tuple[Group, asyncio.Task[tuple[Measurement, ...]]]
"""Questions that are answered as a whole, and their answer to come."""


class Inquiry:
    """Ask all questions beside one another; a hook may take long, so each type is answered by itself."""

    def __init__(self, ask: Ask, left: Iterable[Asked] = ()) -> None:
        """Prepare to ask; calls that are ``left`` under way are joined when the same is asked again."""
        self._ask = ask
        self._left = list(left)
        self._asked: list[Asked] = []

    def put(self, queries: Group) -> None:
        """Begin to ask."""
        facts = tuple(query for query in queries if not isinstance(query, HookQuery))
        hooks = [(query,) for query in queries if isinstance(query, HookQuery)]
        for group in [facts, *hooks] if facts else hooks:
            self._asked.append(self._joined(group) or (group, asyncio.ensure_future(self._ask(group))))

    @property
    def queries(self) -> Group:
        """Return all that was asked."""
        return tuple(query for group, _ in self._asked for query in group)

    @property
    def pending(self) -> list[asyncio.Task[tuple[Measurement, ...]]]:
        """Return what is awaited."""
        return [task for _, task in self._asked if not task.done()]

    @property
    def answers(self) -> tuple[Measurement, ...]:
        """Return the answers that have come."""
        return tuple(measured for _, task in self._asked if task.done() for measured in task.result())

    def leave(self) -> list[Asked]:
        """Return the calls of hooks that go on, for who asks the same next; everything else is cancelled."""
        calls = [(group, task) for group, task in self._asked if not task.done() and _subject(group)]
        kept = [task for _, task in calls]
        for task in (*self.pending, *(task for _, task in self._left)):
            if task not in kept:
                task.cancel()
        return calls

    def cancel(self) -> None:
        """End everything that is under way."""
        for _, task in (*self._asked, *self._left):
            task.cancel()

    def _joined(self, group: Group) -> Asked | None:
        found = next((one for one in self._left if _subject(one[0]) and _subject(one[0]) == _subject(group)), None)
        if found is not None:
            self._left.remove(found)
        return found


def _subject(group: Group) -> tuple[object, ...]:
    """Return which hooks are asked about which revision, nothing for other questions."""
    about = [query for query in group if isinstance(query, HookQuery)]
    return tuple((one.type, call.url, call.payload.get("checksum")) for one in about for call in one.calls)
