"""Counts from raw samples: every request once, whatever the series do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.core.counting import (
    NotANumberError,
    Outcomes,
    Reporter,
    Window,
    bucket_quantile,
    increase,
    latency,
    outcomes,
    quiet,
    tally,
    witnessed,
)
from canary.core.measurement import Series, SeriesAnswer

START, END = 1000.0, 1060.0
SCRAPES = tuple(START + offset for offset in range(-30, 75, 15))
BASE = {"reporter": "destination", "response_code": "200", "response_flags": "-", "request_protocol": "http"}


def series(values: Sequence[float | None], **labels: str) -> Series:
    """Return a series with one value per scrape; None is a scrape that did not hold it."""
    samples = tuple((at, value) for at, value in zip(SCRAPES, values, strict=False) if value is not None)
    return Series(tuple(sorted((BASE | labels).items())), samples)


def risen(by: float, **labels: str) -> Series:
    """Return a series that stood at 100 before the window and rose by ``by`` early in it."""
    return series([100, 100, 100, *[100 + by] * 4], **labels)


def born(count: float, **labels: str) -> Series:
    """Return a series whose first sample, inside the window, is ``count``."""
    return series([None, None, None, *[count] * 4], **labels)


class TestIncrease:
    """A counter's rise over the window."""

    @pytest.mark.parametrize(
        ("values", "witness", "expected"),
        [
            pytest.param([1, 5, 9, 10, 12, 12, 20], True, 11, id="from the last sample at the start"),
            pytest.param([1, 5, None, 10, 12, 12, 20], True, 15, id="baseline one scrape earlier"),
            pytest.param([1, 5, 9, 10, 2, 3, 4], True, 5, id="reset in the window"),
            pytest.param([1, 5, 9, 3, 3, 3, 3], True, 3, id="reset at its start"),
            pytest.param([None, None, None, 7, 7, 7, 7], True, 7, id="born inside"),
            pytest.param([None, None, None, 7, 7, 9, 9], False, 2, id="first scrape of a new Prometheus"),
            pytest.param([1, 5, 9], True, 0, id="ended before the window"),
            pytest.param([1, 5, 9, 11, None, None, None], True, 2, id="ended inside it"),
            pytest.param([], True, 0, id="empty"),
        ],
    )
    def test_increase_counts_each_request_once(
        self, values: list[float | None], witness: bool, expected: float
    ) -> None:
        """Births, ends, gaps and resets lose and invent nothing."""
        assert increase(series(values), START, END, witness) == expected

    def test_increase_ignores_samples_outside(self) -> None:
        """Samples after the end, and baselines older than LOOKBACK, do not count."""
        late = Series((), ((START, 1.0), (START + 10, 2.0), (END + 1, 50.0)))
        old = Series((), ((START - 301, 90.0), (START + 10, 95.0)))
        assert increase(late, START, END, True) == 1
        assert increase(old, START, END, False) == 0

    @pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("where", [2, 4])
    def test_increase_refuses_what_is_not_a_number(self, odd: float, where: int) -> None:
        """NaN and Inf make the answer unusable instead of a number."""
        values: list[float | None] = [1, 2, 3, 4, 5, 6, 7]
        values[where] = odd
        with pytest.raises(NotANumberError, match="not a number"):
            increase(series(values), START, END, True)

    @given(
        steps=st.lists(st.tuples(st.integers(0, 50), st.booleans()), min_size=1, max_size=20),
        born_inside=st.booleans(),
    )
    def test_increase_equals_requests_served(self, steps: list[tuple[int, bool]], born_inside: bool) -> None:
        """Any history of requests and restarts is counted exactly, when no scrape missed a restart's rise."""
        value, served = 0, 0
        samples = [] if born_inside else [(START, 0.0)]
        for number, (requests, restart) in enumerate(steps, 1):
            # A restart is visible only when the counter ends below where it was.
            if restart and requests < value:
                value = 0
            value, served = value + requests, served + requests
            samples.append((START + number, float(value)))
        assert increase(Series((), tuple(samples)), START, END, True) == served


