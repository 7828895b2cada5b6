"""What every decision watches: lost canaries, drift, settling, and what it tells about them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from canary.api.status import Condition, Drift, Phase, Traffic
from canary.core.actions import Decision
from canary.core.decide import decide, questions
from canary.core.measurement import DrainQuery
from canary.core.snapshot import Snapshot
from tests.answers import bad, busy, down, good
from tests.builders import (
    NAMES,
    NOW,
    V1,
    V2,
    V3,
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
    weights_of,
    with_status,
)

CANARY, PRIMARY = NAMES.workload("canary"), NAMES.workload("primary")
ONE_OF_TWO = clone("canary", V2, 2, ready=1)


def look(world: Snapshot, seconds: float = 60, answers: Any = good) -> Decision:
    """Decide at a moment, with the answers a kind of world gives."""
    return decide(world, answers(questions(world, at(seconds))), at(seconds))


def after(world: Snapshot, decision: Decision) -> Snapshot:
    """Return the world with the status a decision wrote."""
    return with_status(world, new_status(world, decision))


def condition(world: Snapshot, decision: Decision, kind: str) -> Condition:
    """Return a condition after a decision."""
    found = new_status(world, decision).condition(kind)
    assert found is not None, kind
    return found


def reasons(decision: Decision) -> list[str]:
    """Return the reasons of the events."""
    return [e.reason for e in decision.events]


class TestDiversion:
    """A canary that cannot carry its weight loses it at once (I13)."""

    @pytest.mark.parametrize(
        ("size", "weight", "ready", "diverted"),
        [
            (2, 10, 0, True),
            (2, 50, 1, False),
            (10, 50, 3, False),
            (10, 50, 2, True),
            (10, 40, 2, False),
            (2, 0, 0, False),
        ],
    )
    def test_traffic_is_diverted_below_half(self, size: int, weight: int, ready: int, diverted: bool) -> None:
        """With no ready pod, or fewer than half of what the weight needs: 100/0, urgently, between ticks."""
        world = running(
            weight, candidate=clone("canary", V2, size, ready=ready), primary=clone("primary", replicas=size)
        )
        world = with_status(world, run=world.status.run.model_copy(update={"size": size}))  # type: ignore[union-attr]
        decision = look(world, 10)
        assert weights_of(decision.urgent) == ((100, 0) if diverted else None)
        assert ("Diverted" in reasons(decision)) is diverted
        assert new_status(world, decision).canary_weight == weight

    def test_diversion_needs_a_ready_primary(self) -> None:
        """Between a dead primary and a dying canary nothing is moved (I6)."""
        world = running(30, candidate=clone("canary", V2, 1, ready=0), primary=clone("primary", ready=0))
        decision = look(world, 10)
        assert weights_of((*decision.urgent, *decision.actions)) is None

    def test_each_tick_without_the_canary_is_one_failed_check(self) -> None:
        """Diverted, the tick fails without a question, the weight of the plan stays (section 8)."""
        world = running(30, shown=0, candidate=clone("canary", V2, 1, ready=0))
        assert questions(world, at(45)) == ()
        status = new_status(world, look(world, 45))
        assert (status.failed_checks, status.canary_weight, status.phase) == (1, 30, Phase.PROGRESSING)

    def test_step_resumes_when_the_canary_is_back(self) -> None:
        """The weight returns when all pods it needs are back, and its soak begins anew (I8, I18)."""
        world = running(30, candidate=clone("canary", V2, 1, ready=0))
        gone = replace(after(world, look(world, 10)), route=route(0))
        gone = after(gone, look(gone, 11))
        back = replace(gone, candidate=clone("canary", V2, 1))
        decision = look(back, 20)
        assert weights_of(decision.actions) == (70, 30)
        assert "Undiverted" in reasons(decision)
        shown = replace(after(back, decision), route=route(30))
        status = new_status(shown, look(shown, 20.2))
        assert status.step is not None
        assert (status.step.next_tick_at, status.traffic_since) == (at(65.2), at(20.2))

    def test_returning_weight_needs_its_whole_capacity(self) -> None:
        """Half of the pods are enough to stay, not to return (I8)."""
        world = running(50, shown=0, candidate=clone("canary", V2, 10, ready=4), primary=clone("primary", replicas=10))
        assert weights_of(look(world, 10).actions) is None

    def test_cut_over_is_diverted_to_the_idle_primary(self) -> None:
        """In Promoting, before the primary is touched, a lost canary gives everything back."""
        decision = look(promoting(candidate=clone("canary", V2, 2, ready=0)), 10)
        assert (weights_of(decision.urgent), role_of(decision.urgent)) == ((100, 0), "primary")

    @pytest.mark.parametrize("made", [promoting, finalising, promotion_failed])
    def test_lost_canary_gives_to_whatever_the_primary_has(self, made: Any) -> None:
        """With all traffic on a canary without pods, the primary's ready pods take it (I6, I13)."""
        shown = {"share": 100} if made is finalising else {}
        world = made(**shown, candidate=clone("canary", V2, 2, ready=0), primary=clone("primary", V2, ready=1))
        decision = look(world, 10)
        actions = (*decision.urgent, *decision.actions)
        assert (weights_of(actions), role_of(actions)) == ((100, 0), "primary")

    def test_rolled_back_run_does_not_say_that_the_canary_is_back(self) -> None:
        """A run that ends while diverted tells no recovery that did not happen."""
        world = running(30, shown=0, candidate=clone("canary", V2, 1, ready=0), status={"failed_checks": 3})
        world = after(world, look(world, 45))
        decision = look(world, 90)
        assert new_status(world, decision).phase is Phase.FAILED
        assert reasons(decision) == ["CheckFailed", "RolledBack"]


