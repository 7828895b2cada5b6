"""The status as it is written and read back."""

import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from canary.api.status import (
    CanaryStatus,
    Check,
    Condition,
    Drain,
    Drift,
    Gate,
    LastCommand,
    Phase,
    Progress,
    Replicas,
    Revisions,
    Run,
    StepStatus,
    TargetSeen,
    Traffic,
    parse,
    to_wire,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
WHOLE = NOW.replace(microsecond=0)

FULL = CanaryStatus(
    phase=Phase.PROGRESSING,
    canary_weight=30,
    failed_checks=2,
    last_applied_spec="b",
    last_promoted_spec="a",
    last_transition_time=WHOLE,
    tracked_configs={"configmap/x": "1"},
    conditions=(Condition(type="Ready", status="True", reason="Usable", last_transition_time=WHOLE),),
    observed_generation=3,
    target=TargetSeen(uid="u", generation=7),
    message="30 % of the requests go to the canary.",
    revision=Revisions(primary="a", candidate="b"),
    step=StepStatus(index=2, count=5, started_at=NOW, next_tick_at=NOW, in_force_at=NOW),
    traffic=Traffic(primary=70, canary=30),
    replicas=Replicas(desired=2, primary=2, canary=1),
    checks=(Check(name="request-success-rate", verdict="Pass", value=99.5, samples=100, at=NOW),),
    gates=(Gate(name="g", since=NOW),),
    last_command=LastCommand(id="1", verb="abort", at=NOW),
    traffic_since=NOW,
    drain=Drain(role="canary", since=NOW),
    progress=Progress(role="primary", since=NOW, available=1),
    drift=(Drift(field="VirtualService.spec", manager="kubectl", count=1, since=NOW, retry_at=NOW),),
    run=Run(started_at=NOW, size=2),
)

moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)).map(
    lambda naive: naive.replace(tzinfo=UTC)
)


def test_status_reads_back_as_written() -> None:
    """Lose nothing on the way through JSON."""
    assert parse(json.loads(json.dumps(to_wire(FULL)))) == FULL


@given(moments, st.sampled_from(Phase), st.integers(min_value=0, max_value=100))
def test_status_reads_back_any_moment(moment: datetime, phase: Phase, weight: int) -> None:
    """Keep microseconds of our own times and whole seconds of the shared one."""
    status = CanaryStatus(phase=phase, canary_weight=weight, last_transition_time=moment, traffic_since=moment)
    again = parse(to_wire(status))
    assert again == status
    assert again.traffic_since == moment
    assert again.last_transition_time == moment.replace(microsecond=0)


def test_status_writes_times_as_kubernetes_does() -> None:
    """Write UTC with Z, fractions only where we keep them."""
    east = timezone(timedelta(hours=2))
    wire = to_wire(CanaryStatus(last_transition_time=NOW.astimezone(east), traffic_since=NOW.astimezone(east)))
    assert wire["lastTransitionTime"] == "2026-03-01T12:00:00Z"
    assert wire["trafficSince"] == "2026-03-01T12:00:00.123456Z"


def test_status_reads_flaggers() -> None:
    """Read a status as Flagger writes it."""
    status = parse(
        {
            "phase": "Succeeded",
            "canaryWeight": 0,
            "failedChecks": 0,
            "iterations": 0,
            "lastAppliedSpec": "5978589476",
            "lastPromotedSpec": "5978589476",
            "lastTransitionTime": "2026-01-05T09:00:00Z",
            "trackedConfigs": {},
            "conditions": [
                {
                    "type": "Promoted",
                    "status": "True",
                    "reason": "Succeeded",
                    "message": "done",
                    "lastTransitionTime": "2026-01-05T09:00:00Z",
                    "lastUpdateTime": "2026-01-05T09:00:00Z",
                }
            ],
        }
    )
    assert status.phase is Phase.SUCCEEDED
    promoted = status.condition("Promoted")
    assert promoted is not None
    assert promoted.status == "True"


def test_status_absent_is_empty() -> None:
    """Read an erased status as a Canary that was never seen."""
    assert parse(None) == parse({}) == CanaryStatus()
    assert parse(None).phase is Phase.NONE
    assert parse(None).revisions == Revisions()
    assert parse(None).condition("Ready") is None


def test_phases_are_flaggers() -> None:
    """Use Flagger's words, so that its users' scripts go on working."""
    assert [str(phase) for phase in Phase] == [
        "",
        "Initializing",
        "Initialized",
        "Waiting",
        "Progressing",
        "WaitingPromotion",
        "Promoting",
        "Finalising",
        "Succeeded",
        "Failed",
        "Terminating",
        "Terminated",
    ]
