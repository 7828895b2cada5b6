"""One tick: the verdict over all checks of a step, and what it does to the run."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from canary.api.metric import Metric
from canary.api.status import CanaryStatus, Check
from canary.core.actions import Event
from canary.core.advance.gates import CLOSED, UNANSWERED
from canary.core.advance.outcome import Advance, saying, with_condition, without_condition
from canary.core.checks import custom_question, custom_questions
from canary.core.hooks import heard, hooks_of, judging_hook, said
from canary.core.judge import judge, judge_custom, missing_labels
from canary.core.measurement import (
    CheckQuery,
    CustomQuery,
    HookAnswer,
    LabelsQuery,
    Measurement,
    SeriesAnswer,
    Unavailable,
)
from canary.core.view import GRID_SLACK, View

REPEAT_AFTER = timedelta(minutes=10)
"""An event about the same cause of missing data is repeated after this time."""


PAUSED = "Paused"
"""Reason of a hold that a command ends."""
_LASTING = (PAUSED, CLOSED, UNANSWERED)
"""Holds that outlast a tick that passed."""
_ABOUT_METRICS = ("MetricsMissing", "LabelsMissing")


class Verdict(Enum):
    """How a tick ended."""

    PASSED = "passed"
    FAILED = "failed"
    HELD = "held"


def judge_tick(view: View) -> tuple[Verdict, Advance]:
    """Judge the present step; anything failed fails it, else anything unknown holds it."""
    verdict, advance = _judge_metrics(view)
    return _judge_hooks(view, verdict, advance) if hooks_of(view, judging_hook(view)) else (verdict, advance)


def _judge_hooks(view: View, verdict: Verdict, advance: Advance) -> tuple[Verdict, Advance]:
    """Add what the hooks of this step say to the verdict of its checks."""
    kind = judging_hook(view)
    answer = heard(view, kind)
    if verdict is Verdict.FAILED or answer is None:
        return (verdict if verdict is Verdict.FAILED else Verdict.HELD), advance
    if isinstance(answer, HookAnswer) and not answer.passed:
        return Verdict.FAILED, _failed(view, advance.status, said(kind, answer))
    if verdict is Verdict.PASSED and isinstance(answer, Unavailable):
        status = _held_as_before(view, advance.status)
        return Verdict.HELD, hold(view, status, "HookUnanswered", said(kind, answer))
    return verdict, advance


def _held_as_before(view: View, status: CanaryStatus) -> CanaryStatus:
    """Return a status of checks that passed with what held the run until now: who waits for a hook waits on."""
    old = view.status.condition("Held")
    if old is None:
        return status
    others = (one for one in status.conditions if one.type != "Held")
    return status.model_copy(update={"conditions": tuple(sorted((*others, old), key=lambda one: one.type))})


def _judge_metrics(view: View) -> tuple[Verdict, Advance]:
    status = view.status
    if view.place == 0:
        return _judge_beforehand(view)
    if view.canary_lost:
        ready = view.candidate.ready if view.candidate else 0
        return Verdict.FAILED, _failed(view, status, f"canary pods are gone: {ready} ready, traffic is diverted")
    if view.weights != view.routing.weights or _not_in_force(status):
        message = f"{view.label} is not yet read back from the routes"
        return Verdict.HELD, hold(view, status, "RouteNotInForce", message)
    return judge_checks(view)


def _not_in_force(status: CanaryStatus) -> bool:
    return status.step is None or status.step.in_force_at is None


def judge_checks(view: View) -> tuple[Verdict, Advance]:
    """Judge what the checks of this moment answered."""
    spec, metrics = view.snapshot.spec, view.checks
    checks = [found for number in range(len(metrics)) if (found := _judged(view, number)) is not None]
    if len(checks) < len(metrics):
        return Verdict.HELD, Advance(view.status)
    held: list[Check] = []
    failed: list[Check] = []
    for metric, check in zip(metrics, checks, strict=True):
        unknown = check.verdict in ("NoData", "Error")
        rule = spec.analysis.on_no_data_for(metric) if spec else "Hold"
        if check.verdict == "Fail" or (unknown and rule == "Fail"):
            failed.append(check)
        elif unknown and rule == "Hold":
            held.append(check)
    status = view.status.model_copy(update={"checks": tuple(checks)})
    missing = next((c.message for c in checks if c.verdict in ("NoData", "Error")), None)
    if missing is None:
        status = with_condition(status, "MetricsAvailable", "True", "Answered", "all checks have data", view.now)
    elif not held:
        status = with_condition(status, "MetricsAvailable", "False", "MetricsMissing", missing, view.now)
    if failed:
        return Verdict.FAILED, _failed(view, status, failed[0].message)
    if held:
        return Verdict.HELD, hold(view, status, "MetricsMissing", held[0].message + _unmatched(view, held[0]))
    return Verdict.PASSED, Advance(_released(status))


def _judged(view: View, number: int) -> Check | None:
    """Return the verdict of the check of a number; None while it was not asked."""
    metric = view.checks[number]
    if metric.custom:
        asked = custom_question(view, number)
        if isinstance(asked, Unavailable):
            return judge_custom(metric, asked, view.now)
        heard = _heard(view, asked)
        return judge_custom(metric, heard.answer, view.now) if heard is not None else None
    of_check = (m for m in view.measurements if isinstance(m.query, CheckQuery) and m.query.check == metric.name)
    measurement = next(of_check, None)
    if measurement is None:
        return None
    beside_copies = bool(view.routing.mirror and view.routing.cohorts)
    apart, names = view.awaited_cohort in view.routing.apart, view.snapshot.names
    service = names.cohort_service(view.awaited_cohort).name if apart else ""
    start, now = _start(measurement), _moment(measurement)
    return judge(_asked(view, metric), measurement, start, now, beside_copies, service)


def _heard(view: View, asked: CustomQuery) -> Measurement | None:
    """Return what a custom check was answered just now; what its values were then does not matter."""
    return next(
        (
            measured
            for measured in view.measurements
            if isinstance(measured.query, CustomQuery)
            and (measured.query.number, measured.query.check) == (asked.number, asked.check)
        ),
        None,
    )


def _released(status: CanaryStatus) -> CanaryStatus:
    """Return the status of a run that nothing holds any more but a pause of its plan or a gate."""
    held = status.condition("Held")
    return status if held is not None and held.reason in _LASTING else without_condition(status, "Held")


def _asked(view: View, metric: Metric) -> Metric:
    """Return the check as this step can be asked: copies are counted by the destination alone (R-MIR-3)."""
    routing = view.routing
    copies = routing.mirror and not routing.canary and not routing.cohorts
    return metric.model_copy(update={"reporter": "destination"}) if copies and metric.reporter == "auto" else metric


def _unmatched(view: View, check: Check) -> str:
    """Return the likely cause when a cohort should have reached the canary and nobody of it did (R-DARK-5)."""
    number, cohorts = view.awaited_cohort, view.routing.cohorts
    if check.verdict != "NoData" or check.samples != 0 or not 0 < number <= len(cohorts):
        return ""
    headers = sorted({name for one in cohorts[number - 1] for name in one.get("headers") or {}})
    cohort = "the cohort" if len(cohorts) == 1 else f"cohort {number}"
    asked = f": does every service on the way pass on header {', '.join(headers)}?" if headers else ""
    return f"; no request matched {cohort}{asked}"


def _failed(view: View, status: CanaryStatus, why: str) -> Advance:
    spec = view.snapshot.spec
    threshold = spec.analysis.threshold if spec else 1
    count = status.failed_checks + 1
    message = f"Check failed ({count} of {threshold}) at {view.label}: {why}"
    status = _again_later(view, without_condition(status, "Held")).model_copy(update={"failed_checks": count})
    return Advance(saying(status, message), (Event("CheckFailed", message, "Warning"),))


def hold(view: View, status: CanaryStatus, reason: str, why: str) -> Advance:
    """Stay at this weight, count nothing, say why; look again an interval later."""
    kind, value = ("MetricsAvailable", "False") if reason in _ABOUT_METRICS else ("Held", "True")
    message = f"Holding at {view.label}: {why}"
    old = status.condition(kind)
    told_at = old.last_update_time if old and (old.status, old.reason) == (value, reason) else None
    told = told_at is not None and view.now - told_at < REPEAT_AFTER
    status = saying(_again_later(view, without_condition(status, "Held") if kind != "Held" else status), message)
    status = with_condition(status, kind, "False" if value == "False" else "True", reason, message, view.now)
    # The condition tells the present cause; its update time tells when people were last told by an event.
    conditions = tuple(
        c.model_copy(update={"last_update_time": told_at if told else view.now}) if c.type == kind else c
        for c in status.conditions
    )
    status = status.model_copy(update={"conditions": conditions})
    return Advance(status, () if told else (Event(reason, message, "Warning"),))


def _again_later(view: View, status: CanaryStatus) -> CanaryStatus:
    if status.step is None:
        return status
    due = status.step.next_tick_at
    on_grid = due is not None and timedelta(0) <= view.now - due <= GRID_SLACK
    base = due if due is not None and on_grid else view.now
    # What passed before does not count any more: the step is not taken before it passes again.
    step = status.step.model_copy(update={"next_tick_at": base + view.interval, "passed_at": None})
    return status.model_copy(update={"step": step})


def _judge_beforehand(view: View) -> tuple[Verdict, Advance]:
    """Before the first weight: can every check be answered?"""
    verdict, advance = _judge_labels(view)
    if verdict is not Verdict.PASSED:
        return verdict, advance
    spec = view.snapshot.spec
    for metric, asked in custom_questions(view):
        heard = _heard(view, asked) if isinstance(asked, CustomQuery) else None
        answer = asked if isinstance(asked, Unavailable) else heard.answer if heard is not None else None
        if answer is None:
            return Verdict.HELD, Advance(view.status)
        if isinstance(answer, Unavailable) and spec is not None and spec.analysis.on_no_data_for(metric) == "Hold":
            why = f"{metric.name} cannot be measured: {answer.reason}"
            return Verdict.HELD, hold(view, view.status, "MetricsMissing", why)
    return Verdict.PASSED, Advance(_without_holds(view.status))


def _judge_labels(view: View) -> tuple[Verdict, Advance]:
    """Return whether the primary's series carry every label that the built-in checks need (R-DIM-1)."""
    status = view.status
    answer = next((m.answer for m in view.measurements if isinstance(m.query, LabelsQuery)), None)
    if isinstance(answer, Unavailable):
        return Verdict.HELD, hold(view, status, "MetricsMissing", f"metrics do not answer: {answer.reason}")
    if not isinstance(answer, SeriesAnswer):
        return Verdict.HELD if view.built_in_checks else Verdict.PASSED, Advance(status)
    missing = missing_labels(answer.canary)
    if missing:
        name = view.snapshot.names.workload("primary").name
        why = (
            f"series istio_requests_total of {name} lack label {', '.join(missing)}; restore it in the mesh's telemetry"
        )
        return Verdict.HELD, hold(view, status, "LabelsMissing", why)
    return Verdict.PASSED, Advance(status)


def _without_holds(status: CanaryStatus) -> CanaryStatus:
    """Return the status of a run that goes on to its first weight: what held it at 0 is over."""
    return without_condition(_released(status), "MetricsAvailable")


def _moment(measurement: Measurement) -> datetime:
    return measurement.query.at if isinstance(measurement.query, CheckQuery) else datetime.min


def _start(measurement: Measurement) -> datetime:
    query = measurement.query
    return query.at - query.window if isinstance(query, CheckQuery) else datetime.min
