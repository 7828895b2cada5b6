"""What a plan comes to: the times of the pages of strategies, and the traffic that judges a step."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import yaml

from canary.api.canary import Canary, CanarySpec
from canary.core.forecast import stages
from e2e.test_strategy_pages import STRATEGIES, manifest_of, rows_shown
from tests.api.manifests import ABSENT, A, listing

STEPPING = "Progressing"
ROLLOUT = 40
"""Seconds that pods take to start and to settle, which no plan tells."""


def spec(**changes: Any) -> CanarySpec:
    """Return the spec of listing 5.1 with fields of its analysis changed."""
    return Canary.parse(listing({f"{A}.{key}": value for key, value in changes.items()})).spec


@pytest.mark.parametrize("name", STRATEGIES)
def test_steps_begin_when_the_pages_of_strategies_say(name: str) -> None:
    """Steps and routes are those of a simulated release; what follows comes no earlier than foretold."""
    found = stages(Canary.parse(yaml.safe_load(manifest_of(name).read_text())).spec)
    shown = rows_shown(name)
    steps = [(one.after.total_seconds(), one.name, one.weights.label) for one in found[:-3]]
    rows = [row for row in shown if row.phase == STEPPING]
    assert steps == [(row.at, row.step, row.routes.removesuffix(", sticky")) for row in rows]
    ending = [(one.after.total_seconds(), one.weights.label) for one in found[-3:]]
    assert [routes for _, routes in ending] == [row.routes for row in shown[-3:]]
    for (at, _), row in zip(ending, shown[-3:], strict=True):
        assert at <= row.at <= at + ROLLOUT


def test_traffic_needed_grows_with_samples_and_shrinks_with_the_share() -> None:
    """The check that wants the most decides, custom ones count no requests; a step without any has no number."""
    metrics = [
        {"name": "request-success-rate", "interval": "1m", "minSamples": 60, "thresholdRange": {"min": 99}},
        {"name": "request-duration", "interval": "30s", "minSamples": 15, "thresholdRange": {"max": 500}},
        {"name": "orders", "query": "sum(orders)", "minSamples": 900, "thresholdRange": {"min": 1}},
    ]
    found = stages(spec(metrics=metrics))
    assert [one.needed for one in found] == [None, 10.0, 5.0, pytest.approx(100 / 30), 2.5, 2.0, None, None, None]
    idle = spec(stepWeight=ABSENT, maxWeight=ABSENT, iterations=1)
    assert stages(idle)[1].needed is None


def test_pauses_and_returns_in_steps_are_told() -> None:
    """A pause without an end is marked; traffic that goes back in steps takes an interval each."""
    steps = [{"setWeight": 40}, {"pause": {}}, {"pause": {"duration": "90s"}}]
    found = stages(spec(stepWeight=ABSENT, maxWeight=ABSENT, steps=steps, stepWeightPromotion=50))
    assert [one.paused for one in found[1:4]] == [False, True, False]
    ending = [(one.after / timedelta(seconds=1), one.weights.label) for one in found[3:]]
    assert ending == [(135, "60/40"), (225, "0/100"), (270, "50/50"), (315, "100/0"), (360, "100/0")]
