"""The measurer port over the invented metrics store."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from canary.core.measurement import (
    LOOKBACK,
    Answer,
    CheckQuery,
    CustomQuery,
    DrainQuery,
    LabelsQuery,
    Measurement,
    Metric,
    NumbersAnswer,
    Query,
    Series,
    SeriesAnswer,
    Unavailable,
)
from canary.sim.dataplane import DataPlane
from canary.sim.faults import Faults
from canary.sim.metrics import REQUESTS

LATENCY = 0.01
"""Seconds the metrics server takes for an answer."""

TIMEOUT = 5.0
"""Seconds after which a caller gives up on the metrics server."""


class SimMeasurer:
    """Implement `ports.Measurer`."""

    def __init__(self, dataplane: DataPlane, faults: Faults | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._dataplane = dataplane
        self._faults = faults or Faults()
        self.queries: list[tuple[float, Query]] = []
        self.numbers: dict[str, tuple[float, ...] | None] = {}
        """What each custom check finds, by its name; None: who is asked does not answer."""
        self.unscraped = ""
        """The reporter whose proxies nobody scrapes."""

    async def measure(self, query: Query) -> Measurement:
        """Answer one query about metrics."""
        fault = self._faults.of_metrics(self._loop.time())
        self.queries.append((self._loop.time(), query))
        kind = fault.kind if fault else ""
        if kind == "slow":
            await asyncio.sleep(TIMEOUT)
            return Measurement(query, Unavailable("the metrics server did not answer within 5 s"))
        await asyncio.sleep(LATENCY)
        if kind == "down":
            return Measurement(query, Unavailable("the metrics server refused the connection"))
        if kind == "empty" and not isinstance(query, LabelsQuery):
            return Measurement(query, NumbersAnswer(()) if isinstance(query, CustomQuery) else SeriesAnswer(()))
        answer = self._answer(query)
        if kind == "nan" and isinstance(answer, NumbersAnswer):
            answer = NumbersAnswer(tuple(float("nan") for _ in answer.values))
        if kind == "nan" and isinstance(answer, SeriesAnswer):
            answer = SeriesAnswer(_without_numbers(answer.canary), _without_numbers(answer.primary))
        return Measurement(query, answer)

    def _answer(self, query: Query) -> Answer:
        match query:
            case CheckQuery():
                after = query.at - query.window - LOOKBACK
                return SeriesAnswer(
                    self._series(query.metric, query.namespace, query.canary, after, query.at),
                    self._series(query.metric, query.namespace, query.primary, after, query.at),
                )
            case DrainQuery():
                # One scrape before `since`, so that there is a count to compare with.
                after = query.since - timedelta(seconds=self._dataplane.scrape_interval)
                return SeriesAnswer(self._series(query.metric, query.namespace, query.workload, after, query.at))
            case LabelsQuery():
                after = query.at - LOOKBACK
                return SeriesAnswer(self._series(REQUESTS, query.namespace, query.workload, after, query.at))
            case CustomQuery():
                found = self.numbers.get(query.check, ())
                return Unavailable("who is asked refused the connection") if found is None else NumbersAnswer(found)
            case _:
                return Unavailable(f"{type(query).__name__} is not a question about metrics")

    def _series(
        self, metric: Metric, namespace: str, workload: str, after: datetime, until: datetime
    ) -> tuple[Series, ...]:
        found = self._dataplane.metrics.series(metric, namespace, workload, after.timestamp(), until.timestamp())
        return tuple(one for one in found if one.label("reporter") != self.unscraped)


def _without_numbers(series: tuple[Series, ...]) -> tuple[Series, ...]:
    nan = float("nan")
    return tuple(Series(one.labels, tuple((at, nan) for at, _ in one.samples)) for one in series)
