"""Describe faults on the way to the API server and which requests they hit."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Self

ANY = "*"
UNLIMITED = -1
_WRITES = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class Action(StrEnum):
    """What happens to a request that a fault hits."""

    STATUS = "status"  # refused with `status`, not forwarded
    CUT = "cut"  # connection broken, not forwarded
    DELAY = "delay"  # forwarded after `delay`
    HANG_AFTER = "hang_after"  # forwarded, then no answer; cut after `delay` if given
    CUT_AFTER = "cut_after"  # forwarded, then connection broken without an answer
    SILENCE = "silence"  # watch: stays open, nothing comes
    DELAY_EVENTS = "delay_events"  # watch: every chunk comes after `delay`


@dataclass(frozen=True, slots=True)
class Request:
    """A request in Kubernetes' terms; `resource` has the sub-resource behind a slash."""

    verb: str
    resource: str
    namespace: str
    name: str


@dataclass(slots=True)
class Fault:
    """One rule; the first of several that match hits. `times` UNLIMITED never ends."""

    action: Action
    verb: str = ANY
    resource: str = ANY
    name: str = ANY
    status: int = 503
    delay: timedelta = timedelta()
    times: int = UNLIMITED
    hits: int = 0

    def matches(self, request: Request) -> bool:
        """Tell whether the rule is still in force and hits the request."""
        if self.times != UNLIMITED and self.hits >= self.times:
            return False
        wanted = (self.verb, self.resource, self.name)
        asked = (request.verb, request.resource, request.name)
        return all(want in (ANY, have) for want, have in zip(wanted, asked, strict=True))

    def to_wire(self) -> dict[str, Any]:
        """Return the rule as JSON values, `delay` in seconds."""
        return {
            "action": self.action.value,
            "verb": self.verb,
            "resource": self.resource,
            "name": self.name,
            "status": self.status,
            "delay": self.delay.total_seconds(),
            "times": self.times,
            "hits": self.hits,
        }

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """Read a rule from JSON values."""
        delay = timedelta(seconds=wire["delay"])
        return cls(**{**wire, "action": Action(wire["action"]), "delay": delay})


def parse_request(method: str, path: str, query: Mapping[str, str]) -> Request:
    """Say in Kubernetes' terms what an HTTP request asks for."""
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces":
        namespace, rest = rest[1], rest[2:]
    rest += [""] * (3 - len(rest))
    resource, name, subresource = rest[:3]
    if subresource:
        resource = f"{resource}/{subresource}"
    return Request(_verb(method, name, query), resource, namespace, name)


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    if method == "GET":
        if query.get("watch") in ("1", "true", "True"):
            return "watch"
        return "get" if name else "list"
    if method == "DELETE" and not name:
        return "deletecollection"
    return _WRITES.get(method, method.lower())
