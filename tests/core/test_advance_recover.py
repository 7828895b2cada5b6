"""After a failed promotion; and the table of transitions over worlds of all kinds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import Phase
from canary.core.actions import Decision
from canary.core.advance import TRANSITIONS
from canary.core.decide import decide, questions
from canary.core.snapshot import Snapshot
from tests.answers import down, good
from tests.builders import NAMES as N
from tests.builders import (
    V1,
    V2,
    V3,
    A,
    B,
    C,
    apex,
    at,
    clone,
    finalising,
    idle,
    new_status,
    new_target,
    promoting,
    promotion_failed,
    role_of,
    rolled,
    route,
    running,
    settled,
    spec_of,
    untouched,
    waiting_since,
    weights_of,
    with_status,
)
from tests.core.test_advance_phases import initialising


def look(world: Snapshot, seconds: float = 60, answers: Any = good) -> Decision:
    """Decide at a moment, with the answers a kind of world gives."""
    return decide(world, answers(questions(world, at(seconds))), at(seconds))


def after(world: Snapshot, decision: Decision) -> Snapshot:
    """Return the world with the status a decision wrote."""
    return with_status(world, new_status(world, decision))


class TestRecovery:
    """After a failed promotion: nothing without a new template, then the primary first (section 7)."""

    def asked(self, seconds: float | None = None, role: str = "primary-retrying", **parts: Any) -> Snapshot:
        """Return a failed promotion with a new template."""
        world = promotion_failed(target=new_target(V3, generation=4), **parts)
        return world if seconds is None else with_status(world, **waiting_since(seconds, role=role))

    def test_nothing_follows_by_itself(self) -> None:
        """Traffic stays, pods stay, for as long as nobody acts."""
        world = promotion_failed()
        decision = look(after(world, look(world)), 7200)
        assert (decision.urgent, decision.actions, decision.requeue_after) == ((), (), None)

    def test_new_template_waits_for_the_primary(self) -> None:
        """The template is remembered; the serving revision is tried again, for one deadline."""
        world = self.asked()
        decision = look(world)
        status = new_status(world, decision)
        assert (status.phase, status.revisions.pending) == (Phase.FAILED, C)
        assert status.progress is not None
        assert status.progress.role == "primary-retrying"
        assert decision.requeue_after is not None

    def test_former_revision_follows(self) -> None:
        """Not ready within the deadline: the revision before, once the primary settled."""
        world = after(self.asked(0), look(self.asked(0), 60))
        assert world.status.progress is not None
        assert world.status.progress.role == "primary-falling-back"
        assert spec_of(look(world, 61).actions, N.workload("primary")) == {}
        later = look(world, 76)
        assert "template" in spec_of(later.actions, N.workload("primary"))
        assert weights_of((*later.urgent, *later.actions)) is None

    def test_recovered_primary_takes_over(self) -> None:
        """The serving revision got ready: 100/0 by way of Finalising."""
        world = self.asked(0, primary=rolled())
        decision = look(world, 30)
        assert new_status(world, decision).phase is Phase.FINALISING
        assert (weights_of(decision.actions), role_of(decision.actions)) == ((100, 0), "primary")

    def test_template_that_was_not_judged_never_enters_the_primary(self) -> None:
        """At no moment of the recovery does the primary get the new template (I10)."""
        world = self.asked()
        for seconds in range(10, 400, 10):
            decision = look(world, seconds)
            pod = spec_of(decision.actions, N.workload("primary")).get("template", {})
            assert C not in str(pod)
            world = after(world, decision)

    def reverted(self, **parts: Any) -> Snapshot:
        """Return a failed promotion whose target was reverted and whose primary got its former revision again."""
        found = {"primary": clone("primary", generation=4, ready=1, updated=1), "route": route(100), **parts}
        world = promotion_failed(target=new_target(V1, generation=4), **found)
        return with_status(world, **waiting_since(0, role="primary-falling-back"))

    @pytest.mark.parametrize("seconds", [None, 0])
    def test_revert_says_what_is_going_on(self, seconds: float | None) -> None:
        """While the serving revision is tried again: Failed, and where the traffic is."""
        world = promotion_failed(target=new_target(V1, generation=4))
        world = world if seconds is None else with_status(world, **waiting_since(seconds, role="primary-retrying"))
        status = new_status(world, look(world, 10))
        assert (status.phase, status.revisions.pending) == (Phase.FAILED, A)
        assert status.message == (
            f"Revision {A} is waiting: the primary tries revision {B} again after its failed promotion, "
            "all traffic stays on the canary until it is ready"
        )

    def test_reverted_target_is_failed_until_traffic_is_back(self) -> None:
        """The primary rolls back to its former revision: all traffic on the canary is not Initialized."""
        world = self.reverted()
        decision = look(world, 10)
        status = new_status(world, decision)
        assert (status.phase, decision.actions, decision.urgent) == (Phase.FAILED, (), ())
        assert status.message == (
            f"Revision {A} is waiting: the primary goes back to it, all traffic stays on the canary until it is ready"
        )
        whole = replace(after(world, decision), primary=clone("primary", generation=4))
        moving = look(whole, 20)
        assert new_status(whole, moving).phase is Phase.FAILED
        assert (weights_of(moving.urgent), role_of(moving.urgent)) == ((100, 0), "primary")
        back = replace(after(whole, moving), route=route(0), apex=apex("primary"))
        status = new_status(back, look(back, 21))
        assert (status.phase, status.revisions.pending, status.progress) == (Phase.INITIALIZED, None, None)
        assert {c.type for c in status.conditions if c.status != "True"} == set()

    @pytest.mark.parametrize(
        ("parts", "weights"),
        [
            ({"route": route(60, by="kubectl-edit")}, (0, 100)),
            ({"route": route(60, by="kubectl-edit"), "primary": clone("primary", generation=4)}, (100, 0)),
            ({"route": route(0), "apex": apex("primary")}, None),
        ],
    )
    def test_weights_edited_while_the_primary_goes_back(self, parts: dict[str, Any], weights: Any) -> None:
        """To the canary until the primary is whole; what is back on the primary stays there."""
        decision = look(self.reverted(**parts), 10)
        assert weights_of((*decision.urgent, *decision.actions)) == weights

    def test_primary_that_went_back_is_not_waited_for_as_a_set_off_the_routes(self) -> None:
        """Once it has its former revision nothing is asked about requests at it."""
        world = with_status(self.reverted(), **settled("primary", 60))
        world = after(world, look(world))
        assert (world.status.drain, questions(world, at(90)), look(world, 90).requeue_after) == (None, (), None)

    def test_rolled_back_run_is_failed_until_traffic_is_back(self) -> None:
        """A revert while a rollback still waits for a ready primary: Failed, until routes are at 100/0."""
        world = running(30, Phase.FAILED, status={"step": None}, primary=clone("primary", ready=0))
        world = replace(world, target=new_target(V1, generation=4))
        decision = look(world)
        status = new_status(world, decision)
        assert status.phase is Phase.FAILED
        assert status.message == f"Revision {A} is waiting: traffic is still on the canary, it goes back to the primary"
        back = replace(after(world, decision), primary=clone("primary"), route=route(0))
        assert new_status(back, look(back, 61)).phase is Phase.INITIALIZED


def every_world() -> list[Snapshot]:
    """Return worlds in all phases with all kinds of targets, pods and routes."""
    made = [untouched(), idle(), idle(Phase.SUCCEEDED), running(0), running(30), running(50, pods=2), promoting()]
    made += [promoting(50), finalising(), finalising(100), promotion_failed(), running(0, Phase.FAILED, pods=0)]
    made += [initialising(primary=clone("primary")), initialising(route=route(0), primary=clone("primary"))]
    targets = [new_target(pod, n, generation=4) for pod in (V1, V2, V3) for n in (0, 2)]
    primaries = [clone("primary"), clone("primary", ready=0), rolled(), rolled(ready=1, stuck=True), None]
    canaries = [clone("canary", V2, n, ready=r) for n, r in ((0, 0), (2, 0), (2, 2))] + [None]
    found = list(made)
    for world in made:
        found += [replace(world, target=t) for t in (*targets, None)]
        found += [replace(world, primary=p, candidate=c) for p in primaries for c in canaries]
        found += [replace(world, route=r, apex=s) for r in (route(0), route(100)) for s in (apex("primary"), None)]
    return found


@pytest.mark.parametrize("answers", [good, down])
def test_every_decision_keeps_to_the_transitions(answers: Any) -> None:
    """Whatever the world, a phase leads only where the table says."""
    for world in every_world():
        for seconds in (1, 46, 200, 5000):
            phase = new_status(world, look(world, seconds, answers)).phase
            allowed = TRANSITIONS[world.status.phase][1] | {world.status.phase}
            assert phase in allowed, f"{world.status.phase} -> {phase}"


def test_transitions_are_the_designs() -> None:
    """The table holds what section 4 says, where Waiting also ends in a refusal."""
    table = {phase.value: {p.value for p in targets} for phase, (_, targets) in TRANSITIONS.items()}
    assert table == {
        "": {"Initializing", "Initialized"},
        "Initializing": {"Initialized"},
        "Initialized": {"Waiting", "Progressing"},
        "Waiting": {"Progressing", "Initialized", "Failed"},
        "Progressing": {"WaitingPromotion", "Promoting", "Failed", "Waiting", "Initialized"},
        "WaitingPromotion": {"Promoting", "Failed", "Progressing", "Waiting", "Initialized"},
        "Promoting": {"Finalising", "Failed", "Initialized"},
        "Finalising": {"Succeeded", "Failed"},
        "Succeeded": {"Waiting", "Progressing"},
        "Failed": {"Waiting", "Progressing", "Initialized", "Finalising"},
    }
