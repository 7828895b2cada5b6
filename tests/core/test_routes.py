"""The VirtualService: ours is written exactly, what others wrote survives every write (I12, I20)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.api.canary import Canary, CanarySpec
from canary.core.names import OWNER, ROLLED_BACK, ROUTE_FIELDS
from canary.core.objects import apply_merge_patch, merge_patch
from canary.core.routes.istio import make_route, read_weights, rewrite_route
from canary.core.routes.marks import is_owned_by, read_roll_back, roll_back_mark
from canary.core.routes.routing import CANARY_ONLY, PRIMARY_ONLY, TO_PRIMARY, Routing, Weights
from tests.builders import NAMES, OWNER_MARK, canary_object, route

P, K = "catalog-primary", "catalog-canary"
CARRIED = {
    "timeout": "1500ms",
    "retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx"},
    "match": [{"uri": {"prefix": "/"}}],
    "headers": {"request": {"set": {"x": "y"}}},
    "rewrite": {"uri": "/"},
    "corsPolicy": {"allowOrigins": [{"exact": "*"}], "maxAge": "24h"},
    "fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 0.1}}},
}


def spec(**service: Any) -> CanarySpec:
    """Return listing 5.1's spec with some fields of its service replaced."""
    return Canary.parse(canary_object({f"spec.service.{k}": v for k, v in service.items()})).spec


def rewritten(
    before: dict[str, Any], routing: Routing, wanted: CanarySpec | None = None, mark: str | None = None
) -> dict[str, Any]:
    """Return a route after the merge patch that our rewriting of it makes."""
    now = rewrite_route(before, wanted, NAMES, routing, mark)
    present = {"metadata": {"annotations": before["metadata"].get("annotations") or {}}, "spec": before["spec"]}
    after: dict[str, Any] = apply_merge_patch(before, merge_patch(present, now))
    return after


def entry(obj: dict[str, Any]) -> dict[str, Any]:
    """Return our http route."""
    found: dict[str, Any] = next(e for e in obj["spec"]["http"] if e.get("name") == "weighted")
    return found


def shares(obj: dict[str, Any]) -> dict[str, int]:
    """Return the weights of our http route by host."""
    return {d["destination"]["host"]: d["weight"] for d in entry(obj)["route"]}


def evenly(obj: dict[str, Any]) -> bool:
    """Return whether the route shows shares alone, the same everywhere and without a mirror."""
    found = read_weights(obj, NAMES)
    return found is not None and found.even and not found.mirror


def test_made_route_is_the_books() -> None:
    """Hosts, gateways, destinations and weights are as listing 5.1 leads to."""
    made = make_route(spec(), NAMES, OWNER_MARK, Routing(10))
    assert made["spec"] == {
        "hosts": ["catalog"],
        "gateways": ["mesh"],
        "http": [
            {
                "name": "weighted",
                "route": [
                    {"destination": {"host": P}, "weight": 90},
                    {"destination": {"host": K}, "weight": 10},
                ],
            }
        ],
    }
    assert is_owned_by(made, OWNER_MARK)


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [(["catalog"], ["catalog"]), ([], ["catalog"]), (["shop.io"], ["shop.io", "catalog"]), (["*"], ["*"])],
)
def test_apex_is_among_the_hosts(hosts: list[str], expected: list[str]) -> None:
    """The apex name is added unless the list holds it or a star."""
    assert make_route(spec(hosts=hosts), NAMES, OWNER_MARK, TO_PRIMARY)["spec"]["hosts"] == expected


def test_route_for_delegation_has_neither_hosts_nor_gateways() -> None:
    """On a new one and on one that had them; and they come back when delegation is taken out of the spec."""
    asked = spec(delegation=True, hosts=[], gateways=[])
    made = make_route(asked, NAMES, OWNER_MARK, Routing(10))
    assert list(made["spec"]) == ["http"]
    after = rewritten(route(10), Routing(10), asked)
    assert after["spec"] == made["spec"]
    assert rewritten(after, Routing(10), spec())["spec"] == route(10)["spec"]
    assert rewritten(after, TO_PRIMARY, None)["spec"].keys() == {"http"}


