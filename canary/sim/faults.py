"""Faults on the way between a controller and the API server, each at a chosen moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from canary.core.objects import Ref
from canary.ports import ClusterError, Conflict, Refused, Retryable

Kind = Literal["conflict", "refused", "429", "500", "503", "cut", "lost answer", "crash before", "crash after"]
"""`cut`: the call never arrives; `lost answer`: the write happens and the caller is told nothing."""

ERRORS: dict[Kind, Callable[[str], ClusterError]] = {
    "conflict": Conflict,
    "refused": Refused,
    "429": lambda text: Retryable(text, retry_after=1.0),
    "500": Retryable,
    "503": Retryable,
    "cut": Retryable,
    "lost answer": Retryable,
}

WRITES = ("create", "patch", "delete")


@dataclass(slots=True)
class ApiFault:
    """Do harm to the calls that match; empty fields match all, `skip` lets the first ones pass."""

    kind: Kind
    verb: str = ""
    kind_of_object: str = ""
    subresource: str | None = None
    name: str = ""
    start: float = 0.0
    end: float = float("inf")
    skip: int = 0
    times: int = 1

    def matches(self, now: float, verb: str, ref: Ref, subresource: str) -> bool:
        """Return whether the fault hits a call, counting it when it does."""
        if not self.start <= now < self.end or self.times <= 0:
            return False
        if (self.verb and self.verb != verb) or (not self.verb and verb not in WRITES):
            return False
        if self.kind_of_object not in ("", ref.resource.kind) or self.name not in ("", ref.name):
            return False
        if self.subresource is not None and self.subresource != subresource:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        self.times -= 1
        return True

    def error(self, ref: Ref) -> ClusterError:
        """Return what the caller is told."""
        return ERRORS[self.kind](f"{ref}: simulated {self.kind}")


@dataclass(slots=True)
class WatchFault:
    """Do harm to watch events of a time: `lost` until the next list, `late` by `delay`, or `repeated`."""

    kind: Literal["lost", "late", "repeated"]
    start: float = 0.0
    end: float = float("inf")
    kind_of_object: str = ""
    delay: float = 5.0

    def matches(self, now: float, ref: Ref) -> bool:
        """Return whether the fault hits an event that leaves the API server now."""
        return self.start <= now < self.end and self.kind_of_object in ("", ref.resource.kind)


@dataclass(slots=True)
class MetricsFault:
    """Break the metrics server for a time."""

    kind: Literal["down", "slow", "nan", "empty"]
    start: float = 0.0
    end: float = float("inf")


@dataclass(slots=True)
class Faults:
    """All faults of a simulation; entries may be added while it runs."""

    api: list[ApiFault] = field(default_factory=list)
    watch: list[WatchFault] = field(default_factory=list)
    metrics: list[MetricsFault] = field(default_factory=list)

    def of_call(self, now: float, verb: str, ref: Ref, subresource: str) -> ApiFault | None:
        """Return the first fault that hits a call."""
        return next((one for one in self.api if one.matches(now, verb, ref, subresource)), None)

    def of_event(self, now: float, ref: Ref) -> WatchFault | None:
        """Return the first fault that hits a watch event."""
        return next((one for one in self.watch if one.matches(now, ref)), None)

    def over_at(self) -> float:
        """Return when the last fault that ends is over."""
        ends = [fault.end for fault in self.api]
        ends += [fault.end for fault in self.watch]
        ends += [fault.end for fault in self.metrics]
        return max((end for end in ends if end < float("inf")), default=0.0)

    def of_metrics(self, now: float) -> MetricsFault | None:
        """Return the fault the metrics server has now."""
        return next((one for one in self.metrics if one.start <= now < one.end), None)
