"""Random schedules: what may happen to a release, drawn by hypothesis."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from canary.sim.checks import ERRORS, ORDERS
from canary.sim.hooks import TYPES
from canary.sim.replay import Entry, Schedule

FAILURES = Path(__file__).parents[2] / "build" / "schedules"
"""Where a failing schedule is left for `canary simulate --schedule FILE`."""

LONG = os.environ.get("HYPOTHESIS_PROFILE", "ci") == "long"
OBSTACLES = ("service", "autoscaler", "rule", "route", "machine", "bypass")
TIMES = 20 if LONG else 1
"""How many times the examples of CI a long run draws."""


def parts(count: int) -> pytest.MarkDecorator:
    """Split a property into tests of their own, so that processes can share them."""
    return pytest.mark.parametrize("part", range(count))


def drawn(
    strategy: st.SearchStrategy[Schedule], name: str, examples: int
) -> Callable[[Callable[[Schedule], None]], Callable[[], None]]:
    """Let a property hold for so many schedules.

    CI draws the same schedules for a name each time; a long run (`HYPOTHESIS_PROFILE=long`) draws new ones.
    """
    tried = settings(
        max_examples=examples * TIMES,
        derandomize=False,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    def decorate(holds: Callable[[Schedule], None]) -> Callable[[], None]:
        test: Callable[[], None] = tried(given(strategy)(holds))
        return test if LONG else seed(name)(test)

    return decorate


@contextmanager
def kept(schedule: Schedule, name: str) -> Iterator[None]:
    """Leave a schedule that fails in a file, and say how to play it again."""
    try:
        yield
    except BaseException as failure:
        FAILURES.mkdir(parents=True, exist_ok=True)
        path = FAILURES / f"{name}.json"
        path.write_text(schedule.as_json() + "\n", encoding="utf-8")
        failure.add_note(f"replay: canary simulate --schedule {path}\n{schedule.as_json()}")
        raise


def seconds(low: float, high: float) -> st.SearchStrategy[float]:
    """Draw a time to a tenth of a second, late ones as often as early ones.

    Above 255 hypothesis prefers small numbers, and from 100 on those that stand in the code it finds loaded,
    so that what CI draws would rest on all of the code.  Neither holds for digits.
    """
    digits = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda pair: pair[0] * 100 + pair[1])
    return digits.map(lambda number: round(low + number * (high - low) / 9999, 1))


def action(do: str, **arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """Draw the arguments of one action."""
    return st.fixed_dictionaries(arguments).map(lambda drawn: (do, drawn))


OURS = ("primary", "canary", "route", "primary service", "canary service", "apex")
KINDS = ("", "Canary", "Deployment", "Service", "VirtualService", "ControllerRevision")

WAY = st.one_of(
    action(
        "api_fault",
        kind=st.sampled_from(("conflict", "429", "500", "503", "cut", "lost answer", "refused")),
        verb=st.sampled_from(("", "create", "patch", "delete", "get", "dry-run")),
        kind_of_object=st.sampled_from(KINDS),
        skip=st.integers(0, 6),
        times=st.integers(1, 8),
        lasts=seconds(1, 40),
    ),
    action(
        "crash",
        kind=st.sampled_from(("crash before", "crash after")),
        skip=st.integers(0, 12),
        back_after=seconds(0, 30),
    ),
    action("restart_controller", away=seconds(0, 40)),
    action(
        "watches",
        kind=st.sampled_from(("lost", "late", "repeated")),
        lasts=seconds(1, 30),
        delay=seconds(0.1, 12),
        kind_of_object=st.sampled_from(KINDS),
    ),
    action("metrics", kind=st.sampled_from(("down", "slow", "nan", "empty")), lasts=seconds(1, 60)),
    action("another_controller", lasts=seconds(1, 60)),
)
"""Faults between the controller and everything it talks to."""

LEADERS = st.one_of(
    action("kill_leader", away=seconds(0, 40)),
    action("stop_leader", away=seconds(0, 40)),
    action("freeze_leader", lasts=seconds(0.1, 40)),
    action("cut_leader", lasts=seconds(0.1, 40)),
    action("set_clock", ahead=st.sampled_from((-3600.0, -5.0, 5.0, 3600.0))),
    action("delete_lease"),
    action("annotate_lease"),
)
"""What happens to the replica that leads, and to the lease."""

NOTES = action("annotate", what=st.sampled_from(("route", "apex", "primary", "target", "Canary")))
"""Foreign annotations, which change nothing."""

CHANGES = st.one_of(
    action("template", image=st.sampled_from(("catalog:v1", "catalog:v2", "catalog:v3"))),
    action("restart"),
    action("reapply"),
    action("analysis", stepWeight=st.sampled_from((10, 20, 50)), drainSeconds=st.sampled_from((2, 5, 15))),
    action(
        "analysis", primaryReadyThreshold=st.sampled_from((100, 50)), canaryReadyThreshold=st.sampled_from((100, 50))
    ),
    NOTES,
    action("scale", role=st.just("target"), replicas=st.integers(1, 4)),
)
"""What users do that no caller may notice."""

EDITS = st.one_of(
    action("weights", canary=st.integers(0, 100)),
    action("selector", role=st.sampled_from(("primary", "canary", None))),
    action("scale", role=st.sampled_from(("primary", "canary")), replicas=st.integers(1, 4)),
    action("delete", what=st.sampled_from(OURS)),
    action("delete_revisions"),
    action("move_tag", image=st.sampled_from(("catalog:v2", "catalog:v3"))),
    action("remake", what=st.sampled_from(("target", "Canary", "apex")), after=seconds(0, 60)),
    action("delete", what=st.just("Canary")),
    action("erase_status"),
    action("undo", what=st.sampled_from(("route", "apex")), times=st.integers(1, 5)),
    action("kill_pods", role=st.sampled_from(("primary", "canary", "target")), count=st.sampled_from((None, 1))),
    action("obstacle", kind=st.sampled_from(OBSTACLES), lasts=seconds(1, 60)),
    action("proxies", share=st.sampled_from((0.2, 0.5, 1.0)), lasts=seconds(1, 40)),
    action(
        "behave",
        image=st.sampled_from(("catalog:v2", "catalog:v3")),
        errors=st.sampled_from((0.0, 50.0)),
        ready_after=st.sampled_from((None, 1.0, 8.0)),
        crash_after=st.sampled_from((None, None, 6.0)),
        sick_pods=st.sampled_from((0, 0, 1)),
    ),
)
"""What may cost requests, but never a rule and never a system that serves in the end."""

COMMANDS = action(
    "command", verb=st.sampled_from(("pause", "resume", "promote", "skip", "abort", "retry", "rollback", "approve"))
)
"""What people ask of the controller; nothing of it may cost a request."""

HOOKS = action(
    "hook", kind=st.sampled_from(TYPES), state=st.sampled_from(("open", "closed", "down", "slow")), lasts=seconds(1, 90)
)
"""Hooks that say yes, no or nothing for a time."""

SILENCES = st.one_of(action("silence", lasts=seconds(1, 90)), action("misplace_provider", lasts=seconds(1, 90)))
"""Alerts that do not arrive, or have nowhere to go, for a time."""

CHECKS = st.one_of(
    action(
        "find",
        check=st.sampled_from((ERRORS, ORDERS)),
        numbers=st.sampled_from((None, [], [2.0], [40.0], [2.0, 40.0])),
        lasts=seconds(1, 90),
    ),
    action("misplace_template", lasts=seconds(1, 90)),
    action(
        "rewrite_template",
        query=st.sampled_from(("up", "{{ revision }}", "{{ variables.none }}")),
        lasts=seconds(1, 90),
    ),
)
"""What custom checks find for a time, and what happens to their MetricTemplate."""

CONFIGURATION = action("configure", mode=st.sampled_from(("one", "two", "three")))
CONFIGURATION_EDITS = st.one_of(
    action("misplace_configuration", lasts=seconds(0.1, 60), mode=st.sampled_from(("one", "two"))),
    action("opt_out", value=st.sampled_from(("disabled", None))),
)

COHORT = {"headers": {"x-group": {"exact": "staff"}}}
COOKIE = {"cookieName": "flagger-cookie"}
IN_PLACE = {"promotion": {"strategy": "InPlace"}}
ANALYSES = st.fixed_dictionaries(
    {
        "interval": st.sampled_from(("5s", "10s", "20s")),
        "stepWeight": st.sampled_from((20, 25, 50)),
        "drainSeconds": st.sampled_from((1, 5, 15)),
        "canaryScale": st.sampled_from(("Proportional", "Full")),
        "threshold": st.sampled_from((1, 5)),
        "primaryReadyThreshold": st.sampled_from((100, 60, 1)),
        "canaryReadyThreshold": st.sampled_from((100, 60, 1)),
    }
)


PLANS: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"stepWeight": 25}, {}),
    ({"stepWeight": 50, "mirror": True, "mirrorWeight": 50}, {}),
    ({"iterations": 2, "match": [COHORT]}, {}),
    ({"iterations": 2, "match": [COHORT], "mirror": True, "mirrorWeight": 50}, {}),
    ({"iterations": 2, "mirror": True}, {"promotion": {"bake": "10s"}}),
    ({"iterations": 2, "metrics": []}, {}),
    ({"steps": [{"mirror": {"percentage": 20}}, {"match": [COHORT]}, {"setWeight": 30}, {"setWeight": 100}]}, {}),
    ({"steps": [{"setWeight": 20}, {"pause": {"duration": "12s"}}, {"analysis": {"duration": "8s"}}]}, {}),
    ({"stepWeight": 50}, {"promotion": {"bake": "25s"}}),
    ({"stepWeight": 50}, {"skipAnalysis": True}),
    ({"stepWeight": 50, "stepWeightPromotion": 40}, {}),
    ({"stepWeight": 30, "stepWeightPromotion": 60, "mirror": True, "sessionAffinity": COOKIE}, {}),
    ({"steps": [{"match": [COHORT]}, {"setWeight": 40}, {"setWeight": 100}], "sessionAffinity": COOKIE}, {}),
    ({"stepWeight": 50, "maxWeight": 50}, IN_PLACE),
    ({"stepWeight": 60, "maxWeight": 60, "stepWeightPromotion": 20, "sessionAffinity": COOKIE}, IN_PLACE),
    ({"steps": [{"match": [COHORT]}, {"setWeight": 40}]}, IN_PLACE),
    ({"iterations": 2, "metrics": [], "mirror": True}, IN_PLACE),
    ({"stepWeight": 50}, {**IN_PLACE, "skipAnalysis": True}),
    ({"stepWeight": 50}, IN_PLACE),
)
"""Every way to shift traffic: the plan and the fields beside the analysis."""


PAUSED: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    *PLANS,
    ({"steps": [{"setWeight": 20}, {"pause": {}}, {"setWeight": 60}]}, {}),
    ({"steps": [{"match": [COHORT]}, {"pause": {}}]}, {"promotion": {"bake": "20s"}}),
)
"""The same, and plans that wait for a person."""


TRIAL = {"headers": {"x-plan": {"exact": "trial"}}}
COHORTS: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"steps": [{"match": [COHORT]}, {"match": [TRIAL]}, {"setWeight": 40}]}, {}),
    ({"steps": [{"match": [COHORT]}, {"match": [TRIAL]}, {"pause": {"duration": "15s"}}]}, {}),
    ({"steps": [{"setWeight": 20}, {"match": [TRIAL]}, {"setWeight": 40}], "sessionAffinity": COOKIE}, {}),
    ({"steps": [{"mirror": {"percentage": 50}}, {"match": [COHORT]}, {"match": [TRIAL]}]}, IN_PLACE),
)
"""Plans with a cohort whose requests are not the first that the canary gets."""

HUSH = action("hush", cohort=st.integers(1, 2), lasts=seconds(5, 120))
"""A cohort that does not call for a time."""
COHORT_EDITS = st.one_of(
    action("delete", what=st.just("cohort service")),
    action("undo", what=st.just("route"), times=st.integers(1, 5)),
)
"""What somebody may do to what cohorts are told by."""


CONNECTED: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"stepWeight": 25}, {}),
    ({"iterations": 2}, {"promotion": {"bake": "10s"}}),
    ({"steps": [{"setWeight": 20}, {"pause": {"duration": "12s"}}, {"setWeight": 100}]}, {}),
    ({"stepWeight": 50, "stepWeightPromotion": 40}, {}),
    ({"stepWeight": 50}, {"skipAnalysis": True}),
)
"""The ways to shift connections."""

SIZES = st.one_of(
    action("load", pods=st.sampled_from((0.5, 1, 2, 3, 5, 9))),
    action("bounds", low=st.integers(1, 3), high=st.integers(3, 6)),
)
"""What happens to sizes that no caller may notice."""

SCALER_EDITS = st.one_of(
    action("repoint", role=st.sampled_from(("target", "canary"))),
    action("delete", what=st.just("autoscaler")),
    action("remake", what=st.just("autoscaler"), after=seconds(0, 40)),
    action("undo", what=st.just("autoscaler"), times=st.integers(1, 5)),
    action("annotate", what=st.just("autoscaler")),
)
"""What users and other tools do to an autoscaler."""


@st.composite
def autoscaled(
    draw: st.DrawFn, actions: st.SearchStrategy[tuple[str, dict[str, Any]]], disturbed: str = "release"
) -> Schedule:
    """Draw a release of a target with an autoscaler, and what happens in it."""
    schedule = draw(schedules(actions, disturbed=disturbed))
    promotion = draw(st.sampled_from(({}, {"promotion": {"bake": "25s"}}, IN_PLACE)))
    back = {"stepWeightPromotion": draw(st.sampled_from((None, 40)))}
    sizes = draw(st.integers(1, 3)), draw(st.integers(4, 6))
    return replace(schedule, analysis={**schedule.analysis, **back}, spec=promotion, scaled=sizes)


NODES = action("nodes", count=st.integers(1, 5))
"""Nodes that come, and nodes that are lost with the pods on them."""


@st.composite
def electing(draw: st.DrawFn, actions: st.SearchStrategy[tuple[str, dict[str, Any]]], **how: Any) -> Schedule:
    """Draw a release under two or three controllers that share a lease, and what happens in it."""
    return replace(draw(schedules(actions, **how)), electing=draw(st.sampled_from((2, 2, 3))))


@st.composite
def daemons(draw: st.DrawFn, actions: st.SearchStrategy[tuple[str, dict[str, Any]]], **how: Any) -> Schedule:
    """Draw a release of a DaemonSet by any strategy, and what happens in it; in place it is refused."""
    schedule = draw(schedules(actions, **how))
    plan, spec = draw(st.sampled_from([one for one in PLANS if "strategy" not in one[1].get("promotion", {})]))
    no_plan = {"stepWeight": None, "maxWeight": None}
    return replace(schedule, analysis={**schedule.analysis, **no_plan, **plan}, spec=spec, daemons=True)


@st.composite
def connected(draw: st.DrawFn, actions: st.SearchStrategy[tuple[str, dict[str, Any]]]) -> Schedule:
    """Draw a release of a service of connections, on a route of the user's or on one of ours, and what happens."""
    schedule = draw(schedules(actions))
    plan, spec = draw(st.sampled_from(CONNECTED))
    analysis = {**schedule.analysis, "stepWeight": None, "maxWeight": None, **plan}
    return replace(schedule, analysis=analysis, spec=spec, adopted=draw(st.booleans()), connections=True)