def test_route_carries_what_the_spec_names() -> None:
    """Every route field of the spec reaches the route, on a new one and on one that is there."""
    wanted = spec(**CARRIED)
    made = entry(make_route(wanted, NAMES, OWNER_MARK, TO_PRIMARY))
    later = entry(rewritten(route(0), TO_PRIMARY, wanted))
    for name, value in CARRIED.items():
        assert made[name] == later[name] == value


def test_fields_the_spec_names_no_more_are_dropped() -> None:
    """A time-out taken out of the spec leaves the route; one a person added to the route stays."""
    before = rewritten(route(20), Routing(20), spec(timeout="2s"))
    entry(before)["retries"] = {"attempts": 9}
    after = rewritten(before, Routing(20), spec())
    assert "timeout" not in entry(after)
    assert entry(after)["retries"] == {"attempts": 9}
    assert after["metadata"]["annotations"][ROUTE_FIELDS] == ""


@given(st.integers(0, 100))
def test_weights_sum_to_100(weight: int) -> None:
    """Whatever the share, the two integers sum to 100, on a made and on a rewritten route (I12)."""
    made = make_route(spec(), NAMES, OWNER_MARK, Routing(weight))
    after = rewritten(route(30), Routing(weight), spec())
    assert shares(made) == shares(after) == {P: 100 - weight, K: weight}
    assert read_weights(after, NAMES) == Weights(100 - weight, weight)


@given(before=st.integers(0, 100), after=st.integers(0, 100))
def test_rewriting_is_idempotent(before: int, after: int) -> None:
    """A second rewriting finds nothing to do."""
    once = rewritten(route(before), Routing(after), spec(timeout="1s"))
    assert rewritten(once, Routing(after), spec(timeout="1s")) == once


def test_what_others_wrote_survives() -> None:
    """Foreign annotations, labels, routes, unknown fields and fields of a destination stay (I20)."""
    before = route(10, annotations={"team": "shop"})
    before["metadata"]["labels"]["cost"] = "7"
    before["spec"]["exportTo"] = ["."]
    before["spec"]["tcp"] = [{"match": [{"port": 99}]}]
    before["spec"]["http"][0]["x-unknown"] = {"a": 1}
    before["spec"]["http"][0]["route"][1] |= {"headers": {"response": {"add": {"v": "2"}}}}
    before["spec"]["http"][0]["route"][0]["destination"] |= {"port": {"number": 80}, "subset": "s"}
    static = {"name": "static", "match": [{"uri": {"prefix": "/img"}}], "route": [{"destination": {"host": "img"}}]}
    before["spec"]["http"] = [static, *before["spec"]["http"], {"name": "last", "directResponse": {"status": 404}}]
    expected = copy.deepcopy(before)
    expected["spec"]["http"][1]["route"][0]["weight"] = 70
    expected["spec"]["http"][1]["route"][1]["weight"] = 30
    assert rewritten(before, Routing(30), spec()) == expected


@pytest.mark.parametrize("name", ["mirror", "mirrors", "mirrorPercentage"])
def test_mirror_goes_in_the_same_write(name: str) -> None:
    """A mirror that no step asked for leaves with the weights, in one write."""
    before = route(10)
    before["spec"]["http"][0][name] = {"host": K}
    assert not evenly(before)
    after = rewritten(before, TO_PRIMARY, spec())
    assert evenly(after)
    assert shares(after) == {P: 100, K: 0}


def test_without_a_spec_only_weights_change() -> None:
    """A roll-back does not need a usable spec: hosts, gateways and fields stay."""
    before = rewritten(route(40), Routing(40), spec(timeout="2s", gateways=["gw"], hosts=["a.io"]))
    after = rewritten(before, TO_PRIMARY, None)
    assert shares(after) == {P: 100, K: 0}
    assert after["spec"]["hosts"] == ["a.io", "catalog"]
    assert after["spec"]["gateways"] == ["gw"]
    assert entry(after)["timeout"] == "2s"
    assert after["metadata"] == before["metadata"]


