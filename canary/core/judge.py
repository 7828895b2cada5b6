"""Verdicts of checks: one measurement against the limits of one metric."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil, floor, inf, isfinite
from typing import Literal

from canary.api.metric import BUILT_IN, SUCCESS_RATE, Bounds, Metric
from canary.api.status import Check
from canary.core.counting import (
    REPORTERS,
    NotANumberError,
    Reporter,
    Window,
    latency,
    outcomes,
    tally,
)
from canary.core.measurement import Answer, CheckQuery, Measurement, NumbersAnswer, Series, SeriesAnswer, Unavailable
from canary.core.unheard import find_unheard, requests_in_words

WORKLOAD_LABELS = ("reporter", "destination_workload", "destination_workload_namespace")
REQUEST_LABELS = (*WORKLOAD_LABELS, "response_code", "response_flags", "request_protocol")
BUCKET_LABELS = (*WORKLOAD_LABELS, "le")
Verdict = Literal["Pass", "Fail", "NoData", "Error"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reporter says about the canary in the window."""

    reporter: Reporter
    total: float
    value: float | None
    baseline: float | None
    detail: str
    """The count in words, e.g. ``2 of 10 requests failed``."""


def judge(
    metric: Metric,
    measurement: Measurement,
    window_start: datetime,
    now: datetime,
    beside_copies: bool = False,
    cohort_service: str = "",
) -> Check:
    """Return the verdict of a built-in check over the requests between ``window_start`` and ``now``.

    Reporter ``auto`` counts the worse of both; one with fewer than ``minSamples`` requests has no say
    while the other has enough.  Where callers' own requests come ``beside_copies``, copies alone never pass.
    With ``cohort_service`` nothing passes without as many requests sent to that Service of the canary.
    """
    answer, query = measurement.answer, measurement.query
    if isinstance(answer, Unavailable):
        return _without_value(metric, "Error", f"could not be measured: {answer.reason}", now)
    if not isinstance(answer, SeriesAnswer) or not isinstance(query, CheckQuery):
        return _without_value(metric, "Error", "could not be measured: the answer is of another kind", now)
    if metric.name not in BUILT_IN:
        return _without_value(metric, "Error", f"is not one of {', '.join(BUILT_IN)}", now)
    needed = REQUEST_LABELS if metric.name == SUCCESS_RATE else BUCKET_LABELS
    if missing := missing_labels((*answer.canary, *answer.primary), needed):
        return _without_value(metric, "Error", f"cannot be told: {_lacking(query.metric, missing)}", now)
    try:
        readings = _readings(metric, answer, window_start.timestamp(), now.timestamp())
        span = Window.over(answer, window_start.timestamp(), now.timestamp())
        most = max((one.total for one in readings), default=0)
        unheard = find_unheard(metric, answer, span, most, beside_copies, cohort_service)
    except NotANumberError as error:
        return _without_value(metric, "NoData", f"has no value: {error}", now)
    window = f"{round((now - window_start).total_seconds(), 1):g} s"
    enough = [one for one in readings if one.value is not None and one.total >= metric.min_samples]
    if not enough:
        return _too_few(metric, query, readings, window, now)
    check = _judged(metric, readings, _worst(metric, enough), window, now)
    if unheard is not None and check.verdict == "Pass":
        why, samples = unheard
        return _without_value(metric, "NoData", why, now, samples=samples)
    return check


def judge_custom(metric: Metric, answer: Answer, now: datetime) -> Check:
    """Return the verdict of a custom check: every number it found must be healthy, and the worst one is told."""
    if isinstance(answer, Unavailable):
        return _without_value(metric, "Error", f"could not be measured: {answer.reason}", now)
    if not isinstance(answer, NumbersAnswer):
        return _without_value(metric, "Error", "could not be measured: the answer is of another kind", now)
    values = [one for one in answer.values if isfinite(one)]
    if not values:
        why = "its query found nothing" if not answer.values else "what its query found is not a number"
        return _without_value(metric, "NoData", f"has no data: {why}", now)
    worst = max(values, key=lambda value: _excess(metric.bounds, value))
    passed = _within(metric.bounds, worst)
    among = f", the worst of {len(values)}" if len(values) > 1 else ""
    message = f"{metric.name} {_shown(metric, worst)}{_relation(metric, worst)}{among}"
    threshold = _threshold(metric)
    return Check(
        name=metric.name,
        verdict="Pass" if passed else "Fail",
        value=worst,
        threshold=threshold,
        at=now,
        message=message,
    )


def _excess(bounds: Bounds, value: float) -> float:
    """Return by how much a value is outside of its limits, negative inside."""
    over = value - bounds.high if bounds.high is not None else -inf
    under = bounds.low - value if bounds.low is not None else -inf
    return max(over, under)


def missing_labels(series: Iterable[Series], needed: Sequence[str] = REQUEST_LABELS) -> tuple[str, ...]:
    """Return the needed labels that some series lacks, in the order of ``needed`` (R-DIM-1).

    ``grpc_response_status`` is missing when answered grpc requests exist and none carries it.  Series
    are found by their workload labels: when those were removed there are no series, hence no data.
    """
    labels = [dict(one.labels) for one in series]
    missing = [name for name in needed if any(not found.get(name) for found in labels)]
    answered = [
        found for found in labels if found.get("request_protocol") == "grpc" and found.get("response_code") == "200"
    ]
    wanted = "response_code" in needed and bool(answered)
    if wanted and not any(found.get("grpc_response_status") for found in answered):
        missing.append("grpc_response_status")
    return tuple(missing)


