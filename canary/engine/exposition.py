"""What the metrics tell of each Canary: read from the caches when they are scraped, gone when the Canary is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import ValidationError

from canary.api.status import CanaryStatus, Check, Phase, parse
from canary.core.ended import ended_run
from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY, CanaryKey, Object, Resource

Statuses = Callable[[], Mapping[CanaryKey, CanaryStatus]]
LABELS = ["group", "namespace", "name"]
RUN_SECONDS = (60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)


class CanaryMetrics(Collector):
    """Tell where each Canary stands, and count its runs."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register for ``registry``; there is nothing to tell before ``follow``."""
        self._statuses: Statuses = dict
        self._runs: Counter[tuple[CanaryKey, str]] = Counter()
        self._seconds = Histogram(
            "canary_run_seconds",
            "Time from the detection of a revision to the end of its run.",
            ["result"],
            buckets=RUN_SECONDS,
            registry=registry,
        )
        registry.register(self)

    def follow(self, statuses: Statuses) -> None:
        """Ask for the statuses of all Canaries whenever metrics are read."""
        self._statuses = statuses

    def recorded(self, key: CanaryKey, before: CanaryStatus, after: CanaryStatus, now: datetime) -> None:
        """Count the run that has ended between two statuses, if one has."""
        run, result = ended_run(before, after), str(after.phase)
        if run is not None:
            self._runs[key, result] += 1
            self._seconds.labels(result).observe((now - run.started_at).total_seconds())

    def describe(self) -> list[Metric]:
        """Name no metric ahead: which there are depends on the Canaries."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the metrics of every Canary there is."""
        statuses = self._statuses()
        yield from _gauges(statuses)
        self._runs = Counter({of: count for of, count in self._runs.items() if of[0] in statuses})
        runs = CounterMetricFamily("canary_runs", "Runs that have ended, by phase.", labels=[*LABELS, "result"])
        for (key, result), count in sorted(self._runs.items(), key=str):
            runs.add_metric([*_labels(key), result], count)
        yield runs


def statuses(cached: Iterable[tuple[Resource, Object]]) -> dict[CanaryKey, CanaryStatus]:
    """Return the status of each Canary among cached objects."""
    found = ((resource, obj) for resource, obj in cached if resource in (NATIVE_CANARY, FLAGGER_CANARY))
    return {_key(resource, obj): _status(obj) for resource, obj in found}


def _key(resource: Resource, obj: Object) -> CanaryKey:
    return CanaryKey(resource.group, obj["metadata"]["namespace"], obj["metadata"]["name"])


def _status(obj: Object) -> CanaryStatus:
    """Return a status; what others wrote there must not end a scrape."""
    try:
        return parse(obj.get("status"))
    except ValidationError:
        return CanaryStatus()


def _labels(key: CanaryKey) -> list[str]:
    return [key.group, key.namespace, key.name]


def _gauges(statuses: Mapping[CanaryKey, CanaryStatus]) -> Iterator[Metric]:
    phase = _gauge("canary_phase", "1 for the phase that a Canary is in.", "phase")
    weight = _gauge("canary_weight", "Percent of the requests, as read back from the routes.", "role")
    step = _gauge("canary_step", "Number of the present step.")
    steps = _gauge("canary_steps", "Number of steps of the present plan.")
    failed = _gauge("canary_failed_checks", "Failed checks of the present or last run.")
    value = _gauge("canary_check_value", "Last measured value of a check.", "check")
    verdict = _gauge("canary_check_verdict", "1 for the last verdict on a check.", "check", "verdict")
    since = _gauge("canary_condition_since_seconds", "Unix time of the last change.", "type", "status", "reason")
    for key, status in statuses.items():
        labels = _labels(key)
        phase.add_metric([*labels, str(status.phase) or "None"], 1)
        if status.traffic is not None:
            weight.add_metric([*labels, "primary"], status.traffic.primary)
            weight.add_metric([*labels, "canary"], status.traffic.canary)
            weight.add_metric([*labels, "mirror"], status.traffic.mirror)
        if status.step is not None:
            step.add_metric(labels, status.step.index)
            steps.add_metric(labels, status.step.count)
        if status.phase is not Phase.NONE:
            failed.add_metric(labels, status.failed_checks)
        # Two checks may have one name: the worse one is told.
        for check in {one.name: one for one in sorted(status.checks, key=_badness)}.values():
            verdict.add_metric([*labels, check.name, check.verdict], 1)
            if check.value is not None:
                value.add_metric([*labels, check.name], float(check.value))
        for one in status.conditions:
            if one.last_transition_time is not None:
                at = one.last_transition_time.timestamp()
                since.add_metric([*labels, one.type, one.status, one.reason], at)
    yield from (phase, weight, step, steps, failed, value, verdict, since)


def _badness(check: Check) -> int:
    return ("Pass", "NoData", "Error", "Fail").index(check.verdict)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=[*LABELS, *labels])
