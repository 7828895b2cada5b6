"""Keep a store equal to the API server by one long watch per type and namespace."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import structlog

from canary.adapters.kube.answers import Expired, Forbidden, ServerFault, error_of
from canary.adapters.kube.backoff import Backoff
from canary.adapters.kube.client import JSON, METADATA, METADATA_LIST, KubeClient
from canary.adapters.kube.definition import Definition, Presence
from canary.adapters.kube.paths import collection, kind_name
from canary.adapters.kube.patience import PATIENCE, Patience
from canary.adapters.kube.store import Store
from canary.adapters.kube.watched import Watched
from canary.core.mentions import mentions
from canary.core.objects import Object, Resource
from canary.ports import ClusterError, NotFound, Refused, Retryable

Listener = Callable[[Resource, Object | None, Object | None], None]
Transform = Callable[[Watched, Object], Object]

LONGEST_SECONDS = 30.0
PAGE = 100
INITIAL_EVENTS_END = "k8s.io/initial-events-end"

_log = structlog.get_logger(__name__)


class Reflector:
    """List and watch one type in one namespace (or all), for ever, whatever the server does."""

    def __init__(
        self,
        client: KubeClient,
        watched: Watched,
        namespace: str,
        *,
        transform: Transform,
        listener: Listener,
        backoff: Backoff | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self.watched, self.resource = watched, (resource := watched.resource)
        self.namespace = namespace
        self.store = Store(lambda before, after: listener(resource, before, after), lambda obj: mentions(resource, obj))
        self.synced = asyncio.Event()
        self.absent = self.refused = False
        self._problem = "not listed yet"
        self._client = client
        self._definition = Definition(client, resource, patience)
        self._transform = transform
        self._patience = patience
        self._backoff = backoff or Backoff(longest=LONGEST_SECONDS)
        self._version: int | None = None  # where the next watch goes on; None: everything is told anew
        self._streaming = True
        self._missed_since: float | None = None
        self._open = False
        self._heard = 0.0  # when the server was last followed; of no meaning while a watch is open
        self._fault: type[Exception] | None = None

    def __str__(self) -> str:
        return f"{kind_name(self.resource)} in {self.namespace or 'all'}"

    def trouble(self) -> str | None:
        """Return why the store cannot be relied on now; None when it can."""
        if self.absent:
            return f"not installed: no CustomResourceDefinition serves {self.resource.version}"
        if self.refused or not self.synced.is_set():
            return self._problem
        silent = 0.0 if self._open else asyncio.get_running_loop().time() - self._heard
        return f"not followed for {silent:.0f} s: {self._problem}" if silent >= self._patience.contact else None

    def put(self, obj: Object) -> Object:
        """Take the answer to one of our own calls into the store; return it as the store keeps it."""
        kept = self._transform(self.watched, obj)
        if self.watched.holds(kept):
            self.store.put(kept)
        return kept

    async def run(self) -> None:
        """Follow the server until cancelled."""
        while True:
            pause = await self._attempt()
            if pause:
                await asyncio.sleep(pause)

    async def _attempt(self) -> float:
        """Watch once and return for how many seconds to pause before the next time."""
        try:
            try:
                told = await self._watch()
            except NotFound:
                told = await self._missed()
            return 0.0 if told else self._backoff.next()
        except Expired as fault:
            self._version = None
            return self._failed(fault)
        except Forbidden as fault:
            return self._do_without(fault) if self.watched.optional else self._failed(fault)
        except (Refused, ServerFault) as fault:
            if not self._listing_streams():
                return self._failed(fault)
            _log.debug("streaming_list_refused", resource=str(self), error=str(fault))
            self._streaming = False
            return 0.0
        except TimeoutError:
            if self._listing_streams():
                self._streaming = False
            return self._failed(TimeoutError("silent for too long"))
        except ClusterError as fault:
            return self._failed(fault)
        except Exception as fault:
            # An object we cannot read must not end the process; it is told anew and stays visible here.
            _log.exception("watch_failed", resource=str(self))
            self._version = None
            return self._failed(fault)

    def _listing_streams(self) -> bool:
        return self._streaming and self._version is None

    def _failed(self, fault: Exception) -> float:
        """Note a fault and return for how long to pause: briefly again when it is a new kind of fault."""
        # A server that refused connections and now answers, if only 410 or 503, is about to work.
        known = type(fault) is self._fault
        if not known:
            self._fault = type(fault)
            self._backoff.reset()
        asked = fault.retry_after if isinstance(fault, Retryable) else None
        pause = max(self._backoff.next(), min(asked or 0.0, LONGEST_SECONDS))
        self._problem = str(fault)
        tell = _log.debug if known else _log.warning
        tell("watch_interrupted", resource=str(self), error=str(fault), again_in=round(pause, 2))
        return pause

    def _do_without(self, fault: Forbidden) -> float:
        """Do without an optional type that nobody may read; return for how long: a starting server refuses all."""
        if not self.refused:
            _log.warning("type_not_read", resource=str(self), error=str(fault), effect="what rests on it is off")
        self._empty()
        self.absent, self.refused, self._problem = False, True, str(fault)
        return self._patience.refused if self._backoff.spent else self._backoff.next()

    def _recovered(self) -> None:
        self._backoff.reset()
        if self._fault is not None:
            self._fault = None
            _log.info("watch_resumed", resource=str(self))

    async def _watch(self) -> bool:
        """Follow one watch to its end; return whether it told anything."""
        if self._version is None and not self._streaming:
            await self._list()
        initial: list[Object] | None = [] if self._version is None else None
        floor, told = self.store.newest, False
        loop, bare = asyncio.get_running_loop(), self.watched.metadata_only
        async with (
            asyncio.timeout(self._patience.stall if initial is not None else self._patience.idle) as silence,
            self._client.watch(
                self._path, resource=self.resource.plural, params=self._params(), accept=METADATA if bare else JSON
            ) as events,
            self._following(silence),
        ):
            async for event in events:
                initial = self._handle(event, initial, floor)
                self._heard = loop.time()
                silence.reschedule(self._heard + (self._patience.idle if initial is None else self._patience.stall))
                if initial is None:
                    told = True
                    self._recovered()
        return told

    @contextlib.asynccontextmanager
    async def _following(self, silence: asyncio.Timeout) -> AsyncIterator[None]:
        """Note that the server is there for as long as a watch is open."""
        self._open = True
        self._missed_since = None
        try:
            yield
        finally:
            self._open = False
            # A watch that fell silent may have hung for long: what it told last counts.
            if not silence.expired():
                self._heard = asyncio.get_running_loop().time()

    def _handle(self, event: dict[str, Any], initial: list[Object] | None, floor: int) -> list[Object] | None:
        """Take one event; return the objects of a streaming list so far, None once it is complete."""
        kind, obj = event["type"], event["object"]
        if kind == "ERROR":
            raise error_of(obj.get("code") or 500, orjson.dumps(obj))
        version = int(obj["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            if initial is not None and (obj["metadata"].get("annotations") or {}).get(INITIAL_EVENTS_END):
                self._replace(initial, version, floor)
                return None
        elif initial is not None:
            # Changes come behind the object they change, so that the last word on a name counts.
            self._collect(initial, kind, self._transform(self.watched, obj))
            return initial
        elif kind == "DELETED":
            self.store.vanish(obj)
        else:
            self.store.observe(self._transform(self.watched, obj))
        if initial is None:
            self._version = version
            self.store.advance(version)
        return initial

    @staticmethod
    def _collect(initial: list[Object], kind: str, obj: Object) -> None:
        if kind != "ADDED":
            uid = obj["metadata"]["uid"]
            initial[:] = [other for other in initial if other["metadata"]["uid"] != uid]
        if kind != "DELETED":
            initial.append(obj)

    async def _list(self) -> None:
        floor = self.store.newest
        listed: list[Object] = []
        accept = METADATA_LIST if self.watched.metadata_only else JSON
        params = {**self._selection(), "limit": str(PAGE)}
        while True:
            page = await self._client.read(
                self._path, resource=self.resource.plural, verb="list", params=params, accept=accept
            )
            # Of bare metadata "no items" is null.
            listed += [self._transform(self.watched, item) for item in page["items"] or ()]
            if not (token := page["metadata"].get("continue")):
                break
            params["continue"] = token
        self._replace(listed, int(page["metadata"]["resourceVersion"]), floor)

    def _replace(self, listed: list[Object], version: int, floor: int) -> None:
        if version < floor:
            _log.warning("server_went_back", resource=str(self), version=version, known=floor)
        self.store.replace(listed, version, floor)
        self._version = version
        self._missed_since = None
        self.absent = self.refused = False
        self._arrived()

    async def _missed(self) -> bool:
        """Wait for the definition of a type that is answered 404; return whether to ask again at once."""
        loop = asyncio.get_running_loop()
        if self._missed_since is None:
            self._missed_since = loop.time()
            _log.info("resource_not_served", resource=str(self))
        presence = await self._definition.look()
        if presence is Presence.SERVED:
            # A starting API server answers 404 for types it has not loaded yet, as does one that is just told.
            raise NotFound("404: defined, but not served yet")
        left: float | None = self._missed_since + self._patience.absent - loop.time()
        if (presence is Presence.ABSENT and not self.store) or (left or 0) <= 0:
            self._empty()
            left = None
        news = await self._definition.told(left)
        if news:
            self._backoff.reset()
        return news

    def _empty(self) -> None:
        """Take the type as not installed."""
        self.store.replace([], self.store.newest, self.store.newest)
        self._version = None
        self.absent = True
        self._arrived()

    def _arrived(self) -> None:
        self._problem = ""
        if not self.synced.is_set():
            _log.info("synced", resource=str(self), objects=len(self.store))
            self.synced.set()

    @property
    def _path(self) -> str:
        return collection(self.resource, "" if self.watched.cluster_scoped else self.namespace)

    def _selection(self) -> dict[str, str]:
        selection = {"labelSelector": self.watched.label} if self.watched.label else {}
        if self.watched.cluster_scoped and self.namespace:
            selection["fieldSelector"] = f"metadata.name={self.namespace}"
        return selection

    def _params(self) -> dict[str, str]:
        # Lengths differ so that the watches of many controllers do not all return at once.
        params = {
            **self._selection(),
            "watch": "1",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(random.randint(300, 600)),
        }
        if self._version is None:
            return {**params, "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
        return {**params, "resourceVersion": str(self._version)}
