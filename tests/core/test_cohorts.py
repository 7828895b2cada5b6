"""A cohort's routes: whoever meets the conditions of both, the route's and the cohort's, and nobody else."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.core.names import Names
from canary.core.objects import VIRTUAL_SERVICE, Ref
from canary.core.routes.cohorts import CannotJoinError, join
from canary.core.routes.entries import find_conflict, rewrite
from canary.core.routes.istio import cohorts_of, make_route, read_weights, rewrite_route
from canary.core.routes.routing import Routing, Weights
from tests.builders import NAMES, NS, OWNER_MARK
from tests.core.test_routes import spec

Condition = dict[str, Any]

STAFF: Condition = {"headers": {"x-group": {"exact": "staff"}}}
BETA: Condition = {"queryParams": {"beta": {"exact": "1"}}}
SHOP: Condition = {"uri": {"prefix": "/shop"}}
MESH: Condition = {"gateways": ["mesh"]}
EDGE: Condition = {"gateways": ["edge/public"]}
BOTH: Condition = {"gateways": ["mesh", "edge/public"]}
WEB: Condition = {"sourceLabels": {"app": "web"}}


ANY_CASE: Condition = {"uri": {"prefix": "/Shop"}, "ignoreUriCase": True}
SMALL: Condition = {"uri": {"prefix": "/shop"}, "ignoreUriCase": True}


def within(path: str) -> Condition:
    """Return the condition of one path in whatever case."""
    return {"uri": {"exact": path}, "ignoreUriCase": True}


def entry(*match: Condition, host: str = "catalog", **fields: Any) -> dict[str, Any]:
    """Return a route of a user to the apex, or to another host."""
    found = {"route": [{"destination": {"host": host}}], **fields}
    return {**found, "match": list(match)} if match else found


def cohort_routes(entries: list[dict[str, Any]], *cohorts: list[Condition], names: Names = NAMES) -> list[Any]:
    """Return the routes that cohorts are given beside those of a user."""
    found, _ = rewrite(entries, names, Routing(cohorts=tuple(map(tuple, cohorts))), ())
    return [one for one in found if one.get("name", "").startswith("canary-cohort-")]


def conflict(*cohorts: list[Condition], match: list[Condition]) -> str:
    """Return why a route and cohorts do not go together; empty when they do."""
    return find_conflict([entry(*match)], NAMES, Routing(cohorts=tuple(map(tuple, cohorts)))) or ""


def test_prefix_of_every_path_stands_in_no_cohorts_way() -> None:
    """What most people write as service.match goes with any condition on the path."""
    every, some = {"uri": {"prefix": "/"}}, {"uri": {"regex": "/items/[0-9]+"}}
    assert join(every, some) == join(some, every) == some


@pytest.mark.parametrize(
    ("match", "cohort", "expected"),
    [
        pytest.param([], [STAFF, BETA], [STAFF, BETA], id="a route for all"),
        pytest.param([SHOP], [STAFF], [SHOP | STAFF], id="different fields"),
        pytest.param([SHOP, {"uri": {"exact": "/cart"}}], [STAFF, BETA], None, id="each with each"),
        pytest.param([MESH], [STAFF], [MESH | STAFF], id="route of one gateway"),
        pytest.param([STAFF], [MESH], [STAFF | MESH], id="cohort of one gateway"),
        pytest.param([BOTH], [MESH | STAFF], [MESH | STAFF], id="cohort of one gateway of two"),
        pytest.param([EDGE], [BOTH | STAFF], [EDGE | STAFF], id="route of one gateway of two"),
        pytest.param([{"gateways": ["public"]}], [BOTH, STAFF], None, id="a gateway elsewhere of the same name"),
        pytest.param([EDGE, SHOP], [MESH], [SHOP | MESH], id="one of two can be met"),
        pytest.param([{"port": 80}], [{"port": 80, **STAFF}], [{"port": 80, **STAFF}], id="same port"),
        pytest.param([{"port": 80}, {"port": 81}], [{"port": 80}], [{"port": 80}], id="another port"),
        pytest.param([SHOP], [{"uri": {"exact": "/shop/new"}}], [{"uri": {"exact": "/shop/new"}}], id="inside a path"),
        pytest.param([SHOP], [{"uri": {"prefix": "/"}}], [SHOP], id="around a path"),
        pytest.param([SHOP, {"uri": {"prefix": "/x"}}], [{"uri": {"prefix": "/x/y"}}], None, id="another path"),
        pytest.param([{"method": {"exact": "GET"}}], [STAFF], [{"method": {"exact": "GET"}} | STAFF], id="method"),
        pytest.param(
            [WEB], [{"sourceLabels": {"tier": "a"}}], [{"sourceLabels": {"app": "web", "tier": "a"}}], id="pods"
        ),
        pytest.param(
            [WEB, SHOP], [{"sourceLabels": {"app": "x"}}], [SHOP | {"sourceLabels": {"app": "x"}}], id="others"
        ),
        pytest.param([{"name": "a", **SHOP}], [{"name": "b", **STAFF}], [{"name": "a.b", **SHOP, **STAFF}], id="names"),
        pytest.param([ANY_CASE], [STAFF], [SMALL | STAFF], id="case of the route's path"),
        pytest.param([SHOP], [STAFF | {"ignoreUriCase": True}], [SHOP | STAFF], id="case of no path"),
        pytest.param([ANY_CASE], [{"ignoreUriCase": False, **STAFF}], [SMALL | STAFF], id="case of no path either"),
        pytest.param([ANY_CASE], [within("/shop/NEW")], [within("/shop/new")], id="case of both paths"),
        pytest.param(
            [ANY_CASE, BETA], [{"uri": {"exact": "/x"}}], [BETA | {"uri": {"exact": "/x"}}], id="case of none"
        ),
        pytest.param([{"uri": {"prefix": "/"}}], [within("/New")], [within("/new")], id="case of a path with letters"),
        pytest.param([{"gateways": []}], [MESH | STAFF], [MESH | STAFF], id="no gateway is any"),
        pytest.param([MESH | WEB], [STAFF], [MESH | STAFF], id="as Istio reads the route"),
    ],
)
def test_cohort_route_asks_for_both(
    match: list[Condition], cohort: list[Condition], expected: list[Condition] | None
) -> None:
    """Pairs that no request can meet are left out; gateways are those of both."""
    found = [one["match"] for one in cohort_routes([entry(*match)], cohort)]
    several = {
        "/cart": [SHOP | STAFF, SHOP | BETA, {"uri": {"exact": "/cart"}} | STAFF, {"uri": {"exact": "/cart"}} | BETA],
        "public": [{"gateways": ["public"]} | STAFF],
        "/x": [{"uri": {"prefix": "/x/y"}}],
    }
    wanted = expected or next(one for text, one in several.items() if text in str(match))
    assert found == [wanted]
    assert conflict(cohort, match=match) == ""


@pytest.mark.parametrize(
    ("match", "cohort", "words"),
    [
        ([{"uri": {"regex": "/s.*"}}], [SHOP], "uri is {'regex': '/s.*'} in one condition"),
        ([{"headers": {"x-group": {"regex": "s.*"}}}], [STAFF], "headers.x-group is {'regex': 's.*'} in one condition"),
        (
            [ANY_CASE],
            [{"uri": {"exact": "/shop/new"}}],
            "ignoreUriCase is true in one condition and false in the other",
        ),
        ([SHOP], [within("/SHOP/new")], "ignoreUriCase is true in one condition and false in the other"),
        ([MESH], [WEB], "gateways is ['mesh'] in one condition and sourceLabels is {'app': 'web'} in the other"),
        ([WEB], [MESH | STAFF], "gateways is ['mesh'] in one condition and sourceLabels is {'app': 'web'}"),
        ([BOTH], [{"sourceNamespace": "web"}], "and sourceNamespace is web in the other, but beside gateways Istio"),
        ([MESH, SHOP], [MESH | STAFF, WEB], "heeds no sourceLabels; ask for one of them alone"),
    ],
)
def test_cohort_that_istio_has_no_words_for_is_refused(
    match: list[Condition], cohort: list[Condition], words: str
) -> None:
    """Beside gateways Istio does not heed who calls: joined, the whole mesh would be the cohort."""
    assert words in conflict(cohort, match=match)
    assert cohort_routes([entry(*match)], cohort) == []


@pytest.mark.parametrize(
    ("match", "cohort"),
    [
        ([SHOP], [{"uri": {"prefix": "/cart"}}]),
        ([EDGE], [MESH | STAFF]),
        ([{"port": 80}], [{"port": 81}]),
        ([WEB], [{"sourceLabels": {"app": "x"}}]),
        ([EDGE], [MESH | WEB]),
    ],
)
def test_cohort_that_no_request_belongs_to_is_refused(match: list[Condition], cohort: list[Condition]) -> None:
    """Its routes would never be there, and the run would wait for them for ever."""
    told = "no http route to catalog takes a request of cohort 2: no request meets a condition of both"
    assert told in conflict([STAFF], cohort, match=match)


texts = st.sampled_from([{"exact": "a"}, {"exact": "ab"}, {"prefix": "a"}, {"prefix": "ab"}, {"regex": "a.*"}, {}])
paths = st.sampled_from([{kind: path} for kind in ("exact", "prefix") for path in ("/shop", "/Shop/new", "/x", "/")])
conditions = st.fixed_dictionaries(
    {},
    optional={
        "uri": paths,
        "ignoreUriCase": st.booleans(),
        "headers": st.dictionaries(st.sampled_from("xy"), texts, min_size=1),
        "withoutHeaders": st.dictionaries(st.just("x"), texts, min_size=1),
        "port": st.sampled_from([80, 81]),
        "gateways": st.sampled_from([["mesh"], ["edge/public"], ["mesh", "edge/public"]]),
        "sourceLabels": st.dictionaries(st.sampled_from(["app", "tier"]), st.sampled_from(["web", "db"]), min_size=1),
        "sourceNamespace": st.sampled_from(["web", "shop"]),
    },
)
CALLERS = [("mesh", "web", {"app": "web"}), ("mesh", "shop", {"app": "web", "tier": "db"}), ("edge/public", "edge", {})]
HEADERS = [{}, {"x": "a"}, {"x": "ab", "y": "a"}, {"x": "abc"}, {"y": "ab"}]
REQUESTS = [
    *itertools.product(CALLERS, ("/shop", "/SHOP/NEW", "/Shop/new", "/shop/newer", "/x"), HEADERS, (80, 81)),
]
"""Who calls, for which path, with which headers, at which port."""


def fits(text: Condition, value: str) -> bool:
    """Return whether a text meets a condition."""
    if "regex" in text:
        return re.fullmatch(text["regex"], value) is not None
    return value == text["exact"] if "exact" in text else value.startswith(text.get("prefix", ""))


def meets(condition: Condition, request: tuple[Any, str, dict[str, str], int]) -> bool:
    """Return whether Istio takes a request for one that meets a condition."""
    (gateway, namespace, labels), path, headers, port = request
    uri = condition.get("uri") or {}
    if condition.get("ignoreUriCase"):
        uri, path = {kind: text.lower() for kind, text in uri.items()}, path.lower()
    if gateways := condition.get("gateways"):
        called = gateway in gateways
    else:
        called = (condition.get("sourceLabels") or {}).items() <= labels.items()
        called = called and condition.get("sourceNamespace", namespace) == namespace
    wanted, unwanted = condition.get("headers") or {}, condition.get("withoutHeaders") or {}
    return (
        called
        and fits(uri, path)
        and condition.get("port", port) == port
        and all(name in headers and fits(text, headers[name]) for name, text in wanted.items())
        and not any(name in headers and fits(text, headers[name]) for name, text in unwanted.items())
    )


@given(left=conditions, right=conditions)
def test_joined_condition_is_met_by_the_requests_that_meet_both(left: Condition, right: Condition) -> None:
    """No request more, none less, as Istio takes them; what it has no words for is refused, not guessed."""
    try:
        joined = join(left, right)
    except CannotJoinError:
        return
    taken = [joined is not None and meets(joined, one) for one in REQUESTS]
    assert taken == [meets(left, one) and meets(right, one) for one in REQUESTS]


def test_gateways_are_compared_in_full() -> None:
    """A short name is of the VirtualService's namespace, as Istio reads it; the route keeps its own words."""
    short, full, old = ({"gateways": [one]} for one in ("public", f"{NS}/public", f"public.{NS}.svc.cluster.local"))
    for one in (short, full, old, {"gateways": ["./public"]}):
        for other in (short, full, old):
            assert [each["match"] for each in cohort_routes([entry(one)], [other | STAFF])] == [[one | STAFF]]
    away = Names(NS, "catalog", "catalog", named=Ref(VIRTUAL_SERVICE, "edge", "shop"))
    host = f"catalog.{NS}.svc.cluster.local"
    assert [one["match"] for one in cohort_routes([entry(short, host=host)], [EDGE | STAFF], names=away)] == [
        [short | STAFF]
    ]