def test_witnessed_needs_a_sample_at_or_before() -> None:
    """One old sample of any series is enough."""
    assert witnessed([born(1), risen(0)], START)
    assert not witnessed([born(1), Series((), ())], START)
    assert not witnessed([], START)


WINDOW = Window(START, END, START)


class TestTally:
    """How requests ended, by the table of the built-in success rate."""

    @pytest.mark.parametrize(
        ("labels", "expected"),
        [
            ({"response_code": "200"}, "ok"),
            ({"response_code": "404"}, "ok"),
            ({"response_code": "429"}, "ok"),
            ({"response_code": "500"}, "failed"),
            ({"response_code": "503", "response_flags": "UH", "reporter": "source"}, "failed"),
            ({"response_code": "504", "response_flags": "UT", "reporter": "source"}, "failed"),
            ({"response_code": "0", "response_flags": "DC"}, "cancelled"),
            ({"response_code": "0", "response_flags": "DC", "reporter": "source"}, "cancelled"),
            ({"request_protocol": "grpc", "grpc_response_status": "0"}, "ok"),
            ({"request_protocol": "grpc", "grpc_response_status": "5"}, "ok"),
            *(
                ({"request_protocol": "grpc", "grpc_response_status": status, "reporter": side}, "failed")
                for status in ("2", "4", "8", "13", "14", "15")
                for side in ("source", "destination")
            ),
            ({"request_protocol": "http", "grpc_response_status": "14"}, "ok"),
            (
                {"request_protocol": "grpc", "grpc_response_status": "2", "response_flags": "DC"},
                "cancelled",
            ),
            ({"response_code": "200", "response_flags": "DC"}, "ok"),
        ],
    )
    def test_tally_sorts_by_code_and_grpc_status(self, labels: dict[str, str], expected: str) -> None:
        """4xx are answers; 5xx and server-side grpc statuses failed; code 0 was cancelled."""
        reporter: Reporter = "source" if labels.get("reporter") == "source" else "destination"
        counted = tally([risen(7, **labels)], reporter, WINDOW)
        failed, cancelled = 7.0 * (expected == "failed"), 7.0 * (expected == "cancelled")
        assert counted == Outcomes(7, failed, cancelled)

    def test_tally_tells_no_series_from_no_requests(self) -> None:
        """A reporter that is absent is None; one that was silent counts 0 and has no rate."""
        assert tally([risen(3)], "source", WINDOW) is None
        silent = tally([risen(0)], "destination", WINDOW)
        assert silent == Outcomes(0, 0, 0)
        assert silent is not None
        assert silent.success_rate is None


def answer(canary: Sequence[Series], primary: Sequence[Series] = ()) -> SeriesAnswer:
    """Return an answer whose history reaches back before the window."""
    return SeriesAnswer(tuple(canary), (risen(0, response_code="418"), *primary))


def cancelled(count: float, reporter: str = "destination") -> Series:
    """Return requests that their callers gave up."""
    return risen(count, response_code="0", response_flags="DC", reporter=reporter)


