"""Every page of docs/strategies: its manifest is admitted as it stands, and a release with it goes row by row as told.

The releases run side by side, each in a namespace of its own, under one controller.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.api.duration import parse_duration
from canary.core.names import Names
from canary.core.routes.istio import read_weights
from e2e.conftest import install_crd, keep_artefacts, remove_crd
from e2e.controller import Controller
from e2e.findings import State, findings_in, states_of
from e2e.recorder import LATE_NEWS, Recorder
from e2e.release import MANIFESTS, Release, manifests, summary
from e2e.testbed.kube import Object
from e2e.testbed.layout import REPOSITORY
from e2e.testbed.load import Load, Rate
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import DeadlineExceededError, wait_until
from e2e.timeline import assert_none_failed, settled

STRATEGIES = {page.stem: page for page in sorted(REPOSITORY.glob("docs/strategies/*.md"))}
COHORTS: dict[str, tuple[tuple[str, str], ...]] = {
    "ab": (("x-group", "staff"), ("cookie", "lang=en; preview=yes")),
    "cohorts": (("x-group", "staff"), ("x-plan", "trial")),
}
"""Headers by which callers belong to the cohorts of a page, one caller each."""
GROUP, COMPAT = "canary.delivery", "flagger.app"
SHRINK = 15
"""A minute of a page is four seconds here."""
DURATIONS = ("interval", "duration", "bake")
RATE = Rate(per_second=15)
READY = timedelta(seconds=180)
ENDED = timedelta(seconds=300)
A_LOOK = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a page's table: when, phase, step, and what the routes show by its end."""

    at: float
    phase: str
    step: str
    routes: str


def section(page: Path, title: str) -> str:
    """Return what stands under a heading, up to the next of the same level or above."""
    found = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"{page.name} has no heading {title}"
    return found[2]


