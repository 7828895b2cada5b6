"""The decision as a whole: what is worth writing, whose Canary it is, and when to look again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from canary.api.status import CanaryStatus, Drift, Phase, TargetSeen
from canary.core.decide import decide, is_foreign, questions
from canary.core.measurement import TemplateAnswer
from canary.core.snapshot import Snapshot
from tests.answers import busy, down, good
from tests.builders import (
    NOW,
    V1,
    V2,
    at,
    clone,
    finalising,
    idle,
    new_status,
    new_target,
    promoting,
    promotion_failed,
    running,
    settled,
    untouched,
    waiting_since,
    with_status,
)
from tests.core.test_advance_recover import every_world


def look(world: Snapshot, seconds: float = 60, answers: Any = good) -> Any:
    """Decide at a moment, with the answers a kind of world gives."""
    return decide(world, answers(questions(world, at(seconds))), at(seconds))


def written_by(world: Snapshot, *managers: str) -> Snapshot:
    """Return the world with a status that these managers wrote."""
    fields = [{"manager": one, "operation": "Update", "subresource": "status"} for one in managers]
    fields.append({"manager": "kubectl", "operation": "Apply"})
    raw: dict[str, Any] = {**(world.canary or {})}
    raw["metadata"] = {**raw["metadata"], "managedFields": fields}
    return replace(world, canary=raw)


@pytest.mark.parametrize(
    ("world", "foreign"),
    [
        (written_by(running(30), "flagger"), True),
        (written_by(idle(), "flagger", "argocd"), True),
        (written_by(running(30), "canary-controller"), False),
        (written_by(running(30), "canary-controller", "kubectl-edit"), False),
        (written_by(running(30)), False),
        (running(30), False),
        (written_by(untouched(), "flagger"), False),
    ],
)
def test_status_of_another_controller_is_foreign(world: Snapshot, foreign: bool) -> None:
    """A Canary whose status only others wrote is left alone; an empty status is nobody's."""
    assert is_foreign(world) is foreign


def test_foreign_canary_is_left_alone() -> None:
    """No write at all, whatever its world looks like, and a note for the log."""
    decision = look(written_by(running(30, ready=0, target=new_target(V1, generation=9)), "flagger"))
    assert (decision.status, decision.urgent, decision.actions, decision.events) == (None, (), (), ())
    assert decision.requeue_after is None
    assert decision.notes


@pytest.mark.parametrize("ready", [0, 1])
def test_ready_counts_alone_are_not_written_in_a_release(ready: int) -> None:
    """They ride along with the next row."""
    world = running(10, candidate=clone("canary", V2, 2), primary=clone("primary", ready=ready))
    assert decide(world, (), at(10)).status is None


def test_ready_counts_are_written_when_idle() -> None:
    """Between releases the status tells how many pods of production are ready."""
    status = decide(idle(primary=clone("primary", ready=1)), (), NOW).status
    assert status is not None
    assert status.replicas is not None
    assert status.replicas.primary == 1


@pytest.mark.parametrize("made", [running, promoting, finalising])
def test_moved_generation_alone_is_not_written_in_a_release(made: Any) -> None:
    """The Deployment controller's own annotation moves it: it rides along with the next row."""
    world = made(target=new_target(V2, generation=9), status={"drain": None})
    settling = with_status(world, new_status(world, look(made(), 10)))
    assert look(settling, 10).status is None


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(idle(target=new_target(V1, generation=9)), id="idle"),
        pytest.param(running(10, target=new_target(V2, generation=9, uid="made-again")), id="another object"),
        pytest.param(running(10, target=new_target({**V2, "new": 1}, generation=9)), id="told by a dry run"),
    ],
)
def test_moved_generation_is_written(world: Snapshot) -> None:
    """When no row is to come, or without the record something would be asked again."""
    answers = good if "new" not in world.target.template else defaulting
    status = look(world, 10, answers).status
    assert status is not None
    assert (status.phase, status.target) == (world.status.phase, TargetSeen(uid=world.target.uid, generation=9))


