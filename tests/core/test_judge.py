"""Verdicts of the built-in checks and the words that go with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.api.metric import Metric
from canary.api.status import Check
from canary.core.judge import judge, missing_labels
from canary.core.measurement import (
    Answer,
    CheckQuery,
    DrainQuery,
    Measurement,
    Series,
    SeriesAnswer,
    TemplateAnswer,
    Unavailable,
)

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
WINDOW = timedelta(seconds=60)
BEGIN = (NOW - WINDOW).timestamp()
TIMES = tuple(BEGIN + offset for offset in range(-30, 75, 15))
BASE = {
    "reporter": "destination",
    "destination_workload": "catalog-canary",
    "destination_workload_namespace": "shop",
    "response_code": "200",
    "response_flags": "-",
    "request_protocol": "http",
}
BOUNDS = ("100", "250", "500", "1000", "+Inf")


def risen(count: float, **labels: str) -> Series:
    """Return a series that rose by `count` early in the window."""
    samples = tuple((at, 100.0 + (count if at > BEGIN else 0.0)) for at in TIMES)
    return Series(tuple((BASE | labels).items()), samples)


def both(ok: float, bad: float = 0) -> list[Series]:
    """Return the same successes and 500s as both reporters tell them."""
    sides = ("source", "destination")
    return [
        risen(count, reporter=side, response_code=code) for side in sides for code, count in (("200", ok), ("500", bad))
    ]


def buckets(counts: Sequence[float], reporter: str = "destination") -> list[Series]:
    """Return a histogram with so many requests up to each bound of BOUNDS."""
    return [risen(count, reporter=reporter, le=le) for le, count in zip(BOUNDS, counts, strict=True)]


def success(**fields: Any) -> Metric:
    """Return the book's success rate check."""
    wire = {"name": "request-success-rate", "thresholdRange": {"min": 99}}
    return Metric.model_validate(wire | fields)


def duration(**fields: Any) -> Metric:
    """Return the book's duration check."""
    wire = {"name": "request-duration", "thresholdRange": {"max": 500}}
    return Metric.model_validate(wire | fields)


def verdict(metric: Metric, answer: Answer, beside_copies: bool = False, cohort_service: str = "") -> Check:
    """Judge an answer about the last minute."""
    requests = "istio_requests_total"
    asked = requests if "success" in metric.name else "istio_request_duration_milliseconds_bucket"
    query = CheckQuery(metric.name, asked, "shop", "catalog-canary", "catalog-primary", WINDOW, NOW)  # type: ignore[arg-type]
    return judge(metric, Measurement(query, answer), NOW - WINDOW, NOW, beside_copies, cohort_service)


def series(canary: Sequence[Series], primary: Sequence[Series] = ()) -> SeriesAnswer:
    """Return an answer with canary and primary series."""
    return SeriesAnswer(tuple(canary), tuple(primary))


