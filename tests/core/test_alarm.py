"""What is an alert, and how loud: every failure once, a gate once until it opens, a hold when it lasts."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import canary.core.advance
from canary.api.status import Condition, Drift, Gate
from canary.core.actions import Event
from canary.core.alarm import LOUDNESS, Alarm, alarms
from canary.core.decide import decide, questions
from canary.core.measurement import (
    Answer,
    HookAnswer,
    HookQuery,
    Measurement,
    PodsAnswer,
    PodsQuery,
    Query,
    Unavailable,
)
from canary.core.objects import VIRTUAL_SERVICE, Ref
from canary.core.refusal import Refusal
from canary.core.snapshot import Snapshot
from tests.answers import bad, down, good
from tests.builders import (
    KEY,
    NOW,
    at,
    clone,
    idle,
    kept,
    new_status,
    promoting,
    rolled,
    route,
    running,
    untouched,
    waiting_since,
    with_status,
)
from tests.core.test_commands import asked
from tests.core.test_images import pod

HOOKS = "spec.analysis.webhooks"
FOUGHT = Drift(field="route", manager="argocd", count=3, since=at(1), retry_at=at(100))


def hooked(kind: str, **fields: Any) -> dict[str, Any]:
    """Return the changes that give the Canary one hook."""
    return {HOOKS: [{"name": "gate", "type": kind, "url": "http://gate/", **fields}]}


def answers(queries: tuple[Query, ...], hook: Answer | None = None, others: Any = good) -> tuple[Measurement, ...]:
    """Answer questions, those to hooks with this."""
    asked_hooks = tuple(query for query in queries if isinstance(query, HookQuery))
    rest = others(tuple(query for query in queries if not isinstance(query, HookQuery)))
    return (*rest, *(Measurement(query, hook or HookAnswer(True)) for query in asked_hooks))


NO, YES, SILENCE = HookAnswer(False, "gate", "HTTP 403"), HookAnswer(True), Unavailable("it is gone")


def moved_images(queries: tuple[Query, ...]) -> tuple[Measurement, ...]:
    """Answer that the primary's pods run another image than the canary's."""
    sides = PodsAnswer((pod(("catalog", "b")),), (pod(("catalog", "a")),))
    return tuple(Measurement(q, sides) if isinstance(q, PodsQuery) else good((q,))[0] for q in queries)


def heard(world: Snapshot, *seconds: float, hook: Answer | None = None, others: Any = good) -> list[Alarm]:
    """Return the alerts of decisions at these moments; a roll-back reaches the route at once."""
    found: list[Alarm] = []
    for moment in map(at, seconds):
        decision = decide(world, answers(questions(world, moment), hook, others), moment)
        status = new_status(world, decision)
        found += alarms(world, status, decision.events, moment)
        back = decision.events and decision.events[0].reason == "RolledBack"
        world = replace(with_status(world, status), **({"route": route(0)} if back else {}))
    return found


LATE = {"gates": (Gate(name="gate", type="confirm-traffic-increase", state="Closed", since=at(-7200)),)}
TIMED = hooked("confirm-traffic-increase", gateTimeout="1h", onTimeout="Reject")
FAILURES: dict[str, tuple[Snapshot, dict[str, Any], str, str]] = {
    "checks failed": (running(10, status={"failed_checks": 4}), {"others": bad}, "error", "RolledBack"),
    "pre-rollout failed": (
        running(0, changes=hooked("pre-rollout"), status={"failed_checks": 4}),
        {"hook": NO},
        "error",
        "RolledBack",
    ),
    "deadline exceeded": (running(0, ready=0, status=waiting_since(-30, 1)), {}, "error", "RolledBack"),
    "deadline exceeded in the cut-over": (
        promoting(50, ready=0, status=waiting_since(-30, 9)),
        {},
        "error",
        "RolledBack",
    ),
    "gate shut for too long": (running(10, changes=TIMED, status=LATE), {"hook": NO}, "error", "RolledBack"),
    "spec refused": (running(10, changes={"spec.analysis.threshold": 0}), {}, "error", "RolledBack"),
    "route fought for": (running(10, status={"drift": (FOUGHT,)}), {}, "error", "RolledBack"),
    "status lost": (running(10, status={"step": None}), {}, "error", "RolledBack"),
    "revision lost": (promoting(revisions=kept(), target=clone("primary")), {}, "error", "RolledBack"),
    "rollback hook": (running(10, changes=hooked("rollback")), {"hook": YES}, "warn", "RolledBack"),
    "aborted": (asked(running(10), "abort"), {}, "warn", "RolledBack"),
    "rejected": (
        asked(running(10, changes=hooked("confirm-traffic-increase"), status=LATE), "reject"),
        {"hook": NO},
        "warn",
        "RolledBack",
    ),
    "promotion failed": (promoting(primary=rolled(ready=1, stuck=True)), {}, "error", "PromotionFailed"),
    "promotion aborted": (asked(promoting(primary=rolled(ready=1)), "abort"), {}, "error", "PromotionFailed"),
    "image moved": (promoting(primary=rolled()), {"others": moved_images}, "error", "ImageMoved"),
    "write refused": (
        idle(refused=Refusal(Ref(VIRTUAL_SERVICE, KEY.namespace, "catalog"), "no such gateway")),
        {},
        "warn",
        "WriteRefused",
    ),
    "target missing": (idle(target=None), {}, "warn", "TargetMissing"),
    "target missing before the first run": (untouched(target=None), {}, "warn", "TargetMissing"),
    "spec refused while nothing runs": (
        with_status(idle(changes={"spec.analysis.threshold": 0}), conditions=()),
        {},
        "warn",
        "SpecInvalid",
    ),
    "canary lost": (running(50, ready=0), {"others": good}, "warn", "Diverted"),
    "primary stuck": (idle(primary=clone("primary", ready=1, stuck=True)), {}, "warn", "PrimaryNotReady"),
}


@pytest.mark.parametrize("case", FAILURES)
def test_failure_alerts_exactly_once(case: str) -> None:
    """Loud enough, in the decision that sees it, and not again in those that follow."""
    world, given, severity, reason = FAILURES[case]
    found = [one for one in heard(world, 45, 46, 50, **given) if one.severity != "info"]
    assert [(one.severity, one.event.reason) for one in found] == [(severity, reason)]


@pytest.mark.parametrize(
    ("event", "severity"),
    [("RevisionDetected", "info"), ("Promoted", "info"), ("Initialized", "info"), ("StepPassed", None)],
)
def test_good_news_is_info(event: str, severity: str | None) -> None:
    """A new revision, its promotion, and that a Canary is ready; steps are told by events alone."""
    found = alarms(idle(), idle().status, [Event(event, "words")], NOW)
    assert [one.severity for one in found] == ([severity] if severity else [])


class TestGates:
    """A gate that is shut."""

    def test_is_told_once_until_it_opens(self) -> None:
        """Not each tick, whatever it answers, and not again when checks failed in between."""
        world = running(10, changes=hooked("confirm-traffic-increase"))
        assert [one.event.reason for one in heard(world, 45, 90, 135, hook=NO)] == ["GateClosed"]
        held = world
        told: list[str] = []
        turns: list[tuple[float, Any, Any]] = [(45, NO, good), (90, NO, bad), (135, NO, good), (180, SILENCE, good)]
        for seconds, hook, others in turns:
            decision = decide(held, answers(questions(held, at(seconds)), hook, others), at(seconds))
            told += [one.event.reason for one in alarms(held, new_status(held, decision), decision.events, at(seconds))]
            held = with_status(held, new_status(held, decision))
        assert told == ["GateClosed"]
        assert held.status.failed_checks == 1

    def test_is_told_of_each_place(self) -> None:
        """Open in between, shut again: that is news."""
        world = running(10, changes=hooked("confirm-traffic-increase"))
        before = with_status(world, gates=())
        gate = Gate(name="gate", type="confirm-traffic-increase", state="Closed", since=NOW)
        after = world.status.model_copy(update={"gates": (gate,)})
        assert len(alarms(before, after, [Event("GateClosed", "shut", "Warning")], NOW)) == 1

    @pytest.mark.parametrize("answer", [NO, SILENCE])
    def test_is_not_told_when_its_hook_wants_no_alert(self, answer: Answer) -> None:
        """As in Flagger: `muteAlert`."""
        world = running(10, changes=hooked("confirm-traffic-increase", muteAlert=True))
        assert heard(world, 45, 90, hook=answer) == []

    def test_that_holds_past_its_time_is_told_once_more(self) -> None:
        """When the time has passed and nothing else is to be done."""
        world = running(10, changes=hooked("confirm-traffic-increase", gateTimeout="60s"))
        found = heard(world, 45, 90, 135, 180, 225, hook=NO)
        assert [one.event.reason for one in found] == ["GateClosed", "GateTimedOut"]


class TestHolds:
    """A run that holds by itself."""

    def test_is_told_once_when_it_lasts(self) -> None:
        """Not for one tick without data; after ten minutes, and never again while it lasts."""
        world = running(10)
        ticks = [45.0 * number for number in range(1, 60)]
        (one,) = heard(world, *ticks, others=down)
        assert (one.severity, one.event.reason) == ("warn", "MetricsMissing")
        assert heard(world, *ticks[:13], others=down) == []

    def test_that_changes_its_cause_is_still_the_same(self) -> None:
        """It is told when it lasts, by the cause that it has then."""

        def held(reason: str, told: float) -> Snapshot:
            condition = Condition(
                type="Held",
                status="True",
                reason=reason,
                last_transition_time=NOW,
                last_update_time=NOW + timedelta(seconds=told),
            )
            return with_status(running(10), conditions=(condition,))

        event = [Event("HookUnanswered", "words", "Warning")]
        for told, now, loud in ((300, 500, False), (300, 660, True), (660, 900, False)):
            before, after = held("RouteNotInForce", told), held("HookUnanswered", now).status
            assert bool(alarms(before, after, event, at(now))) is loud


def test_warnings_are_no_alerts() -> None:
    """What may spoil a release stands beside it, told by an event; the release goes on."""
    world = idle()
    event = Event("GatewayMissing", "words", "Warning")
    assert alarms(world, world.status, [event], NOW) == ()


def test_pause_of_the_plan_is_told_once() -> None:
    """Somebody has to go on with it."""
    world = running(
        10, changes={"spec.analysis.stepWeight": None, "spec.analysis.steps": [{"setWeight": 10}, {"pause": {}}]}
    )
    paused = with_status(world, step=world.status.step.model_copy(update={"index": 2}) if world.status.step else None)
    found = heard(paused, 45, 90, 135)
    assert [(one.severity, one.event.reason) for one in found] == [("warn", "Paused")]


def reasons() -> Iterator[tuple[str, str]]:
    """Yield the reason of each event that a phase tells, with its module; None for one that is computed."""
    folder = Path(str(canary.core.advance.__file__)).parent
    for path in sorted(folder.glob("*.py")):
        name = f"canary.core.advance.{path.stem}" if path.stem != "__init__" else "canary.core.advance"
        module = importlib.import_module(name)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Event":
                first = node.args[0]
                if isinstance(first, ast.Constant):
                    yield path.stem, str(first.value)
                else:
                    shown = ast.unparse(first)
                    yield path.stem, str(getattr(module, shown, f"computed: {shown}"))


COMPUTED = {
    ("gates", "computed: reason"),
    ("waits", "computed: reason"),
    ("tick", "computed: reason"),
    ("recover", "computed: reason"),
    ("finalise", "computed: reason"),
    ("readiness", "computed: one.reason"),
}
"""Gates, sets that are still served, holds, failed promotions, steps back and obstacles: each has its policy."""


def test_no_reason_is_forgotten() -> None:
    """Whoever tells a new reason says how loud it is."""
    found = set(reasons())
    assert {one for one in found if one[1].startswith("computed")} == COMPUTED
    assert {reason for _, reason in found if not reason.startswith("computed")} <= LOUDNESS.keys()