class TestRollback:
    """100/0 in one write, the canary down once settled, the primary untouched (section 6)."""

    @pytest.mark.parametrize("weight", [10, 30, 50])
    def test_rollback_is_one_write(self, weight: int) -> None:
        """From any weight, in the tick itself, and nothing else is touched."""
        decision = look(running(weight, pods=2, status={"failed_checks": 4}), 45, bad)
        assert weights_of(decision.urgent) == (100, 0)
        assert len(decision.urgent) == 1
        assert decision.actions == ()

    def test_rollback_without_a_ready_primary_waits_and_says_so(self) -> None:
        """With no primary pod the weights stay, a condition tells, and the first ready pod gets them."""
        world = running(30, status={"failed_checks": 4}, primary=clone("primary", ready=0))
        decision = look(world, 45, bad)
        assert new_status(world, decision).phase is Phase.FAILED
        assert weights_of((*decision.urgent, *decision.actions)) is None
        assert condition(world, decision, "Ready").status == "False"
        back = replace(after(world, decision), primary=clone("primary", ready=1))
        assert weights_of(look(back, 50).urgent) == (100, 0)

    def test_canary_goes_after_settle(self) -> None:
        """Rolled back: the canary keeps its pods until it settled, then goes to 0, guarded."""
        world = running(0, Phase.FAILED, status=settled("canary", 14))
        assert spec_of(look(world).actions, CANARY) == {}
        world = running(0, Phase.FAILED, status=settled("canary", 15))
        assert spec_of(look(world).actions, CANARY) == {"replicas": 0}


class TestSettle:
    """A set shrinks only when it is off the routes, waited for, and quiet (I3)."""

    @pytest.mark.parametrize(
        ("waited", "answers", "shrinks"),
        [
            (14.9, good, False),
            (15, good, True),
            (15, busy, False),
            (600, busy, False),
            (15, down, False),
            (59.9, down, False),
            (60, down, True),
        ],
    )
    def test_canary_shrinks_when_settled(self, waited: float, answers: Any, shrinks: bool) -> None:
        """Quiet: after drainSeconds; busy: never; no answer: after four times drainSeconds."""
        world = finalising(status=settled("canary", waited))
        assert spec_of(look(world, 60, answers).actions, CANARY) == ({"replicas": 0} if shrinks else {})

    def test_settling_is_asked_about_after_its_time(self) -> None:
        """Not before drainSeconds; then about the right workload since the right moment."""
        assert questions(finalising(status=settled("canary", 14)), at(60)) == ()
        for role, name in (("canary", "catalog-canary"), ("primary", "catalog-primary"), ("target", "catalog")):
            world = running(10, status=settled(role, 20))
            assert questions(world, at(40)) == ()
            (query,) = (q for q in questions(world, at(60)) if isinstance(q, DrainQuery))
            assert (query.workload, query.since, query.at) == (name, at(40), at(60))

    @pytest.mark.parametrize("parts", [{"route": route(10)}, {"apex": apex("canary")}, {"apex": apex("")}])
    def test_settling_begins_anew_when_traffic_came_back(self, parts: dict[str, Any]) -> None:
        """A drain counts only while neither route nor selector names the set."""
        world = finalising(status=settled("canary", 30), **parts)
        decision = look(world)
        assert spec_of(decision.actions, CANARY) == {}
        assert new_status(world, decision).drain is None

    @pytest.mark.parametrize(
        ("count", "retry", "shrinks"), [(1, 40, False), (1, 20, True), (3, 50, False), (3, 90, True)]
    )
    @pytest.mark.parametrize("field", ["route", "selector"])
    def test_settling_begins_anew_when_traffic_came_back_unseen(
        self, field: str, count: int, retry: float, shrinks: bool
    ) -> None:
        """An edit that was put back while metrics were asked is known by its record alone."""
        drift = Drift(field=field, manager="kubectl-edit", count=count, since=at(10), retry_at=at(retry))
        world = finalising(status={**settled("canary", 30), "drift": (drift,)})
        decision = look(world)
        assert bool(spec_of(decision.actions, CANARY)) is shrinks
        if not shrinks:
            world = after(world, decision)
            assert world.status.drain is not None
            assert world.status.drain.since == at(60)
            assert look(world, 61).status is None

    def test_superseded_canary_keeps_its_pods_until_it_settled(self) -> None:
        """Its template is replaced by a guarded write only then (I4)."""
        world = running(0, candidate=clone("canary", V3, 1), status=settled("canary", 14))
        assert spec_of(look(world).actions, CANARY) == {}
        world = running(0, candidate=clone("canary", V3, 1), status=settled("canary", 15))
        assert "template" in spec_of(look(world).actions, CANARY)

    def test_replicas_applied_to_the_target_go_after_settle(self) -> None:
        """Applied replicas become the wish; the target's pods, outside the apex, go when settled; no run."""
        world = idle(target=new_target(V1, 4))
        first = look(world)
        status = new_status(world, first)
        assert status.replicas is not None
        assert status.drain is not None
        assert (status.phase, status.replicas.desired, status.drain.role) == (Phase.INITIALIZED, 4, "target")
        assert spec_of(first.actions, NAMES.target_ref) == {}
        assert spec_of(look(after(world, first), 76).actions, NAMES.target_ref) == {"replicas": 0}


