"""The plan: analysis fields become one rising list of weights, and weights become pods."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.api.analysis import Analysis
from canary.core.plan import Plan, capacity, plan_of

STEPS = st.integers(1, 100)


def analysis(**fields: Any) -> Analysis:
    """Return an analysis with these fields."""
    return Analysis.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "weights"),
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
def test_plan_lists_the_weights(fields: dict[str, Any], weights: tuple[int, ...]) -> None:
    """Each way to write a plan gives the weights the design names."""
    assert plan_of(analysis(**fields)).weights == weights


@given(step=STEPS, top=STEPS)
def test_plan_rises_to_its_maximum(step: int, top: int) -> None:
    """Weights rise strictly by at most one step, and the last is the maximum."""
    weights = plan_of(analysis(stepWeight=step, maxWeight=top)).weights
    gaps = [b - a for a, b in zip((0, *weights), weights, strict=False)]
    assert weights[-1] == top
    assert all(0 < gap <= step for gap in gaps)
    assert all(gap == step for gap in gaps[:-1])


@given(weights=st.sets(STEPS, min_size=1), weight=st.integers(0, 100))
def test_next_weight_is_the_first_above(weights: set[int], weight: int) -> None:
    """A plan edited in mid-run is entered at the first weight above the present one (W11)."""
    plan = Plan(tuple(sorted(weights)))
    found = plan.next_weight(weight)
    assert found == min((w for w in weights if w > weight), default=None)
    assert plan.index(weight) == len([w for w in weights if w <= weight])


def test_plan_walks_through_all_its_steps() -> None:
    """From 0, each weight leads to the next, and the last to none."""
    plan = plan_of(analysis(stepWeight=30))
    walk = [0]
    while (following := plan.next_weight(walk[-1])) is not None:
        walk.append(following)
    assert walk == [0, 30, 60, 90, 100]
    assert [plan.index(w) for w in walk] == [0, 1, 2, 3, 4] == list(range(plan.count + 1))


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
    assert capacity(size, weight, full) == pods


@given(size=st.integers(1, 500), weight=st.integers(0, 100))
def test_capacity_never_falls_short(size: int, weight: int) -> None:
    """The canary's pods carry its share without any one carrying more than a primary's does (I8)."""
    pods = capacity(size, weight, False)
    assert pods >= max(1, math.floor(size * weight / 100))
    assert pods * 100 >= size * weight
    assert pods <= size
