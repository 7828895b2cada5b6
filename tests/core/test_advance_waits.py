"""What people are told while something is waited for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.core.decide import decide, questions
from canary.core.measurement import DrainQuery, Measurement, TemplateQuery, Unavailable
from canary.core.names import DRAINED_FROM
from canary.core.snapshot import Snapshot
from tests.builders import (
    NAMES,
    V1,
    apex,
    at,
    busy,
    clone,
    deleted,
    deployment,
    finalising,
    good,
    idle,
    new_target,
    patch_of,
    settled,
)

CANARY = NAMES.workload("canary")


def still_called() -> Snapshot:
    """Return a Finalising release whose canary left the routes at 0 s."""
    return finalising(0, status=settled("canary", 60), apex=apex("primary"))


@pytest.mark.parametrize(
    ("seconds", "reason", "events"), [(40, None, []), (70, "Settling", []), (700, "StillServed", ["StillServed"])]
)
def test_requests_seen_while_settling_are_told_in_time(seconds: float, reason: str | None, events: list[str]) -> None:
    """A set that is still called is named after four drain times, and by an event after ten minutes."""
    world = still_called()
    decision = decide(world, busy(questions(world, at(seconds))), at(seconds))
    status = decision.status or world.status
    held = status.condition("Held")
    assert (held.reason if held else None) == reason
    assert [e.reason for e in decision.events if e.reason == "StillServed"] == events
    assert patch_of(decision.actions, CANARY) is None


def test_settled_set_takes_the_condition_away() -> None:
    """Once metrics are quiet the canary goes and so does the condition."""
    world = still_called()
    told = decide(world, busy(questions(world, at(70))), at(70)).status
    assert told is not None
    later = replace(world, status=told)
    decision = decide(later, good(questions(later, at(80))), at(80))
    assert patch_of(decision.actions, CANARY) is not None
    assert (decision.status or told).condition("Held") is None


def test_target_that_cannot_be_compared_is_told() -> None:
    """A refused dry-run neither starts a run nor is passed over in silence."""
    pod: dict[str, Any] = {**V1, "spec": {**V1["spec"], "newDefault": 1}}
    world = idle(target=new_target(pod))
    asked = questions(world, at(60))
    assert [type(q) for q in asked] == [TemplateQuery]
    decision = decide(world, tuple(Measurement(q, Unavailable("policy says no")) for q in asked), at(60))
    assert decision.status is not None
    pending = decision.status.condition("RevisionPending")
    assert pending is not None
    assert (pending.status, pending.reason) == ("Unknown", "CannotCompare")
    assert "policy says no" in pending.message


@pytest.mark.parametrize(("answers", "goes"), [(good, True), (busy, False)])
def test_given_back_canary_goes_only_when_metrics_are_quiet(answers: Any, goes: bool) -> None:
    """Deletion obeys the settle rule too: requests seen at the canary keep it up."""
    target = deployment(replicas=2, generation=5, annotations={DRAINED_FROM: at(0).isoformat()})
    world = deleted(target=target, candidate=clone("canary", replicas=1))
    asked = questions(world, at(20))
    assert DrainQuery in [type(q) for q in asked]
    decision = decide(world, answers(asked), at(20))
    assert (patch_of(decision.actions, CANARY) is not None) == goes