class TestDrift:
    """Fields of ours that others change are put back, until somebody keeps undoing us."""

    @pytest.mark.parametrize(
        ("parts", "weights", "role"),
        [
            pytest.param({"route": route(80, by="kubectl-edit")}, (90, 10), None, id="weights"),
            pytest.param({"apex": apex("canary", by="kubectl-edit")}, None, "primary", id="selector"),
        ],
    )
    def test_drift_is_put_back_and_told(self, parts: dict[str, Any], weights: Any, role: str | None) -> None:
        """Weights and selector go back at once, with one event that names who did it."""
        world = running(10, **parts)
        decision = look(world, 10)
        actions = (*decision.urgent, *decision.actions)
        assert (weights_of(actions), role_of(actions)) == (weights, role)
        assert reasons(decision) == ["TrafficDrift"]
        assert "kubectl-edit" in decision.events[0].message

    def test_added_mirror_is_drift(self) -> None:
        """A mirror nobody planned is taken out with the weights unchanged, and told."""
        mirrored = route(10, by="kubectl-edit")
        mirrored["spec"]["http"][0]["mirror"] = {"host": "catalog-canary"}
        decision = look(running(10, route=mirrored), 10)
        assert weights_of((*decision.urgent, *decision.actions)) == (90, 10)
        assert reasons(decision) == ["TrafficDrift"]

    @pytest.mark.parametrize(
        ("made", "shown", "weights", "role"),
        [
            pytest.param(promoting, 60, (0, 100), None, id="promoting, canary whole"),
            pytest.param(partial(promoting, candidate=ONE_OF_TWO), 60, (100, 0), "primary", id="canary not whole"),
            pytest.param(
                partial(promoting, candidate=ONE_OF_TWO, apex=apex("primary")), 20, (100, 0), None, id="before"
            ),
            pytest.param(partial(promoting, primary=rolled(ready=1)), 60, (0, 100), None, id="primary rolls"),
            pytest.param(
                partial(promoting, primary=rolled(), candidate=ONE_OF_TWO),
                60,
                (100, 0),
                "primary",
                id="primary has more",
            ),
            pytest.param(
                partial(promoting, primary=rolled(replicas=3, ready=1), candidate=clone("canary", V2, 3, ready=2)),
                *(60, None, None),
                id="neither is whole, the canary has more",
            ),
            pytest.param(partial(finalising, 100), 60, (100, 0), "primary", id="finalising"),
            pytest.param(
                partial(finalising, 100, primary=rolled(ready=1)),
                60,
                (0, 100),
                None,
                id="primary not whole",
            ),
            pytest.param(promotion_failed, 60, (0, 100), None, id="failed promotion"),
            pytest.param(idle, 60, (100, 0), None, id="idle"),
        ],
    )
    def test_weights_go_back_to_the_side_that_can_carry_them(
        self, made: Any, shown: int, weights: Any, role: str | None
    ) -> None:
        """In every phase, within the capacity of the side they go to (I8); when that is on its way, at once."""
        world = replace(made(), route=route(shown, by="kubectl-edit"))
        decision = look(world, 10)
        actions = (*decision.urgent, *decision.actions)
        assert (weights_of(actions), role_of(actions)) == (weights, role)
        assert "TrafficDrift" in reasons(decision)

    @pytest.mark.parametrize("made", [running, promoting, finalising, promotion_failed, idle])
    def test_traffic_in_the_status_is_what_was_read_back(self, made: Any) -> None:
        """Whatever the plan wants: the status shows the shares of the route, and none when it has none."""
        world = replace(made(), route=route(37, by="kubectl-edit"))
        assert new_status(world, look(world, 10)).traffic == Traffic(primary=63, canary=37)
        bare = route(37, by="kubectl-edit")
        bare["spec"]["http"][0]["route"][0]["destination"]["host"] = "elsewhere"
        world = replace(world, route=bare)
        assert new_status(world, look(world, 10)).traffic is None

    def test_route_edited_before_a_step_is_no_drift(self) -> None:
        """Who edited another field of the route has not moved the weight that the next step replaces."""
        world = running(10, route=route(10, by="kubectl-edit"))
        world = after(world, look(world, 45))
        assert world.status.canary_weight == 20
        assert reasons(look(world, 45.1)) == []

    def test_third_undoing_is_contested(self) -> None:
        """Three times in ten minutes by the same manager: named in a condition, retried later."""
        world = idle(route=route(80, by="argocd"))
        tries = []
        for seconds in (0, 20, 40):
            decision = look(world, seconds)
            tries.append(weights_of((*decision.urgent, *decision.actions)))
            world = after(world, decision)
        assert tries == [(100, 0), (100, 0), None]
        ready = world.status.condition("Ready")
        assert ready is not None
        assert (ready.status, ready.reason) == ("False", "Contested")
        assert "argocd" in ready.message
        assert weights_of(look(world, 45).urgent) is None
        assert weights_of(look(world, 50).urgent) == (100, 0)

    def test_contested_field_is_tried_ever_more_rarely(self) -> None:
        """Retries back off to five minutes and stay there while the other manager goes on."""
        world, tries = idle(route=route(80, by="argocd")), []
        for seconds in range(0, 7200, 5):
            decision = look(world, seconds)
            if weights_of((*decision.urgent, *decision.actions)):
                tries.append(seconds)
            world = after(world, decision)
        gaps = [b - a for a, b in pairwise(tries)]
        assert max(gaps) >= 300
        assert all(gap >= 300 for gap in gaps[-5:]), gaps
        assert len(tries) < 40

    def test_different_managers_do_not_contest(self) -> None:
        """Three people who each edit once are drift, not a manager that keeps undoing us."""
        world = idle()
        for seconds, name in ((0, "ann"), (20, "bob"), (40, "cy")):
            edited = replace(world, route=route(80, by=name))
            decision = look(edited, seconds)
            assert weights_of(decision.urgent) == (100, 0), name
            world = after(edited, decision)

    def test_old_drift_is_forgotten(self) -> None:
        """Edits more than ten minutes apart never count as contested."""
        world = idle(route=route(80, by="kubectl-edit"))
        for seconds in (0, 700, 1400, 2100):
            decision = look(world, seconds)
            assert weights_of(decision.urgent) == (100, 0)
            world = after(world, decision)

    def test_contested_route_ends_a_run(self) -> None:
        """Contested route in a run: the run fails to 100/0 (section 8)."""
        drift = Drift(field="route", manager="argocd", count=3, since=NOW, retry_at=at(15))
        world = running(10, route=route(80, by="argocd"), status={"drift": (drift,)})
        decision = look(world, 10)
        assert new_status(world, decision).phase is Phase.FAILED
        assert weights_of(decision.urgent) == (100, 0)

    def test_replicas_applied_with_a_newer_template_are_no_contest(self) -> None:
        """While the superseded canary settles the target keeps its pods: looked at often, undone never."""
        world = running(30, target=new_target(V3, 2, generation=4), apex=apex("primary"), route=route(0))
        for tenths in range(100, 130):
            world = after(world, look(world, tenths / 10))
        assert world.status.drain is not None
        assert (world.status.drain.role, world.status.drift) == ("canary", ())

    def test_contested_replicas_leave_the_targets_pods(self) -> None:
        """A manager that keeps setting the target's replicas: its pods stay, outside the apex (section 8)."""
        world, downs = idle(), 0
        for round_ in range(8):
            start = round_ * 60
            world = replace(world, target=new_target(V1, 4, generation=4 + 2 * round_, owners=("argocd",)))
            world = after(world, look(world, start))
            decision = look(world, start + 20)
            world = after(world, decision)
            if spec_of(decision.actions, NAMES.target_ref):
                downs += 1
                world = replace(
                    world, target=new_target(V1, 0, generation=5 + 2 * round_, owners=("canary-controller",))
                )
                world = after(world, look(world, start + 21))
        ready = world.status.condition("Ready")
        assert ready is not None
        assert (ready.reason, "argocd" in ready.message) == ("Contested", True)
        assert downs < 8
