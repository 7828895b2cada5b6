"""A cohort that is not the first at the canary is heard itself: nothing passes on the requests of others."""

from __future__ import annotations

import pytest

from canary.api.metric import Metric
from canary.core.measurement import Series
from tests.core.test_judge import buckets, duration, risen, series, success, verdict

MINE, OTHERS = "catalog-cohort2", "catalog-canary"


def sent(count: float, service: str, code: str = "200") -> list[Series]:
    """Return requests as both reporters tell them; pods name the first of their Services, whoever was asked."""
    at_caller = risen(count, reporter="source", response_code=code, destination_service_name=service)
    return [at_caller, risen(count, response_code=code, destination_service_name=OTHERS)]


@pytest.mark.parametrize(("came", "least", "expected"), [(0, 1, "NoData"), (4, 5, "NoData"), (5, 5, "Pass")])
def test_cohort_is_heard_with_as_many_requests_as_a_check_needs(came: float, least: int, expected: str) -> None:
    """The others' requests count for the rate, and not for the cohort."""
    found = series([*sent(40, OTHERS), *sent(came, MINE)])
    check = verdict(success(minSamples=least), found, cohort_service=MINE)
    assert check.verdict == expected
    if expected == "NoData":
        why = f"has no data of this cohort: {came} requests to Service {MINE} in 60 s, minSamples is {least}"
        assert (check.message, check.samples) == (f"request-success-rate {why}", came)
    assert verdict(success(minSamples=least), found).verdict == "Pass", "no cohort is awaited"


def test_cohort_that_was_not_heard_does_not_hide_a_failure() -> None:
    """Whoever met the errors, they count."""
    assert verdict(success(), series(sent(40, OTHERS, "500")), cohort_service=MINE).verdict == "Fail"


def test_cohort_is_heard_by_any_answer() -> None:
    """A request that failed came all the same."""
    found = series([*sent(400, OTHERS), *sent(1, MINE, "404")])
    assert verdict(success(), found, cohort_service=MINE).verdict == "Pass"


@pytest.mark.parametrize("service", [MINE, OTHERS])
def test_cohort_is_heard_in_a_histogram_by_the_count_of_all(service: str) -> None:
    """Of the buckets only the one without bound counts, each request once."""
    labels = dict.fromkeys(("50", "+Inf"), 4)
    found = [risen(count, reporter="source", le=le, destination_service_name=service) for le, count in labels.items()]
    check = verdict(duration(minSamples=4), series(found), cohort_service=MINE)
    assert check.verdict == ("Pass" if service == MINE else "NoData")
    assert verdict(duration(minSamples=5), series(found), cohort_service=MINE).verdict == "NoData"


@pytest.mark.parametrize(
    ("metric", "found"),
    [(success(), [risen(20, destination_service_name=MINE)]), (duration(), buckets([20] * 5))],
)
def test_cohort_cannot_be_told_where_only_pods_are_scraped(metric: Metric, found: list[Series]) -> None:
    """A pod does not know by which of its Services a request came, so its word never passes a cohort."""
    check = verdict(metric, series(found), cohort_service=MINE)
    assert (check.verdict, check.samples) == ("NoData", None)
    assert "only series of reporter source do, and there are none" in (check.message or "")


def test_cohort_cannot_be_told_without_the_label_of_the_service() -> None:
    """A Telemetry setting may have taken it away."""
    check = verdict(success(), series([risen(20), risen(20, reporter="source")]), cohort_service=MINE)
    assert (check.verdict, check.samples) == ("NoData", None)
    assert "lack the label destination_service_name" in (check.message or "")


def test_cohort_that_did_not_call_is_told_by_callers_of_the_primary() -> None:
    """With callers scraped, none at the canary is an answer: nobody came."""
    check = verdict(success(), series([risen(20)], [risen(20, reporter="source")]), cohort_service=MINE)
    assert (check.verdict, check.samples) == ("NoData", 0)
