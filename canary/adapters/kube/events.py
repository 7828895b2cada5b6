"""Tell people through Kubernetes Events on the Canary."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from canary.adapters.kube.client import FIELD_MANAGER, MERGE_PATCH, KubeClient
from canary.adapters.kube.paths import collection, single
from canary.core.actions import Event
from canary.core.objects import CanaryKey, Ref, Resource
from canary.ports import Clock, ClusterError, NotFound

EVENT = Resource("", "v1", "events", "Event")
FOLD = timedelta(minutes=10)
SECONDS = 5.0
REMEMBERED = 1024
MESSAGE_LENGTH = 1024
NAME_LENGTH = 253

_log = structlog.get_logger(__name__)
_Repeat = tuple[CanaryKey, str, str, str]


@dataclass(frozen=True, slots=True)
class _Told:
    ref: Ref
    count: int
    last: datetime


class KubeNotifier:
    """Write Events; the same words again within ten minutes raise the count of the first."""

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._told: OrderedDict[_Repeat, _Told] = OrderedDict()

    async def notify(self, key: CanaryKey, uid: str, events: Sequence[Event]) -> None:
        """Record events on a Canary, for seconds at most; a failure is logged, never raised."""
        try:
            async with asyncio.timeout(SECONDS):
                for event in events:
                    await self._tell(key, uid, event)
        except (ClusterError, TimeoutError) as fault:
            _log.warning("event_not_recorded", canary=str(key), error=str(fault) or "timed out")

    async def _tell(self, key: CanaryKey, uid: str, event: Event) -> None:
        now = self._clock.now()
        repeat = (key, uid, event.reason, event.message)
        told = self._told.get(repeat)
        if told is not None and now - told.last < FOLD:
            try:
                await self._count(told.ref, told.count + 1, now)
            except NotFound:
                told = None
        else:
            told = None
        if told is None:
            told = _Told(await self._record(key, uid, event, now), 0, now)
        self._told[repeat] = _Told(told.ref, told.count + 1, now)
        self._told.move_to_end(repeat)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)

    async def _record(self, key: CanaryKey, uid: str, event: Event, now: datetime) -> Ref:
        body = event_body(key, uid, event, now)
        ref = Ref(EVENT, key.namespace, body["metadata"]["name"])
        await self._client.write(
            "POST",
            collection(EVENT, key.namespace),
            body,
            resource=EVENT.plural,
            verb="create",
            params={"fieldManager": FIELD_MANAGER},
            total=SECONDS,
        )
        return ref

    async def _count(self, ref: Ref, count: int, now: datetime) -> None:
        await self._client.write(
            "PATCH",
            single(ref),
            {"count": count, "lastTimestamp": _stamp(now)},
            resource=EVENT.plural,
            verb="patch",
            params={"fieldManager": FIELD_MANAGER},
            content_type=MERGE_PATCH,
            total=SECONDS,
        )


def event_body(key: CanaryKey, uid: str, event: Event, now: datetime) -> dict[str, Any]:
    """Return the Event object that tells one event of a Canary."""
    ref = key.ref
    suffix = f".{int(now.timestamp() * 1_000_000):x}"
    message = event.message
    if len(message) > MESSAGE_LENGTH:
        message = message[: MESSAGE_LENGTH - 1] + "…"
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"namespace": key.namespace, "name": key.name[: NAME_LENGTH - len(suffix)] + suffix},
        "involvedObject": {
            "apiVersion": ref.resource.api_version,
            "kind": ref.resource.kind,
            "namespace": key.namespace,
            "name": key.name,
            "uid": uid,
        },
        "type": event.type,
        "reason": event.reason,
        "message": message,
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "count": 1,
        "firstTimestamp": _stamp(now),
        "lastTimestamp": _stamp(now),
    }


def _stamp(now: datetime) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")