def defaulting(queries: Any) -> Any:
    """Answer that the pinned template would be stored with a new default."""
    return tuple(replace(m, answer=TemplateAnswer({**V2, "new": 1})) for m in good(queries))


def test_end_of_the_targets_drain_is_written() -> None:
    """Its pods may be asked for again at any time, and then settle anew."""
    world = running(10, target=new_target(V2, 0), status=settled("target", 55))
    status = look(world, 10).status
    assert status is not None
    assert status.drain is None


def test_forgotten_drift_is_not_written() -> None:
    """Old drift that no longer counts is no reason to write (I5)."""
    world = with_status(idle(), drift=(Drift(field="route", manager="ann", count=1, since=NOW),))
    assert decide(world, (), at(7200)).status is None


@pytest.mark.parametrize(
    ("world", "seconds", "answers", "expected"),
    [
        pytest.param(idle(), 0, good, None, id="idle"),
        pytest.param(running(10), 10, good, 35, id="the next tick"),
        pytest.param(running(10), 45, good, 45, id="after a step"),
        pytest.param(running(0, ready=0), 60, good, None, id="given up, waits for pods to go"),
        pytest.param(running(0, ready=0, status=waiting_since(30, 1)), 60, good, 30, id="the deadline"),
        pytest.param(finalising(status=settled("canary", 5)), 60, good, 10, id="the settle time"),
        pytest.param(finalising(status=settled("canary", 20)), 60, busy, 5, id="still busy"),
        pytest.param(finalising(status=settled("canary", 58)), 60, down, 2, id="unanswered to the end"),
        pytest.param(promotion_failed(), 60, good, None, id="failed promotion"),
    ],
)
def test_next_look_is_the_next_moment_something_is_owed(
    world: Snapshot, seconds: float, answers: Any, expected: float | None
) -> None:
    """The only timer is the earliest of tick, settle, deadline and retry; else a change is awaited."""
    found = look(world, seconds, answers).requeue_after
    if world.status.phase is Phase.PROGRESSING and expected is None:
        assert found is None or found <= timedelta(seconds=60)
    else:
        assert found == (None if expected is None else timedelta(seconds=expected))


@pytest.mark.parametrize("answers", [good, down])
def test_deciding_again_on_what_was_written_settles(answers: Any) -> None:
    """While the world stands still, decisions come to rest: nothing more is written (I5)."""
    for world in every_world():
        for _ in range(6):
            decision = look(world, 60, answers)
            world = with_status(world, new_status(world, decision))
        assert look(world, 60, answers).status is None, world.status


def test_equal_input_gives_equal_output() -> None:
    """The decision is a function."""
    for world in every_world():
        assert look(world) == look(world)


def test_status_survives_the_wire() -> None:
    """What is decided reads back the same from the API server."""
    for world in every_world():
        status = look(world).status
        if status is not None:
            wire = with_status(world, status).canary
            assert wire is not None
            assert CanaryStatus.model_validate(wire["status"]).phase is status.phase


@pytest.mark.parametrize(
    "world",
    [
        running(30),
        promoting(changes={"spec.promotion": {"bake": "30s"}}, status=settled("primary", 5)),
    ],
    ids=["a step", "a bake"],
)
def test_tick_that_came_due_while_other_questions_were_answered_is_asked_at_once(world: Snapshot) -> None:
    """Nothing is decided without its answers, nothing put off for an interval, and no change has to wake anybody."""
    before = {type(one).__name__ for one in questions(world, at(44.9))}
    assert "CheckQuery" not in before
    decision = decide(world, (), at(45.1))
    assert decision.requeue_after == timedelta(milliseconds=50)
    step = world.status.step if decision.status is None else decision.status.step
    assert step == world.status.step
