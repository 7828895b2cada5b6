"""All other phases: initialising, idle, promoting, and finalising."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import CanaryStatus, Phase, Revisions
from canary.core.actions import Decision
from canary.core.advance.run import run_id
from canary.core.decide import decide, questions
from canary.core.names import ROLLED_BACK, WISH
from canary.core.routes.marks import roll_back_mark
from canary.core.snapshot import Snapshot
from tests.answers import down, good
from tests.builders import NAMES as N
from tests.builders import (
    NOW,
    V1,
    V2,
    V3,
    A,
    B,
    C,
    apex,
    at,
    clone,
    deployment,
    finalising,
    idle,
    kept,
    names_of,
    new_status,
    new_target,
    promoting,
    role_of,
    rolled,
    route,
    running,
    service,
    settled,
    spec_of,
    untouched,
    waiting_since,
    weights_of,
    with_status,
)


def look(world: Snapshot, seconds: float = 60, answers: Any = good) -> Decision:
    """Decide at a moment, with the answers a kind of world gives."""
    return decide(world, answers(questions(world, at(seconds))), at(seconds))


def after(world: Snapshot, decision: Decision) -> Snapshot:
    """Return the world with the status a decision wrote."""
    return with_status(world, new_status(world, decision))


def initialising(**parts: Any) -> Snapshot:
    """Return a Canary whose first revision is pinned, with what is made so far."""
    world = replace(untouched(), **{"revisions": kept(V1), **parts})
    first = new_status(world, decide(replace(world, primary=None), (), NOW))
    known = Revisions(primary=A, candidate=A)
    return with_status(world, first, phase=Phase.INITIALIZING, revision=known, drain=None)


DEFAULTED = {**V1, "spec": {**V1["spec"], "brandNew": "default"}}
SERVICES = {
    "primary_service": service("catalog-primary", "primary"),
    "canary_service": service("catalog-canary", "canary"),
    "keeper": service("catalog-target"),
}


class TestInitialising:
    """Production moves from the target to the primary, make before break."""

    def test_target_rollout_is_awaited(self) -> None:
        """Nothing is made while the target itself rolls."""
        world = untouched(target=deployment(ready=1))
        decision = look(world)
        assert decision.actions == ()
        assert new_status(world, decision).message == "Waiting for the rollout of Deployment catalog to finish"

    def test_primary_is_made_at_the_targets_size(self) -> None:
        """The first writes pin the revision and make the primary; nothing else."""
        decision = look(untouched(target=deployment(replicas=3)))
        assert names_of(decision.actions) == [
            f"create ControllerRevision catalog-canary-{A}",
            "create Deployment catalog-primary",
        ]
        assert decision.actions[1].body["spec"]["replicas"] == 3  # type: ignore[union-attr]

    def test_nothing_points_at_a_primary_that_is_not_ready(self) -> None:
        """While the primary starts, Services are made, but neither route nor selector (I6)."""
        decision = look(initialising(primary=clone("primary", ready=1)))
        services = [f"create Service catalog-{name}" for name in ("primary", "canary", "target")]
        assert names_of(decision.actions) == services

    def test_hand_over_comes_when_the_primary_can_carry_all(self) -> None:
        """Route 100/0 first, then the apex Service; the target keeps its pods."""
        decision = look(initialising(primary=clone("primary"), **SERVICES))
        assert names_of(decision.actions) == ["create VirtualService catalog", "patch Service catalog"]
        assert (weights_of(decision.actions), role_of(decision.actions)) == ((100, 0), "primary")

    @pytest.mark.parametrize(
        "parts",
        [
            pytest.param({"target": deployment(pod=V2, generation=2, ready=1)}, id="target moved and rolls"),
            pytest.param({"target": deployment(replicas=4)}, id="target grew beyond the primary"),
        ],
    )
    def test_hand_over_waits_for_equal_sets(self, parts: dict[str, Any]) -> None:
        """When target and primary differ in the same snapshot, nothing points at the primary."""
        decision = look(initialising(primary=clone("primary"), **SERVICES, **parts))
        assert (weights_of(decision.actions), role_of(decision.actions)) == (None, None)

    def test_target_that_moved_is_pinned_anew(self) -> None:
        """A target that changed before the hand-over is what the primary gets."""
        world = initialising(primary=clone("primary"), target=deployment(pod=V2, generation=2), **SERVICES)
        decision = look(world)
        assert new_status(world, decision).revisions.primary == B
        assert "template" in spec_of(decision.actions, N.workload("primary"))
        assert (weights_of(decision.actions), role_of(decision.actions)) == (None, None)

    def test_target_shrinks_only_after_settle(self) -> None:
        """Handed over: the target keeps its pods until it settled, and then goes to 0, guarded."""
        world = initialising(primary=clone("primary"), route=route(0), apex=apex("primary"), **SERVICES)
        first = look(world, 45)
        assert spec_of(first.actions, N.target_ref) == {}
        waiting = after(world, first)
        assert waiting.status.drain is not None
        assert (waiting.status.drain.role, waiting.status.drain.since) == ("target", at(45))
        assert spec_of(look(waiting, 59).actions, N.target_ref) == {}
        assert spec_of(look(waiting, 60).actions, N.target_ref) == {"replicas": 0}

    def test_initialised_when_the_target_is_at_0(self) -> None:
        """The phase follows when the target was scaled down."""
        world = initialising(primary=clone("primary"), route=route(0), apex=apex("primary"), **SERVICES)
        world = replace(world, target=deployment(replicas=0, generation=2))
        status = new_status(world, look(world))
        assert (status.phase, status.last_promoted_spec) == (Phase.INITIALIZED, A)

    def test_primary_that_never_gets_ready_leaves_the_target_serving(self) -> None:
        """On a deadline it stays Initializing, says so, and the target is untouched."""
        world = initialising(primary=clone("primary", ready=0, stuck=True), **SERVICES)
        decision = look(world)
        status = new_status(world, decision)
        ready = status.condition("Ready")
        assert ready is not None
        assert (status.phase, ready.status, ready.reason) == (Phase.INITIALIZING, "False", "PrimaryNotReady")
        assert decision.actions == ()


class TestErasedStatus:
    """The first record of a Canary whose status is gone looks at the world."""

    def erased(self, world: Snapshot) -> Snapshot:
        """Return the world with an empty status."""
        return with_status(world, CanaryStatus())

    def test_idle_world_is_taken_up(self) -> None:
        """Our ready primary is production; nothing is written to the world."""
        world = self.erased(idle())
        decision = look(world)
        status = new_status(world, decision)
        assert (status.phase, status.revisions.primary) == (Phase.INITIALIZED, A)
        assert (decision.urgent, decision.actions) == ((), ())

    @pytest.mark.parametrize("weight", [10, 30, 50])
    def test_run_is_taken_back(self, weight: int) -> None:
        """In a run: 100/0 at once, and the target that differs starts a run."""
        world = self.erased(running(weight))
        first = look(world)
        assert weights_of(first.urgent) == (100, 0)
        back = replace(after(world, first), route=route(0))
        assert new_status(back, look(back)).phase is Phase.PROGRESSING

    def test_primary_that_is_not_ready_is_not_written(self) -> None:
        """Initializing never writes an existing primary."""
        world = self.erased(replace(promoting(), primary=rolled(ready=1, updated=1)))
        decision = look(world)
        assert new_status(world, decision).phase is Phase.INITIALIZING
        assert (decision.urgent, decision.actions) == ((), ())


class TestIdle:
    """Initialized, Succeeded and Failed: silent until the target changes."""

    @pytest.mark.parametrize("phase", [Phase.INITIALIZED, Phase.SUCCEEDED])
    def test_idle_is_silent(self, phase: Phase) -> None:
        """No write, no question, no timer (I5, I19)."""
        world = idle(phase)
        assert questions(world, at(3600)) == ()
        decision = decide(world, (), at(3600))
        assert (decision.status, decision.urgent, decision.actions) == (None, (), ())
        assert (decision.events, decision.requeue_after) == ((), None)

    @pytest.mark.parametrize("phase", [Phase.INITIALIZED, Phase.SUCCEEDED, Phase.FAILED])
    def test_new_template_starts_a_run(self, phase: Phase) -> None:
        """The revision is pinned, the canary made for the first weight, the tick one interval ahead."""
        world = idle(phase, target=new_target())
        decision = look(world)
        status = new_status(world, decision)
        assert (status.phase, status.canary_weight, status.revisions.candidate) == (Phase.PROGRESSING, 0, B)
        assert status.step is not None
        assert status.step.next_tick_at == at(105)
        assert names_of(decision.actions) == [
            f"create ControllerRevision catalog-canary-{B}",
            "create Deployment catalog-canary",
        ]

    @pytest.mark.parametrize("pod", [V1, DEFAULTED])
    def test_same_template_starts_none(self, pod: dict[str, Any]) -> None:
        """A moved generation alone is no change; neither is what newer defaults add to the pinned template."""
        world = idle(target=new_target(pod))

        def defaulting(queries: Any) -> Any:
            return tuple(replace(m, answer=replace(m.answer, template=pod)) for m in good(queries))

        decision = look(world, answers=defaulting)
        status = new_status(world, decision)
        assert status.phase is Phase.INITIALIZED
        assert status.target is not None
        assert status.target.generation == 3

    def test_failed_read_is_no_change_and_is_asked_again(self) -> None:
        """Without the dry-run's answer no run starts, and the question comes again (I15)."""
        world = idle(target=new_target(DEFAULTED))
        decision = look(world, answers=down)
        assert new_status(world, decision).phase is Phase.INITIALIZED
        assert decision.requeue_after is not None
        later = after(world, decision)
        assert new_status(later, look(later, 70)).phase is Phase.PROGRESSING

    def failed(self, pod: Any = V2, generation: int = 3, **parts: Any) -> Snapshot:
        """Return the world after V2 was rolled back and settled."""
        world = running(0, Phase.FAILED, pods=0, status={"step": None, "run": None}, **parts)
        return replace(world, target=new_target(pod, generation=generation))

    def test_failed_template_applied_again_does_nothing(self) -> None:
        """The same template, generation moved, starts no run after a rollback."""
        world = self.failed(generation=4)
        status = new_status(world, look(world))
        assert (status.phase, status.revisions.candidate) == (Phase.FAILED, B)

    def test_failed_then_reverted_then_failed_template_is_a_change(self) -> None:
        """Reverted: Initialized without a run; the failed template applied later counts as a change."""
        world = self.failed(V1, generation=4)
        reverted = look(world)
        status = new_status(world, reverted)
        assert (status.phase, status.revisions.candidate) == (Phase.INITIALIZED, A)
        again = replace(with_status(world, status), target=new_target(V2, generation=5))
        assert new_status(again, look(again)).phase is Phase.PROGRESSING

    def test_run_waits_for_traffic_on_the_primary(self) -> None:
        """A change with weight still on the canary is remembered, said, and starts later."""
        world = self.failed(V3, generation=4)
        shown = replace(world, route=route(30), candidate=clone("canary", V2, 1))
        status = new_status(shown, look(shown))
        assert (status.phase, status.revisions.pending) == (Phase.FAILED, C)
        found = status.condition("RevisionPending")
        assert found is not None
        assert found.status == "True"


