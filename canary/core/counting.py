"""Exact arithmetic on raw counter samples: increases, outcomes, percentiles, silence.

PromQL's ``rate`` and ``increase`` never see the first sample of a new series and extrapolate the
rest; here counts are whole requests, and a burst of first errors counts in full.  Moments are Unix
seconds throughout.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import exp, floor, inf, isfinite, lgamma
from operator import itemgetter
from statistics import median
from typing import Literal

from canary.core.measurement import LOOKBACK, Series, SeriesAnswer

Reporter = Literal["source", "destination"]
REPORTERS: tuple[Reporter, ...] = ("source", "destination")
GRPC_FAILED = frozenset({"2", "4", "8", "13", "14", "15"})
"""Statuses a server is to blame for: unknown, deadline, exhausted, internal, unavailable, data loss."""
CHANCE = 0.001
"""Cancellations rarer than this under equal shares are not put down to chance."""


class NotANumberError(ValueError):
    """A sample is NaN or infinite, so nothing can be counted."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Requests of one side as one reporter saw them end, ``cancelled`` by their callers."""

    total: float
    failed: float
    cancelled: float

    @property
    def success_rate(self) -> float | None:
        """Return the percentage that did not fail, None without requests."""
        return 100 * (self.total - self.failed) / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Latency:
    """Requests of one side with the 99th percentile of their durations in milliseconds."""

    total: float
    p99: float | None


@dataclass(frozen=True, slots=True)
class Window:
    """The time counted over: samples after ``start`` up to ``end``.

    A series whose first sample is later than ``known`` was born then, hence counts from 0.
    """

    start: float
    end: float
    known: float

    @classmethod
    def over(cls, answer: SeriesAnswer, start: float, end: float) -> Window:
        """Return the window with what the series of both sides, by any reporter, tell of its start.

        When history begins inside, every series that existed is known two scrapes later.
        """
        series = (*answer.canary, *answer.primary)
        if witnessed(series, start):
            return cls(start, end, start)
        begun = min((one.samples[0][0] for one in series if one.samples), default=inf)
        return cls(start, end, begun + 2 * (scrape_interval(series) or inf))

    def rise(self, series: Series) -> float:
        """Return the increase of a series; raises ``NotANumberError``."""
        return increase(series, self.start, self.end, series.samples[0][0] > self.known)


def witnessed(series: Iterable[Series], moment: float) -> bool:
    """Return whether some series has a sample at or before ``moment``."""
    return any(one.samples and one.samples[0][0] <= moment for one in series)


def increase(series: Series, start: float, end: float, witnessed: bool) -> float:
    """Return by how much a counter rose between ``start`` and ``end``, resets handled.

    It counts from the last sample at or before ``start``, not older than ``LOOKBACK``.  Without one
    it counts from 0 when ``witnessed``, else from its first sample inside.  Raises ``NotANumberError``.
    """
    first, last = (bisect_right(series.samples, moment, key=itemgetter(0)) for moment in (start, end))
    inside = [value for _, value in series.samples[first:last]]
    if not inside:
        return 0.0
    origin = 0.0 if witnessed else inside[0]
    if first and series.samples[first - 1][0] >= start - LOOKBACK.total_seconds():
        origin = series.samples[first - 1][1]
    if not all(map(isfinite, (origin, *inside))):
        raise NotANumberError(f"a sample of {_spell(series)} is not a number")
    return sum(new - old if new >= old else new for old, new in pairwise((origin, *inside)))


def tally(side: Sequence[Series], reporter: Reporter, window: Window) -> Outcomes | None:
    """Return how requests of one side ended, None when the reporter has no series.

    ``failed``: code 5xx, or protocol grpc with a status of ``GRPC_FAILED``; so 504 UT is a failure.
    ``cancelled``: code 0, or a grpc call cut by its caller (flag DC) after headers were sent, for which
    Envoy makes up status 2 from code 200.
    """
    counts = {"total": 0.0, "failed": 0.0, "cancelled": 0.0, "": 0.0}
    found = False
    for series in side:
        labels = dict(series.labels)
        if labels.get("reporter") == reporter and series.samples:
            found = True
            rise = window.rise(series)
            counts["total"] += rise
            counts[_ending(labels)] += rise
    return Outcomes(counts["total"], counts["failed"], counts["cancelled"]) if found else None


