"""Wake those who wait for a Canary to change."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from canary.core.objects import Object, Ref, Resource, ref_of
from canary.ports import Cluster


class Changes:
    """Hear of every change of the cache and pass on those that somebody waits for."""

    def __init__(self, cluster: Cluster) -> None:
        self._waiting: dict[Ref, set[asyncio.Event]] = {}
        cluster.subscribe(self._heard)

    @contextmanager
    def of(self, ref: Ref) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever an object changes; clear it before each look."""
        changed = asyncio.Event()
        self._waiting.setdefault(ref, set()).add(changed)
        try:
            yield changed
        finally:
            self._waiting[ref].discard(changed)
            if not self._waiting[ref]:
                del self._waiting[ref]

    def _heard(self, resource: Resource, before: Object | None, after: Object | None) -> None:
        obj = after or before
        if not self._waiting or obj is None or "namespace" not in obj["metadata"]:
            return
        for changed in self._waiting.get(ref_of(resource, obj), ()):
            changed.set()
