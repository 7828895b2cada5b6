"""How many runs may be under way at once, and whose turn it is when one ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from canary.core.objects import CanaryKey


@dataclass(frozen=True, slots=True)
class Limits:
    """Most runs at once: of all Canaries together, and of those of one namespace; 0 sets no limit."""

    together: int = 0
    namespace: int = 0

    def __bool__(self) -> bool:
        return bool(self.together or self.namespace)


@dataclass(frozen=True, slots=True, order=True)
class Queued:
    """A Canary whose run could begin, since when; the order is that of the queue."""

    since: datetime
    key: CanaryKey


@dataclass(frozen=True, slots=True)
class Place:
    """Where a Canary stands in the queue of all, or of its namespace when that is what stops it."""

    number: int
    count: int
    limit: int
    namespace: str = ""

    def __str__(self) -> str:
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{ordinal(self.number)} of {self.count}{where}, limit {self.limit}"


@dataclass(frozen=True, slots=True)
class Runs:
    """Which runs are under way, of those that count, and which Canaries wait for one to end."""

    limits: Limits = field(default_factory=Limits)
    under_way: Collection[CanaryKey] = ()
    queue: tuple[Queued, ...] = ()
    """In order."""

    def place(self, key: CanaryKey, since: datetime) -> Place | None:
        """Return where a Canary stands that waits since a moment; None when its run may begin."""
        if not self.limits:
            return None
        own = Queued(since, key)
        queue = tuple(sorted((own, *(one for one in self.queue if one.key != key))))
        if key in admitted(Runs(self.limits, self.under_way, queue)):
            return None
        here = [one for one in queue if one.key.namespace == key.namespace]
        mine = sum(one.namespace == key.namespace for one in self.under_way)
        full = self.limits.namespace and mine + here.index(own) >= self.limits.namespace
        if full:
            return Place(here.index(own) + 1, len(here), self.limits.namespace, key.namespace)
        return Place(queue.index(own) + 1, len(queue), self.limits.together)


def admitted(runs: Runs) -> frozenset[CanaryKey]:
    """Return whose runs may begin now: the first of the queue, past those whose namespace is full."""
    return frozenset(_admitted(runs))


def _admitted(runs: Runs) -> Iterator[CanaryKey]:
    limits, together = runs.limits, len(runs.under_way)
    of_namespace = Counter(key.namespace for key in runs.under_way)
    for one in runs.queue:
        if limits.together and together >= limits.together:
            return
        namespace = one.key.namespace
        if limits.namespace and of_namespace[namespace] >= limits.namespace:
            continue
        together += 1
        of_namespace[namespace] += 1
        yield one.key


def ordinal(number: int) -> str:
    """Return a number as a place in a row: 1st, 2nd, 3rd, 11th."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
