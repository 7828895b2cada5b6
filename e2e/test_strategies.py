"""Cohorts, mirroring, blue/green, explicit steps and holds, with real requests through real proxies."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from e2e.findings import findings, findings_of_run
from e2e.release import Release, manifests, weights_of
from e2e.testbed.kube import Object
from e2e.testbed.load import Load, Rate
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_capacity_precedes_weight, assert_none_failed, count, moments, settled, version_of

LONG = timedelta(seconds=120)
TOLD = timedelta(seconds=2)
"""How long proxies may take to be told of a route."""
STAFF = {"headers": {"x-group": {"exact": "staff"}}}
FREE = {"headers": {"x-plan": {"regex": "free.*"}}}
RUN = {"Initialized", "Progressing", "Promoting", "Finalising", "Succeeded"}
RATE = Rate(per_second=20, duration=timedelta(seconds=240))


def planned(
    release: Release, promotion: Object | None = None, service: Object | None = None, **analysis: Any
) -> Object:
    """Return a Canary with one plan and no other."""
    found = release.canary(service, **analysis)
    for plan in ("stepWeight", "maxWeight"):
        if plan not in analysis:
            del found["spec"]["analysis"][plan]
    if promotion is not None:
        found["spec"]["promotion"] = promotion
    return found


def begin(release: Release, canary: Object) -> None:
    """Bring the service up and initialise the Canary."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(canary)
    release.wait_for("Initialized")


@contextmanager
def staff(release: Release, rate: Rate = RATE, **headers: str) -> Iterator[Load]:
    """Call as one of the staff, or with other headers, through a sidecar."""
    client = release.testbed.pods.first(release.namespace, "app=client")
    told = headers or {"x_group": "staff"}
    with release.testbed.load_mesh(release.namespace, client, "http://catalog/items", rate, **told) as load:
        yield load


def wait_step(release: Release, index: int) -> datetime:
    """Wait until a step is in force; return when it was seen to be."""

    def there() -> bool:
        step = release.status.get("step") or {}
        return step.get("index") == index and bool(step.get("inForceAt"))

    wait_until(there, LONG, lambda: f"waiting for step {index}: {release.status}")
    return datetime.now(UTC)


def http(release: Release) -> list[Any]:
    """Return the http routes of the VirtualService."""
    routes: list[Any] = release.get("virtualservice", "catalog")["spec"]["http"]
    return routes


def test_mirror_beside_a_cohort_sends_the_canary_copies_of_all_others(release: Release) -> None:
    """Who carries the header sees v2, everybody else v1; copies reach v2 and do not stand in for the cohort (W59)."""
    begin(release, planned(release, iterations=3, match=[STAFF], mirror=True))
    with release.load() as (mesh, plain):
        release.apply(release.deployment("v2"))
        since = wait_step(release, 1) + TOLD
        assert [one.get("mirror") for one in http(release)] == [None, {"host": "catalog-canary"}]
        assert findings(release) == []
        for said in ("has no data but copies", "does every service on the way pass on header x-group?"):
            release.wait_message(said, LONG)
        with staff(release, replace(RATE, per_second=5)) as insider:
            wait_until(lambda: release.status.get("iterations") == 3, LONG, lambda: str(release.status))
            until = datetime.now(UTC)
            release.wait_for("Succeeded", within=LONG)
    assert set(insider.summary(since, until).by_version) == {"v2"}
    assert set(mesh.summary(since, until).by_version) == {"v1"}
    assert set(plain.summary(since, until).by_version) == {"v1"}
    assert counted_by_the_canary(release, until) > insider.summary(until=until).by_version["v2"]
    assert_none_failed(mesh, plain, insider)
    assert [one.get("mirror") for one in http(release)] == [None]


def counted_by_the_canary(release: Release, at: datetime) -> float:
    """Return how many requests the canary's own sidecars had counted at a time."""
    labels = 'reporter="destination",destination_workload="catalog-canary"'
    series = f'istio_requests_total{{{labels},destination_workload_namespace="{release.namespace}"}}'
    return float(sum(one["value"] for one in release.testbed.prom_query(f"{series} @ {at.timestamp():.3f}")))


def test_cohort_without_callers_holds_and_names_the_header(release: Release) -> None:
    """Nobody carries the header: the run holds and says what callers may have forgotten (R-DARK-5)."""
    begin(release, planned(release, iterations=2, match=[STAFF]))
    with release.load():
        release.apply(release.deployment("v2"))
        release.wait_message("does every service on the way pass on header x-group?", LONG)
        assert release.condition("MetricsAvailable")["status"] == "False"
        with staff(release):
            release.wait_for("Succeeded", within=LONG)