class TestWish:
    """How many replicas production should have."""

    @pytest.mark.parametrize(
        ("target", "wish"),
        [
            pytest.param(new_target(V1, 5), 5, id="somebody owns the field"),
            pytest.param(new_target(V1, 5, owners=()), 2, id="a defaulted value is none"),
            pytest.param(new_target(V1, 5, owners=("canary-controller",)), 2, id="ours is none"),
            pytest.param(new_target(V1, 0), 2, id="0 is none"),
            pytest.param(new_target(V1, 5, annotations={WISH: "7"}), 7, id="the annotation goes first"),
            pytest.param(new_target(V1, 0, annotations={WISH: "7"}), 7, id="the annotation at 0"),
            pytest.param(new_target(V1, 5, annotations={WISH: "many"}), 5, id="an unusable annotation"),
            pytest.param(new_target(V1, 5, annotations={WISH: "0"}), 5, id="an annotation of 0"),
            pytest.param(None, 2, id="no target"),
        ],
    )
    def test_wish_comes_from_the_target(self, target: Any, wish: int) -> None:
        """Annotation, then a value somebody set, then what is known; the primary follows when idle."""
        world = idle(target=target)
        decision = look(world)
        status = new_status(world, decision)
        assert status.replicas is not None
        assert status.replicas.desired == wish
        assert spec_of(decision.actions, N.workload("primary")) == ({} if wish == 2 else {"replicas": wish})
        assert status.phase is Phase.INITIALIZED

    @pytest.mark.parametrize(("wish", "size"), [(5, 5), (1, None)])
    def test_wish_only_raises_in_a_run(self, wish: int, size: int | None) -> None:
        """A higher wish is followed at once, a lower one waits for the end of the run (I8)."""
        world = running(10, target=new_target(V2, wish, generation=4))
        written = spec_of(look(world, 10).actions, N.workload("primary"))
        assert written.get("replicas") == size

    def test_emergency_scale_is_not_fought(self) -> None:
        """The primary's size is written only when the wish changes."""
        assert look(idle(primary=clone("primary", replicas=9, wish=2))).actions == ()

    def test_raised_wish_never_shrinks_the_primary_in_a_run(self) -> None:
        """A primary that an emergency scale made larger keeps its size until the run ends (I8)."""
        world = running(10, target=new_target(V2, 3, generation=4), primary=clone("primary", replicas=9, wish=2))
        assert spec_of(look(world, 10).actions, N.workload("primary")).get("replicas", 9) >= 9


