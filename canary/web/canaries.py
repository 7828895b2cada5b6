"""Canaries as callers see them: found with the rights of the caller, and written on in their name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

import orjson
import structlog

from canary.api.command import ANNOTATION, Command, Verb, read_command
from canary.core import own_gates
from canary.core.access import Caller, Right
from canary.core.actions import Event
from canary.core.decide import kept_by_another
from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY, CanaryKey, Object, annotations_of
from canary.ports import Clock, Cluster, Conflict, Notifier
from canary.web.changes import Changes
from canary.web.guard import Guard
from canary.web.problems import Problem

Wish = Callable[[Object], Mapping[str, str | None]]
"""Return which annotations a Canary is to get; None takes one away."""
Unready = Callable[[], Sequence[Mapping[str, str]]]
"""Return what keeps the controller from working now: for each its kind, namespace and reason."""

ANSWERED = 5.0
"""How many seconds the answer to a command is waited for."""
ATTEMPTS = 5
LONGEST_NAME = 253
RESOURCES = {one.group: one for one in (NATIVE_CANARY, FLAGGER_CANARY)}

_log = structlog.get_logger(__name__)


class Canaries:
    """Read Canaries from the caches, and write what callers wish of them as annotations."""

    def __init__(
        self,
        cluster: Cluster,
        notifier: Notifier,
        clock: Clock,
        groups: tuple[str, ...],
        guard: Guard,
        unready: Unready,
        answered_within: float = ANSWERED,
    ) -> None:
        self.cluster = cluster
        self.changes = Changes(cluster)
        self._notifier = notifier
        self._clock = clock
        self._groups = groups
        self._guard = guard
        self._unready = unready
        self._answered_within = answered_within

    async def admit(self, caller: Caller, verb: str, namespace: str, name: str, subresource: str = "") -> CanaryKey:
        """Return the Canary of a name; raise ``Problem`` unless it is there and the caller has the right."""
        self.require_caches()
        keys = self.named(namespace, name)
        rights = [
            Right(verb, group, namespace, name, subresource) for group in [key.group for key in keys] or self._groups
        ]
        permitted = [right.group for right in rights if await self._guard.permits(caller, right)]
        if not permitted:
            raise self._forbidden(caller, rights[0], name)
        found = [key for key in keys if key.group in permitted]
        if not found:
            raise Problem(404, f"there is no Canary {namespace}/{name} that this controller serves")
        if len(found) > 1:
            groups = " and ".join(key.group for key in found)
            raise Problem(409, f"there are Canaries {namespace}/{name} of {groups}; give them different names")
        return found[0]

    async def listed(self, caller: Caller, namespace: str) -> list[Object]:
        """Return the Canaries of a namespace, of all when it is empty, that the caller may list."""
        self.require_caches()
        rights = [Right("list", group, namespace) for group in self._groups]
        permitted = [right for right in rights if await self._guard.permits(caller, right)]
        if not permitted:
            raise self._forbidden(caller, rights[0], "")
        return [obj for right in permitted for obj in self.cluster.list(RESOURCES[right.group], namespace)]

    def named(self, namespace: str, name: str) -> list[CanaryKey]:
        """Return the Canaries of a name, one for each group that has one."""
        keys = [CanaryKey(group, namespace, name) for group in self._groups]
        return [key for key in keys if self.cluster.get(key.ref) is not None]

    def require_caches(self) -> None:
        """Raise ``Problem`` 503 while what is known of Canaries may be out of date."""
        for one in self._unready():
            if one["kind"].startswith(NATIVE_CANARY.plural):
                raise Problem(503, f"{one['kind']}: {one['reason']}; ask again", 1)

    def read(self, key: CanaryKey) -> Object:
        """Return a Canary; raise ``Problem`` 404 when it is gone."""
        found = self.cluster.get(key.ref)
        if found is None:
            raise Problem(404, f"there is no Canary {key.namespace}/{key.name} any more")
        return found

    async def command(
        self, caller: Caller, key: CanaryKey, verb: Verb, revision: str, gate: str
    ) -> tuple[Command, str | None]:
        """Send a command and return it with the controller's answer, None when there was none within seconds."""
        one = Command(id=str(uuid4()), verb=verb, revision=revision, by=caller.name[:LONGEST_NAME], gate=gate)
        text = orjson.dumps(one.model_dump(exclude_defaults=True)).decode()

        def wish(canary: Object) -> Mapping[str, str]:
            _require_answered(canary)
            return {ANNOTATION: text}

        with self.changes.of(key.ref) as changed:
            await self._annotate(key, wish)
            _log.info("api_command", caller=caller.name, canary=str(key), verb=verb, revision=revision, id=one.id)
            return one, await self._answer(key, one.id, changed)

    async def open(self, caller: Caller, key: CanaryKey, gate: str, revision: str) -> None:
        """Open a gate for one revision, or for all when it is empty."""
        by, now = caller.name[:LONGEST_NAME], self._clock.now()
        await self._annotate(key, lambda canary: own_gates.opened(canary, gate, revision, by, now))
        whom = f"revision {revision}" if revision else "every revision, until it is closed"
        await self._tell(key, caller, Event("GateOpened", f"Gate {gate} was opened by {by} for {whom}"))

    async def close(self, caller: Caller, key: CanaryKey, gate: str) -> None:
        """Close a gate."""
        await self._annotate(key, lambda canary: own_gates.closed(canary, gate))
        await self._tell(key, caller, Event("GateShut", f"Gate {gate} was closed by {caller.name}"))

    async def _tell(self, key: CanaryKey, caller: Caller, event: Event) -> None:
        _log.info("api_gate", caller=caller.name, canary=str(key), reason=event.reason, message=event.message)
        await self._notifier.notify(key, str(self.read(key)["metadata"]["uid"]), [event])

    async def _annotate(self, key: CanaryKey, wish: Wish) -> None:
        """Write annotations on a Canary as it is now."""
        canary = self.read(key)
        for attempt in range(ATTEMPTS):
            if kept_by_another(canary):
                raise Problem(409, f"Canary {key.namespace}/{key.name} is kept by another controller")
            body = {"metadata": {"annotations": dict(wish(canary))}}
            try:
                await self.cluster.patch(key.ref, body, resource_version=canary["metadata"]["resourceVersion"])
                return
            except Conflict:
                if attempt == ATTEMPTS - 1:
                    raise
            canary = await self.cluster.read(key.ref) or self.read(key)

    async def _answer(self, key: CanaryKey, identity: str, changed: asyncio.Event) -> str | None:
        try:
            async with asyncio.timeout(self._answered_within):
                while True:
                    changed.clear()
                    answered = _last_answer(self.read(key))
                    if answered.get("id") == identity:
                        return str(answered.get("result", ""))
                    await changed.wait()
        except TimeoutError:
            return None

    def _forbidden(self, caller: Caller, right: Right, name: str) -> Problem:
        _log.warning("api_refused", caller=caller.name, right=str(right), name=name, code=403)
        one = "" if right.namespace else "; name one of yours with ?namespace="
        return Problem(403, f"{caller.name} may not {right}; bind a Role that allows it{one}")


def _require_answered(canary: Object) -> None:
    """Raise ``Problem`` 409 while somebody else's command waits: it would be lost."""
    text = annotations_of(canary).get(ANNOTATION)
    waiting = read_command(text) if text else None
    if waiting is None or _last_answer(canary).get("id") == waiting.id:
        return
    said = f"{waiting.verb} of {waiting.by or 'someone'}" if isinstance(waiting, Command) else "the one written there"
    raise Problem(409, f"another command is not answered yet: {said}; ask again", 1)


def _last_answer(canary: Object) -> Mapping[str, Any]:
    return (canary.get("status") or {}).get("lastCommand") or {}
