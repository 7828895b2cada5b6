"""Phase Progressing: steps, verdicts, holds, deadlines, and what ends or restarts a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import CanaryStatus, Phase, StepStatus
from canary.core.actions import Decision
from canary.core.advance.run import run_id
from canary.core.decide import decide, questions
from canary.core.measurement import Measurement, Query
from canary.core.names import ROLLED_BACK
from canary.core.routes.marks import roll_back_mark
from canary.core.snapshot import Snapshot
from tests.answers import bad, busy, down, empty, good
from tests.builders import (
    INTERVAL,
    NOW,
    V1,
    V2,
    V3,
    A,
    B,
    C,
    at,
    clone,
    kept,
    new_status,
    new_target,
    role_of,
    route,
    running,
    service,
    settled,
    waiting_since,
    weights_of,
    with_status,
)
from tests.core.test_obstacles import beside


def tick(world: Snapshot, answers: Any = good, seconds: float = 45) -> Decision:
    """Decide at a moment, with the answers a kind of world gives."""
    return decide(world, answers(questions(world, at(seconds))), at(seconds))


def step(**changes: Any) -> dict[str, Any]:
    """Return the status change of a step of weight 10 begun at NOW."""
    base = StepStatus(index=1, count=5, started_at=NOW, next_tick_at=NOW + INTERVAL, in_force_at=NOW)
    return {"step": base.model_copy(update=changes)}


def reasons(decision: Decision) -> list[str]:
    """Return the reasons of the events."""
    return [e.reason for e in decision.events]


def after(world: Snapshot, decision: Decision) -> Snapshot:
    """Return the world with the status a decision wrote."""
    return with_status(world, new_status(world, decision))


@pytest.mark.parametrize("seconds", [0, 1, 44.9])
def test_tick_in_the_future_does_nothing(seconds: float) -> None:
    """Before its tick a step asks nothing, changes nothing and waits for exactly that moment (I18)."""
    world = running(10)
    assert questions(world, at(seconds)) == ()
    decision = tick(world, seconds=seconds)
    assert (decision.status, decision.urgent, decision.actions, decision.events) == (None, (), (), ())
    assert decision.requeue_after == at(45) - at(seconds)


@pytest.mark.parametrize(
    ("weight", "pods", "following"), [(0, 1, 10), (10, 1, 20), (20, 1, 30), (30, 1, 40), (40, 1, 50)]
)
def test_passed_tick_takes_one_step(weight: int, pods: int, following: int) -> None:
    """Checks passed and capacity ready: the next weight, one route write, one row."""
    decision = tick(running(weight, pods=pods))
    status = decision.status
    assert status is not None
    assert (status.phase, status.canary_weight, status.last_transition_time) == (Phase.PROGRESSING, following, at(45))
    assert weights_of(decision.actions) == (100 - following, following)
    assert decision.urgent == ()
    assert reasons(decision) == ["StepPassed"]
    assert status.message == f"Advancing revision {B} to {following} %"


def test_last_weight_passed_leads_to_promoting() -> None:
    """After the last weight with the canary at full size, the cut-over: 0/100 and the apex Service follow."""
    decision = tick(running(50, pods=2))
    status = decision.status
    assert status is not None
    assert (status.phase, status.canary_weight) == (Phase.PROMOTING, 0)
    assert weights_of(decision.actions) == (0, 100)
    assert role_of(decision.actions) == "canary"


@pytest.mark.parametrize(
    ("late", "following"),
    [(0.0, 90.0), (1.9, 90.0), (2.0, 90.0), (2.1, 92.1), (30.0, 120.0)],
)
def test_grid_moves_only_for_a_late_tick(late: float, following: float) -> None:
    """A step taken within 2 s of its tick keeps the grid; a later one moves it."""
    status = tick(running(10), seconds=45 + late).status
    assert status is not None
    assert status.step is not None
    assert status.step.next_tick_at == at(following)


@pytest.mark.parametrize(("read_back", "following"), [(0.2, 45.0), (2.0, 45.0), (2.5, 47.5), (40.0, 85.0)])
def test_grid_moves_for_a_weight_in_force_late(read_back: float, following: float) -> None:
    """A weight read back within 2 s keeps the grid; later, the tick is the read-back plus the interval (I18)."""
    world = running(10, status={**step(in_force_at=None), "traffic_since": None})
    status = tick(world, seconds=read_back).status
    assert status is not None
    assert status.step is not None
    assert (status.step.in_force_at, status.step.next_tick_at) == (at(read_back), at(following))
    assert status.traffic_since == at(read_back)


def test_weight_not_in_force_is_not_judged() -> None:
    """A step whose weight was never read back asks no check and is held, uncounted (I18)."""
    world = running(10, shown=0, status=step(in_force_at=None))
    assert questions(world, at(45)) == ()
    status = tick(world, bad).status
    assert status is not None
    assert (status.canary_weight, status.failed_checks) == (10, 0)
    held = status.condition("Held")
    assert held is not None
    assert held.reason == "RouteNotInForce"


def test_capacity_is_awaited_before_the_step() -> None:
    """Without the pods for the next weight the step is not taken; they are asked for ahead (I8)."""
    changes = {"spec.analysis.stepWeight": 50, "spec.analysis.maxWeight": 100}
    world = running(50, pods=2, ready=1, changes=changes)
    decision = tick(world)
    status = decision.status
    assert status is not None
    assert (status.phase, status.canary_weight) == (Phase.PROGRESSING, 50)
    assert "1 of 2 pods are ready" in (status.message or "")
    assert weights_of(decision.actions) is None


def test_step_late_for_capacity_is_judged_an_interval_later() -> None:
    """A step taken when pods got ready is judged one interval after it, not after the next grid time."""
    waiting = running(40, pods=2, ready=0, changes={"spec.analysis.canaryScale": "Full"})
    waiting = replace(waiting, candidate=clone("canary", V2, 2, ready=1))
    passed = after(waiting, tick(waiting))
    ready = replace(passed, candidate=clone("canary", V2, 2))
    status = tick(ready, seconds=50).status
    assert status is not None
    assert status.step is not None
    assert (status.canary_weight, status.step.next_tick_at) == (50, at(95))


@pytest.mark.parametrize("answers", [bad, down, empty])
def test_step_is_not_taken_on_checks_that_passed_earlier(answers: Any) -> None:
    """Checks passed, then failed or without data while pods were awaited: the weight stays (section 5)."""
    changes = {"spec.analysis.canaryScale": "Full", "spec.progressDeadlineSeconds": 600}
    waiting = running(40, pods=2, changes=changes, candidate=clone("canary", V2, 2, ready=1))
    passed = after(waiting, tick(waiting))
    failed = after(passed, tick(passed, answers, seconds=90))
    ready = replace(failed, candidate=clone("canary", V2, 2))
    assert new_status(ready, tick(ready, seconds=100)).canary_weight == 40


@pytest.mark.parametrize(("failed", "phase"), [(0, "Progressing"), (3, "Progressing"), (4, "Failed")])
def test_rollback_comes_at_the_threshold(failed: int, phase: str) -> None:
    """At threshold 5: never at 4, always at 5, in the same tick (section 5)."""
    decision = tick(running(30, status={"failed_checks": failed}), bad)
    status = decision.status
    assert status is not None
    assert (status.phase, status.failed_checks) == (phase, failed + 1)
    assert status.canary_weight == (0 if phase == "Failed" else 30)
    assert weights_of(decision.urgent) == ((100, 0) if phase == "Failed" else None)
    assert weights_of(decision.actions) is None
    assert reasons(decision)[0] == "CheckFailed"
    message = decision.events[0].message
    assert f"({failed + 1} of 5) at 30 %" in message
    assert "< 99 %" in message
    assert "75 of 225 requests failed" in message


def test_failed_checks_are_cumulative() -> None:
    """A passed tick takes no failed check back."""
    status = tick(running(10, status={"failed_checks": 4})).status
    assert status is not None
    assert (status.canary_weight, status.failed_checks) == (20, 4)


def mixed(queries: tuple[Query, ...]) -> tuple[Measurement, ...]:
    """Answer the first question badly and the others not at all."""
    return (*bad(queries[:1]), *down(queries[1:]))


def test_any_failed_check_fails_the_tick() -> None:
    """Fail goes before NoData and Error."""
    status = tick(running(10), mixed).status
    assert status is not None
    assert (status.failed_checks, [c.verdict for c in status.checks]) == (1, ["Fail", "Error"])


@pytest.mark.parametrize(("answers", "verdict"), [(empty, "NoData"), (down, "Error")])
def test_no_answer_holds_and_counts_nothing(answers: Any, verdict: str) -> None:
    """NoData and Error never count, neither way (I17); the condition says why, and one event."""
    decision = tick(running(10, status={"failed_checks": 4}), answers)
    status = decision.status
    assert status is not None
    assert (status.phase, status.canary_weight, status.failed_checks) == (Phase.PROGRESSING, 10, 4)
    assert {c.verdict for c in status.checks} == {verdict}
    found = status.condition("MetricsAvailable")
    assert found is not None
    assert found.status == "False"
    assert reasons(decision) == ["MetricsMissing"]
    assert decision.requeue_after == INTERVAL


def test_event_about_missing_metrics_comes_once_in_ten_minutes() -> None:
    """One event per cause and ten minutes, however many ticks are held."""
    world, told = running(10), []
    for seconds in range(45, 1260, 45):
        decision = tick(world, down, seconds)
        told += [seconds for e in decision.events if e.reason == "MetricsMissing"]
        world = after(world, decision)
    assert told == [45, 675]


def test_held_step_resumes() -> None:
    """When data is back the step is judged, the condition turns, and the run goes on."""
    world = after(running(10), tick(running(10), down))
    status = tick(world, seconds=90).status
    assert status is not None
    assert status.canary_weight == 20
    found = status.condition("MetricsAvailable")
    assert found is not None
    assert found.status == "True"


def test_failing_checks_end_the_missing_data() -> None:
    """Checks that answer again, if badly, are not missing any more."""
    world = after(running(10), tick(running(10), down))
    status = tick(world, bad, seconds=90).status
    assert status is not None
    assert status.failed_checks == 1
    found = status.condition("MetricsAvailable")
    assert found is not None
    assert found.status == "True"


@pytest.mark.parametrize("answers", [empty, down])
@pytest.mark.parametrize(("rule", "failed", "weight"), [("Hold", 0, 10), ("Fail", 1, 10), ("Pass", 0, 20)])
@pytest.mark.parametrize("where", ["spec.analysis.onNoData", "both metrics"])
def test_no_data_follows_the_rule(answers: Any, rule: str, failed: int, weight: int, where: str) -> None:
    """`onNoData` of the analysis, or of the metric, says what no answer does."""
    changes = {where: rule} if where != "both metrics" else {}
    if not changes:
        changes = {f"spec.analysis.metrics.{i}.onNoData": rule for i in (0, 1)}
        changes["spec.analysis.onNoData"] = "Hold" if rule != "Hold" else "Fail"
    status = tick(running(10, changes=changes), answers).status
    assert status is not None
    assert (status.failed_checks, status.canary_weight) == (failed, weight)


def test_no_data_that_passes_is_not_called_data() -> None:
    """`onNoData: Pass` goes on, and no condition claims that there was data."""
    status = tick(running(10, changes={"spec.analysis.onNoData": "Pass"}), empty).status
    assert status is not None
    found = status.condition("MetricsAvailable")
    assert found is None or found.status != "True"


def test_first_weight_waits_for_metrics() -> None:
    """Before the first weight, metrics that do not answer hold the run at 0."""
    decision = tick(running(0), down)
    status = decision.status
    assert status is not None
    assert (status.canary_weight, weights_of(decision.actions)) == (0, None)
    assert reasons(decision) == ["MetricsMissing"]


def test_first_weight_does_not_wait_for_traffic() -> None:
    """A primary without any series yet does not hold the first step (analysis.md section 2)."""
    status = tick(running(0), empty).status
    assert status is not None
    assert status.canary_weight == 10


def lacking(queries: tuple[Query, ...]) -> tuple[Measurement, ...]:
    """Answer with series that lack the label response_flags."""
    found = good(queries)
    return tuple(
        replace(m, answer=replace(m.answer, canary=tuple(_without(s) for s in m.answer.canary)))  # type: ignore[type-var,union-attr]
        for m in found
    )


def _without(series: Any) -> Any:
    return replace(series, labels=tuple(pair for pair in series.labels if pair[0] != "response_flags"))


def test_first_weight_waits_for_labels() -> None:
    """A series of the primary without a label the checks need is named, and the run holds (R-DIM-1)."""
    decision = tick(running(0), lacking)
    status = decision.status
    assert status is not None
    assert status.canary_weight == 0
    found = status.condition("MetricsAvailable")
    assert found is not None
    assert found.reason == "LabelsMissing"
    assert "response_flags" in found.message
    assert "catalog-primary" in found.message


def test_foreign_service_holds_before_the_canary_is_scaled() -> None:
    """A Service that would send callers to the canary keeps it from being made (I9)."""
    stray = service("stray", ours=False)
    world = beside(services=[stray])(replace(running(0), candidate=None))
    decision = tick(world)
    status = decision.status
    assert status is not None
    assert [a for a in decision.actions if a.ref.name == "catalog-canary"] == []
    held = status.condition("Held")
    assert held is not None
    assert (held.reason, "stray" in held.message) == ("ForeignService", True)


@pytest.mark.parametrize(
    ("pods", "since", "seconds", "phase"),
    [
        pytest.param(0, 0, 59, Phase.PROGRESSING, id="before the deadline"),
        pytest.param(0, 0, 60, Phase.FAILED, id="at the deadline"),
        pytest.param(0, 50, 60, Phase.PROGRESSING, id="counted from the last progress"),
        pytest.param(1, 0, 60, Phase.PROGRESSING, id="just ready"),
    ],
)
def test_canary_that_never_gets_ready_ends_the_run(pods: int, since: float, seconds: float, phase: Phase) -> None:
    """Without progress for progressDeadlineSeconds the run is rolled back, saying so."""
    world = running(0, ready=pods, status=waiting_since(since, 1))
    decision = tick(world, seconds=seconds)
    status = new_status(world, decision)
    assert status.phase is phase
    if phase is Phase.FAILED:
        found = status.condition("Progressing")
        assert found is not None
        assert found.reason == "CanaryNotReady"
        assert reasons(decision) == ["RolledBack"]


def test_deadline_is_waited_for() -> None:
    """While pods are awaited the timer is the deadline."""
    world = running(0, ready=0, status=waiting_since(0, 1))
    assert tick(world, seconds=46).requeue_after == at(60) - at(46)


def test_more_ready_pods_restart_the_deadline() -> None:
    """Progress is a rising number of available pods, beside the three that exist."""
    world = running(0, pods=3, ready=1, changes={"spec.analysis.stepWeight": 100, "spec.analysis.maxWeight": 100})
    world = with_status(world, **waiting_since(0, 3))
    status = new_status(world, tick(world, seconds=70))
    assert status.phase is Phase.PROGRESSING
    assert status.progress is not None
    assert (status.progress.since, status.progress.available) == (at(70), 4)


def test_deadline_restarts_when_a_settled_canary_is_replaced() -> None:
    """A new template's pods get their whole deadline, however long the old ones settled."""
    world = running(0, pods=1, status={**settled("canary"), **waiting_since(0)})
    old = replace(world, candidate=clone("canary", V3, 1), revisions=kept(V1, V2, V3))
    replaced = replace(after(old, tick(old, busy, 59)), candidate=clone("canary", V2, 1, ready=0))
    soon = after(replaced, tick(replaced, seconds=61))
    assert new_status(soon, tick(soon, seconds=100)).phase is Phase.PROGRESSING
    assert new_status(soon, tick(soon, seconds=122)).phase is Phase.FAILED