def outcomes(answer: SeriesAnswer, start: float, end: float) -> dict[Reporter, Outcomes]:
    """Return the canary's outcomes per reporter that has series of it, blame for cancellations settled.

    At the source a cancellation is no failure: a time-out of the route is a 504 there.  The destination
    sees both as code 0.  There counts the excess over the primary's share in the window (browsers cancel):

    - *unexplained* by a source that saw a plain cancellation (no sidecar at the caller; an attempt cut
      by a per-try time-out and hidden by a retry): each request of the excess failed;
    - *explained* ones, compared at the source (other callers never meet the canary): the excess failed
      only if chance makes it so in fewer than one of 1,000 windows (Fisher), as when a canary hangs.

    Without primary traffic in window and ``LOOKBACK`` nothing is known about normal cancelling: then the
    unexplained ones failed and the explained ones did not.  Raises ``NotANumberError``.
    """
    window = Window.over(answer, start, end)
    found: dict[Reporter, Outcomes] = {}
    for reporter in REPORTERS:
        counted = tally(answer.canary, reporter, window)
        if counted is not None:
            found[reporter] = counted
    if "destination" in found:
        found["destination"] = _with_blame(found["destination"], answer, window)
    return found


def _with_blame(canary: Outcomes, answer: SeriesAnswer, window: Window) -> Outcomes:
    nothing = Outcomes(0.0, 0.0, 0.0)
    primary = tally(answer.primary, "destination", window) or nothing
    usual = window
    if not primary.total:
        usual = Window.over(answer, window.start - LOOKBACK.total_seconds(), window.end)
        primary = tally(answer.primary, "destination", usual) or nothing
    blamed = _excess(
        replace(canary, cancelled=_unexplained(canary, answer.canary, answer, window)),
        replace(primary, cancelled=_unexplained(primary, answer.primary, answer, usual)),
    )
    ours, theirs = tally(answer.canary, "source", window), tally(answer.primary, "source", usual)
    if not (ours and theirs and theirs.total):
        ours, theirs = canary, primary
    if theirs.total and _tail(ours, theirs) < CHANCE:
        blamed = max(blamed, _excess(ours, theirs))
    return replace(canary, failed=canary.failed + blamed)


def _unexplained(counted: Outcomes, side: Sequence[Series], answer: SeriesAnswer, window: Window) -> float:
    """Return the cancellations at the destination for which no source saw a plain one.

    Pods are scraped at different moments: to match, the source may be one scrape earlier or later.
    """
    slack = scrape_interval(side)
    explaining = tally(side, "source", Window.over(answer, window.start - slack, window.end))
    if explaining is None:
        return counted.cancelled
    settled = tally(side, "destination", replace(window, end=max(window.start, window.end - slack)))
    return max(0.0, settled.cancelled - explaining.cancelled) if settled else 0.0


def _excess(canary: Outcomes, primary: Outcomes) -> float:
    """Return the whole requests cancelled at the canary beyond the primary's share."""
    if not primary.total:
        return canary.cancelled
    expected = canary.total * primary.cancelled / primary.total
    return max(0.0, float(floor(canary.cancelled - expected + 1e-9)))


def _tail(canary: Outcomes, primary: Outcomes) -> float:
    """Return the chance of at least so many cancellations at the canary, were both shares equal."""
    drawn, everyone = round(canary.total), round(canary.total + primary.total)
    hits, marked = round(canary.cancelled), round(canary.cancelled + primary.cancelled)
    if hits * everyone <= drawn * marked:
        return 1.0
    ways = _log_choose(marked, hits) + _log_choose(everyone - marked, drawn - hits)
    term, total = exp(ways - _log_choose(everyone, drawn)), 0.0
    for count in range(hits, min(drawn, marked) + 1):
        total += term
        if term <= total * 1e-12:
            break
        term *= (marked - count) * (drawn - count)
        term /= (count + 1) * (everyone - marked - drawn + count + 1)
    return total


