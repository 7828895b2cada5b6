"""What the measurer contract is played on, and how it reads what it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Literal, Protocol

from canary.core.counting import REPORTERS, Outcomes, Reporter, Window, outcomes, quiet, tally
from canary.core.measurement import CheckQuery, DrainQuery, Metric, Query, Series, SeriesAnswer
from canary.ports import Measurer

REQUESTS: Metric = "istio_requests_total"
DURATIONS: Metric = "istio_request_duration_milliseconds_bucket"
PATIENCE = 10
"""Scrapes after which what happened must be visible; one is enough where nothing else keeps the machine busy."""
LAST_MINUTE = timedelta(minutes=1)
MILLISECOND = 0.001
"""How exactly Prometheus can be told a time."""

Callers = Literal["mesh", "plain"]
"""With a sidecar, by the weights of the route; without one, by the Service, which selects the primary."""

Sent = Callable[[], Mapping[str, int]]
"""How many requests each workload has answered, as counted by the callers."""


Counts = dict[tuple[str, Reporter], Outcomes]
"""What became of requests, by side (``canary`` or ``primary``) and reporter."""


class Stage(Protocol):
    """A primary and a canary at 50 to 50 that have had requests before, all of them scraped; none flow now."""

    namespace: str
    primary: str
    canary: str
    scrape: float
    """Seconds between two scrapes."""

    @property
    def measurer(self) -> Measurer:
        """Return what is asked."""

    def now(self) -> datetime:
        """Return the present time."""

    async def rest(self, seconds: float) -> None:
        """Let time pass."""

    def calling(self, callers: Callers) -> AbstractAsyncContextManager[Sent]:
        """Let requests flow meanwhile; afterwards all are answered."""

    def failing(self) -> AbstractAsyncContextManager[None]:
        """Let the canary answer 500 meanwhile."""

    def outage(self) -> AbstractAsyncContextManager[None]:
        """Let the metrics server be down meanwhile."""


Story = Callable[[Stage], Awaitable[None]]
Play = Callable[[Story], None]


def check(stage: Stage, window: timedelta = LAST_MINUTE, metric: Metric = REQUESTS) -> CheckQuery:
    """Return the question about both sides until now."""
    return CheckQuery("check", metric, stage.namespace, stage.canary, stage.primary, window, stage.now())


async def ask(stage: Stage, query: Query) -> SeriesAnswer:
    """Return the series that answer a question."""
    measurement = await stage.measurer.measure(query)
    assert measurement.query == query
    assert isinstance(measurement.answer, SeriesAnswer), measurement
    return measurement.answer


async def eventually(stage: Stage, attempt: Callable[[], Awaitable[bool]]) -> None:
    """Try until an attempt says that all has been scraped, or patience ends; the caller asserts afterwards."""
    for _ in range(PATIENCE * 2):
        if await attempt():
            return
        await stage.rest(stage.scrape / 2)


def totals(answer: SeriesAnswer, begun: datetime, until: datetime) -> Counts:
    """Return what became of the requests of a time, by side and reporter."""
    start, end = begun.timestamp(), until.timestamp()
    window = Window.over(answer, start, end)
    found: Counts = {("canary", reporter): counted for reporter, counted in outcomes(answer, start, end).items()}
    found |= {("primary", r): counted for r in REPORTERS if (counted := tally(answer.primary, r, window))}
    return found


async def count(stage: Stage, begun: datetime, wanted: Counts) -> Counts:
    """Return what the metrics count since a moment, once it is what is wanted or patience ends."""
    found: Counts = {}

    async def counted() -> bool:
        query = check(stage, stage.now() - begun)
        found.clear()
        found.update(totals(await ask(stage, query), begun, query.at))
        return found == wanted

    await eventually(stage, counted)
    return found


async def durations_caught_up(stage: Stage) -> bool:
    """Return whether as many durations as requests are known: Envoy gives its histograms every five seconds only."""
    requests = await ask(stage, check(stage))
    durations = await ask(stage, check(stage, metric=DURATIONS))
    whole = [one for one in durations.canary if one.label("le") == "+Inf"]
    return latest(whole) == latest(requests.canary)


def latest(series: Iterable[Series]) -> float:
    """Return the sum of what counters showed last."""
    return sum(one.samples[-1][1] for one in series)


def answered(number: float) -> Outcomes:
    """Return requests that all went well."""
    return Outcomes(float(number), 0.0, 0.0)


async def is_quiet(stage: Stage, workload: str, since: datetime) -> bool | None:
    """Ask for a drain and read the answer as the controller does, over two scrapes."""
    query = DrainQuery(stage.namespace, workload, since, stage.now())
    answer = await ask(stage, query)
    assert answer.primary == ()
    return quiet(answer.canary, since.timestamp(), query.at.timestamp(), 2 * stage.scrape)


def label_sets(series: tuple[Series, ...], *names: str) -> set[tuple[str | None, ...]]:
    """Return the values that labels have together."""
    return {tuple(one.label(name) for name in names) for one in series}
