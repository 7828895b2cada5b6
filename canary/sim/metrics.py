"""Istio's standard metrics as a Prometheus server has them after scraping callers and pods."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from itertools import accumulate

from canary.core.measurement import Metric, Series

REQUESTS: Metric = "istio_requests_total"
CONNECTIONS: Metric = "istio_tcp_connections_opened_total"
DURATION: Metric = "istio_request_duration_milliseconds_bucket"

# fmt: off
BOUNDS = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000,
    30000, 60000, 300000, 600000, 1800000, 3600000, float("inf"),
)
# fmt: on

TCP = ("request_protocol", "tcp")
"""The label of what counts connections."""

KEPT = 400
"""Samples kept of each series."""

Labels = tuple[tuple[str, str], ...]
Sample = tuple[float, int, tuple[int, ...]]
"""Time, total and the counts of the buckets."""
Samples = deque[Sample]


class Counter:
    """Count the requests, or connections, of one label set in one process."""

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
        self._scraped: dict[Labels, Samples] = {}

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
                samples = self._scraped.get(counter.labels)
                if samples is None:
                    samples = self._scraped[counter.labels] = deque(maxlen=KEPT)
                samples.append((at, counter.total, tuple(counter.buckets)))

    def series(self, metric: Metric, namespace: str, workload: str, after: float, until: float) -> Iterator[Series]:
        """Yield the series of requests or connections to a workload with samples in (after, until]."""
        wanted = {
            ("destination_workload", workload),
            ("destination_workload_namespace", namespace),
        }
        for labels, samples in self._scraped.items():
            if not wanted.issubset(labels) or (TCP in labels) != (metric == CONNECTIONS):
                continue
            found = [sample for sample in samples if after < sample[0] <= until]
            if found and metric in (REQUESTS, CONNECTIONS):
                yield Series(labels, tuple((at, float(total)) for at, total, _ in found))
            elif found:
                yield from _buckets(labels, found)


def _buckets(labels: Labels, samples: list[Sample]) -> Iterator[Series]:
    """Yield one series for each bound, counting what took no longer."""
    rising = [(at, tuple(accumulate(buckets))) for at, _, buckets in samples]
    for index, le in enumerate(LE):
        yield Series((*labels, ("le", le)), tuple((at, float(counts[index])) for at, counts in rising))
