"""What metrics and the API server answer to the questions of a decision: a world that is well, bad, silent."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from canary.core.measurement import (
    Answer,
    CheckQuery,
    DrainQuery,
    EndpointsAnswer,
    EndpointsQuery,
    GoneAnswer,
    GoneQuery,
    LabelsQuery,
    Measurement,
    PodsAnswer,
    PodsQuery,
    Query,
    Series,
    SeriesAnswer,
    TemplateAnswer,
    TemplateQuery,
    Unavailable,
)
from tests.builders import NOW, NS, at


def counter(code: str = "200", reporter: str = "destination", *, samples: Mapping[float, float]) -> Series:
    """Return a request counter with samples at seconds after NOW."""
    labels = {
        "reporter": reporter,
        "destination_workload": "catalog-canary",
        "destination_workload_namespace": NS,
        "response_code": code,
        "response_flags": "-",
        "request_protocol": "http",
    }
    return Series(tuple(sorted(labels.items())), tuple((at(s).timestamp(), v) for s, v in samples.items()))


def buckets(samples: Mapping[float, float], upper: str = "10") -> tuple[Series, ...]:
    """Return the duration histogram of requests that all took less than ``upper``."""
    base = {"reporter": "destination", "destination_workload": "c", "destination_workload_namespace": NS}
    moments = tuple((at(s).timestamp(), v) for s, v in samples.items())
    return tuple(Series(tuple(sorted({**base, "le": le}.items())), moments) for le in (upper, "+Inf"))


def served(at_moment: datetime, share: float = 1) -> dict[float, float]:
    """Return samples of 150 requests in the 45 s before a moment, or of a share of them."""
    end = (at_moment - NOW).total_seconds()
    return {end - back: share * value for back, value in ((345, 0), (45, 0), (30, 50), (15, 100), (0, 150))}


def answer(query: Query, errors: float = 0, quiet: bool = True) -> Answer:
    """Answer a question as a healthy world does; ``errors`` requests fail for each that succeeds."""
    match query:
        case GoneQuery():
            return GoneAnswer(True)
        case TemplateQuery():
            return TemplateAnswer(query.deployment["spec"]["template"])
        case PodsQuery():
            return PodsAnswer((), ())
        case EndpointsQuery():
            return EndpointsAnswer(9)
        case DrainQuery():
            since, end = ((m - NOW).total_seconds() for m in (query.since, query.at))
            still = {since - 60: 100.0, since + 0.5: 150.0, (since + end) / 2: 150.0}
            return SeriesAnswer((counter(samples={**still, end: 150.0 if quiet else 151.0}),))
        case LabelsQuery():
            return SeriesAnswer((counter(samples=served(query.at)),))
        case CheckQuery(metric="istio_requests_total"):
            failed = served(query.at, errors)
            return SeriesAnswer((counter(samples=served(query.at)), counter("500", samples=failed)))
        case CheckQuery():
            return SeriesAnswer(buckets(served(query.at)))


def good(queries: tuple[Query, ...]) -> tuple[Measurement, ...]:
    """Answer all questions as a healthy world does."""
    return tuple(Measurement(q, answer(q)) for q in queries)


def bad(queries: tuple[Query, ...]) -> tuple[Measurement, ...]:
    """Answer all questions for a canary that fails a third of its requests."""
    return tuple(Measurement(q, answer(q, errors=0.5)) for q in queries)


def empty(queries: tuple[Query, ...]) -> tuple[Measurement, ...]:
    """Answer all questions with nothing found."""
    return tuple(Measurement(q, SeriesAnswer(())) for q in queries)


def down(queries: tuple[Query, ...]) -> tuple[Measurement, ...]:
    """Answer no question."""
    return tuple(Measurement(q, Unavailable("connection refused")) for q in queries)


def busy(queries: tuple[Query, ...]) -> tuple[Measurement, ...]:
    """Answer that requests still arrive at a set that left the routes."""
    return tuple(Measurement(q, answer(q, quiet=False)) for q in queries)