def test_deployment_beyond_its_deadline_ends_the_run() -> None:
    """What the Deployment controller gave up is given up, at any weight, without a tick."""
    world = replace(running(10), candidate=clone("canary", V2, 2, ready=0, stuck=True))
    decision = tick(world, seconds=10)
    assert new_status(world, decision).phase is Phase.FAILED
    assert weights_of(decision.urgent) == (100, 0)


def marked(weight: int, run: str) -> dict[str, Any]:
    """Return a route at 100/0 with the mark of a rolled back run."""
    mark = roll_back_mark(B, run, "ChecksFailed", "5 failed checks")
    return route(weight, annotations={ROLLED_BACK: mark})


def test_rollback_survives_a_status_that_was_never_written() -> None:
    """The mark in the route ends the run although the status still says 30 % (I22)."""
    world = running(30)
    world = replace(world, route=marked(0, run_id(world.status)))
    decision = tick(world, seconds=1)
    status = new_status(world, decision)
    assert (status.phase, status.message) == (Phase.FAILED, f"Rolled back revision {B}: 5 failed checks")
    assert (weights_of(decision.urgent), weights_of(decision.actions)) == (None, None)


def test_mark_of_another_run_ends_nothing() -> None:
    """A new run of the same revision is not ended by the mark of the one before."""
    world = replace(running(30), route=marked(30, "another"))
    assert new_status(world, tick(world, seconds=1)).phase is Phase.PROGRESSING


