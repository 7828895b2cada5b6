"""Any VirtualService of a user under any routing: what is ours changes, what is theirs comes back."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from canary.api.canary import Canary, CanarySpec
from canary.api.hooks import SessionAffinity
from canary.core.objects import apply_merge_patch, merge_patch
from canary.core.routes.entries import find_conflict, is_added, is_touched
from canary.core.routes.istio import plain_route, read_weights, rewrite_route
from canary.core.routes.routing import Routing, Weights
from canary.core.routes.sessions import sessions_of
from tests.builders import NAMES, NS, canary_object

SPELLINGS = ("catalog", f"catalog.{NS}", f"catalog.{NS}.svc", f"catalog.{NS}.svc.cluster.local")
OTHERS = ("img", "catalog.other", "catalog-primary.other", "catalogue", "example.com")

weights = st.one_of(st.none(), st.integers(1, 100))
extras = st.dictionaries(st.sampled_from(["timeout", "fault", "x-unknown"]), st.text(max_size=3), max_size=2)
headers = st.sampled_from(
    [
        *({}, {"response": {}}, {"response": {"add": {}}}, {"request": {"set": {"x": "1"}}}),
        *({"response": {"add": {"x-a": "1"}}}, {"response": {"set": {"set-cookie": "a=1"}}}),
        {"response": {"add": {"Set-Cookie": "shop=1; Max-Age=60"}}},
    ]
)
"""Headers of users beside which the session's cookie has its place, or has not."""


gateways = st.sampled_from([{}, {}, {"gateways": ["mesh"]}, {"gateways": ["public", "mesh"]}, {"gateways": ["public"]}])


@st.composite
def destinations(draw: st.DrawFn, host: str | None = None) -> dict[str, Any]:
    """One destination: of the apex or of another host, with port, subset and weight or without."""
    body: dict[str, Any] = {"host": host or draw(st.sampled_from((*SPELLINGS, *OTHERS)))}
    if draw(st.booleans()):
        body["port"] = {"number": 80}
    if draw(st.booleans()):
        body["subset"] = "v1"
    weight = draw(weights)
    found = {"destination": body, **draw(extras)}
    if draw(st.integers(0, 3)) == 0:
        found["headers"] = draw(headers)
    return found if weight is None else {**found, "weight": weight}


@st.composite
def entries(draw: st.DrawFn) -> dict[str, Any]:
    """One http route: forwarded, redirected or answered at once."""
    found: dict[str, Any] = draw(extras)
    if draw(st.booleans()):
        found["name"] = draw(st.sampled_from(["a", "b", "weighted"]))
    if draw(st.booleans()):
        found["match"] = [{"uri": {"prefix": draw(st.sampled_from(["/", "/api", "/img"]))}, **draw(gateways)}]
    if draw(st.integers(0, 4)) == 0:
        found["match"] = [*found.get("match", []), {"headers": {"cookie": {"regex": "a=.*"}}}]
    if draw(st.integers(0, 4)) == 0:
        found["headers"] = draw(headers)
    kind = draw(st.sampled_from(["route", "route", "route", "redirect", "directResponse"]))
    if kind != "route":
        return {**found, kind: {"uri": "/x"}}
    if draw(st.booleans()):
        found["mirror"] = {"host": "shadow"}
    return {**found, "route": draw(st.lists(destinations(), min_size=1, max_size=3))}


@st.composite
def connections(draw: st.DrawFn, section: str) -> dict[str, Any]:
    """One tls or tcp route: passed through by name of the server, or by port."""
    condition: dict[str, Any] = {"port": draw(st.sampled_from([80, 443, 9000]))}
    if section == "tls":
        condition["sniHosts"] = [draw(st.sampled_from(["catalog.example.com", "*.example.com"]))]
    found: dict[str, Any] = draw(extras)
    if section == "tls" or draw(st.booleans()):
        found["match"] = [condition]
    body = draw(st.lists(destinations(), min_size=1, max_size=3))
    return {**found, "route": [{k: v for k, v in one.items() if k != "headers"} for one in body]}


@st.composite
def routes(draw: st.DrawFn) -> dict[str, Any]:
    """A VirtualService of a user, with routes of every kind."""
    body: dict[str, Any] = {"hosts": ["catalog"], **draw(extras)}
    body["http"] = draw(st.lists(entries(), min_size=1, max_size=4))
    for section in ("tls", "tcp"):
        if draw(st.booleans()):
            body[section] = draw(st.lists(connections(section), min_size=1, max_size=3))
    metadata: dict[str, Any] = {"name": "catalog", "namespace": NS, "annotations": {"team": "shop"}}
    return {"metadata": metadata, "spec": body}


cohort = st.lists(
    st.sampled_from(
        [
            {"headers": {"x-user": {"exact": "me"}}},
            {"queryParams": {"beta": {"exact": "1"}}},
            {"gateways": ["mesh"], "method": {"exact": "GET"}},
            {"gateways": [f"{NS}/public"], "uri": {"exact": "/api/new"}},
        ]
    ),
    min_size=1,
    max_size=2,
).map(tuple)
sessions = st.builds(
    sessions_of,
    st.sampled_from([SessionAffinity(cookie_name="a"), SessionAffinity(cookie_name="shop+a.b", secure=True)]),
    st.sampled_from(["6f0ca1", "77aa00"]),
    st.lists(st.integers(1, 100), max_size=5),
)
routings = st.one_of(
    st.builds(
        Routing,
        canary=st.integers(0, 100),
        cohorts=st.lists(cohort, max_size=2).map(tuple),
        sessions=st.none() | sessions,
        counted=st.sampled_from(((), (1,), (2,), (1, 2))),
    ),
    st.builds(Routing, mirror=st.integers(1, 100), cohorts=st.lists(cohort, max_size=1).map(tuple)),
)


