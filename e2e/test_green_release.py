"""A good canary, from initialisation to Succeeded, under load: one release, looked at from all sides."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import comb

import pytest

from e2e.conftest import keep_artefacts
from e2e.controller import Controller
from e2e.findings import findings
from e2e.recorder import LATE_NEWS, Recorder
from e2e.release import CANARY, Release, manifests, summary, weights_of
from e2e.testbed.kube import Object
from e2e.testbed.load import Load, Rate
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_rhythm, settled

NAMESPACE = "green"
LONG = timedelta(seconds=120)
INTERVAL = timedelta(seconds=8)
WEIGHTS = (10, 20, 30, 40, 50)
RUN = (
    *(("Progressing", weight) for weight in (0, *WEIGHTS)),
    *((phase, 0) for phase in ("Promoting", "Finalising", "Succeeded")),
)


@dataclass(frozen=True, slots=True)
class Look:
    """What a person sees at one moment; ``phase`` is empty when it changed meanwhile."""

    phase: str
    table: str
    findings: list[Object]


@dataclass(frozen=True, slots=True)
class Green:
    """A release that went well, with all that was seen of it."""

    release: Release
    since: datetime
    mesh: Load
    plain: Load
    looks: list[Look]


@pytest.fixture(scope="module")
def green(testbed: Testbed, compat_crd: None) -> Iterator[Green]:
    """Do one release under load, look at it all the time, and keep what was seen."""
    testbed.create_namespace(NAMESPACE)
    with Controller(testbed, [NAMESPACE]), Recorder(testbed, NAMESPACE) as recorder:
        try:
            followed = follow(Release(testbed, NAMESPACE, recorder))
        except BaseException:
            keep_artefacts(testbed, NAMESPACE)
            raise
        yield followed
    testbed.delete_namespace(NAMESPACE)


def follow(release: Release) -> Green:
    """Release v2 and look at it until it succeeded."""
    testbed = release.testbed
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(release.canary(interval=f"{INTERVAL.seconds}s"))
    release.wait_for("Initialized")
    looks = [look(release)]
    client = testbed.pods.first(NAMESPACE, "app=client")
    with (
        testbed.load_mesh(NAMESPACE, client, "http://catalog/items", Rate(per_second=60)) as mesh,
        testbed.load_endpoints(NAMESPACE, "catalog", "/items", Rate(per_second=10)) as plain,
    ):
        since = settled(release)
        release.apply(release.deployment("v2"))

        def succeeded() -> bool:
            looks.append(look(release))
            return looks[-1].phase == "Succeeded"

        wait_until(succeeded, LONG, lambda: summary(release.status))
    return Green(release, since, mesh, plain, looks)


def look(release: Release) -> Look:
    """Ask kubectl and istioctl as a person does."""
    before = release.status["phase"]
    table = release.kubectl("get", "canaries.flagger.app")
    found = findings(release)
    after = release.status["phase"]
    return Look(before if before == after else "", table, found)


def test_good_canary_is_promoted_without_a_failed_request(green: Green) -> None:
    """No caller notices anything but the new version, with a sidecar or without."""
    for load in (green.mesh, green.plain):
        assert load.summary().failed == 0, str(load.summary())
        assert load.answers()[-1].version == "v2"
    assert green.release.told("CheckFailed") == []


def test_rows_are_those_of_the_book_one_interval_apart(green: Green) -> None:
    """One row for each interval: never earlier, at most two seconds later."""
    rows = green.release.rows()
    assert tuple((r.phase, r.weight) for r in rows) == (("Initializing", 0), ("Initialized", 0), *RUN)
    run = [row for row in rows if row.at >= green.since]
    assert len(run) == len(RUN)
    assert_rhythm(run, INTERVAL)


def test_table_has_the_columns_of_the_book(green: Green) -> None:
    """kubectl get canary prints four columns by their names, and the row that the status holds."""
    for seen in green.looks:
        heading, row = seen.table.splitlines()
        assert heading.split() == ["NAME", "STATUS", "WEIGHT", "LASTTRANSITIONTIME"]
        assert re.fullmatch(rf"{CANARY} +\w+ +\d+ +\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row), row
    shown = {tuple(seen.table.splitlines()[1].split()[1:3]) for seen in green.looks}
    assert {("Initialized", "0"), ("Progressing", "10"), ("Succeeded", "0")} <= shown


def test_every_version_of_the_route_is_that_of_the_book(green: Green) -> None:
    """Hosts, gateways and destinations never change; each row is one write of whole weights that sum to 100."""
    versions = green.release.recorder.seen("virtualservices", "catalog")
    for spec in (seen.object["spec"] for seen in versions):
        assert (spec["hosts"], spec["gateways"], len(spec["http"])) == (["catalog"], ["mesh"], 1)
        route = spec["http"][0]["route"]
        assert [d["destination"] for d in route] == [{"host": "catalog-primary"}, {"host": "catalog-canary"}]
        weights = [d.get("weight", 0) for d in route]
        assert all(type(weight) is int and 0 <= weight <= 100 for weight in weights), weights
        assert sum(weights) == 100
    expected = [(100, 0), *((100 - weight, weight) for weight in WEIGHTS), (0, 100), (100, 0)]
    assert [weights_of(seen.object) for seen in versions] == expected


def test_share_of_the_canary_is_what_the_route_says(green: Green) -> None:
    """At each weight the answers from v2 lie within bounds that hold for all but one of 10,000 good releases."""
    versions = green.release.recorder.seen("virtualservices", "catalog", green.since)
    certainty = 1 - 0.0001 / len(WEIGHTS)
    for seen, following in pairwise(versions):
        share = weights_of(seen.object)[1]
        answered = green.mesh.summary(seen.at + LATE_NEWS, following.at - LATE_NEWS)
        assert answered.total >= 200, f"{share} %: {answered}"
        low, high = bounds(answered.total, share / 100, certainty)
        assert low <= answered.by_version.get("v2", 0) <= high, f"{share} %: not in {low}..{high}: {answered}"
    last = green.mesh.summary(versions[-1].at + LATE_NEWS)
    assert set(last.by_version) == {"v2"}, str(last)


def bounds(total: int, share: float, certainty: float) -> tuple[int, int]:
    """Return the fewest and most hits of a binomial distribution, each exceeded in half of the rare cases."""
    tail = (1 - certainty) / 2
    chances = [comb(total, hits) * share**hits * (1 - share) ** (total - hits) for hits in range(total + 1)]
    low, high = 0, total
    below = above = 0.0
    while (below := below + chances[low]) <= tail:
        low += 1
    while (above := above + chances[high]) <= tail:
        high -= 1
    return low, high


def test_istio_finds_nothing_wrong_in_any_phase(green: Green) -> None:
    """istioctl analyze has nothing to say about the service and what we made for it."""
    assert {seen.phase for seen in green.looks} >= {phase for phase, _ in RUN} | {"Initialized"}
    told = {(seen.phase, one["code"], one["message"]) for seen in green.looks for one in seen.findings}
    assert told == set()