def test_rollback_leaves_its_mark() -> None:
    """The write that rolls back carries the mark; its reason is the condition's."""
    decision = tick(running(30, status={"failed_checks": 4}), bad)
    mark = decision.urgent[0].body["metadata"]["annotations"][ROLLED_BACK]  # type: ignore[union-attr]
    assert '"reason":"ChecksFailed"' in mark
    assert decision.status is not None
    found = decision.status.condition("Progressing")
    assert found is not None
    assert (found.status, found.reason) == ("False", "ChecksFailed")


@pytest.mark.parametrize(
    ("target", "phase", "candidate", "event"),
    [
        pytest.param(new_target(V3, generation=4), Phase.PROGRESSING, C, "RevisionDetected", id="newer"),
        pytest.param(new_target(V1, generation=4), Phase.INITIALIZED, A, "Reverted", id="reverted"),
    ],
)
def test_changed_target_takes_traffic_off_at_once(target: Any, phase: Phase, candidate: str, event: str) -> None:
    """A superseded or reverted run is 100/0 in one urgent write, at weight 0, counters 0."""
    world = replace(running(30, status={"failed_checks": 3}), target=target)
    decision = tick(world, seconds=1)
    status = new_status(world, decision)
    assert (status.phase, status.canary_weight, status.revisions.candidate) == (phase, 0, candidate)
    assert weights_of(decision.urgent) == (100, 0)
    assert reasons(decision) == [event]
    assert [a for a in decision.actions if a.ref.name == "catalog-canary"] == []
    if phase is Phase.PROGRESSING:
        assert (status.failed_checks, status.traffic_since) == (0, None)
        assert status.step is not None
        assert status.step.next_tick_at == at(46)


def test_refused_spec_rolls_back() -> None:
    """A run whose spec can no longer be used goes back; that needs no usable spec (I22)."""
    world = replace(running(30), spec=None, refusals=("spec.analysis.stepWeight is 500",))
    decision = tick(world, seconds=1)
    assert new_status(world, decision).phase is Phase.FAILED
    assert weights_of(decision.urgent) == (100, 0)


@pytest.mark.parametrize(
    ("top", "step_weight", "following"), [(50, 25, 50), (50, 40, 40), (100, 31, 31), (30, 10, None)]
)
def test_edited_plan_never_skips_upwards(top: int, step_weight: int, following: int | None) -> None:
    """The next step after an edit is the first of the new plan above the present weight (W11)."""
    changes = {"spec.analysis.maxWeight": top, "spec.analysis.stepWeight": step_weight}
    status: CanaryStatus | None = tick(running(30, pods=2, changes=changes)).status
    assert status is not None
    assert (status.phase, status.canary_weight) == (
        (Phase.PROMOTING, 0) if following is None else (Phase.PROGRESSING, following)
    )