def _readings(metric: Metric, answer: SeriesAnswer, start: float, end: float) -> tuple[Reading, ...]:
    wanted = REPORTERS if metric.reporter == "auto" else (metric.reporter,)
    window = Window.over(answer, start, end)
    found = _success_rates(answer, window) if metric.name == SUCCESS_RATE else _durations(answer, window)
    return tuple(one for one in found if one.reporter in wanted)


def _success_rates(answer: SeriesAnswer, window: Window) -> list[Reading]:
    readings = []
    for reporter, canary in outcomes(answer, window.start, window.end).items():
        primary = tally(answer.primary, reporter, window)
        detail = f"{canary.failed:.0f} of {requests_in_words(canary.total)} failed"
        baseline = primary.success_rate if primary else None
        readings.append(Reading(reporter, canary.total, canary.success_rate, baseline, detail))
    return readings


def _durations(answer: SeriesAnswer, window: Window) -> list[Reading]:
    readings = []
    for reporter in REPORTERS:
        canary = latency(answer.canary, reporter, window)
        primary = latency(answer.primary, reporter, window)
        if canary is not None:
            detail = f"P99 of {requests_in_words(canary.total)}"
            baseline = primary.p99 if primary else None
            readings.append(Reading(reporter, canary.total, canary.p99, baseline, detail))
    return readings


def _worst(metric: Metric, readings: Sequence[Reading]) -> Reading:
    def goodness(reading: Reading) -> tuple[bool, float]:
        value = reading.value or 0.0
        return _within(metric.bounds, value), value if metric.name == SUCCESS_RATE else -value

    return min(readings, key=goodness)


def _within(bounds: Bounds, value: float) -> bool:
    low_enough = bounds.high is None or value <= bounds.high
    return low_enough and (bounds.low is None or value >= bounds.low)


def _judged(metric: Metric, readings: Sequence[Reading], worst: Reading, window: str, now: datetime) -> Check:
    value = worst.value or 0.0
    passed = _within(metric.bounds, value)
    relation = _relation(metric, value)
    baseline = "" if worst.baseline is None else f"; primary {_shown(metric, worst.baseline)}"
    message = (
        f"{metric.name} {_shown(metric, value)}{relation}: {worst.detail} in {window},"
        f" as the {worst.reporter} reports{_silent(metric, readings)}{baseline}"
    )
    return Check(
        name=metric.name,
        verdict="Pass" if passed else "Fail",
        value=value,
        threshold=_threshold(metric),
        samples=round(worst.total),
        baseline=worst.baseline,
        at=now,
        message=message,
    )


def _relation(metric: Metric, value: float) -> str:
    bounds = metric.bounds
    if bounds.low is not None and value < bounds.low:
        return f" < {_limit(metric, bounds.low)}"
    if bounds.high is not None and value > bounds.high:
        return f" > {_limit(metric, bounds.high)}"
    return f" ({_threshold(metric)})" if _threshold(metric) else ""


def _silent(metric: Metric, readings: Sequence[Reading]) -> str:
    """Name the reporter that had nothing to say although both were asked."""
    if metric.reporter != "auto":
        return ""
    known = {one.reporter: one.total for one in readings}
    for reporter in REPORTERS:
        if reporter not in known:
            return f" (the {reporter} has no series)"
        if known[reporter] < metric.min_samples:
            return f" (the {reporter} has only {requests_in_words(known[reporter])})"
    return ""


def _too_few(metric: Metric, query: CheckQuery, readings: Sequence[Reading], window: str, now: datetime) -> Check:
    if not readings:
        by = "" if metric.reporter == "auto" else f" reported by the {metric.reporter}"
        why = (
            f"has no data: no series of {query.metric}{by} for workload {query.canary} in namespace"
            f" {query.namespace}; is it called through sidecars, and are they scraped?"
        )
        return _without_value(metric, "NoData", why, now, samples=0)
    most = max(one.total for one in readings)
    by_reporter = ", ".join(f"{one.reporter} {one.total:.0f}" for one in readings)
    why = f"has no data: {requests_in_words(most)} in {window} ({by_reporter})"
    why += f", minSamples is {metric.min_samples}" if most < metric.min_samples else ", but no percentile"
    return _without_value(metric, "NoData", why, now, samples=round(most))


def _without_value(metric: Metric, verdict: Verdict, why: str, now: datetime, samples: int | None = None) -> Check:
    return Check(
        name=metric.name,
        verdict=verdict,
        threshold=_threshold(metric),
        samples=samples,
        at=now,
        message=f"{metric.name} {why}",
    )


def _lacking(metric: str, missing: Sequence[str]) -> str:
    word = "label" if len(missing) == 1 else "labels"
    return f"series of {metric} lack the {word} {', '.join(missing)} (removed by a Telemetry setting?)"


def _threshold(metric: Metric) -> str:
    """Return the limits in words, e.g. ``min 99 %``."""
    low, high = metric.bounds.low, metric.bounds.high
    words = [] if low is None else [f"min {_limit(metric, low)}"]
    return ", ".join(words if high is None else [*words, f"max {_limit(metric, high)}"])


def _limit(metric: Metric, value: float) -> str:
    unit = "" if metric.custom else " %" if metric.name == SUCCESS_RATE else " ms"
    return f"{value:.10g}{unit}"


def _shown(metric: Metric, value: float) -> str:
    """Round towards the bad side, so that a failing value never reads as its limit."""
    if metric.custom:
        return _limit(metric, value)
    if metric.name == SUCCESS_RATE:
        return _limit(metric, floor(value * 100 + 1e-9) / 100)
    return _limit(metric, ceil(value * 10 - 1e-9) / 10)
