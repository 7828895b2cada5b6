"""What the core asks of the world and what it is told: queries and measurements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from canary.api.metric_template import MetricProvider
from canary.core.objects import CanaryKey, Object, Ref

LOOKBACK = timedelta(minutes=5)
"""How far before its window a series is read, to tell a newborn series from one that was there."""


@dataclass(frozen=True, slots=True)
class Series:
    """Raw samples of one time series, oldest first; timestamps in Unix seconds."""

    labels: tuple[tuple[str, str], ...]
    samples: tuple[tuple[float, float], ...]

    def label(self, name: str) -> str | None:
        """Return the value of a label; Prometheus drops empty ones, so None means removed or empty."""
        return dict(self.labels).get(name)


Metric = Literal[
    "istio_requests_total", "istio_request_duration_milliseconds_bucket", "istio_tcp_connections_opened_total"
]
Arrivals = Literal["istio_requests_total", "istio_tcp_connections_opened_total"]
"""What counts callers that still come to a set."""


@dataclass(frozen=True, slots=True)
class CheckQuery:
    """Ask for the raw series of one metric of canary and primary over ``window`` before ``at``.

    The answer reaches back ``LOOKBACK`` further than ``window``, which tells newborn series.
    """

    check: str
    metric: Metric
    namespace: str
    canary: str
    primary: str
    window: timedelta
    at: datetime
    server: str = ""
    """The Prometheus that is asked; the controller's when empty."""


@dataclass(frozen=True, slots=True)
class CustomQuery:
    """Ask what a user wrote: ``text``, with all values in their places, of ``provider``.

    ``number`` tells the checks of one Canary apart, ``namespace`` is where the provider's Secret lives.  A
    provider of type prometheus without an address is the controller's own.
    """

    check: str
    number: int
    provider: MetricProvider
    text: str
    namespace: str
    at: datetime


@dataclass(frozen=True, slots=True)
class DrainQuery:
    """Ask for the raw counters of requests, or connections, to a workload since it was taken off the routes."""

    namespace: str
    workload: str
    since: datetime
    at: datetime
    metric: Arrivals = "istio_requests_total"
    server: str = ""


@dataclass(frozen=True, slots=True)
class LabelsQuery:
    """Ask for the present request counters of the primary, to see which labels they carry."""

    namespace: str
    workload: str
    at: datetime
    server: str = ""


@dataclass(frozen=True, slots=True)
class TemplateQuery:
    """Ask what today's API server makes of a pinned template (server-side dry-run)."""

    namespace: str
    revision: str
    deployment: Object


@dataclass(frozen=True, slots=True)
class GoneQuery:
    """Ask whether a Canary that the cache does not hold is truly deleted.

    True only when a live GET answers 404 while its CustomResourceDefinition is Established.
    """

    key: CanaryKey


@dataclass(frozen=True, slots=True)
class ContentQuery:
    """Ask what a ConfigMap or Secret holds now, to copy it."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class PodsQuery:
    """Ask for the pods of both sides, read live by their labels."""

    namespace: str
    primary: tuple[tuple[str, str], ...]
    canary: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class EndpointsQuery:
    """Ask how many ready pods a Service leads to, read live from its EndpointSlices."""

    ref: Ref


HookType = Literal[
    "confirm-rollout",
    "pre-rollout",
    "rollout",
    "confirm-traffic-increase",
    "confirm-promotion",
    "post-rollout",
    "rollback",
]
"""The types of hooks whose answer is awaited."""


@dataclass(frozen=True, slots=True)
class HookCall:
    """One hook to call: a POST of ``payload`` as JSON, asked again ``retries`` times when nobody decides.

    ``secret`` is the name of the Secret in ``namespace`` with its credentials, empty without one.
    """

    name: str
    url: str
    payload: Object
    timeout: timedelta
    """Of one attempt."""
    retries: int = 0
    verify: bool = True
    """Whether the server's certificate must be valid."""
    headers: tuple[tuple[str, str], ...] = ()
    namespace: str = ""
    secret: str = ""


@dataclass(frozen=True, slots=True)
class HookQuery:
    """Ask the hooks of one type, one after the other, until one does not pass."""

    type: HookType
    calls: tuple[HookCall, ...]


Query = (
    CheckQuery
    | CustomQuery
    | DrainQuery
    | LabelsQuery
    | TemplateQuery
    | GoneQuery
    | ContentQuery
    | PodsQuery
    | EndpointsQuery
    | HookQuery
)


@dataclass(frozen=True, slots=True)
class SeriesAnswer:
    """Series found, per side; ``primary`` is empty for queries about one workload."""

    canary: tuple[Series, ...]
    primary: tuple[Series, ...] = ()


@dataclass(frozen=True, slots=True)
class NumbersAnswer:
    """The numbers a custom check found, one for each series; NaN where there is none."""

    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TemplateAnswer:
    """The pod template as the API server would store it today."""

    template: Object


@dataclass(frozen=True, slots=True)
class GoneAnswer:
    """Whether the Canary is truly deleted."""

    gone: bool


@dataclass(frozen=True, slots=True)
class ContentAnswer:
    """A ConfigMap or Secret as it is now, whole."""

    content: Object


@dataclass(frozen=True, slots=True)
class PodsAnswer:
    """The pods of both sides as the API server has them."""

    primary: tuple[Object, ...]
    canary: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class EndpointsAnswer:
    """How many ready pods a Service leads to."""

    ready: int


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What the hooks of one type decided: all passed, or ``name`` said no, with what it said."""

    passed: bool
    name: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Unavailable:
    """The question could not be answered; never a verdict about the canary."""

    reason: str


Answer = (
    SeriesAnswer
    | NumbersAnswer
    | TemplateAnswer
    | GoneAnswer
    | ContentAnswer
    | PodsAnswer
    | EndpointsAnswer
    | HookAnswer
    | Unavailable
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """A query with its answer."""

    query: Query
    answer: Answer
