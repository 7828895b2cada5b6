"""Who must be heard before a check may pass: callers beside copies, and the cohort that a step is for.

Only callers' proxies know by which Service a request came to a pod; the pod's own names one of all that lead there.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from canary.api.metric import Metric
from canary.core.counting import Window
from canary.core.measurement import Series, SeriesAnswer

SERVICE_LABEL = "destination_service_name"
"""The label of Istio's standard metrics that names the Service a request was sent to."""


def _count_cohort(answer: SeriesAnswer, service: str, window: Window) -> float | str:
    """Return how many requests callers sent to a Service of the canary, or why that cannot be told.

    Raises ``NotANumberError``.
    """
    sent = [one for one in _counts((*answer.canary, *answer.primary)) if one.label("reporter") == "source"]
    if not sent:
        return (
            "cannot tell this cohort's requests from others: only series of reporter source do, and there are none; "
            "are callers' proxies scraped?"
        )
    canary = [one for one in _counts(answer.canary) if one.label("reporter") == "source"]
    if any(not one.label(SERVICE_LABEL) for one in canary):
        return (
            f"cannot tell this cohort's requests from others: series lack the label {SERVICE_LABEL} (removed by a "
            "Telemetry setting?)"
        )
    return sum(window.rise(one) for one in canary if one.label(SERVICE_LABEL) == service)


def _counts(series: Iterable[Series]) -> Iterable[Series]:
    """Yield what counts requests: of a histogram the bucket of all."""
    return (one for one in series if one.samples and one.label("le") in (None, "+Inf"))


def find_unheard(
    metric: Metric, answer: SeriesAnswer, window: Window, most: float, beside_copies: bool, cohort_service: str
) -> tuple[str, int | None] | None:
    """Return why a check that passes does so without those who were to be heard, and how many of them came.

    ``most`` requests reached the canary in all.  Raises ``NotANumberError``.
    """
    lasts = f"{round(window.end - window.start, 1):g} s"
    if beside_copies and _only_copies(answer, window):
        return f"has no data but copies: {requests_in_words(most)} in {lasts}", 0
    came = _count_cohort(answer, cohort_service, window) if cohort_service else inf
    if isinstance(came, str):
        return came, None
    if came >= metric.min_samples:
        return None
    why = f"has no data of this cohort: {requests_in_words(came)} to Service {cohort_service} in {lasts}"
    return f"{why}, minSamples is {metric.min_samples}", round(came)


def requests_in_words(count: float) -> str:
    """Return a number of requests in words, e.g. ``1 request``."""
    return "1 request" if round(count) == 1 else f"{count:.0f} requests"


def _only_copies(answer: SeriesAnswer, window: Window) -> bool:
    """Return whether callers' sidecars sent requests to the primary alone; copies are counted where they arrive."""
    canary, primary = (
        any(window.rise(one) for one in side if one.label("reporter") == "source" and one.samples)
        for side in (answer.canary, answer.primary)
    )
    return primary and not canary
