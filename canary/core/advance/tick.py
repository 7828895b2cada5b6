"""One tick: the verdict over all checks of a step, and what it does to the run."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from canary.api.status import CanaryStatus, Check
from canary.core.actions import Event
from canary.core.advance.outcome import Advance, saying, with_condition, without_condition
from canary.core.judge import judge, missing_labels
from canary.core.measurement import CheckQuery, LabelsQuery, Measurement, SeriesAnswer, Unavailable
from canary.core.view import GRID_SLACK, View

REPEAT_AFTER = timedelta(minutes=10)
"""An event about the same cause of missing data is repeated after this time."""


_ABOUT_METRICS = ("MetricsMissing", "LabelsMissing")


class Verdict(Enum):
    """How a tick ended."""

    PASSED = "passed"
    FAILED = "failed"
    HELD = "held"


def judge_tick(view: View) -> tuple[Verdict, Advance]:
    """Judge the present step; anything failed fails it, else anything unknown holds it."""
    status = view.status
    if status.canary_weight == 0:
        return _judge_labels(view)
    if view.canary_lost:
        ready = view.candidate.ready if view.candidate else 0
        return Verdict.FAILED, _failed(view, status, f"canary pods are gone: {ready} ready, traffic is diverted")
    if view.weights is None or view.weights.canary != status.canary_weight or _not_in_force(status):
        message = f"weight {status.canary_weight} % is not yet read back from the routes"
        return Verdict.HELD, hold(view, status, "RouteNotInForce", message)
    return _judge_checks(view)


def _not_in_force(status: CanaryStatus) -> bool:
    return status.step is None or status.step.in_force_at is None


def _judge_checks(view: View) -> tuple[Verdict, Advance]:
    spec = view.snapshot.spec
    metrics = spec.analysis.metrics if spec else ()
    answers = {m.query.check: m for m in view.measurements if isinstance(m.query, CheckQuery)}
    if any(metric.name not in answers for metric in metrics):
        return Verdict.HELD, Advance(view.status)
    checks: list[Check] = []
    held: list[Check] = []
    failed: list[Check] = []
    for metric in metrics:
        measurement = answers[metric.name]
        check = judge(metric, measurement, _start(measurement), _moment(measurement))
        checks.append(check)
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
        return Verdict.HELD, hold(view, status, "MetricsMissing", held[0].message)
    return Verdict.PASSED, Advance(without_condition(status, "Held"))


def _failed(view: View, status: CanaryStatus, why: str) -> Advance:
    spec = view.snapshot.spec
    threshold = spec.analysis.threshold if spec else 1
    count = status.failed_checks + 1
    message = f"Check failed ({count} of {threshold}) at {status.canary_weight} %: {why}"
    status = _again_later(view, status).model_copy(update={"failed_checks": count})
    return Advance(saying(status, message), (Event("CheckFailed", message, "Warning"),))


def hold(view: View, status: CanaryStatus, reason: str, why: str) -> Advance:
    """Stay at this weight, count nothing, say why; look again an interval later."""
    kind, value = ("MetricsAvailable", "False") if reason in _ABOUT_METRICS else ("Held", "True")
    message = f"Holding at {status.canary_weight} %: {why}"
    old = status.condition(kind)
    told_at = old.last_update_time if old and (old.status, old.reason) == (value, reason) else None
    status = saying(_again_later(view, status), message)
    if told_at is not None and view.now - told_at < REPEAT_AFTER:
        return Advance(status)
    status = with_condition(status, kind, "False" if value == "False" else "True", reason, message, view.now)
    told = tuple(
        c.model_copy(update={"last_update_time": view.now}) if c.type == kind else c for c in status.conditions
    )
    return Advance(status.model_copy(update={"conditions": told}), (Event(reason, message, "Warning"),))


def _again_later(view: View, status: CanaryStatus) -> CanaryStatus:
    if status.step is None:
        return status
    due = status.step.next_tick_at
    on_grid = due is not None and timedelta(0) <= view.now - due <= GRID_SLACK
    base = due if due is not None and on_grid else view.now
    # What passed before does not count any more: the step is not taken before it passes again.
    step = status.step.model_copy(update={"next_tick_at": base + view.interval, "passed_at": None})
    return status.model_copy(update={"step": step})


def _judge_labels(view: View) -> tuple[Verdict, Advance]:
    """Before the first weight: do the primary's series carry every label the checks need? (R-DIM-1)"""
    status = view.status
    answer = next((m.answer for m in view.measurements if isinstance(m.query, LabelsQuery)), None)
    if isinstance(answer, Unavailable):
        return Verdict.HELD, hold(view, status, "MetricsMissing", f"metrics do not answer: {answer.reason}")
    if not isinstance(answer, SeriesAnswer):
        asked = view.snapshot.spec is not None and bool(view.snapshot.spec.analysis.metrics)
        return (Verdict.HELD if asked else Verdict.PASSED), Advance(status)
    missing = missing_labels(answer.canary)
    if missing:
        name = view.snapshot.names.workload("primary").name
        why = (
            f"series istio_requests_total of {name} lack label {', '.join(missing)}; restore it in the mesh's telemetry"
        )
        return Verdict.HELD, hold(view, status, "LabelsMissing", why)
    return Verdict.PASSED, Advance(status)


def _moment(measurement: Measurement) -> datetime:
    return measurement.query.at if isinstance(measurement.query, CheckQuery) else datetime.min


def _start(measurement: Measurement) -> datetime:
    query = measurement.query
    return query.at - query.window if isinstance(query, CheckQuery) else datetime.min
