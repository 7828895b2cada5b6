"""What the controller tells about itself: metrics and log lines."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import orjson
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from canary.api.status import CanaryStatus
from canary.core.objects import CanaryKey
from canary.engine.exposition import CanaryMetrics

LogFormat = Literal["json", "console"]
MOMENTS = (0.001, 0.005, 0.02, 0.1, 0.5, 2, 10)
ANSWERS = (0.01, 0.05, 0.2, 1, 5, 10, 30, 60)
"""Bounds of durations in seconds: of our own work, and of what others take for an answer."""


class Telemetry:
    """Count what happens, in a registry of its own."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        here = self.registry
        self._reconciles = Counter("canary_reconciles", "Reconciles by how they ended.", ["result"], registry=here)
        self._seconds = Histogram("canary_reconcile_seconds", "Time of a reconcile.", buckets=MOMENTS, registry=here)
        self._depth = Gauge("canary_queue_depth", "Keys waiting to be reconciled.", registry=here)
        told = ["verb", "resource", "code"]
        self._requests = Counter("canary_api_requests", "Requests to the Kubernetes API.", told, registry=here)
        self._others: set[object] = set()
        alone = Gauge("canary_left_alone", "Canaries whose status another controller writes.", registry=here)
        alone.set_function(lambda: len(self._others))
        lone = "1 while this replica may write: it leads, or is the only one."
        self._leading = Gauge("canary_leading", lone, registry=here)
        self._holder = Gauge("canary_leader", "Who holds the lease, as far as is known.", ["identity"], registry=here)
        asked = "Duration of a question about metrics, answered or not."
        self._queries = Histogram("canary_query_seconds", asked, buckets=ANSWERS, registry=here)
        self._query_errors = Counter("canary_query_errors", "Metric queries without an answer.", registry=here)
        called = "Duration of a hook's call with all its attempts, by what it came to: yes, no or undecided."
        self._hooks = Histogram("canary_hook_seconds", called, ["type", "outcome"], buckets=ANSWERS, registry=here)
        ended = "Alerts by what they came to: sent, failed or dropped."
        self._alerts = Counter("canary_alerts", ended, ["type", "outcome"], registry=here)
        self.canaries = CanaryMetrics(self.registry)

    def recorded(self, key: CanaryKey, before: CanaryStatus, after: CanaryStatus, now: datetime) -> None:
        """Count what a status that has been written brings to an end."""
        self.canaries.recorded(key, before, after, now)

    def left_alone(self, canary: object, alone: bool) -> None:
        """Count the Canaries that another controller keeps and we leave alone."""
        (self._others.add if alone else self._others.discard)(canary)

    def led(self, leads: bool, holder: str) -> None:
        """Tell who leads; where one replica runs alone nobody holds a lease."""
        self._leading.set(leads)
        if not leads:
            self._others.clear()
        self._holder.clear()
        if holder:
            self._holder.labels(holder).set(1)

    def reconciled(self, result: str, seconds: float) -> None:
        """Count one reconcile."""
        self._reconciles.labels(result).inc()
        self._seconds.observe(seconds)

    def requested(self, verb: str, resource: str, code: str) -> None:
        """Count one request to the Kubernetes API."""
        self._requests.labels(verb, resource, code).inc()

    def hook_answered(self, kind: str, outcome: str, seconds: float) -> None:
        """Count one call of a hook."""
        self._hooks.labels(kind, outcome).observe(seconds)

    def alert_ended(self, kind: str, outcome: str) -> None:
        """Count one alert."""
        self._alerts.labels(kind, outcome).inc()

    def query_answered(self, seconds: float) -> None:
        """Count one question about metrics, answered or not."""
        self._queries.observe(seconds)

    def query_failed(self) -> None:
        """Count one metric query without an answer."""
        self._query_errors.inc()

    def watch_depth(self, depth: Callable[[], float]) -> None:
        """Ask for the depth of the queue whenever metrics are read."""
        self._depth.set_function(depth)

    def render(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)


def configure_logging(level: str, style: LogFormat) -> None:
    """Send the lines of structlog and of the standard library to stderr, alike."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if style == "json":
        rendering: list[Any] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_dump),
        ]
    else:
        # The richer ones print what variables hold, tokens among it.
        plain = structlog.dev.plain_traceback
        rendering = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries tell each request at info: theirs is said only when it is a warning.
    root.setLevel(logging.WARNING)
    # What it tells while it handles an error it raises as well, and we say it.
    logging.getLogger("kubernetes_asyncio.config.kube_config").addFilter(lambda _: sys.exc_info()[0] is None)
    logging.getLogger("canary").setLevel(level.upper())


def _dump(value: Any, default: Callable[[Any], Any] = str, **_: Any) -> str:
    return orjson.dumps(value, default=default).decode()