def test_cohort_follows_the_routes_that_can_take_it() -> None:
    """Each gets one right before it, with its other fields; who is in no cohort goes where the weights say."""
    shop, edge = entry(SHOP | MESH, name="shop", timeout="5s"), entry(EDGE, name="edge", retries={"attempts": 2})
    other, rest = entry(STAFF, host="img", name="img"), entry(name="rest")
    found, _ = rewrite([shop, other, edge, rest], NAMES, Routing(20, cohorts=((MESH | STAFF,), (BETA,))), ())
    assert [one["name"] for one in found] == [
        *("canary-cohort-1-shop", "canary-cohort-2-shop", "shop", "img", "canary-cohort-2-edge", "edge"),
        *("canary-cohort-1-rest", "canary-cohort-2-rest", "rest"),
    ]
    assert [one["match"] for one in found if "cohort" in one["name"]] == [
        *([SHOP | MESH | STAFF], [SHOP | MESH | BETA], [EDGE | BETA], [MESH | STAFF], [BETA])
    ]
    assert (found[0]["timeout"], found[4]["retries"]) == ("5s", {"attempts": 2})
    assert all(one["route"] == [{"destination": {"host": "catalog-canary"}, "weight": 100}] for one in found[:2])
    assert find_conflict([shop, other, edge, rest], NAMES, Routing(cohorts=((MESH | STAFF,), (BETA,)))) is None


