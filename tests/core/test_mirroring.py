"""A step of copies: judged by the canary's own proxies alone, since callers throw its answers away (R-MIR-3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from canary.api.status import StepStatus
from canary.core.actions import Decision
from canary.core.decide import decide, questions
from canary.core.measurement import CheckQuery, Measurement, SeriesAnswer
from canary.core.snapshot import Snapshot
from tests.answers import answer, counter, served
from tests.builders import INTERVAL, NAMES, NOW, at, find, route, running, written

A = "spec.analysis"
MIRROR: dict[str, Any] = {f"{A}.mirror": True}


def mirroring(**analysis: Any) -> Snapshot:
    """Return a run in its first step, in which every request is copied to the canary."""
    shown = route(0)
    shown["spec"]["http"][0] |= {"mirror": {"host": "catalog-canary"}, "mirrorPercentage": {"value": 100}}
    step = StepStatus(index=1, count=6, started_at=NOW, next_tick_at=NOW + INTERVAL, in_force_at=NOW)
    changes = {**MIRROR, **{f"{A}.{field}": value for field, value in analysis.items()}}
    return running(0, pods=2, changes=changes, route=shown, status={"step": step, "traffic_since": NOW})


def judged(world: Snapshot, codes: dict[str, str]) -> Decision:
    """Decide at the tick on answers that each reporter gives one code for."""
    asked: Sequence[Any] = questions(world, at(45))
    series = tuple(counter(code, reporter, samples=served(at(45))) for reporter, code in codes.items())
    rates = [isinstance(one, CheckQuery) and one.metric == "istio_requests_total" for one in asked]
    assert any(rates)
    return decide(
        world,
        tuple(
            Measurement(q, SeriesAnswer(series) if rate else answer(q)) for q, rate in zip(asked, rates, strict=True)
        ),
        at(45),
    )


def failed(decision: Decision) -> int:
    """Return how many checks have failed."""
    assert decision.status is not None
    return decision.status.failed_checks


def test_copies_are_judged_by_the_canarys_own_proxies_alone() -> None:
    """What callers saw at the canary's own Service, such as a smoke test's failures, is no verdict on copies."""
    decision = judged(mirroring(), {"destination": "200", "source": "500"})
    assert failed(decision) == 0
    after = written(mirroring().route, find(decision.actions, NAMES.route_ref))
    assert after is not None
    (entry,) = after["spec"]["http"]
    assert [one["weight"] for one in entry["route"]] == [90, 10]
    assert not entry.keys() & {"mirror", "mirrorPercentage"}


@pytest.mark.parametrize(
    ("world", "codes"),
    [
        pytest.param(mirroring(), {"destination": "500", "source": "200"}, id="copies fail"),
        pytest.param(mirroring(), {"destination": "500"}, id="copies fail, and nobody calls"),
        pytest.param(running(10), {"destination": "200", "source": "500"}, id="callers see errors of live requests"),
    ],
)
def test_failing_copies_and_live_requests_count(world: Snapshot, codes: dict[str, str]) -> None:
    """Of copies the destination's word, of live requests the worse of both."""
    assert failed(judged(world, codes)) == 1


def test_reporter_that_is_asked_for_holds_for_copies_too() -> None:
    """Who names the source gets the source."""
    metrics = [{"name": "request-success-rate", "reporter": "source", "thresholdRange": {"min": 99}}]
    assert failed(judged(mirroring(metrics=metrics), {"destination": "500", "source": "200"})) == 0