def table(page: Path, title: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    lines = re.findall(r"^\|(.*)\|$", section(page, title), re.MULTILINE)
    return [[cell.strip() for cell in line.split(" | ")] for line in lines[2:]]


def manifest_of(name: str) -> Path:
    """Return the manifest of a strategy, which the end-to-end tests release with."""
    return MANIFESTS / f"strategies/{name}.yaml"


def rows_shown(name: str) -> list[Row]:
    """Return the rows that the page of a strategy promises."""
    cells = table(STRATEGIES[name], "Row by row")
    return [Row(float(at.removesuffix(" s")), phase, step, routes) for at, phase, step, routes, _ in cells]


def rows_of(changes: Iterable[tuple[float, Object]], names: Names) -> list[Row]:
    """Return the rows of one release from every version of its Canary and its VirtualService, in order."""
    rows: list[Row] = []
    routes, shown = "", ("", "")
    for at, obj in changes:
        if obj["kind"] == "VirtualService":
            weights = read_weights(obj, names)
            routes = weights.label if weights else ""
            rows = [*rows[:-1], replace(rows[-1], routes=routes)] if rows else []
            continue
        status = obj.get("status") or {}
        now = (status.get("phase", ""), (status.get("step") or {}).get("description", ""))
        if now != shown and (rows or now[0] == "Progressing"):
            rows.append(Row(at, *now, routes))
        shown = now
    return [replace(row, at=round(row.at - rows[0].at)) for row in rows]


@dataclass(frozen=True, slots=True)
class Ending:
    """How the release of one page went."""

    phase: str
    summary: str
    rows: list[Row]
    loads: list[Load]


def shortened(value: Any) -> Any:
    """Return a manifest whose durations are a fraction of what they were."""
    if isinstance(value, list):
        return [shortened(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    return {key: _fraction(one) if key in DURATIONS else shortened(one) for key, one in value.items()}


def _fraction(text: str) -> str:
    return f"{parse_duration(text).total_seconds() / SHRINK:.0f}s"


def quick(name: str) -> Object:
    """Return the Canary of a page at the rhythm of the tests."""
    found: Object = yaml.safe_load(manifest_of(name).read_text())
    found["spec"]["analysis"] = {"interval": "1m", **found["spec"]["analysis"]}
    found = shortened(found)
    found["spec"]["analysis"]["drainSeconds"] = 1
    return found


@pytest.fixture(scope="module")
def both_groups(testbed: Testbed, compat_crd: None) -> Iterator[None]:
    """Serve our own group beside Flagger's."""
    install_crd(testbed, GROUP)
    yield
    remove_crd(testbed, GROUP)


@pytest.fixture(scope="module")
def services(testbed: Testbed, both_groups: None) -> Iterator[dict[str, Release]]:
    """Offer one service per page, in a namespace of its own, all served by one controller."""
    namespaces = {name: f"page-{name}" for name in STRATEGIES}
    for namespace in namespaces.values():
        testbed.create_namespace(namespace)
    with Controller(testbed, list(namespaces.values())), ExitStack() as recorders:
        recorded = {name: recorders.enter_context(Recorder(testbed, place)) for name, place in namespaces.items()}
        yield {name: Release(testbed, place, recorded[name], GROUP) for name, place in namespaces.items()}
    for namespace in namespaces.values():
        testbed.delete_namespace(namespace)


@pytest.fixture(scope="module")
def endings(services: dict[str, Release]) -> dict[str, Ending]:
    """Release v2 of every service at once, each as its page says, and tell how it went."""
    _initialise(services)
    loads = {name: list(_callers(name, release)) for name, release in services.items()}
    with ExitStack() as running:
        for load in [one for found in loads.values() for one in found]:
            running.enter_context(load)
        for release in services.values():
            release.apply(release.deployment("v2", replicas=1))
        with suppress(DeadlineExceededError):
            wait_until(lambda: all(map(_has_ended, services.values())), ENDED, "some go on", interval=A_LOOK)
    return {name: _ending(name, release, loads[name]) for name, release in services.items()}


def _initialise(services: dict[str, Release]) -> None:
    for release in services.values():
        release.apply(
            release.deployment("v1", replicas=1), *manifests("catalog-service.yaml"), *manifests("client.yaml")
        )
    for release in services.values():
        for deployment in ("catalog", "client"):
            release.testbed.wait_ready(release.namespace, deployment, READY)
    for name, release in services.items():
        release.kubectl("apply", "--validate=strict", "-f", str(manifest_of(name)))
        release.apply(quick(name))
    for release in services.values():
        release.wait_for("Initialized", within=READY)


def _callers(name: str, release: Release) -> Iterator[Load]:
    """Yield a caller without header, and one for each cohort."""
    client = release.testbed.pods.first(release.namespace, "app=client")
    for headers in ({}, *(dict([header]) for header in COHORTS.get(name, ()))):
        yield release.testbed.load_mesh(release.namespace, client, "http://catalog/items", RATE, **headers)


def _has_ended(release: Release) -> bool:
    return release.status.get("phase") in ("Succeeded", "Failed")


def _ending(name: str, release: Release, loads: list[Load]) -> Ending:
    settled(release)
    status, names = release.status, Names(release.namespace, "catalog", "catalog")
    seen = [*release.recorder.seen(f"canaries.{GROUP}"), *release.recorder.seen("virtualservices", "catalog")]
    versions = sorted((one.object for one in seen), key=lambda obj: int(obj["metadata"]["resourceVersion"]))
    rows = rows_of(((0, obj) for obj in versions), names)
    if status["phase"] != "Succeeded":
        keep_artefacts(release.testbed, release.namespace)
    return Ending(status["phase"], summary(status), rows, loads)


@pytest.mark.parametrize("name", STRATEGIES)
def test_release_of_a_page_succeeds_as_told(endings: dict[str, Ending], name: str) -> None:
    """Steps and routes follow one another as the page's table has them, and no caller gets an error."""
    ending = endings[name]
    assert ending.phase == "Succeeded", ending.summary
    assert ending.rows == [replace(row, at=0) for row in rows_shown(name)]
    assert_none_failed(*ending.loads)


@pytest.mark.parametrize("name", ["mirroring", "steps"])
def test_copies_are_judged_before_any_caller_is_answered_by_the_canary(
    services: dict[str, Release], endings: dict[str, Ending], name: str
) -> None:
    """While `mirror` or `steps[].mirror` is in force the checks count requests, and callers see the primary alone."""
    release, names = services[name], Names(services[name].namespace, "catalog", "catalog")
    written = [(one.at, read_weights(one.object, names)) for one in release.recorder.seen("virtualservices", "catalog")]
    copied = next(at for at, weights in written if weights and weights.mirror)
    shared = next(at for at, weights in written if weights and weights.canary)
    (load,) = endings[name].loads
    assert set(load.summary(copied, shared - LATE_NEWS).by_version) == {"v1"}
    statuses = [one.object.get("status") or {} for one in release.recorder.seen(f"canaries.{GROUP}")]
    checks = [check for status in statuses for check in status.get("checks") or ()]
    counted = [check for check in checks if copied < datetime.fromisoformat(check["at"]) < shared]
    assert all(check["verdict"] != "Pass" or check["samples"] > 0 for check in counted), counted
    assert "Pass" in {check["verdict"] for check in counted}


def test_no_phase_of_any_strategy_has_findings(
    testbed: Testbed, services: dict[str, Release], endings: dict[str, Ending]
) -> None:
    """Whatever step a release is at, istioctl analyze has nothing against it: every state of each is looked at."""
    states = {name: states_of(release) for name, release in services.items()}
    phases = {name: set[str]().union(*(state.phases for state in found)) for name, found in states.items()}
    assert {name: missed for name, ending in endings.items() if (missed := _phases(ending) - phases[name])} == {}
    found = [f"{one['origin']}: {one['code']} {one['message']}" for one in findings_in(testbed, "states", states)]
    assert found == [], {name: [state.phases for state in found] for name, found in states.items()}


def _phases(ending: Ending) -> set[str]:
    return {row.phase for row in ending.rows}


def test_analysis_has_something_against_a_host_that_does_not_exist(
    testbed: Testbed, services: dict[str, Release], endings: dict[str, Ending]
) -> None:
    """The silence of the test above means something: the same states with one route that leads nowhere."""
    states = states_of(services["weights"])
    odd = json.loads(states[-1].objects)
    route = next(one for one in odd if one["kind"] == "VirtualService")
    route["spec"]["http"][0]["route"][1]["destination"]["host"] = "catalog-nobody"
    found = findings_in(testbed, "odd-states", {"weights": [*states[:-1], State(set(), json.dumps(odd))]})
    assert [one["code"] for one in found] == ["IST0101"]
    assert f"weights-{len(states) - 1}-catalog-nobody" in found[0]["message"]


@pytest.mark.parametrize("name", STRATEGIES)
def test_manifest_of_a_page_is_admitted_in_compat_mode_too(testbed: Testbed, both_groups: None, name: str) -> None:
    """Nothing but the group is different for whoever comes from Flagger."""
    found = {**yaml.safe_load(manifest_of(name).read_text()), "apiVersion": f"{COMPAT}/v1beta1"}
    options = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")
    assert "created (server dry run)" in testbed.kubectl("-n", "default", *options, stdin=json.dumps(found))