class TestPromoting:
    """The cut-over: all on the canary, then the primary rolls without traffic."""

    def test_primary_rolls_after_settle_alone(self) -> None:
        """Off the routes, waited for and quiet: the analysed template, guarded."""
        early = promoting(status=settled("primary", 14))
        assert spec_of(look(early).actions, N.workload("primary")) == {}
        late = promoting(status=settled("primary", 15))
        assert "template" in spec_of(look(late).actions, N.workload("primary"))

    def test_cut_over_waits_for_full_size(self) -> None:
        """Fewer ready canary pods than production has: the routes stay (I8)."""
        world = promoting(50, candidate=clone("canary", V2, 2, ready=1))
        decision = look(world, 1)
        assert (weights_of(decision.actions), role_of(decision.actions)) == (None, None)
        assert new_status(world, decision).message == "Waiting for Deployment catalog-canary: 1 of 2 ready"

    def test_canary_lost_in_the_cut_over_rolls_back_at_the_deadline(self) -> None:
        """Without progress the promotion ends at 100/0, the primary untouched."""
        world = promoting(50, candidate=clone("canary", V2, 2, ready=1), status=waiting_since(0, 3))
        decision = look(world)
        assert new_status(world, decision).phase is Phase.FAILED
        assert weights_of(decision.urgent) == (100, 0)
        assert spec_of(decision.actions, N.workload("primary")) == {}

    def test_mark_ends_a_promotion_too(self) -> None:
        """A promotion rolled back while status could not be written does not go on (I22)."""
        world = promoting(0, candidate=clone("canary", V2, 2))
        mark = roll_back_mark(B, run_id(world.status), "CanaryNotReady", "gone")
        world = replace(world, route=route(0, annotations={ROLLED_BACK: mark}), apex=apex("primary"))
        decision = look(world)
        assert new_status(world, decision).phase is Phase.FAILED
        assert weights_of((*decision.urgent, *decision.actions)) is None

    @pytest.mark.parametrize(
        ("parts", "seconds", "phase"),
        [
            pytest.param({"primary": rolled(ready=1)}, 60, Phase.PROMOTING, id="not whole"),
            pytest.param({"primary": rolled(observed=1)}, 60, Phase.PROMOTING, id="not observed"),
            pytest.param({"primary": rolled()}, 44, Phase.PROMOTING, id="before the tick"),
            pytest.param({"primary": rolled()}, 45, Phase.FINALISING, id="whole, at the tick"),
            pytest.param({"primary": rolled(ready=1, stuck=True)}, 10, Phase.FAILED, id="stuck"),
            pytest.param({"primary": clone("primary", stuck=True, ready=1)}, 60, Phase.PROMOTING, id="untouched"),
        ],
    )
    def test_promotion_ends_with_a_whole_or_a_stuck_primary(
        self, parts: dict[str, Any], seconds: float, phase: Phase
    ) -> None:
        """Finalising when all of the primary runs the revision; Failed when it made no progress."""
        world = promoting(**parts)
        assert new_status(world, look(world, seconds)).phase is phase

    def test_failed_promotion_leaves_traffic_on_the_canary(self) -> None:
        """PromotionFailed: 0/100 stays, nothing is scaled down (section 7)."""
        world = promoting(primary=rolled(ready=1, stuck=True))
        decision = look(world)
        status = new_status(world, decision)
        found = status.condition("Progressing")
        assert found is not None
        assert found.reason == "PromotionFailed"
        assert (decision.urgent, decision.actions) == ((), ())
        assert next(e.reason for e in decision.events) == "PromotionFailed"

    def test_reverted_before_the_primary_is_touched_ends_the_run(self) -> None:
        """Back to the primary at once, although it settled already."""
        world = promoting(target=new_target(V1, generation=4), status=settled("primary"))
        decision = look(world)
        assert new_status(world, decision).phase is Phase.INITIALIZED
        assert (weights_of(decision.urgent), role_of(decision.urgent)) == ((100, 0), "primary")
        assert spec_of(decision.actions, N.workload("primary")) == {}

    @pytest.mark.parametrize("pod", [V1, V3])
    @pytest.mark.parametrize("made", [promoting, finalising])
    def test_newer_template_is_remembered(self, made: Any, pod: Any) -> None:
        """With the primary touched, a change waits for the end of the run, and a condition says so."""
        world = made(primary=rolled(ready=1), target=new_target(pod, generation=4))
        decision = look(world, 10)
        status = new_status(world, decision)
        assert status.phase is world.status.phase
        found = status.condition("RevisionPending")
        assert found is not None
        assert (found.status, status.revisions.pending) == ("True", C if pod == V3 else A)


