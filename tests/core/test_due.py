"""Which questions are owed when."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import Phase
from canary.core.decide import questions
from canary.core.measurement import CheckQuery, GoneQuery, LabelsQuery, TemplateQuery
from canary.core.snapshot import Snapshot
from tests.builders import (
    KEY,
    NS,
    V1,
    V2,
    V3,
    A,
    at,
    clone,
    deleted,
    deployment,
    finalising,
    idle,
    new_target,
    promoting,
    running,
    untouched,
    with_status,
)

GAINED = {**V1, "spec": {**V1["spec"], "brandNew": "default"}}


def kinds(world: Snapshot, seconds: float) -> list[str]:
    """Return the kinds of questions owed at a moment."""
    return [type(q).__name__ for q in questions(world, at(seconds))]


@pytest.mark.parametrize(
    ("world", "seconds", "expected"),
    [
        pytest.param(untouched(), 0, [], id="untouched"),
        pytest.param(idle(), 9999, [], id="idle"),
        pytest.param(running(10), 44, [], id="before the tick"),
        pytest.param(running(10), 45, ["CheckQuery", "CheckQuery"], id="at the tick"),
        pytest.param(running(10), 90, ["CheckQuery", "CheckQuery"], id="late"),
        pytest.param(running(10, shown=0), 45, [], id="weight not in force"),
        pytest.param(running(30, ready=0), 45, [], id="canary lost"),
        pytest.param(running(10, target=new_target(V3, generation=9)), 45, [], id="superseded"),
        pytest.param(running(0), 45, ["LabelsQuery"], id="before the first weight"),
        pytest.param(running(0, ready=0), 45, [], id="no capacity yet"),
        pytest.param(running(0, changes={"spec.analysis.metrics": []}), 45, [], id="no checks"),
        pytest.param(promoting(), 45, [], id="promoting"),
        pytest.param(finalising(), 45, [], id="finalising"),
        pytest.param(deleted(), 0, ["GoneQuery"], id="deleted"),
        pytest.param(idle(target=new_target(V2)), 0, [], id="surely changed"),
        pytest.param(idle(target=new_target(GAINED)), 0, ["TemplateQuery"], id="perhaps newer defaults"),
    ],
)
def test_questions_are_owed_only_when_needed(world: Snapshot, seconds: float, expected: list[str]) -> None:
    """Nothing is asked that the next decision does not need."""
    assert kinds(world, seconds) == expected


@pytest.mark.parametrize(
    ("since", "windows"),
    [(-600, [60, 30]), (0, [45, 30]), (25, [20, 20]), (44.5, [1, 1])],
)
def test_windows_reach_no_further_than_this_runs_traffic(since: float, windows: list[float]) -> None:
    """The window of each metric, cut to the unbroken time with canary traffic (section 5)."""
    found = questions(running(10, status={"traffic_since": at(since)}), at(45))
    assert [q.window.total_seconds() for q in found if isinstance(q, CheckQuery)] == windows


def test_checks_of_a_tick_look_at_one_moment() -> None:
    """Both metrics are asked at the same time, about the exact workloads of the two sides."""
    first, second = questions(running(10), at(50))
    assert isinstance(first, CheckQuery)
    assert isinstance(second, CheckQuery)
    assert (first.at, first.namespace, first.canary, first.primary) == (at(50), NS, "catalog-canary", "catalog-primary")
    assert replace(second, check=first.check, metric=first.metric, window=first.window) == first
    assert first.metric == "istio_requests_total"
    assert second.metric == "istio_request_duration_milliseconds_bucket"


def test_labels_are_asked_of_the_primary() -> None:
    """Before the first weight the primary's series are looked at (R-DIM-1)."""
    assert questions(running(0), at(45)) == (LabelsQuery(NS, "catalog-primary", at(45)),)


def test_deletion_is_asked_about_by_key() -> None:
    """A Canary that the cache lost is looked for under its own group and name."""
    assert questions(deleted(running(30)), at(0)) == (GoneQuery(KEY),)


def test_dry_run_asks_for_the_pinned_template() -> None:
    """The pinned template is shown to the API server under a name that nothing has, with 0 replicas."""
    (query,) = questions(idle(target=new_target(GAINED)), at(0))
    assert isinstance(query, TemplateQuery)
    assert (query.revision, query.deployment["spec"]["template"], query.deployment["spec"]["replicas"]) == (A, V1, 0)
    assert query.deployment["metadata"]["name"] not in ("catalog", "catalog-primary", "catalog-canary")


def test_canary_of_another_controller_is_not_asked_about() -> None:
    """A Canary whose status somebody else keeps owes nothing."""
    world = running(10)
    raw: dict[str, Any] = {**(world.canary or {})}
    raw["metadata"] = {**raw["metadata"], "managedFields": [{"manager": "flagger", "subresource": "status"}]}
    assert questions(replace(world, canary=raw), at(45)) == ()


def test_initialising_asks_about_the_settling_target_alone() -> None:
    """While initialising, no check is owed."""
    world = with_status(idle(target=deployment()), phase=Phase.INITIALIZING)
    assert kinds(replace(world, primary=clone("primary")), 0) == []