REQUESTS = Canary.parse(canary_object()).spec
CONNECTIONS = Canary.parse(canary_object({"spec.service.appProtocol": "TCP"})).spec
SPECS = st.sampled_from([REQUESTS, CONNECTIONS])
SECTIONS = {REQUESTS: ("http",), CONNECTIONS: ("tls", "tcp")}
"""What of a VirtualService is shared out for a service of requests, and for one of connections."""


def written(before: dict[str, Any], wanted: Routing, spec: CanarySpec | None = None) -> dict[str, Any]:
    """Return a VirtualService after the merge patch that our rewriting of it makes."""
    return patched(before, rewrite_route(before, spec, NAMES, wanted, None))


def shared(obj: dict[str, Any], spec: CanarySpec) -> list[dict[str, Any]]:
    """Return the routes that lead to the apex or its sides in what is shared out for a spec."""
    found = (one for section in SECTIONS[spec] for one in obj["spec"].get(section, []))
    return [one for one in found if is_touched(one, NAMES)]


def possible(wanted: Routing, spec: CanarySpec) -> Routing:
    """Return what can be asked for of a routing: connections have shares alone."""
    return wanted if spec is REQUESTS else Routing(wanted.canary)


def patched(before: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Return an object after the merge patch towards what is wanted of its annotations and spec."""
    present = {"metadata": {"annotations": before["metadata"].get("annotations") or {}}, "spec": before["spec"]}
    after: dict[str, Any] = apply_merge_patch(before, merge_patch(present, wanted))
    return after


@given(before=routes(), walk=st.lists(st.tuples(routings, SPECS | st.none()), min_size=1, max_size=4))
def test_undoing_returns_the_original(before: dict[str, Any], walk: list[tuple[Routing, CanarySpec | None]]) -> None:
    """After any routings in any order, of requests or connections, giving back leaves what the user wrote."""
    now = copy.deepcopy(before)
    for wanted, spec in walk:
        now = written(now, wanted, spec)
    assert patched(now, plain_route(now, NAMES)) == before


@given(before=routes(), wanted=routings, spec=SPECS)
def test_untouched_routes_are_identical(before: dict[str, Any], wanted: Routing, spec: CanarySpec) -> None:
    """Routes elsewhere, and everything around the sections that are shared out, stay as they are."""
    after = written(before, wanted, spec)
    for section in SECTIONS[spec]:
        kept = [e for e in after["spec"].get(section, []) if not is_added(e) and not is_touched(e, NAMES)]
        assert kept == [e for e in before["spec"].get(section, []) if not is_touched(e, NAMES)]
    assert {k: v for k, v in after["spec"].items() if k not in SECTIONS[spec]} == {
        k: v for k, v in before["spec"].items() if k not in SECTIONS[spec]
    }


@given(before=routes(), first=routings, wanted=routings, spec=SPECS)
def test_weights_of_touched_routes_sum_to_100(
    before: dict[str, Any], first: Routing, wanted: Routing, spec: CanarySpec
) -> None:
    """Integer weights that sum to 100 on every route that leads to the two sides (I12)."""
    after = written(written(before, first, spec), wanted, spec)
    for entry in (*(one for one in after["spec"]["http"] if is_added(one)), *shared(after, spec)):
        assert sum(d["weight"] for d in entry["route"]) == 100
        assert all(isinstance(d["weight"], int) and d["weight"] >= 0 for d in entry["route"])


@given(before=routes(), first=st.tuples(routings, SPECS), wanted=routings, spec=SPECS)
def test_routing_is_read_back(
    before: dict[str, Any], first: tuple[Routing, CanarySpec], wanted: Routing, spec: CanarySpec
) -> None:
    """What was written is what is read, whatever stood there before, and writing it again changes nothing."""
    after = written(written(before, *first), wanted, spec)
    wanted, touched = possible(wanted, spec), shared(before, spec)
    if find_conflict(touched, NAMES, wanted) is None:
        assert read_weights(after, NAMES) == (wanted.weights if touched else None)
    else:
        assert read_weights(after, NAMES) != wanted.weights
    assert written(after, wanted, spec) == after == written(after, wanted)


@given(before=routes(), wanted=routings, edit=st.integers(0, 99), spec=SPECS)
def test_a_route_edited_by_hand_is_seen(before: dict[str, Any], wanted: Routing, edit: int, spec: CanarySpec) -> None:
    """One pair moved by hand never reads as what was asked for."""
    after, wanted = written(before, wanted, spec), possible(wanted, spec)
    touched = shared(after, spec)
    if not touched:
        return
    pair = [d for d in touched[-1]["route"] if d["destination"]["host"].split(".")[0] == "catalog-canary"]
    edited = next(iter(pair))
    if edited["weight"] == edit:
        return
    edited["weight"] = edit
    assert read_weights(after, NAMES) != wanted.weights


def test_plain_routes_are_not_shared_out() -> None:
    """A VirtualService as its user wrote it has no weights of ours."""
    body = {"hosts": ["catalog"], "http": [{"route": [{"destination": {"host": "catalog"}}]}]}
    obj = {"metadata": {"name": "catalog", "namespace": NS}, "spec": body}
    assert read_weights(obj, NAMES) is None
    assert read_weights(written(obj, Routing(canary=10)), NAMES) == Weights.of(10)