class TestFinalising:
    """Traffic back, canary gone, Succeeded."""

    @pytest.mark.parametrize(
        ("parts", "phase"),
        [
            pytest.param({}, Phase.FINALISING, id="canary still there"),
            pytest.param({"candidate": clone("canary", V2, 0)}, Phase.SUCCEEDED, id="all done"),
            pytest.param({"candidate": None}, Phase.SUCCEEDED, id="canary deleted"),
            pytest.param({"candidate": clone("canary", V2, 0, pods=1)}, Phase.FINALISING, id="a pod is left"),
            pytest.param({"candidate": None, "primary": rolled(ready=1)}, Phase.FINALISING, id="primary not whole"),
            pytest.param({"candidate": None, "route": route(100)}, Phase.FINALISING, id="weights not back"),
            pytest.param({"candidate": None, "apex": apex("canary")}, Phase.FINALISING, id="selector not back"),
        ],
    )
    def test_succeeded_means_all_of_it(self, parts: dict[str, Any], phase: Phase) -> None:
        """Primary whole on the revision, weights 100/0, selector back, canary at 0 (I14)."""
        world = finalising(**parts)
        assert new_status(world, look(world)).phase is phase

    def test_success_records_the_promotion(self) -> None:
        """The candidate is promoted, the one before is remembered."""
        world = finalising(candidate=None)
        status = new_status(world, look(world))
        assert status.revisions == Revisions(primary=B, candidate=B, previous=A)
        assert (status.last_promoted_spec, status.step, status.run) == (B, None, None)
        found = status.condition("Promoted")
        assert found is not None
        assert (found.status, found.reason) == ("True", "Succeeded")

    @pytest.mark.parametrize(("pod", "candidate"), [(V3, C), (V1, A)])
    def test_remembered_template_runs_afterwards(self, pod: Any, candidate: str) -> None:
        """A template that waited starts its run when the promotion is done (I15)."""
        world = finalising(target=new_target(pod, generation=4))
        world = after(world, look(world, 50))
        done = replace(world, candidate=clone("canary", V2, 0))
        first = look(done)
        assert new_status(done, first).phase is Phase.SUCCEEDED
        ended = after(done, first)
        status = new_status(ended, look(ended, 61))
        assert (status.phase, status.revisions.candidate) == (Phase.PROGRESSING, candidate)