@st.composite
def strategies(
    draw: st.DrawFn,
    actions: st.SearchStrategy[tuple[str, dict[str, Any]]],
    plans: Sequence[tuple[dict[str, Any], dict[str, Any]]] = PLANS,
    **how: Any,
) -> Schedule:
    """Draw a release by any strategy, on a route of the user's or on one of ours, and what happens in it.

    The route may be one for delegation.
    """
    schedule = draw(schedules(actions, **how))
    plan, spec = draw(st.sampled_from(plans))
    no_plan = {"stepWeight": None, "maxWeight": None}
    analysis = {**schedule.analysis, **no_plan, **plan}
    routes = {"adopted": draw(st.booleans()), "delegated": draw(st.booleans())}
    return replace(schedule, analysis=analysis, spec=spec, **routes)


@st.composite
def named(draw: st.DrawFn, actions: st.SearchStrategy[tuple[str, dict[str, Any]]]) -> Schedule:
    """Draw a release by any strategy on a route of another namespace, which the Canary names, and what happens in it.

    Nobody deletes that route: nothing could be released any more.
    """
    kept = actions.filter(lambda one: one != ("delete", {"what": "route"}))
    return replace(draw(strategies(kept)), adopted=False, delegated=False, named=True)


@st.composite
def configurations(draw: st.DrawFn, *actions: st.SearchStrategy[tuple[str, dict[str, Any]]], **how: Any) -> Schedule:
    """Draw a release of an application that reads a ConfigMap, which is edited in it."""
    return replace(draw(schedules(st.one_of(CONFIGURATION, *actions), **how)), configured=True)


@st.composite
def schedules(
    draw: st.DrawFn,
    actions: st.SearchStrategy[tuple[str, dict[str, Any]]],
    *,
    disturbed: str = "release",
    until: float = 120.0,
    most: int = 4,
) -> Schedule:
    """Draw a release and what happens in it."""
    times = st.one_of(seconds(0, until), seconds(0, until / 3))
    found = draw(st.lists(st.tuples(times, actions), min_size=1, max_size=most))
    entries = [Entry(at, do, arguments) for at, (do, arguments) in sorted(found, key=lambda one: one[0])]
    return Schedule(
        seed=draw(st.integers(0, 99)),
        replicas=draw(st.integers(1, 4)),
        rps=draw(st.sampled_from((4.0, 12.0))),
        disturbed=disturbed,
        analysis=draw(ANALYSES),
        entries=entries,
    )
