"""What the engine needs of the world; implemented by ``adapters`` (real) and ``sim`` (invented)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from canary.api.status import CanaryStatus
from canary.core.access import Caller, Right
from canary.core.actions import Event
from canary.core.alerts import AlertCall
from canary.core.election import Claim, Lease
from canary.core.measurement import HookAnswer, HookCall, HookQuery, Measurement, Query, Unavailable
from canary.core.objects import CanaryKey, Object, Ref, Resource


class ClusterError(Exception):
    """An API call did not do what was asked."""


class Conflict(ClusterError):
    """The object is not at the version, uid or absence the write was decided on (409, or a guard)."""


class NotFound(ClusterError):
    """The object is not there (404)."""


class Refused(ClusterError):
    """The API server or an admission webhook refused the object (400, 403, 422); retrying cannot help."""


class Retryable(ClusterError):
    """The call failed for a reason that passes (429, 5xx, connection lost, time-out)."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotLeading(ClusterError):
    """The write was not sent: this replica does not lead, or cannot be sure of it."""


Fence = Callable[[], timedelta]
"""Return within what time a write that begins now must be over; nothing: it must not begin."""


def unfenced() -> timedelta:
    """Set no bound: there is one replica, or the write is one for the lease itself."""
    return timedelta.max


Listener = Callable[[Resource, Object | None, Object | None], None]
"""Called with (resource, object before, object after) on every change of the cache; None = absent."""


class Cluster(Protocol):
    """Caches to read from and an API to write to.

    Every successful write is visible in the cache when its call returns.
    Writes raise ``Conflict``, ``NotFound``, ``Refused``, ``Retryable`` or ``NotLeading``; a ``Retryable``
    write may have happened.
    A write asks the fence in the last moment before it is sent, and ends within the time that was left then.
    """

    def get(self, ref: Ref) -> Object | None:
        """Return an object from the cache."""

    def list(self, resource: Resource, namespace: str) -> Sequence[Object]:
        """Return the objects of a type in a namespace from the cache, sorted by name."""

    def mentioning(self, resource: Resource, name: str) -> Sequence[Object]:
        """Return the objects of a type in any namespace that mention a host or Gateway, from an index."""

    def sees(self, resource: Resource, namespace: str) -> bool:
        """Return whether what the cache does not hold of a type in a namespace does not exist."""

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call the listener on every later change of the cache, until what is returned is called."""

    async def read(self, ref: Ref) -> Object | None:
        """Read an object live from the API server; None when it does not exist."""

    async def select(self, resource: Resource, namespace: str, labels: Mapping[str, str]) -> Sequence[Object]:
        """Read the objects of a type in a namespace that carry all labels live from the API server."""

    async def create(self, ref: Ref, body: Object) -> Object:
        """Create an object and return it as stored."""

    async def patch(self, ref: Ref, body: Mapping[str, Any], *, resource_version: str, subresource: str = "") -> Object:
        """Merge-patch an object (or its ``status``) that is at ``resource_version``; return it as stored."""

    async def delete(self, ref: Ref, *, uid: str, resource_version: str) -> None:
        """Delete an object at this version, its dependants in the background."""

    async def dry_run(self, ref: Ref, body: Object) -> Object:
        """Return what creating this object would store, without storing it."""

    async def established(self, resource: Resource) -> bool:
        """Return whether the CustomResourceDefinition of a resource is Established, read live."""


class Hooks(Protocol):
    """Who calls the hooks of a Canary."""

    async def ask(self, query: HookQuery) -> HookAnswer | Unavailable:
        """Call the hooks in order until one does not pass; what is no decision of a hook is ``Unavailable``."""

    def tell(self, key: CanaryKey, calls: Sequence[HookCall]) -> None:
        """Call hooks of a Canary that nobody waits for, in order and in the background; what fails is logged."""


class Alerter(Protocol):
    """Who tells people by their AlertProviders."""

    def alert(self, calls: Sequence[AlertCall], ended: Callable[[AlertCall, str], None]) -> None:
        """Send alerts in the background; ``ended`` hears of each why it did not arrive, or nothing when it did."""


class Measurer(Protocol):
    """Asks metrics; failures are values."""

    async def measure(self, query: Query) -> Measurement:
        """Answer one query about metrics; never raises for what the other side did."""


class Observer(Protocol):
    """Counts what comes of reconciles."""

    def left_alone(self, key: CanaryKey, alone: bool) -> None:
        """Hear whether another controller keeps a Canary."""

    def recorded(self, key: CanaryKey, before: CanaryStatus, after: CanaryStatus, now: datetime) -> None:
        """Hear of a status that has been written."""


class Notifier(Protocol):
    """Tells people."""

    async def notify(self, key: CanaryKey, uid: str, events: Sequence[Event]) -> None:
        """Record events on a Canary; a failure is logged, never raised."""


class Leases(Protocol):
    """The one lease that replicas share."""

    async def read(self) -> Lease | None:
        """Read it live; None when it does not exist."""

    async def create(self, claim: Claim) -> Lease:
        """Make it and return it as stored; ``Conflict`` when it exists."""

    async def update(self, claim: Claim, version: str) -> Lease:
        """Write it as it is at this version and return it as stored."""


class Access(Protocol):
    """Knows who callers are and what they may do; raises ``ClusterError`` when it cannot be asked."""

    async def identify(self, token: str) -> Caller | None:
        """Return whose token this is; None when it is nobody's."""

    async def permits(self, caller: Caller, right: Right) -> bool:
        """Return whether a caller has a right."""


class Clock(Protocol):
    """Wall clock."""

    def now(self) -> datetime:
        """Return the present time, aware, in UTC."""