def test_route_without_ours_gets_it_first() -> None:
    """A VirtualService whose routes were replaced by hand gets ours in front; the others stay."""
    before = route(0)
    theirs = {"name": "theirs", "route": [{"destination": {"host": "other"}}]}
    before["spec"]["http"] = [theirs]
    assert read_weights(before, NAMES) is None
    after = rewritten(before, TO_PRIMARY, spec())
    assert [e["name"] for e in after["spec"]["http"]] == ["weighted", "theirs"]


def test_renamed_route_is_found_by_its_destinations() -> None:
    """A route that leads to our Services is ours whatever its name."""
    before = route(30)
    before["spec"]["http"][0]["name"] = "renamed"
    assert read_weights(before, NAMES) == Weights(70, 30)
    after = rewritten(before, Routing(40), spec())
    assert len(after["spec"]["http"]) == 1
    assert after["spec"]["http"][0]["name"] == "renamed"


@pytest.mark.parametrize(
    ("destinations", "weights"),
    [
        pytest.param([(P, 90), (K, 10)], Weights(90, 10), id="as written"),
        pytest.param([(P, None)], PRIMARY_ONLY, id="one without weight"),
        pytest.param([(K, None)], CANARY_ONLY, id="only the canary"),
        pytest.param([(P, 100), (K, None)], PRIMARY_ONLY, id="a missing weight is 0"),
        pytest.param([(K, 10), (P, 90)], Weights(90, 10), id="other order"),
        pytest.param([(P, 50), (K, 20)], Weights(50, 20, even=False), id="not 100"),
        pytest.param([(P, 50), ("other", 50)], None, id="leads elsewhere"),
        pytest.param([], Weights(0, 0, even=False), id="nowhere"),
    ],
)
def test_weights_are_read_back(destinations: list[tuple[str, int | None]], weights: Weights | None) -> None:
    """What the mesh makes of a route is what is read from it."""
    obj = route(0)
    obj["spec"]["http"][0]["route"] = [
        {"destination": {"host": host}, **({"weight": w} if w is not None else {})} for host, w in destinations
    ]
    assert read_weights(obj, NAMES) == weights


def test_roll_back_mark_is_read_for_its_run_alone() -> None:
    """The mark ends exactly the run it was written for, and goes with the next weights."""
    mark = roll_back_mark("rev", "run-1", "ChecksFailed", "5 failed checks")
    marked = rewritten(route(30), TO_PRIMARY, spec(), mark)
    assert read_roll_back(marked, "rev", "run-1") == ("ChecksFailed", "5 failed checks")
    assert read_roll_back(marked, "rev", "run-2") is None
    assert read_roll_back(marked, "other", "run-1") is None
    assert ROLLED_BACK not in rewritten(marked, Routing(10), spec())["metadata"]["annotations"]
    assert marked["metadata"]["annotations"][OWNER] == OWNER_MARK.to_text()


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '"x"', "{}", "null"])
def test_unreadable_mark_is_none(text: str) -> None:
    """A mark that somebody edited says nothing."""
    assert read_roll_back(route(0, annotations={ROLLED_BACK: text}), "rev", "run") is None
    assert read_roll_back(None, "rev", "run") is None


def test_users_route_to_the_primary_alone_is_theirs() -> None:
    """A route that a user added to our VirtualService for the primary is not shared out, in any routing."""
    before = route(0)
    static = {"name": "static", "match": [{"uri": {"prefix": "/static"}}], "route": [{"destination": {"host": P}}]}
    before["spec"]["http"].append(static)
    for routing in (Routing(50), Routing(mirror=10), Routing(cohorts=(({"port": 80},),)), TO_PRIMARY):
        before = rewritten(before, routing, spec())
        assert before["spec"]["http"][-1] == static
        assert read_weights(before, NAMES) == routing.weights


@pytest.mark.parametrize("left", [[(P, 100)], [(K, 100)], [("other", 100)], []])
def test_our_route_is_made_whole_again(left: list[tuple[str, int]]) -> None:
    """Whatever somebody left of our own route, both sides are there after the next write."""
    before = route(0)
    before["spec"]["http"][0]["route"] = [{"destination": {"host": host}, "weight": w} for host, w in left]
    assert shares(rewritten(before, Routing(20), spec())) == {P: 80, K: 20}
