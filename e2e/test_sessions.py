"""Session affinity with real proxies: many callers with cookies, a controller that restarts, roll-back, give-back."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canary.core.names import Names
from canary.core.routes.istio import read_weights
from canary.core.routes.routing import Weights
from e2e.controller import Controller
from e2e.findings import findings
from e2e.release import Release, manifests
from e2e.test_adoption import as_the_user_sees_it, route, users_route
from e2e.test_strategies import TOLD, begin, http, planned, wait_step
from e2e.testbed.load import Answer, Load, Rate
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, settled

VISITORS = 2000
"""At 20 % chance alone brings a share more than 3 points off the target once in a thousand runs."""
PER_SECOND = 150.0
A_TURN = timedelta(seconds=VISITORS / PER_SECOND)
"""In which every visitor calls once."""
LONG = timedelta(seconds=120)
AFFINITY = {"cookieName": "flagger-cookie", "maxAge": 3600, "path": "/", "sameSite": "Lax", "httpOnly": True}


def visit(release: Release, visitors: int = VISITORS, per_second: float = PER_SECOND) -> Load:
    """Let visitors call in turn through a sidecar, each with its own cookies."""
    client = release.testbed.pods.first(release.namespace, "app=client")
    rate = Rate(per_second=per_second, duration=timedelta(minutes=5), visitors=visitors)
    return release.testbed.load_mesh(release.namespace, client, "http://catalog/items", rate)


def versions_by_visitor(answers: list[Answer]) -> dict[int, list[str]]:
    """Return the versions that each visitor saw, in order."""
    found: dict[int, list[str]] = defaultdict(list)
    for answer in sorted(answers, key=lambda one: one.at):
        found[answer.visitor].append(answer.version)
    return found


def steady(duration: timedelta) -> list[dict[str, Any]]:
    """Return a plan of two weights with enough time for every visitor to call twice at each."""
    pause = {"pause": {"duration": f"{duration.total_seconds():.0f}s"}}
    return [{"setWeight": 8}, pause, {"setWeight": 20}, pause]


def test_two_thousand_callers_keep_their_side_and_the_shares_keep_to_the_weight(
    release: Release, controller: Controller
) -> None:
    """Within 3 points at each step, nobody changes sides but onto the canary, also over a restart; cookies end."""
    begin(release, planned(release, steps=steady(2 * A_TURN + timedelta(seconds=10)), sessionAffinity=AFFINITY))
    since = settled(release)
    with visit(release) as load:
        release.apply(release.deployment("v2"))
        windows = []
        for index, weight in ((1, 8), (3, 20)):
            began = wait_step(release, index) + TOLD
            if weight == 8:
                assert findings(release) == []
                controller.kill()
                controller.start()
            wait_until(lambda start=began: datetime.now(UTC) > start + 2 * A_TURN, LONG, "two calls of each")  # type: ignore[misc]
            windows.append((weight, began, began + 2 * A_TURN))
        cookie = release.status["sessionAffinityCookie"]
        release.wait_for("Promoting", within=LONG)
        release.wait_for("Succeeded", within=LONG)
        ended = datetime.now(UTC) + TOLD
        load.next_window(timedelta(seconds=2))
    assert_none_failed(load)
    for weight, began, until in windows:
        seen = versions_by_visitor(load.answers(began, until))
        assert len(seen) == VISITORS
        changed = [versions for versions in seen.values() if versions[-1] != versions[0]]
        on_canary = sum(versions[-1] == "v2" for versions in seen.values())
        assert changed == []
        assert 100 * on_canary / VISITORS == pytest.approx(weight, abs=3)
    for versions in versions_by_visitor(load.answers(since)).values():
        assert versions == sorted(versions), "a caller of the canary was sent back"
    assert cookie == f"flagger-cookie=canary.{release.status['revision']['primary']}"
    assert release.shares(since) == [(92, 8), (80, 20), (0, 100), (100, 0)]
    assert [one.get("name") for one in http(release)] == ["weighted"]
    assert release.status["previousSessionAffinityCookie"] == cookie
    given = {tuple(sorted(one.cookies)) for one in load.answers(windows[-1][1], windows[-1][2])}
    assert given == {("flagger-cookie",), ("flagger-cookie-primary",), ("flagger-cookie", "flagger-cookie-primary")}
    assert set(load.summary(ended).by_version) == {"v2"}


def test_cookies_come_after_the_mirror_and_are_taken_in_the_promotion(release: Release) -> None:
    """Copies are seen by nobody, also if all fail; then callers are drawn, and in the end rid of both cookies."""
    plan: dict[str, Any] = {"stepWeight": 50, "maxWeight": 50, "mirror": True, "threshold": 1}
    begin(release, planned(release, {"bake": "8s"}, sessionAffinity=AFFINITY, **plan))
    with visit(release, 40, 40) as load:
        since = settled(release)
        release.apply(release.deployment("v3", FAIL_PERCENT="100"))
        release.wait_for("Failed", within=LONG)
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 50, within=LONG)
        release.wait_for("Promoting", within=LONG)
        wait_until(lambda: release.weights == (0, 100), LONG, lambda: str(release.weights))
        began = datetime.now(UTC) + TOLD
        release.wait_for("Finalising", within=LONG)
        ended = datetime.now(UTC)
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(load)
    calls: dict[int, list[Answer]] = defaultdict(list)
    for answer in load.answers(began, ended):
        calls[answer.visitor].append(answer)
    assert all(len(answers) > 2 for answers in calls.values())
    assert [answers[-1].cookies for answers in calls.values()] == [{}] * 40
    expect_cookies_after_the_mirror(release, since, load)


def expect_cookies_after_the_mirror(release: Release, since: datetime, load: Load) -> None:
    """Expect two mirrored steps without cookies, of which the second ended in the write that drew the callers."""
    seen, names = (
        release.recorder.seen("virtualservices", "catalog", since),
        Names(release.namespace, "catalog", "catalog"),
    )
    drawn = replace(Weights.of(50), sticky=True)
    copied, none = Weights(100, 0, mirror=100), Weights.of(0)
    written = [read_weights(one.object, names) for one in seen]
    assert written == [copied, none, copied, drawn, Weights.of(100), none]
    assert [len(one.object["spec"]["http"]) for one in seen[:4]] == [1, 1, 1, 4]
    before = load.answers(until=seen[3].at - TOLD)
    assert {(one.version, tuple(one.cookies)) for one in before} == {("v1", ())}
    assert {tuple(one.cookies) for one in load.answers(seen[3].at)} >= {
        ("flagger-cookie",),
        ("flagger-cookie-primary",),
    }
    for versions in versions_by_visitor(load.answers()).values():
        assert versions == sorted(versions), "a caller of the canary was sent back"


def test_adopted_routes_keep_sessions_and_are_rolled_back_and_given_back(release: Release) -> None:
    """On the user's own routes: sticky in a run, one write back to 100/0 without a trace, and theirs in the end."""
    before = users_route(release.namespace)
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(before, planned(release, stepWeight=50, maxWeight=50, threshold=1, sessionAffinity=AFFINITY))
    release.wait_for("Initialized")
    idle = route(release)["spec"]
    with visit(release, 40, 40) as load:
        since = settled(release)
        release.apply(release.deployment("v2", FAIL_PERCENT="30"))
        release.wait_for("Progressing", 50, within=LONG)
        release.wait_for("Failed", within=LONG)
        ended = datetime.now(UTC) + TOLD
        load.next_window(timedelta(seconds=3))
    written = [seen.object for seen in release.recorder.seen("virtualservices", "catalog-routes", since)]
    names = Names(release.namespace, "catalog", "catalog")
    assert [read_weights(one, names) for one in written] == [replace(Weights.of(50), sticky=True), Weights.of(0)]
    assert [len(one["spec"]["http"]) for one in written] == [9, 3]
    assert route(release)["spec"] == idle
    assert set(load.summary(ended).by_version) == {"v1"}
    assert load.summary(ended).failed == 0
    release.kubectl("delete", f"canaries.{release.group}", "catalog-release")
    wait_until(lambda: as_the_user_sees_it(route(release)) == as_the_user_sees_it(before), LONG, "given back")
