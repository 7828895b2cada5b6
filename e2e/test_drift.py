"""What people change by hand on our objects, and what of theirs stays."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from e2e.recorder import LATE_NEWS, Seen
from e2e.release import Release, weights_of
from e2e.testbed.waiting import wait_until
from e2e.timeline import ROLE, assert_none_failed, settled, version_of

SOON = timedelta(seconds=60)
LONG = timedelta(seconds=120)
BACK_WITHIN = timedelta(seconds=1)
"""How long a change by hand may last (release.md section 8)."""


def edit(release: Release, kind: str, *operations: tuple[str, str, Any]) -> None:
    """Change an object named catalog as a user does, by JSON patch."""
    patch = [{"op": op, "path": path, "value": value} for op, path, value in operations]
    release.kubectl("patch", kind, "catalog", "--type=json", "-p", json.dumps(patch))


def expect_put_back(
    release: Release, kind: str, since: datetime, edited: Callable[[Seen], bool], whole: Callable[[Seen], bool]
) -> None:
    """Check that the edit was undone in time and told of by one more event."""
    found: list[Seen] = []

    def put_back() -> bool:
        found[:] = release.recorder.seen(kind, "catalog", since)
        return any(edited(s) for s in found) and whole(found[-1])

    wait_until(put_back, SOON, lambda: f"{kind} catalog: {[s.object['spec'] for s in found]}")
    began = next(s.at for s in found if edited(s))
    ended = next(s.at for s in found if s.at > began and whole(s))
    assert ended - began < BACK_WITHIN + LATE_NEWS


def drift_events(release: Release) -> int:
    """Return how many events told of drift, folded ones by their count."""
    listed = release.testbed.kube.get(f"/api/v1/namespaces/{release.namespace}/events")["items"]
    return sum(e.get("count") or 1 for e in listed if e["reason"] == "TrafficDrift")


def expect_told(release: Release, count: int) -> None:
    """Wait until so many drifts were told."""
    wait_until(lambda: drift_events(release) == count, SOON, lambda: str(release.events()))


def test_weights_mirror_and_selector_edited_by_hand_are_put_back(release: Release) -> None:
    """In a run at 30 % each edit lasts less than a second and is told; the run goes on."""
    release.set_up(stepWeight=30, maxWeight=60, interval="20s")
    release.apply(release.deployment("v2"))
    with release.load(rps=10):
        release.wait_for("Progressing", 30)
        wait_until(lambda: release.weights == (70, 30), SOON, lambda: str(release.weights))
        at = settled(release)
        edit(
            release,
            "virtualservice",
            ("replace", "/spec/http/0/route/0/weight", 10),
            ("replace", "/spec/http/0/route/1/weight", 90),
        )
        routes = "virtualservices"
        expect_put_back(release, routes, at, lambda s: weights_of(s.object) == (10, 90), at_30_percent)
        expect_told(release, 1)
        at = settled(release)
        edit(release, "virtualservice", ("add", "/spec/http/0/mirror", {"host": "catalog-canary"}))
        expect_put_back(release, routes, at, mirrors, lambda s: not mirrors(s) and at_30_percent(s))
        expect_told(release, 2)
        at = settled(release)
        edit(release, "service", ("replace", f"/spec/selector/{ROLE.replace('/', '~1')}", "canary"))
        expect_put_back(release, "services", at, lambda s: role_of(s) == "canary", lambda s: role_of(s) == "primary")
        expect_told(release, 3)
        release.wait_for("Progressing", 60, within=LONG)


def at_30_percent(seen: Seen) -> bool:
    """Tell whether a route shows the step's weights."""
    return weights_of(seen.object) == (70, 30)


def mirrors(seen: Seen) -> bool:
    """Tell whether a route mirrors."""
    return "mirror" in seen.object["spec"]["http"][0]


def role_of(seen: Seen) -> str:
    """Return which set a Service selects."""
    return str(seen.object["spec"]["selector"].get(ROLE))


def test_foreign_fields_of_the_route_survive_a_whole_release(release: Release) -> None:
    """An annotation, fields that we do not manage and a route of the user's stay through every write."""
    release.set_up(stepWeight=50)
    static = {
        "name": "static",
        "match": [{"uri": {"prefix": "/static"}}],
        "route": [{"destination": {"host": "catalog-primary"}}],
    }
    headers = {"response": {"set": {"x-team": "shop"}}}
    release.kubectl("annotate", "virtualservice", "catalog", "example.org/team=shop")
    edit(
        release,
        "virtualservice",
        ("add", "/spec/exportTo", ["."]),
        ("add", "/spec/http/0/timeout", "9s"),
        ("add", "/spec/http/0/route/0/headers", headers),
        ("add", "/spec/http/-", static),
    )
    since = settled(release)
    with release.load() as loads:
        release.apply(release.deployment("v2"))
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(*loads)
    routes = [s.object for s in release.recorder.seen("virtualservices", "catalog", since)]
    assert [weights_of(r) for r in routes] == [(50, 50), (0, 100), (100, 0)]
    for route in routes:
        weighted = route["spec"]["http"][0]
        assert route["metadata"]["annotations"]["example.org/team"] == "shop"
        assert route["spec"]["exportTo"] == ["."]
        assert weighted["timeout"] == "9s"
        assert weighted["route"][0]["headers"] == headers
        assert route["spec"]["http"][1:] == [static]


def test_deleted_primary_services_and_route_come_back_from_the_promoted_revision(release: Release) -> None:
    """After a failed run the target holds a bad template; what is made again is what was in production."""
    release.set_up(stepWeight=50, threshold=1)
    with release.load(rps=10):
        release.apply(release.deployment("v2", FAIL_PERCENT="100"))
        release.wait_for("Failed")
    kept = {kind: release.get(kind, "catalog")["spec"] for kind in ("service", "virtualservice")}
    for kind, name in (
        ("virtualservice", "catalog"),
        ("service", "catalog-primary"),
        ("service", "catalog-canary"),
        ("service", "catalog"),
        ("deployment", "catalog-primary"),
    ):
        uid = release.get(kind, name)["metadata"]["uid"]
        release.kubectl("delete", kind, name)
        expect_made_again(release, kind, name, uid)
    primary = release.testbed.wait_ready(release.namespace, "catalog-primary")
    assert (version_of(primary), primary["spec"]["replicas"]) == ("v1", 2)
    assert release.get("virtualservice", "catalog")["spec"] == kept["virtualservice"]
    made = release.get("service", "catalog")["spec"]
    assert made["selector"] == primary["spec"]["selector"]["matchLabels"]
    assert [(p["port"], p["targetPort"]) for p in made["ports"]] == [(80, 3000)]
    with release.load(rps=10) as loads:
        for load in loads:
            load.wait_for_answers(10)
    assert [set(load.summary().by_version) for load in loads] == [{"v1"}, {"v1"}]
    assert_none_failed(*loads)
    assert release.status["phase"] == "Failed"


def expect_made_again(release: Release, kind: str, name: str, uid: str) -> None:
    """Wait until an object is there with another uid."""

    def found() -> str:
        present = release.find(kind, name)
        return str(present["metadata"]["uid"]) if present else ""

    wait_until(lambda: found() not in ("", uid), SOON, f"{kind} {name} was not made again")
