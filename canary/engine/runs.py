"""Which Canaries have a run and which wait for one: as the caches tell, and as is about to be written."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from pydantic import ValidationError

from canary.api.status import CanaryStatus, parse
from canary.core.decide import kept_by_another
from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY, CanaryKey, Object, Resource
from canary.core.runs import Limits, Queued, Runs, admitted
from canary.core.turns import holds_run
from canary.ports import Conflict, Retryable

UNSURE = timedelta(seconds=30)
"""For how long a run counts whose beginning may have been written, while nothing is heard of it."""


class RunBook:
    """Follow the runs of all Canaries, so that no two reconciles take the last free one.

    A reconcile that begins a run says so before it writes (``claim``).  The write rests on the version it
    was decided on: a claim stands until that version is known to be past, however it went.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._under_way: set[CanaryKey] = set()
        self._queue: dict[CanaryKey, datetime] = {}
        self._claims: dict[CanaryKey, tuple[str, datetime]] = {}
        self._failing: set[CanaryKey] = set()
        self._seen: Runs | None = None

    def changed(self, resource: Resource, before: Object | None, after: Object | None) -> Iterable[CanaryKey]:
        """Take a change of the cache; return who is to look anew because there is room."""
        canary = after or before
        if not self._limits or resource not in (NATIVE_CANARY, FLAGGER_CANARY) or canary is None:
            return ()
        metadata = canary["metadata"]
        key = CanaryKey(resource.group, metadata["namespace"], metadata["name"])
        ran, waited = key in self._under_way, key in self._queue
        status = _status(after)
        runs, queued_at = holds_run(status), status.queued_at
        claimed = self._claims.get(key)
        if claimed is not None and (after is None or claimed[0] != metadata["resourceVersion"]):
            del self._claims[key]
            self._seen = None
        elif (runs, queued_at) == (ran, self._queue.get(key)):
            return ()
        self._note(key, runs, queued_at)
        left = (ran and not runs) or (waited and queued_at is None and not runs) or (claimed is not None and not runs)
        return admitted(self._current()) if left else ()

    def _note(self, key: CanaryKey, runs: bool, queued_at: datetime | None) -> None:
        self._seen = None
        self._failing.discard(key)
        (self._under_way.add if runs else self._under_way.discard)(key)
        if queued_at is None:
            self._queue.pop(key, None)
        else:
            self._queue[key] = queued_at

    def seen(self, now: datetime) -> Runs:
        """Return what a decision may rest on now."""
        for key in [key for key, (_, since) in self._claims.items() if now - since > UNSURE]:
            del self._claims[key]
            self._seen = None
        return self._current()

    def _current(self) -> Runs:
        if self._seen is None:
            taken = frozenset(self._under_way | self._claims.keys())
            queue = (Queued(since, key) for key, since in self._queue.items())
            able = sorted(one for one in queue if one.key not in taken and one.key not in self._failing)
            self._seen = Runs(self._limits, taken, tuple(able))
        return self._seen

    def claim(self, key: CanaryKey, canary: Object, now: datetime) -> None:
        """Count a run that is about to be written on this version of its Canary."""
        if self._limits:
            self._claims[key] = (canary["metadata"]["resourceVersion"], now)
            self._seen = None

    def failed(self, key: CanaryKey, fault: Exception) -> None:
        """Let the others past a Canary whose reconcile fails, until it changes or ends well; they look by themselves.

        After a conflict what it was decided on is past, and news of it is on its way.
        """
        if not self._limits or isinstance(fault, Conflict):
            return
        self._failing.add(key)
        self._seen = None
        if not isinstance(fault, Retryable):
            # Surely not written; what may have been written counts until it is seen.
            self._claims.pop(key, None)

    def ended_well(self, key: CanaryKey) -> None:
        """Count a Canary in whose reconcile nothing failed."""
        if key in self._failing:
            self._failing.discard(key)
            self._seen = None


def _status(canary: Object | None) -> CanaryStatus:
    """Return the status of a Canary that is ours; of any other an empty one."""
    if canary is None or kept_by_another(canary):
        return CanaryStatus()
    try:
        return parse(canary.get("status"))
    except ValidationError:
        return CanaryStatus()
