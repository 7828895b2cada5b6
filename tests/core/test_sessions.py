"""Session affinity: cookies as the spec asks for them, shares of callers as the plan has them."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.api.hooks import SessionAffinity
from canary.core.names import Names
from canary.core.routes.entries import rewrite
from canary.core.routes.routing import Routing
from canary.core.routes.sessions import Sessions, sessions_of
from tests.builders import NAMES, NS
from tests.visitors import Visitor, crowd, share

AFFINITY = SessionAffinity(cookie_name="flagger-cookie")
PLAIN = {"name": "weighted", "route": [{"destination": {"host": "catalog"}}]}
STAFF = {"headers": {"x-group": {"exact": "staff"}}}


def shared_out(sessions: Sessions | None, weight: int, entry: dict[str, Any] = PLAIN, **more: Any) -> dict[str, Any]:
    """Return a VirtualService with one route of a user's under a weight."""
    http, _ = rewrite([entry], NAMES, Routing(weight, sessions=sessions, **more), ())
    return {"metadata": {"name": "catalog", "namespace": NS}, "spec": {"hosts": ["catalog"], "http": http}}


def destinations(route: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the destinations of the http route of a name."""
    (found,) = [one["route"] for one in route["spec"]["http"] if one["name"] == name]
    return list(found)


def cookie(destination: dict[str, Any]) -> str:
    """Return the cookie that a destination gives."""
    return str(destination["headers"]["response"]["add"]["Set-Cookie"])


plans = st.sets(st.integers(1, 99), min_size=1, max_size=12).map(sorted)


@given(weights=plans, data=st.data())
def test_callers_drawn_at_any_step_are_on_the_canary_with_each_later_weight(weights: list[int], data: Any) -> None:
    """Drawn once, at whatever step: exactly the weight's percentage is on the canary then and at each later one."""
    sessions = sessions_of(AFFINITY, "6f0ca1", weights)
    first = data.draw(st.sampled_from(weights))
    later = data.draw(st.sampled_from([one for one in weights if one >= first]))
    drawing = destinations(shared_out(sessions, first), "weighted")
    assert sum(one["weight"] for one in drawing) == 100
    on_canary = 0
    for one in drawing:
        name, _, value = cookie(one).split(";")[0].partition("=")
        visitor = Visitor({"lang": "en", name: value, "last": "1"})
        sides = {visitor.call(shared_out(sessions, later), Random(seed)) for seed in range(3)}
        assert len(sides) == 1, f"{name}={value} is drawn again at {later} %"
        on_canary += one["weight"] if sides == {"canary"} else 0
    assert on_canary == later


@pytest.mark.parametrize(
    "weights", [[10, 20, 30, 40, 50], list(range(1, 51)), [5, 20, 50], [50], [3, 97]], ids=lambda plan: str(len(plan))
)
def test_thousand_callers_keep_to_the_weight_at_each_step(weights: list[int]) -> None:
    """Shares stay within 3 points, with callers who come late and callers who are away for steps; nobody goes back."""
    random, visitors = Random(2), crowd(1000)
    sessions = sessions_of(AFFINITY, "6f0ca1", weights)
    for number, weight in enumerate(weights):
        route = shared_out(sessions, weight)
        there = visitors if number % 3 == 0 else random.sample(visitors, 400)
        for _ in range(3):
            for visitor in there:
                visitor.call(route, random)
        for visitor in visitors:
            visitor.call(route, random)
        assert share(visitors) == pytest.approx(weight, abs=3), f"at {weight} %"
    assert sum(one.moved_back for one in visitors) == 0


def test_caller_of_the_canary_comes_back_to_it_after_a_diversion() -> None:
    """Diverted and back, the same callers are on the canary: the draw is kept, not made again."""
    random, visitors = Random(3), crowd(200)
    sessions = sessions_of(AFFINITY, "6f0ca1", [30, 60])
    for visitor in visitors:
        visitor.call(shared_out(sessions, 30), random)
    before = [one.side for one in visitors]
    assert {one.call(shared_out(sessions, 0), random) for one in visitors} == {"primary"}
    assert [one.call(shared_out(sessions, 30), random) for one in visitors] == before


def test_cookie_of_another_revision_has_no_effect() -> None:
    """Who was on the canary of one revision is drawn anew for the next, and its cookie is replaced."""
    random = Random(1)
    visitor = Visitor({"flagger-cookie": "canary.0000aa", "flagger-cookie-primary": "primary.0000aa.10"})
    sides = {
        Visitor(dict(visitor.jar)).call(shared_out(sessions_of(AFFINITY, "6f0ca1", [50]), 50), random) for _ in "x" * 20
    }
    assert sides == {"primary", "canary"}


def test_edited_plan_never_gives_the_canary_more_than_its_weight() -> None:
    """Weights put in between in mid-run: earlier callers lag behind, at most, and newcomers are as they should be."""
    random, early = Random(5), crowd(1000)
    for visitor in early:
        visitor.call(shared_out(sessions_of(AFFINITY, "6f0ca1", [10, 50]), 10), random)
    edited = sessions_of(AFFINITY, "6f0ca1", [10, 30, 50])
    late = crowd(1000)
    for visitor in (*early, *late):
        visitor.call(shared_out(edited, 30), random)
    assert share(early) == pytest.approx(10, abs=3)
    assert share(late) == pytest.approx(30, abs=3)
    for visitor in early:
        visitor.call(shared_out(edited, 50), random)
    assert share(early) == pytest.approx(50, abs=3)


def test_cookies_are_taken_away_once_everybody_is_on_the_canary() -> None:
    """At 100 % both cookies end, one per answer; callers without them get no such header."""
    sessions, random = sessions_of(AFFINITY, "6f0ca1", [50]), Random(2)
    visitors = crowd(20)
    for visitor in visitors:
        visitor.jar["flagger-cookie"] = "canary.6f0ca1"
        visitor.jar["flagger-cookie-primary"] = "primary.6f0ca1.50"
        assert {visitor.call(shared_out(sessions, 100), random) for _ in "12"} == {"canary"}
        assert visitor.jar == {"lang": "en"}
    assert all("headers" not in one for one in destinations(shared_out(sessions, 100), "weighted"))


def test_every_attribute_is_on_every_cookie() -> None:
    """The cookie of either side, and the one that ends it, go to the same place."""
    affinity = SessionAffinity(
        cookie_name="a",
        primary_cookie_name="b",
        domain="example.com",
        path="/shop",
        same_site="None",
        secure=True,
        http_only=True,
        partitioned=True,
        max_age=60,
    )
    reach = "; Domain=example.com; HttpOnly; Partitioned; Path=/shop; SameSite=None; Secure"
    sessions = sessions_of(affinity, "6f0ca1", [20])
    drawing = destinations(shared_out(sessions, 20), "weighted")
    assert [cookie(one) for one in drawing] == [
        f"b=primary.6f0ca1.100; Max-Age=60{reach}",
        f"a=canary.6f0ca1; Max-Age=60{reach}",
    ]
    ended = destinations(shared_out(sessions, 100), "canary-session-ends-weighted")
    assert cookie(ended[0]) == f"a=; Max-Age=0{reach}"


def test_cookie_goes_to_the_whole_site_for_a_day_by_default() -> None:
    """Without a path a browser would keep one cookie per folder, and draw the caller again in each."""
    drawing = destinations(shared_out(sessions_of(AFFINITY, "6f0ca1", [20]), 20), "weighted")
    assert cookie(drawing[-1]) == "flagger-cookie=canary.6f0ca1; Max-Age=86400; Path=/"


def test_cohort_goes_before_the_cookie_and_headers_of_the_user_stay() -> None:
    """A cohort is on the canary whatever its cookie says; what the user adds to answers is still added."""
    theirs = {"response": {"add": {"x-shop": "1"}}}
    entry = {**PLAIN, "headers": theirs, "route": [{"destination": {"host": "catalog"}, "headers": theirs}]}
    route = shared_out(sessions_of(AFFINITY, "6f0ca1", [20]), 20, entry, cohorts=((STAFF,),))
    waiting = Visitor({"flagger-cookie-primary": "primary.6f0ca1.100"})
    assert waiting.call(route, Random(0)) == "primary"
    assert waiting.call(route, Random(0), {"x-group": "staff"}) == "canary"
    for one in destinations(route, "weighted"):
        assert one["headers"]["response"]["add"]["x-shop"] == "1"
    assert all(one["headers"] == theirs for one in route["spec"]["http"])


def test_copies_are_made_of_every_request_whatever_its_cookie() -> None:
    """Mirroring beside a weight, as an edited plan may lead to, is on each route alike (W59)."""
    route = shared_out(sessions_of(AFFINITY, "6f0ca1", [20]), 20, mirror=40)
    shown = [(one["mirror"]["host"], one["mirrorPercentage"]["value"]) for one in route["spec"]["http"]]
    assert shown == [("catalog-canary", 40)] * 4


def test_apex_may_be_spelled_in_full() -> None:
    """The routes for cookies use the user's spelling and port."""
    host = f"catalog.{NS}.svc.cluster.local"
    entry = {**PLAIN, "route": [{"destination": {"host": host, "port": {"number": 80}}}]}
    route = shared_out(sessions_of(AFFINITY, "6f0ca1", [20]), 20, entry)
    names: Names = NAMES
    (waits,) = destinations(route, "canary-session-waits-weighted")
    assert waits["destination"] == {"host": f"{names.apex}-primary.{NS}.svc.cluster.local", "port": {"number": 80}}