class TestSuccessRate:
    """request-success-rate."""

    def test_judge_passes_with_the_numbers(self) -> None:
        """A pass keeps value, threshold, count and the primary's value."""
        check = verdict(success(), series(both(995, 5), both(9, 1)))
        assert check == Check(
            name="request-success-rate",
            verdict="Pass",
            value=99.5,
            threshold="min 99 %",
            samples=1000,
            baseline=90.0,
            at=NOW,
            message="request-success-rate 99.5 % (min 99 %): 5 of 1000 requests failed in 60 s,"
            " as the source reports; primary 90 %",
        )

    def test_judge_fails_with_the_numbers(self) -> None:
        """A failure reads like Flagger's, with the counts."""
        check = verdict(success(), series(both(8, 2), both(50)))
        assert check.verdict == "Fail"
        assert check.message == (
            "request-success-rate 80 % < 99 %: 2 of 10 requests failed in 60 s, as the source reports; primary 100 %"
        )

    @pytest.mark.parametrize(
        ("ok", "bad", "limits", "expected"),
        [
            (99, 1, {"min": 99}, "Pass"),
            (98, 2, {"min": 99}, "Fail"),
            (100, 0, {"min": 100}, "Pass"),
            (0, 10, {"min": 0}, "Pass"),
            (50, 50, {"min": 40, "max": 50}, "Pass"),
            (51, 49, {"min": 40, "max": 50}, "Fail"),
            (0, 10, {}, "Pass"),
        ],
    )
    def test_judge_includes_the_limits(self, ok: int, bad: int, limits: dict[str, float], expected: str) -> None:
        """Bounds are inclusive; without bounds any value passes."""
        assert verdict(success(thresholdRange=limits), series(both(ok, bad))).verdict == expected

    def test_judge_never_shows_a_failing_value_as_its_limit(self) -> None:
        """Rounding goes to the bad side."""
        check = verdict(success(), series(both(989_999, 10_001)))
        assert check.message.startswith("request-success-rate 98.99 % < 99 %")

    @pytest.mark.parametrize(("bad_side", "good_side"), [("source", "destination"), ("destination", "source")])
    def test_judge_counts_the_worse_reporter(self, bad_side: str, good_side: str) -> None:
        """One bad reporter fails the check, whichever it is; a chosen reporter alone counts."""
        found = series([risen(10, reporter=good_side), risen(10, reporter=bad_side, response_code="503")])
        assert verdict(success(), found).verdict == "Fail"
        assert f"as the {bad_side} reports;" in verdict(success(), found).message + ";"
        assert verdict(success(reporter=good_side), found).verdict == "Pass"
        assert verdict(success(reporter=bad_side), found).verdict == "Fail"

    def test_judge_says_when_a_reporter_is_absent(self) -> None:
        """The other one counts, and the message tells."""
        found = verdict(success(), series([risen(10)]))
        assert found.verdict == "Pass"
        assert "as the destination reports (the source has no series)" in found.message
        silent = verdict(success(), series([risen(10), risen(0, reporter="source")]))
        assert silent.verdict == "Pass"
        assert "(the source has only 0 requests)" in silent.message

    def test_judge_fails_unreachable_pods(self) -> None:
        """503s that only callers see fail although the destination saw nothing at all."""
        found = series([risen(0), risen(10, reporter="source", response_code="503", response_flags="UF")])
        assert verdict(success(), found).verdict == "Fail"

    def test_judge_fails_a_burst_of_first_errors(self) -> None:
        """500s born in the window count from the first."""
        labels = tuple((BASE | {"response_code": "500"}).items())
        born = Series(labels, tuple((at, 40.0) for at in TIMES[3:]))
        check = verdict(success(), series([risen(60), born]))
        assert check.verdict == "Fail"
        assert check.value == 60

    @given(ok=st.integers(0, 2000), bad=st.integers(0, 2000), limit=st.integers(0, 100), least=st.integers(1, 50))
    def test_judge_agrees_with_plain_arithmetic(self, ok: int, bad: int, limit: int, least: int) -> None:
        """The verdict is the comparison of whole counts, NoData below minSamples."""
        check = verdict(success(thresholdRange={"min": limit}, minSamples=least), series(both(ok, bad)))
        if ok + bad < least:
            assert check.verdict == "NoData"
        else:
            assert check.verdict == ("Pass" if 100 * ok >= limit * (ok + bad) else "Fail")
            assert check.samples == ok + bad


class TestNoAnswer:
    """NoData and Error: never 0, never 100 %."""

    def test_judge_needs_min_samples(self) -> None:
        """Fewer requests are NoData with the counts of both reporters."""
        check = verdict(success(minSamples=10), series(both(9)))
        assert (check.verdict, check.value, check.samples) == ("NoData", None, 9)
        assert check.message == (
            "request-success-rate has no data: 9 requests in 60 s (source 9, destination 9), minSamples is 10"
        )

    def test_judge_explains_absent_series(self) -> None:
        """No series at all names what was looked for."""
        check = verdict(success(), series([], both(50)))
        assert (check.verdict, check.value, check.samples) == ("NoData", None, 0)
        assert "istio_requests_total for workload catalog-canary in namespace shop" in check.message
        chosen = verdict(success(reporter="source"), series([risen(10)]))
        assert chosen.verdict == "NoData"
        assert "reported by the source" in chosen.message

    @pytest.mark.parametrize("metric", [success(), duration()])
    @pytest.mark.parametrize("odd", [math.nan, math.inf])
    def test_judge_takes_nan_for_no_data(self, metric: Metric, odd: float) -> None:
        """A sample that is not a number spoils the window, on either side."""
        spoilt = risen(odd, le="+Inf")
        healthy = [*buckets([9, 9, 9, 9, 9])]
        for found in (series([*healthy, spoilt]), series(healthy, [spoilt])):
            check = verdict(metric, found)
            assert (check.verdict, check.value) == ("NoData", None)
            assert "not a number" in check.message

    def test_judge_reports_an_unavailable_answer(self) -> None:
        """The reason stands in the message."""
        check = verdict(success(), Unavailable("Prometheus timed out"))
        assert (check.verdict, check.value) == ("Error", None)
        assert check.message == "request-success-rate could not be measured: Prometheus timed out"

    def test_judge_refuses_what_it_does_not_know(self) -> None:
        """Answers to other questions and checks of other names are errors."""
        assert verdict(success(), TemplateAnswer({})).verdict == "Error"
        drain = DrainQuery("shop", "catalog-canary", NOW, NOW)
        assert judge(success(), Measurement(drain, series([])), NOW - WINDOW, NOW).verdict == "Error"
        assert verdict(success(name="success-of-mine"), series(both(9))).verdict == "Error"

    @pytest.mark.parametrize(
        ("metric", "copies", "requests"),
        [
            (success(), [risen(20)], [risen(20, reporter="source")]),
            (duration(), buckets([20] * 5), buckets([20] * 5, "source")),
        ],
    )
    def test_judge_wants_requests_beside_copies(
        self, metric: Metric, copies: list[Series], requests: list[Series]
    ) -> None:
        """What only the canary's sidecars saw are copies; they may fail a check and never pass it."""
        check = verdict(metric, series(copies, requests), beside_copies=True)
        assert (check.verdict, check.samples) == ("NoData", 0)
        assert check.message == f"{metric.name} has no data but copies: 20 requests in 60 s"
        assert verdict(metric, series([*copies, *requests], requests), beside_copies=True).verdict == "Pass"
        assert verdict(metric, series(copies, copies), beside_copies=True).verdict == "Pass", "no caller is scraped"
        assert verdict(metric, series(copies, requests)).verdict == "Pass", "copies are all there is to see"

    def test_judge_fails_copies_beside_requests(self) -> None:
        """A canary that fails every copy need not meet a caller first."""
        bad = series([risen(20, response_code="500")], [risen(20, reporter="source")])
        assert verdict(success(), bad, beside_copies=True).verdict == "Fail"

    @pytest.mark.parametrize("label", ["reporter", "response_code", "response_flags", "request_protocol"])
    def test_judge_holds_on_a_removed_label(self, label: str) -> None:
        """A label removed in mid-run is an error that names it, not 100 %."""
        check = verdict(success(), series([risen(10, **{label: ""})]))
        assert check.verdict == "Error"
        assert f"lack the label {label} " in check.message