def _log_choose(total: int, chosen: int) -> float:
    return lgamma(total + 1) - lgamma(chosen + 1) - lgamma(total - chosen + 1)


def latency(side: Sequence[Series], reporter: Reporter, window: Window) -> Latency | None:
    """Return count and 99th percentile of one side's durations, None when the reporter has no series."""
    buckets: dict[float, float] = {}
    for series in side:
        labels = dict(series.labels)
        if labels.get("reporter") == reporter and series.samples and "le" in labels:
            bound = _bound(labels["le"])
            rise = window.rise(series)
            buckets[bound] = buckets.get(bound, 0.0) + rise
    if not buckets:
        return None
    return Latency(buckets.get(inf, 0.0), bucket_quantile(0.99, buckets))


def bucket_quantile(q: float, buckets: Mapping[float, float]) -> float | None:
    """Return a quantile of cumulative buckets by upper bound, as PromQL's ``histogram_quantile`` does.

    Linear inside a bucket; the highest finite bound for anything above it.  None without observations
    or without a bucket up to +Inf.
    """
    bounds = sorted(buckets)
    if len(bounds) < 2 or bounds[-1] != inf or not max(buckets.values()):
        return None
    rank = q * max(buckets.values())
    below, lower = 0.0, 0.0
    for index, upper in enumerate(bounds[:-1]):
        count = max(below, buckets[upper])
        if count >= rank:
            if index == 0 and upper <= 0:
                return upper
            return lower + (upper - lower) * ((rank - below) / (count - below) if count > below else 1.0)
        below, lower = count, upper
    return bounds[-2]


def quiet(series: Sequence[Series], since: float, now: float, span: float) -> bool | None:
    """Return whether a workload got no new request during the last ``span`` seconds (I3).

    ``since`` is when its traffic was taken off; only samples from then on count.  Each series is compared
    with its last sample at or before ``now - span``, else with its first after ``since``.  A series born
    later, while another was being scraped, shows requests.  None: no series has two such samples, or a
    sample is not a number.  Series that ended say nothing.
    """
    before = now - span
    scraped = witnessed(series, before)
    answers: list[bool] = []
    for one in series:
        born = bool(one.samples) and one.samples[0][0] > max(since, before) and scraped
        values = _since_baseline(one, since, now, before)
        if not all(map(isfinite, values)):
            return None
        if born and any(values):
            return False
        if len(values) > 1:
            answers.append(all(new == old for old, new in pairwise(values)))
    return all(answers) if answers else None


def _since_baseline(series: Series, since: float, now: float, before: float) -> list[float]:
    samples = [sample for sample in series.samples if since <= sample[0] <= now]
    baseline = max(0, sum(at <= before for at, _ in samples) - 1)
    return [value for _, value in samples[baseline:]]


def _ending(labels: Mapping[str, str]) -> str:
    code = labels.get("response_code", "")
    if code == "0":
        return "cancelled"
    if len(code) == 3 and code.startswith("5"):
        return "failed"
    grpc = labels.get("request_protocol") == "grpc"
    if grpc and labels.get("grpc_response_status") in GRPC_FAILED:
        return "cancelled" if "DC" in labels.get("response_flags", "").split(",") else "failed"
    return ""


def scrape_interval(side: Iterable[Series]) -> float:
    """Return the usual seconds between two samples; 0 when no series has two."""
    return median([later[0] - earlier[0] for one in side for earlier, later in pairwise(one.samples)] or [0.0])


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise NotANumberError(f'bucket bound le="{text}" is not a number') from None


def _spell(series: Series) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in series.labels) + "}"
