"""What a decision asks the cluster to do: a closed union of idempotent writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from canary.api.status import CanaryStatus
from canary.core.objects import Object, Ref


@dataclass(frozen=True, slots=True)
class Guard:
    """Require that an object, read live just before the write, is still at this version.

    ``resource_version`` None means that the object must not exist.  Guards stand before every write
    that shrinks, rolls or deletes a set of pods (I21).
    """

    ref: Ref
    resource_version: str | None


@dataclass(frozen=True, slots=True)
class Create:
    """Create an object; ``AlreadyExists`` counts as a conflict."""

    ref: Ref
    body: Object
    why: str


@dataclass(frozen=True, slots=True)
class Patch:
    """Merge-patch an object that was seen at this version and uid."""

    ref: Ref
    body: Mapping[str, Any]
    resource_version: str
    why: str
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object that was seen at this version and uid; its dependants go with it."""

    ref: Ref
    uid: str
    resource_version: str
    why: str
    guards: tuple[Guard, ...] = ()


Action = Create | Patch | Delete


@dataclass(frozen=True, slots=True)
class Event:
    """One Kubernetes Event on the Canary; the same words go to the log."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one tick.

    ``urgent`` protects users: it is applied first and depends on nothing (I22).  ``status`` is
    persisted next, when it differs from the one read; then ``actions`` run in order and stop at the
    first failure.  ``requeue_after`` is the only timer; None waits for a change.
    """

    status: CanaryStatus | None
    urgent: tuple[Action, ...] = ()
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    requeue_after: timedelta | None = None
    notes: tuple[str, ...] = field(default=())