class TestOutcomes:
    """What counts as failed once cancellations are compared."""

    def test_outcomes_see_a_burst_of_first_errors(self) -> None:
        """500s in a series born inside the window count from the first, beside old successes."""
        found = outcomes(answer([risen(2), born(8, response_code="500")]), START, END)
        assert found["destination"].success_rate == 20

    def test_outcomes_see_a_timeout_at_the_caller(self) -> None:
        """504 UT at the source and 0 at the destination: both reporters say failed."""
        canary = [
            risen(5),
            risen(5, reporter="source"),
            cancelled(5),
            risen(5, reporter="source", response_code="504", response_flags="UT"),
        ]
        primary = [risen(90), risen(90, reporter="source")]
        found = outcomes(answer(canary, primary), START, END)
        assert found["source"].failed == 5
        assert found["destination"].failed == 5

    def test_outcomes_see_attempts_cut_behind_a_retry(self) -> None:
        """A per-try time-out hidden by a retry leaves 0 at the destination and no cancel at the source."""
        canary = [risen(5), cancelled(5), risen(5, reporter="source")]
        found = outcomes(answer(canary, [risen(90), risen(90, reporter="source")]), START, END)
        assert found["source"].failed == 0
        assert found["destination"].failed == 5

    @pytest.mark.parametrize(
        ("canary", "primary", "failed"),
        [
            pytest.param((8, 2), (80, 20), 0, id="the primary's share"),
            pytest.param((5, 5), (80, 20), 3, id="three more than its share"),
            pytest.param((5, 1), (90, 10), 0, id="less than one whole request more"),
            pytest.param((9, 1), (100, 0), 1, id="callers of the primary never cancel"),
            pytest.param((9, 1), (0, 0), 1, id="nothing to compare with"),
        ],
    )
    def test_outcomes_count_unexplained_cancels_beyond_the_primary(
        self, canary: tuple[int, int], primary: tuple[int, int], failed: int
    ) -> None:
        """Without a source reporter only the share that exceeds the primary's failed."""
        found = outcomes(
            answer([risen(canary[0]), cancelled(canary[1])], [risen(primary[0]), cancelled(primary[1])]),
            START,
            END,
        )
        assert found["destination"].failed == failed

    @pytest.mark.parametrize(
        ("canary", "primary", "failed"),
        [
            pytest.param((1, 2), (95, 5), 0, id="two of three by chance"),
            pytest.param((5, 1), (100, 0), 0, id="one of six by chance"),
            pytest.param((0, 3), (95, 5), 2, id="all of three: it hangs"),
            pytest.param((10, 40), (190, 10), 37, id="most of fifty: it hangs"),
            pytest.param((0, 6), (0, 0), 0, id="nothing to compare with"),
        ],
    )
    def test_outcomes_leave_explained_cancels_to_chance(
        self, canary: tuple[int, int], primary: tuple[int, int], failed: int
    ) -> None:
        """Cancels the source saw as such fail a canary only when chance cannot explain them."""
        sides = [
            [
                maker
                for reporter in ("source", "destination")
                for maker in (risen(ok, reporter=reporter), cancelled(gone, reporter))
            ]
            for ok, gone in (canary, primary)
        ]
        found = outcomes(answer(sides[0], sides[1]), START, END)
        assert found["destination"].failed == failed
        assert found["source"].failed == 0

    @pytest.mark.parametrize("early", ["source", "destination"])
    def test_outcomes_match_cancels_across_scrapes(self, early: str) -> None:
        """A cancel that one side's scrape has not shown yet, or showed before the window, is explained."""
        before = series([3, 3, 4, 4, 4, 4, 4], response_code="0", reporter="source")
        inside = series([3, 3, 3, 4, 4, 4, 4], response_code="0")
        last = series([3, 3, 3, 3, 3, 3, 4], response_code="0")
        canary = [risen(9), risen(9, reporter="source")]
        canary += [before, inside] if early == "source" else [last]
        found = outcomes(answer(canary, [risen(90), risen(90, reporter="source")]), START, END)
        assert found["destination"].failed == 0

    def test_outcomes_look_back_for_a_quiet_primary(self) -> None:
        """At 100 % the primary is silent: its share of a moment ago stands in."""
        earlier = [series([0, 80, 80, 80, 80, 80, 80]), series([0, 20, *[20] * 5], response_code="0")]
        found = outcomes(answer([risen(8), cancelled(2)], earlier), START, END)
        assert found["destination"].failed == 0

    def test_outcomes_when_history_begins_inside(self) -> None:
        """With a fresh Prometheus first errors count once every pod was seen; older series from their first."""
        times = tuple(START + offset for offset in range(5, 60, 5))
        ok = tuple((at, 1000.0 + at - START) for at in times)
        late_pod, errors = ok[1:], tuple((at, 8.0) for at in times[3:])
        codes = (("200", ok), ("404", late_pod), ("500", errors))
        found = [Series(tuple((BASE | {"response_code": code}).items()), values) for code, values in codes]
        counted = outcomes(SeriesAnswer(tuple(found)), START, END)["destination"]
        assert counted == Outcomes(50 + 45 + 8, 8, 0)
        single = [replace(one, samples=one.samples[-1:]) for one in found]
        assert outcomes(SeriesAnswer(tuple(single)), START, END)["destination"].total == 0

    def test_outcomes_of_nothing(self) -> None:
        """No series, no outcomes: never 0 or 100 %."""
        assert outcomes(SeriesAnswer(()), START, END) == {}

    @given(data=st.data())
    def test_outcomes_do_not_depend_on_dimensions(self, data: st.DataObject) -> None:
        """Splitting series by a further label never changes a result (R-DIM-2)."""
        kinds = st.tuples(
            st.sampled_from(["200", "404", "500", "504", "0"]), st.sampled_from(["source", "destination"])
        )
        sides = data.draw(st.tuples(*[st.lists(st.tuples(kinds, st.integers(0, 30)), max_size=6)] * 2))
        whole = [
            [risen(count, response_code=code, reporter=by, dimension=str(number))
             for number, ((code, by), count) in enumerate(side)]
            for side in sides
        ]  # fmt: skip
        parts = [[piece for one in side for piece in _split(one, data)] for side in whole]
        expected = outcomes(answer(whole[0], whole[1]), START, END)
        assert outcomes(answer(parts[0], parts[1]), START, END) == expected