def test_cohorts_are_heard_in_order_and_stay_on_the_canary_while_weights_go_up(release: Release) -> None:
    """The staff's requests do not pass the step of those who pay nothing; neither falls back (R-REL-6, R-DARK-7)."""
    plan = [{"match": [STAFF]}, {"match": [FREE]}, {"setWeight": 20}, {"setWeight": 50}]
    begin(release, planned(release, steps=plan, interval="8s"))
    with release.load() as (mesh, plain), staff(release) as insider:
        release.apply(release.deployment("v2"))
        since = wait_step(release, 1) + TOLD
        release.wait_message("no request matched cohort 2: does every service on the way pass on header x-plan?", LONG)
        assert release.status["step"]["index"] == 2
        assert led_to(release) == ["catalog-canary", "catalog-cohort2"]
        assert findings(release) == []
        with staff(release, x_plan="free-trial") as guest:
            later = datetime.now(UTC)
            release.wait_for("Succeeded", within=LONG)
    assert set(insider.summary(since, datetime.now(UTC)).by_version) == {"v2"}
    assert set(guest.summary(later, datetime.now(UTC)).by_version) == {"v2"}
    shared = next(s.at for s in release.recorder.seen("virtualservices", "catalog") if weights_of(s.object)[1])
    assert set(mesh.summary(since, shared - TOLD).by_version) == {"v1"}
    assert_none_failed(mesh, plain, insider, guest)
    wait_until(lambda: not release.find("service", "catalog-cohort2"), LONG, "the Service of cohort 2 is left")


def led_to(release: Release) -> list[str]:
    """Return the hosts that the routes of cohorts lead to, in their order."""
    routes = (one["route"] for one in http(release) if one.get("name", "").startswith("canary-cohort"))
    return [leg["destination"]["host"] for route in routes for leg in route]


@pytest.mark.parametrize("answer", ["good", "bad"])
def test_mirrored_copies_are_judged_and_never_answered(release: Release, answer: str) -> None:
    """While mirroring callers see the primary alone; a canary that fails every copy is rolled back unseen."""
    begin(release, planned(release, stepWeight=50, maxWeight=50, mirror=True, threshold=2))
    fails = "100" if answer == "bad" else "0"
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2", FAIL_PERCENT=fails))
        wait_step(release, 1)
        assert http(release)[0]["mirror"] == {"host": "catalog-canary"}
        release.wait_for("Failed" if answer == "bad" else "Succeeded", within=LONG)
    assert_none_failed(mesh, plain)
    if answer == "bad":
        assert findings_of_run(release) == ({"Initialized", "Progressing", "Failed"}, [])
    assert "mirror" not in http(release)[0]
    shares = release.shares(since)
    if answer == "bad":
        assert set(shares) == {(100, 0)}
        assert set(mesh.summary().by_version) == {"v1"}
    else:
        assert shares == [(100, 0), (50, 50), (0, 100), (100, 0)]


def test_blue_green_switches_once_after_its_iterations(release: Release) -> None:
    """Judged on copies at 0 %, then one switch, a bake at 100 % and one write back."""
    promotion = {"bake": "6s"}
    begin(release, planned(release, promotion, iterations=2, mirror=True))
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2"))
        release.wait_for("Succeeded", within=LONG)
    assert release.shares(since) == [(100, 0), (0, 100), (100, 0)]
    assert release.told("Baked")
    assert_none_failed(mesh, plain)


def test_traffic_goes_back_in_judged_steps(release: Release) -> None:
    """The promoted primary gets its traffic by shares, one write each, and nobody loses a request."""
    begin(release, planned(release, stepWeight=50, maxWeight=50, stepWeightPromotion=40))
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2"))
        release.wait_for("Succeeded", within=LONG)
    assert release.shares(since) == [(50, 50), (0, 100), (40, 60), (80, 20), (100, 0)]
    back = [(row.phase, row.weight) for row in release.rows(since) if row.phase == "Finalising"]
    assert back == [("Finalising", 60), ("Finalising", 20), ("Finalising", 0)]
    assert_none_failed(mesh, plain)
    assert findings_of_run(release) == (RUN, [])


def test_skipped_analysis_loses_no_request(release: Release) -> None:
    """Without checks readiness is waited for all the same, of a canary that never is and of a slow primary."""
    canary = planned(release, stepWeight=50)
    canary["spec"]["skipAnalysis"] = True
    begin(release, canary)
    release.patch_spec(progressDeadlineSeconds=6)
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2", TESTBED_NEVER_READY="1"))
        release.wait_for("Failed", within=LONG)
        assert release.condition("Progressing")["reason"] == "CanaryNotReady"
        assert release.shares(since) == []
        release.patch_spec(progressDeadlineSeconds=60)
        slow = release.deployment("v3")
        slow["spec"]["minReadySeconds"] = 4
        release.apply(slow)
        release.wait_for("Succeeded", within=LONG)
    assert release.shares(since) == [(0, 100), (100, 0)]
    assert {version for load in (mesh, plain) for version in load.summary().by_version} == {"v1", "v3"}
    assert_none_failed(mesh, plain)
    history = moments(release.recorder, since)
    assert_capacity_precedes_weight(history, size=2)
    back = next(old for old, new in pairwise(history) if old.weights == (0, 100) != new.weights)
    primary = back.deployments["catalog-primary"]
    assert (version_of(primary), count(primary, "updatedReplicas"), count(primary, "availableReplicas")) == ("v3", 2, 2)


def test_suspended_run_holds_its_weight_and_goes_on(release: Release) -> None:
    """The weight stays for several intervals, then the run goes on from there."""
    begin(release, planned(release, stepWeight=25, maxWeight=50))
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 25, within=LONG)
        release.patch_spec(suspend=True)
        release.wait_message("suspended")
        written = release.shares(since)
        held = datetime.now(UTC)
        wait_until(lambda: datetime.now(UTC) - held > timedelta(seconds=8), LONG, lambda: "time to pass")
        assert release.shares(since) == written == [(75, 25)]
        release.patch_spec(suspend=False)
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(mesh, plain)
