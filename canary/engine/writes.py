"""Writes to the cluster: each on the version it was decided on, and what was refused remembered."""

from __future__ import annotations

from typing import assert_never

import structlog

from canary.core.actions import Action, Create, Delete, Guard, Patch
from canary.core.objects import CanaryKey
from canary.core.refusal import Refusal
from canary.ports import Cluster, Conflict, NotFound, Refused

log = structlog.get_logger()


class Writes:
    """Carry actions out."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.refused: dict[CanaryKey, Refusal | None] = {}
        """What each Canary was refused last; None once it is refused nothing."""

    async def apply(self, key: CanaryKey, action: Action) -> None:
        """Write one action of a Canary; raises a ``ClusterError`` when it did not happen."""
        log.debug("apply", canary=str(key), action=type(action).__name__, ref=str(action.ref), why=action.why)
        try:
            await self._write(key, action)
        except Refused as error:
            self.refused[key] = Refusal(action.ref, str(error))
            raise

    async def _write(self, key: CanaryKey, action: Action) -> None:
        match action:
            case Create():
                await self._cluster.create(action.ref, action.body)
            case Patch():
                await self._require(action.guards)
                await self._cluster.patch(action.ref, action.body, resource_version=action.resource_version)
            case Delete():
                await self._require(action.guards)
                try:
                    await self._cluster.delete(action.ref, uid=action.uid, resource_version=action.resource_version)
                except NotFound:
                    log.debug("already_gone", canary=str(key), ref=str(action.ref))
            case _:
                assert_never(action)

    async def _require(self, guards: tuple[Guard, ...]) -> None:
        """Read live what a write rests on, and refuse the write when it moved (I21)."""
        for guard in guards:
            found = await self._cluster.read(guard.ref)
            version = found["metadata"]["resourceVersion"] if found is not None else None
            if version != guard.resource_version:
                raise Conflict(f"{guard.ref} is at version {version}, decided on {guard.resource_version}")