def _split(one: Series, data: st.DataObject) -> list[Series]:
    """Share out a series' rise among two that differ in one more label and started elsewhere."""
    rise = int(one.samples[-1][1] - one.samples[0][1])
    share = data.draw(st.integers(0, rise))
    pieces = []
    for version, part in (("1", share), ("2", rise - share)):
        base = data.draw(st.integers(0, 100))
        samples = tuple((at, float(base + (part if at > START else 0))) for at, _ in one.samples)
        pieces.append(replace(one, labels=(*one.labels, ("version", version)), samples=samples))
    return pieces


def _reference_quantile(q: float, buckets: dict[float, float]) -> float:
    """Follow the text of Prometheus' documentation, one step after the other."""
    bounds = sorted(buckets)
    rank = q * buckets[math.inf]
    index = next(number for number, bound in enumerate(bounds) if buckets[bound] >= rank)
    if index == len(bounds) - 1:
        return bounds[-2]
    lower = bounds[index - 1] if index else 0.0
    below = buckets[bounds[index - 1]] if index else 0.0
    inside = buckets[bounds[index]] - below
    return lower + (bounds[index] - lower) * (rank - below) / inside


class TestLatency:
    """Percentiles from buckets."""

    @pytest.mark.parametrize(
        ("buckets", "expected"),
        [
            pytest.param({100.0: 100, 500.0: 100, math.inf: 100}, 99, id="inside the first"),
            pytest.param({100.0: 98, 500.0: 100, math.inf: 100}, 300, id="in the middle of the second"),
            pytest.param({100.0: 99, 500.0: 100, math.inf: 100}, 100, id="on a bound"),
            pytest.param({100.0: 0, 500.0: 0, math.inf: 10}, 500, id="above the last finite bound"),
            pytest.param({100.0: 98, 250.0: 90, 500.0: 100, math.inf: 100}, 375, id="made to rise"),
            pytest.param({100.0: 0, math.inf: 0}, None, id="no observations"),
            pytest.param({100.0: 5}, None, id="no bucket up to infinity"),
            pytest.param({math.inf: 5}, None, id="only infinity"),
            pytest.param({}, None, id="nothing"),
        ],
    )
    def test_bucket_quantile(self, buckets: dict[float, float], expected: float | None) -> None:
        """Interpolate as histogram_quantile does."""
        found = bucket_quantile(0.99, buckets)
        assert found == (None if expected is None else pytest.approx(expected))

    @given(counts=st.lists(st.integers(0, 1000), min_size=2, max_size=20), q=st.floats(0.01, 0.999))
    def test_bucket_quantile_equals_a_plain_reference(self, counts: list[int], q: float) -> None:
        """Any histogram gives what the documentation's algorithm gives."""
        bounds = [2.0**number for number in range(len(counts) - 1)] + [math.inf]
        buckets = {bound: float(sum(counts[: number + 1])) for number, bound in enumerate(bounds)}
        found = bucket_quantile(q, buckets)
        if not sum(counts):
            assert found is None
        else:
            assert found == pytest.approx(_reference_quantile(q, buckets))

    def test_latency_adds_buckets_of_all_series(self) -> None:
        """Buckets are summed by bound over codes and pods; the last one counts the requests."""
        side = [
            risen(count, le=le, response_code=code)
            for code in ("200", "500")
            for le, count in (("100", 49.0), ("500.0", 50.0), ("+Inf", 50.0))
        ]
        found = latency(side, "destination", WINDOW)
        assert found is not None
        assert found.total == 100
        assert found.p99 == pytest.approx(300)
        assert latency(side, "source", WINDOW) is None

    def test_latency_refuses_a_bound_without_meaning(self) -> None:
        """A bucket whose bound cannot be read is an unusable answer."""
        with pytest.raises(NotANumberError, match="le="):
            latency([risen(1, le="fast")], "destination", WINDOW)