@pytest.mark.parametrize("gateways", [["mesh"], ["edge/public"], ["mesh", "edge/public"]])
def test_generated_route_holds_at_its_gateways_for_cohorts_and_all_others(gateways: list[str]) -> None:
    """The list of the VirtualService holds for every route in it; what a cohort names limits the cohort alone."""
    wanted = spec(gateways=gateways, hosts=["shop.io"], match=[SHOP])
    routing = Routing(30, cohorts=((STAFF, MESH | BETA),))
    made = make_route(wanted, NAMES, OWNER_MARK, routing)
    assert made["spec"]["gateways"] == gateways
    assert [one["match"] for one in made["spec"]["http"]] == [[SHOP | STAFF, SHOP | MESH | BETA], [SHOP]]
    assert read_weights(made, NAMES) == Weights(70, 30, cohorts=1)
    assert rewrite_route(made, wanted, NAMES, routing, None)["spec"] == made["spec"]
    assert len(rewrite_route(made, wanted, NAMES, Routing(), None)["spec"]["http"]) == 1


def test_cohort_counted_apart_is_led_to_its_own_service_in_the_users_spelling() -> None:
    """Host by host, with port, weight and header settings as written; other destinations keep their share."""
    host = f"catalog.{NS}.svc.cluster.local"
    ours = {"destination": {"host": host, "port": {"number": 80}}, "weight": 70, "headers": {"request": {}}}
    theirs = {"destination": {"host": "old"}, "weight": 30}
    routing = Routing(cohorts=((STAFF,), (BETA,)), counted=(2,))
    written, _ = rewrite([{"name": "shop", "route": [ours, theirs]}], NAMES, routing, ())
    led = {one["name"]: one["route"] for one in written}
    assert led["canary-cohort-1-shop"][0]["destination"]["host"] == f"catalog-canary.{NS}.svc.cluster.local"
    apart = {**ours, "destination": {"host": f"catalog-cohort2.{NS}.svc.cluster.local", "port": {"number": 80}}}
    assert led["canary-cohort-2-shop"] == [apart, theirs]
    assert cohorts_of({"metadata": {}, "spec": {"http": written}}, NAMES) == {2}
    again, _ = rewrite(written, NAMES, Routing(50, cohorts=((STAFF,), (BETA,))), ())
    assert cohorts_of({"metadata": {}, "spec": {"http": again}}, NAMES) == frozenset()
