"""Istio's standard metrics as a Prometheus server has them after scraping callers and pods."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from itertools import accumulate

from canary.core.measurement import Metric, Series

REQUESTS: Metric = "istio_requests_total"
DURATION: Metric = "istio_request_duration_milliseconds_bucket"

# fmt: off
BOUNDS = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000,
    30000, 60000, 300000, 600000, 1800000, 3600000, float("inf"),
)
# fmt: on

KEPT = 400
"""Samples kept of each series."""

Labels = tuple[tuple[str, str], ...]
Samples = deque[tuple[float, float]]


class Counter:
    """Count the requests of one label set in one process."""

    __slots__ = ("buckets", "labels", "total")

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.total = 0
        self.buckets = [0] * len(BOUNDS)

    def add(self, milliseconds: float) -> None:
        """Count one request that took so long."""
        self.total += 1
        self.buckets[bisect_left(BOUNDS, milliseconds)] += 1


def _bound(value: float) -> str:
    return "+Inf" if value == float("inf") else str(value)


LE = tuple(_bound(value) for value in BOUNDS)


class Metrics:
    """Hold counters in their processes and the samples scraped from them."""

    def __init__(self) -> None:
        self._counters: dict[str, dict[Labels, Counter]] = {}
        self._scraped: dict[Metric, dict[Labels, Samples]] = {REQUESTS: {}, DURATION: {}}

    def counter(self, instance: str, labels: Labels) -> Counter:
        """Return the counter of a label set in the process called `instance`."""
        of_instance = self._counters.setdefault(instance, {})
        found = of_instance.get(labels)
        if found is None:
            found = of_instance[labels] = Counter((*labels, ("instance", instance)))
        return found

    def forget(self, instance: str) -> None:
        """Drop a process: its series get no further samples."""
        self._counters.pop(instance, None)

    def scrape(self, at: float) -> None:
        """Take one sample of every counter, stamped with Unix seconds."""
        for of_instance in self._counters.values():
            for counter in of_instance.values():
                self._sample(REQUESTS, counter.labels, at, counter.total)
                for le, count in zip(LE, accumulate(counter.buckets), strict=True):
                    self._sample(DURATION, (*counter.labels, ("le", le)), at, count)

    def _sample(self, metric: Metric, labels: Labels, at: float, value: float) -> None:
        samples = self._scraped[metric].get(labels)
        if samples is None:
            samples = self._scraped[metric][labels] = deque(maxlen=KEPT)
        samples.append((at, float(value)))

    def series(self, metric: Metric, namespace: str, workload: str, after: float, until: float) -> Iterator[Series]:
        """Yield the series of requests to a workload with samples in (after, until]."""
        wanted = {
            ("destination_workload", workload),
            ("destination_workload_namespace", namespace),
        }
        for labels, samples in self._scraped[metric].items():
            if not wanted.issubset(labels):
                continue
            found = tuple(sample for sample in samples if after < sample[0] <= until)
            if found:
                yield Series(labels, found)