class TestDuration:
    """request-duration."""

    @pytest.mark.parametrize(("limit", "expected"), [(300, "Pass"), (299, "Fail"), (500, "Pass"), (250, "Fail")])
    def test_judge_compares_milliseconds(self, limit: float, expected: str) -> None:
        """A P99 of 300 ms passes at max 300 and fails below."""
        found = series(buckets([90, 98.8, 99.8, 100, 100]), buckets([100] * 5))
        check = verdict(duration(thresholdRange={"max": limit}), found)
        assert check.verdict == expected
        assert check.value == pytest.approx(300)
        assert (check.samples, check.baseline) == (100, 99)

    def test_judge_words_a_slow_canary(self) -> None:
        """The message has value, limit, count, window and the primary."""
        check = verdict(duration(), series(buckets([0, 0, 0, 100, 100]), buckets([100] * 5)))
        assert check.message == (
            "request-duration 995 ms > 500 ms: P99 of 100 requests in 60 s, as the destination reports"
            " (the source has no series); primary 99 ms"
        )

    def test_judge_counts_the_slower_reporter(self) -> None:
        """Callers see what the destination does not, and the other way round."""
        found = series([*buckets([9] * 5), *buckets([0, 0, 0, 9, 9], "source")])
        check = verdict(duration(), found)
        assert check.verdict == "Fail"
        assert "as the source reports" in check.message

    def test_judge_needs_requests(self) -> None:
        """An empty histogram and one without its last bucket are NoData."""
        assert verdict(duration(), series(buckets([0] * 5))).verdict == "NoData"
        assert verdict(duration(), series(buckets([9] * 5)[:-1])).verdict == "NoData"


class TestMissingLabels:
    """The labels the primary's series must carry (R-DIM-1)."""

    def test_missing_labels_of_complete_series(self) -> None:
        """Istio's standard labels, and no series at all, lack nothing."""
        assert missing_labels(both(1)) == ()
        assert missing_labels([]) == ()

    def test_missing_labels_names_each(self) -> None:
        """One series without a label is enough; an empty label is a removed one."""
        bare = Series((("reporter", "source"), ("response_flags", "")), ((0.0, 1.0),))
        assert missing_labels([*both(1), bare]) == (
            "destination_workload",
            "destination_workload_namespace",
            "response_code",
            "response_flags",
            "request_protocol",
        )

    def test_missing_labels_wants_the_status_of_grpc(self) -> None:
        """Answered grpc requests must carry their status; cancelled ones have none."""
        answered = risen(1, request_protocol="grpc")
        assert missing_labels([answered]) == ("grpc_response_status",)
        assert missing_labels([answered, risen(1, request_protocol="grpc", grpc_response_status="0")]) == ()
        assert missing_labels([risen(1, request_protocol="grpc", response_code="0")]) == ()
