"""Commands: what is obeyed in which phase, what is refused and how that is told (I11)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pytest

from canary.api.command import ANNOTATION, Verb
from canary.api.status import CanaryStatus, Gate, LastCommand, Phase, Revisions, StepStatus
from canary.core.actions import Decision
from canary.core.advance import TRANSITIONS
from canary.core.advance.commands import LEGAL
from canary.core.decide import decide, questions
from canary.core.snapshot import Snapshot
from tests.answers import good
from tests.builders import (
    NOW,
    V1,
    V2,
    V3,
    A,
    B,
    C,
    at,
    finalising,
    idle,
    kept,
    new_status,
    new_target,
    promoting,
    promotion_failed,
    rolled,
    running,
    settled,
    untouched,
    with_status,
)


def asked(world: Snapshot, verb: str = "pause", **fields: Any) -> Snapshot:
    """Return a world in whose Canary somebody asks something."""
    return annotated(world, json.dumps({"id": "1", "verb": verb, "by": "ann", **fields}))


def annotated(world: Snapshot, text: str) -> Snapshot:
    """Return a world with this text as the command of its Canary."""
    assert world.canary is not None
    metadata = {**world.canary["metadata"], "annotations": {ANNOTATION: text}}
    return replace(world, canary={**world.canary, "metadata": metadata})


def look(world: Snapshot, seconds: float = 1) -> Decision:
    """Decide at a moment of a healthy world."""
    return decide(world, good(questions(world, at(seconds))), at(seconds))


def answered(world: Snapshot, seconds: float = 1) -> CanaryStatus:
    """Return the status after a look."""
    return new_status(world, look(world, seconds))


def result(status: CanaryStatus) -> str:
    """Return the answer to the last command."""
    assert status.last_command is not None
    return status.last_command.result


GATED = {"spec.analysis.webhooks": [{"name": "ok", "type": "confirm-rollout", "url": "http://gate/"}]}
WORLDS: dict[Phase, Snapshot] = {
    Phase.NONE: untouched(),
    Phase.INITIALIZING: with_status(untouched(), phase=Phase.INITIALIZING),
    Phase.INITIALIZED: idle(),
    Phase.PROGRESSING: running(10),
    Phase.WAITING: with_status(
        idle(changes=GATED, target=new_target()),
        phase=Phase.WAITING,
        step=StepStatus(index=0, count=5, next_tick_at=at(45)),
        revision=Revisions(primary=A, candidate=A, pending=B),
    ),
    Phase.WAITING_PROMOTION: running(50, Phase.WAITING_PROMOTION, pods=2, status={"canary_weight": 50}),
    Phase.PROMOTING: promoting(),
    Phase.FINALISING: finalising(),
    Phase.SUCCEEDED: with_status(
        replace(idle(Phase.SUCCEEDED), revisions=kept(V1, V2)), revision=Revisions(primary=A, candidate=A, previous=B)
    ),
    Phase.FAILED: with_status(idle(Phase.FAILED), revision=Revisions(primary=A, candidate=A)),
}
OBEYED = {
    (Phase.PROGRESSING, "pause"),
    (Phase.PROGRESSING, "promote"),
    (Phase.PROGRESSING, "skip"),
    (Phase.PROGRESSING, "abort"),
    (Phase.WAITING, "abort"),
    (Phase.WAITING_PROMOTION, "pause"),
    (Phase.WAITING_PROMOTION, "abort"),
    (Phase.PROMOTING, "pause"),
    (Phase.PROMOTING, "abort"),
    (Phase.SUCCEEDED, "rollback"),
    (Phase.FAILED, "retry"),
}


@pytest.mark.parametrize("verb", get_args(Verb))
@pytest.mark.parametrize("phase", list(TRANSITIONS))
def test_every_command_has_an_answer_in_every_phase(phase: Phase, verb: str) -> None:
    """It is obeyed where it means something; elsewhere nothing but the answer is written, and the answer says why."""
    world = WORLDS[phase]
    seconds = 46 if phase is Phase.NONE else 1
    plain, status = new_status(world, look(world, seconds)), answered(asked(world, verb), seconds)
    if (phase, verb) in OBEYED:
        assert result(status).startswith("Obeyed: ")
        return
    assert result(status).startswith("Refused: ")
    assert len(result(status)) > len("Refused: ") + 10
    assert status.model_copy(update={"last_command": None}) == plain
    assert look(asked(world, verb), seconds).actions == look(world, seconds).actions


@pytest.mark.parametrize(("seconds", "judged_at"), [(10, 45), (50, 50)])
def test_approval_takes_no_step_before_its_weight_was_in_force(seconds: float, judged_at: float) -> None:
    """What is let on is judged at once, but not on less than an interval: its traffic may just have come back (I18)."""
    step = StepStatus(index=5, count=5, started_at=at(-100), in_force_at=NOW, next_tick_at=at(seconds + 45))
    gate = Gate(name="ok", type="confirm-promotion", state="Closed")
    held = running(50, Phase.WAITING_PROMOTION, pods=2, status={"canary_weight": 50, "step": step, "gates": (gate,)})
    status = answered(asked(held, "approve"), seconds)
    assert result(status).startswith("Obeyed: ")
    assert status.step is not None
    assert status.step.next_tick_at == at(judged_at)


def test_table_of_commands_is_complete() -> None:
    """Every verb is in the table, with phases that exist."""
    assert set(LEGAL) == set(get_args(Verb))
    assert {phase for phases in LEGAL.values() for phase in phases} <= set(TRANSITIONS)


def test_command_is_answered_once_per_id() -> None:
    """An id that was answered is not looked at again, whatever it says now."""
    world = asked(running(10), "abort")
    known = with_status(world, last_command=LastCommand(id="1", verb="pause"))
    assert look(known) == look(with_status(running(10), last_command=LastCommand(id="1", verb="pause")))


def test_command_for_another_revision_is_refused() -> None:
    """A pipeline that is late does not touch the run of a newer revision, and is told which one there is."""
    status = answered(asked(running(10), "abort", revision=A))
    assert result(status) == f"Refused: it is meant for revision {A}, the present one is {B}"
    assert status.phase is Phase.PROGRESSING
    assert answered(asked(running(10), "abort", revision=B)).phase is Phase.FAILED


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pause", 'annotation canary.delivery/command is no JSON object; write it as {"id": "1", "verb": "pause"}'),
        ("[1]", 'annotation canary.delivery/command is no JSON object; write it as {"id": "1", "verb": "pause"}'),
        ('{"verb": "pause"}', "annotation canary.delivery/command: id is required"),
        ('{"id": "", "verb": "pause"}', "annotation canary.delivery/command: id is empty; it must be given"),
        (
            '{"id": "1", "verb": "stop"}',
            'annotation canary.delivery/command: verb is "stop"; supported values: "pause", "resume", "promote", '
            '"skip", "abort", "retry", "rollback", "approve", "reject"',
        ),
        (
            '{"id": "1", "verb": "pause", "by": 3}',
            "annotation canary.delivery/command: by is 3; it must be of type string",
        ),
    ],
)
def test_annotation_that_is_no_command_is_refused_once(text: str, why: str) -> None:
    """What is wrong with it is told, once, also when it has no id."""
    world = annotated(running(10), text)
    decision = look(world)
    status = new_status(world, decision)
    assert result(status) == f"Refused: {why}"
    assert [(event.reason, event.type) for event in decision.events] == [("CommandRefused", "Warning")]
    again = with_status(world, status)
    assert look(again).events == ()


def test_command_older_than_the_status_is_refused() -> None:
    """A Canary restored from a backup, status erased, does not obey what was answered long ago."""
    erased = with_status(asked(idle(Phase.SUCCEEDED), "rollback"), CanaryStatus())
    status = answered(erased)
    assert result(status) == "Refused: it is older than the status of the Canary; send it again with another id"


@pytest.mark.parametrize("verb", ["promote", "skip"])
def test_suspended_canary_takes_no_step_by_command(verb: str) -> None:
    """Who suspends a Canary in its spec has the last word, save to go back."""
    world = running(10, changes={"spec.suspend": True})
    status = answered(asked(world, verb))
    refused = "Refused: the Canary is suspended; set spec.suspend and spec.paused to false"
    assert result(status) == refused
    assert answered(asked(world, "abort")).phase is Phase.FAILED


def test_pause_stops_while_the_primary_is_given_the_revision() -> None:
    """A primary that is being rolled is not stopped half-way."""
    status = answered(asked(promoting(primary=rolled()), "pause"))
    assert result(status) == f"Refused: the primary is being given revision {B}, which is not stopped half-way"


def test_promote_and_skip_end_a_bake() -> None:
    """The primary gets the revision though the time at 100 % is not over."""
    world = promoting(changes={"spec.promotion": {"bake": "10m"}}, status=settled("primary", 30))
    for verb in ("promote", "skip"):
        status = answered(asked(world, verb), 46)
        assert result(status) == "Obeyed: the bake is taken as passed"


def test_rollback_says_when_there_is_nothing_to_go_back_to() -> None:
    """Without a kept revision before the present one nothing begins."""
    world = with_status(idle(Phase.SUCCEEDED), revision=Revisions(primary=A, candidate=A))
    status = answered(asked(world, "rollback"))
    assert result(status) == f"Refused: no revision is kept that production ran before {A}"


def test_rollback_of_a_suspended_canary_is_refused() -> None:
    """No run begins while the spec says so."""
    world = idle(Phase.SUCCEEDED, changes={"spec.suspend": True}, revisions=kept(V1, V2))
    world = with_status(world, revision=Revisions(primary=A, candidate=A, previous=B))
    assert "the Canary is suspended" in result(answered(asked(world, "rollback")))


def test_retry_after_a_failed_promotion_gives_the_primary_another_try() -> None:
    """Production on the canary: the primary gets the revision that serves again (section 7)."""
    world = asked(promotion_failed(), "retry")
    first = answered(world)
    assert result(first) == f"Obeyed: revision {B} is tried again, asked by ann"
    second = look(with_status(world, first), 2)
    assert "Recovering" in [event.reason for event in second.events]


@pytest.mark.parametrize("verb", ["abort", "approve", "reject"])
def test_command_in_waiting_means_what_waits(verb: str) -> None:
    """A target that has moved since is not turned away, nor let in, by what was said of the one before."""
    moved = replace(WORLDS[Phase.WAITING], target=new_target(V3))
    assert f"does not show revision {B} any more, but {C}" in result(answered(asked(moved, verb)))
