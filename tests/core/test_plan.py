"""The plan: analysis fields become one rising list of weights, and weights become pods."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.api.canary import Canary, CanarySpec
from canary.core.plan import Plan, Step, capacity, plan_of
from canary.core.routes.routing import Routing
from tests.builders import canary_object

STEPS = st.integers(1, 100)


def spec(**fields: Any) -> CanarySpec:
    """Return listing 5.1's spec with these fields as its analysis."""
    return Canary.parse(canary_object({"spec.analysis": fields})).spec


def weights(plan: Plan) -> tuple[int, ...]:
    """Return the canary's weight at each step."""
    return tuple(step.routing.canary for step in plan.steps)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({"stepWeight": 10, "maxWeight": 50}, (10, 20, 30, 40, 50), id="listing 5.1"),
        pytest.param({"stepWeight": 30, "maxWeight": 100}, (30, 60, 90, 100), id="last step capped"),
        pytest.param({"stepWeight": 30}, (30, 60, 90, 100), id="maximum by default"),
        pytest.param({"stepWeight": 30, "maxWeight": 0}, (30, 60, 90, 100), id="0 is no maximum"),
        pytest.param({"stepWeight": 50, "maxWeight": 20}, (20,), id="one step beyond the maximum"),
        pytest.param({"stepWeight": 100}, (100,), id="everything at once"),
        pytest.param({"stepWeights": [1, 2, 10, 80]}, (1, 2, 10, 80), id="given weights"),
        pytest.param({"stepWeights": [1, 80], "maxWeight": 50}, (1, 80), id="maxWeight beside them is ignored"),
        pytest.param({}, (), id="none"),
        pytest.param({"stepWeight": 0}, (), id="a step of 0"),
    ],
)
def test_plan_lists_the_weights(fields: dict[str, Any], expected: tuple[int, ...]) -> None:
    """Each way to write a plan gives the weights the design names."""
    assert weights(plan_of(spec(**fields))) == expected


@given(step=STEPS, top=STEPS)
def test_plan_rises_to_its_maximum(step: int, top: int) -> None:
    """Weights rise strictly by at most one step, and the last is the maximum."""
    found = weights(plan_of(spec(stepWeight=step, maxWeight=top)))
    gaps = [b - a for a, b in zip((0, *found), found, strict=False)]
    assert found[-1] == top
    assert all(0 < gap <= step for gap in gaps)
    assert all(gap == step for gap in gaps[:-1])


@given(given_weights=st.sets(STEPS, min_size=1), weight=st.integers(0, 100), index=st.integers(0, 200))
def test_plan_is_entered_below_the_first_step_above(given_weights: set[int], weight: int, index: int) -> None:
    """A plan edited in mid-run goes on with the first weight above the present one (W11)."""
    plan = Plan(tuple(Step(Routing(w)) for w in sorted(given_weights)))
    place = plan.place(index, weight)
    following = plan.step(place + 1).routing.canary if place < plan.count else None
    assert following == min((w for w in given_weights if w > weight), default=None)


def test_place_is_the_index_while_the_plan_stands() -> None:
    """Steps of the same weight are told apart by their number."""
    plan = plan_of(spec(iterations=3))
    assert [plan.place(index, 0) for index in range(4)] == [0, 1, 2, 3]


COHORT, OTHER = {"headers": {"x-group": {"exact": "staff"}}}, {"headers": {"x-plan": {"exact": "free"}}}


def test_mirror_comes_before_the_first_weight() -> None:
    """All or a part of the requests is mirrored for one step, and none while weights rise (R-MIR-1)."""
    plan = plan_of(spec(stepWeight=50, mirror=True, mirrorWeight=30))
    assert [s.routing for s in plan.steps] == [Routing(mirror=30), Routing(50), Routing(100)]
    assert plan_of(spec(stepWeight=100, mirror=True)).steps[0].routing == Routing(mirror=100)


def test_iterations_judge_a_cohort_or_an_idle_canary() -> None:
    """A/B keeps the cohort on the canary for each iteration; blue/green judges at 0 %, mirrored if asked."""
    ab = plan_of(spec(iterations=2, match=[COHORT]))
    assert [s.routing for s in ab.steps] == [Routing(cohorts=((COHORT,),))] * 2
    assert [s.routing for s in plan_of(spec(iterations=2)).steps] == [Routing()] * 2
    green = plan_of(spec(iterations=3, mirror=True))
    assert [s.routing for s in green.steps] == [Routing(mirror=100)] * 3


def test_explicit_steps_keep_what_they_do_not_name() -> None:
    """Cohorts add up and stay while weights rise (R-DARK-7), a mirror ends with the next step."""
    plan = plan_of(
        spec(
            steps=[
                {"mirror": {"percentage": 50}},
                {"match": [COHORT]},
                {"match": [OTHER]},
                {"pause": {"duration": "10m"}},
                {"setWeight": 20},
                {"analysis": {"duration": "5m"}},
                {"setWeight": 60},
            ]
        )
    )
    both = ((COHORT,), (OTHER,))
    assert [s.routing for s in plan.steps] == [
        Routing(mirror=50),
        Routing(cohorts=both[:1]),
        Routing(cohorts=both, counted=(2,)),
        Routing(cohorts=both, counted=(2,)),
        Routing(20, cohorts=both, counted=(2,)),
        Routing(20, cohorts=both, counted=(2,)),
        Routing(60, cohorts=both, counted=(2,)),
    ]
    assert [s.lasts and s.lasts.total_seconds() for s in plan.steps] == [None, None, None, 600, None, 300, None]
    assert plan.steps[4].label == "20 %, cohort 2"


@pytest.mark.parametrize(
    ("size", "weight", "full", "pods"),
    [
        (2, 10, False, 1),
        (10, 10, False, 1),
        (10, 11, False, 2),
        (10, 50, False, 5),
        (3, 50, False, 2),
        (3, 100, False, 3),
        (4, 0, False, 1),
        (4, 10, True, 4),
    ],
)
def test_capacity_is_the_share_rounded_up(size: int, weight: int, full: bool, pods: int) -> None:
    """A canary has its share of production's pods, rounded up and at least 1, or all with scale Full."""
    assert capacity(size, Routing(weight), full) == pods


@given(size=st.integers(1, 500), weight=st.integers(0, 100))
def test_capacity_never_falls_short(size: int, weight: int) -> None:
    """The canary's pods carry its share without any one carrying more than a primary's does (I8)."""
    pods = capacity(size, Routing(weight), False)
    assert pods >= max(1, math.floor(size * weight / 100))
    assert pods * 100 >= size * weight
    assert pods <= size


def test_capacity_of_copies_and_cohorts() -> None:
    """Mirrored requests need their share of pods; a cohort, whose share is unknown, needs all."""
    assert capacity(10, Routing(mirror=30), False) == 3
    assert capacity(10, Routing(5, cohorts=((COHORT,),)), False) == 10


def test_without_analysis_there_are_no_steps() -> None:
    """A release that is not analysed goes from a ready canary to its promotion."""
    skipped = Canary.parse(canary_object({"spec.skipAnalysis": True})).spec
    assert plan_of(skipped).steps == ()
