"""Whether the API server has the CustomResourceDefinition of a type, and when it gets one."""

from __future__ import annotations

import asyncio
import random
from enum import Enum
from typing import Any

import orjson
import structlog

from canary.adapters.kube.answers import Forbidden, error_of
from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.paths import definitions, kind_name
from canary.adapters.kube.patience import PATIENCE, Patience
from canary.core.objects import Object, Resource
from canary.ports import ClusterError, Retryable

DEFINITIONS = "customresourcedefinitions"

_log = structlog.get_logger(__name__)


class Presence(Enum):
    """What the API server says about a definition."""

    SERVED = "served"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class Definition:
    """Ask for the definition of one type, and wait for it without asking again and again."""

    def __init__(self, client: KubeClient, resource: Resource, patience: Patience = PATIENCE) -> None:
        self._client = client
        self._resource = resource
        self._patience = patience
        self._name = kind_name(resource)
        self._selection = {"fieldSelector": f"metadata.name={self._name}"}
        self._version = ""
        self._forbidden = False

    async def look(self) -> Presence:
        """Read the definition live; UNKNOWN without the right to."""
        try:
            found = await self._client.read(definitions(), resource=DEFINITIONS, verb="list", params=self._selection)
        except Forbidden:
            return Presence.UNKNOWN
        except ClusterError as fault:
            raise Retryable(f"{self._name}: {fault}") from fault
        self._version = str(found["metadata"]["resourceVersion"])
        served = any(serves(crd, self._resource.version) for crd in found["items"])
        return Presence.SERVED if served else Presence.ABSENT

    async def told(self, seconds: float | None) -> bool:
        """Wait until the definition, absent at the last look, serves the type, for so many seconds at most.

        Return whether there is reason to ask for the type again at once.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._follow()
        except TimeoutError:
            return True
        except Forbidden as fault:
            if not self._forbidden:
                _log.warning("definitions_not_watched", error=str(fault), asked_every=self._patience.poll)
            self._forbidden = True
            await asyncio.sleep(self._patience.poll)
            return True
        except ClusterError as fault:
            raise Retryable(f"{self._name}: {fault}") from fault

    async def _follow(self) -> bool:
        """Return True once the definition serves the type; when the watch ends before, whether it told anything."""
        params = {
            **self._selection,
            "watch": "1",
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
            # Lengths differ so that the watches of many controllers do not all return at once.
            "timeoutSeconds": str(random.randint(300, 600)),
        }
        heard = False
        loop = asyncio.get_running_loop()
        try:
            async with (
                asyncio.timeout(self._patience.idle) as silence,
                self._client.watch(definitions(), resource=DEFINITIONS, params=params) as events,
            ):
                async for event in events:
                    heard = True
                    silence.reschedule(loop.time() + self._patience.idle)
                    if event["type"] == "ERROR":
                        raise error_of(event["object"].get("code") or 500, orjson.dumps(event["object"]))
                    if event["type"] != "DELETED" and serves(event["object"], self._resource.version):
                        return True
        except TimeoutError:
            return False
        return heard


def is_established(crd: Object) -> bool:
    """Return whether a CustomResourceDefinition is Established."""
    conditions: list[dict[str, Any]] = (crd.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def serves(crd: Object, version: str) -> bool:
    """Return whether a CustomResourceDefinition is Established and serves a version."""
    versions = (crd.get("spec") or {}).get("versions") or []
    return is_established(crd) and any(item["name"] == version and item.get("served") for item in versions)
