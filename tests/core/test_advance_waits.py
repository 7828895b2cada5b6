"""What people are told while something is waited for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import Phase
from canary.core.decide import decide, questions
from canary.core.measurement import DrainQuery, Measurement, TemplateQuery, Unavailable
from canary.core.names import DRAINED_FROM
from canary.core.snapshot import Snapshot
from tests.answers import busy, good
from tests.builders import (
    NAMES,
    V1,
    V2,
    apex,
    at,
    clone,
    deleted,
    deployment,
    finalising,
    idle,
    new_status,
    new_target,
    patch_of,
    promoting,
    running,
    settled,
    waiting_since,
    with_status,
)

CANARY = NAMES.workload("canary")
WHOLE = {"spec.analysis.stepWeight": 100, "spec.analysis.maxWeight": 100}


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


@pytest.mark.parametrize("where", ["before the first weight", "in the cut-over"])
@pytest.mark.parametrize(
    ("pods", "ready", "seen", "restarts"),
    [
        pytest.param(2, 0, 0, True, id="updated rises"),
        pytest.param(2, 1, 2, True, id="available rises"),
        pytest.param(2, 0, 2, False, id="stands still"),
        pytest.param(1, 0, 2, False, id="falls"),
        pytest.param(1, 1, 2, False, id="was as far before"),
    ],
)
def test_progress_is_updated_or_available_pods_rising(
    where: str, pods: int, ready: int, seen: int, restarts: bool
) -> None:
    """Pods that appear, or get available, restart the deadline as in apps/v1 (section 5)."""
    canary = clone("canary", V2, 2, pods=pods, ready=ready)
    world = promoting(50, candidate=canary) if where == "in the cut-over" else running(0, changes=WHOLE)
    world = with_status(replace(world, candidate=canary), **waiting_since(0, seen))
    status = new_status(world, decide(world, (), at(70)))
    assert (status.phase is not Phase.FAILED) is restarts
    assert status.progress is None or status.progress.since == at(70)


def test_progress_counts_pods_of_the_candidate_alone() -> None:
    """Old pods that are still there are no progress of the new ones."""
    canary = clone("canary", V2, 2, pods=2, updated=1, ready=1)
    world = with_status(running(0, candidate=canary, changes=WHOLE), **waiting_since(0, 1))
    assert new_status(world, decide(world, (), at(70))).phase is Phase.FAILED