class TestQuiet:
    """Whether a set that lost its traffic has settled (I3)."""

    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            pytest.param([series([5, 5, 9, 9, 9, 9, 9])], True, id="nothing new"),
            pytest.param([series([5, 5, 9, 9, 12, 12, 12])], True, id="the last ones long ago"),
            pytest.param([series([5, 5, 9, 9, 9, 9, 10])], False, id="one more"),
            pytest.param([series([5, 5, 9, 9, 9, 9, 1])], False, id="restarted and served"),
            pytest.param([series([9] * 7), series([3, 3, 3, 3, 3, 4, 4])], True, id="rise before the span"),
            pytest.param([series([9] * 7), series([1, 1, 1, 1, 1, 1, 2])], False, id="one of two"),
            pytest.param([series([9] * 7), born(1)], True, id="born before the span"),
            pytest.param([series([9] * 7), series([None] * 6 + [1])], False, id="born in the span"),
            pytest.param([series([None] * 6 + [4])], None, id="first scrape ever"),
            pytest.param([series([9, 9, 9, None, None, None, None])], None, id="metrics stopped"),
            pytest.param([series([9] * 7), series([9, 9, 9, 9, 9])], True, id="a pod went away"),
            pytest.param([series([9, 9, 9, 9, 9, 9, math.nan])], None, id="not a number"),
            pytest.param([Series((), ())], None, id="no samples"),
            pytest.param([], None, id="no series"),
        ],
    )
    def test_quiet_compares_the_last_span(self, found: list[Series], expected: bool | None) -> None:
        """Requests in the last 15 s say no; too few samples say nothing."""
        assert quiet(found, START, END, 15) is expected

    def test_quiet_forgives_what_was_under_way(self) -> None:
        """The first sample after the routes were changed may hold the last requests."""
        found = [series([5, 5, 9, 12, 12, 12, 12])]
        assert quiet(found, START + 1, START + 15, 15) is None
        assert quiet(found, START + 1, START + 30, 15) is True

    def test_quiet_needs_a_sample_after_the_start(self) -> None:
        """Samples from before the routes were changed are no answer."""
        assert quiet([series([9, 9, 9])], START + 1, END, 15) is None

    def test_quiet_follows_a_slow_scrape(self) -> None:
        """With scrapes 15 s apart and a span of 2 s the first sample after the change is the baseline."""
        found = [series([9, 9, 9, 9, 10])]
        assert quiet(found, START + 1, START + 16, 2) is None
        assert quiet(found, START + 1, START + 31, 2) is False
