"""A service of connections (``appProtocol: tcp``): its routes, what is refused, and how its sets settle."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from canary.api.canary import Canary, CanarySpec
from canary.core.converge.ports import wanted_ports
from canary.core.decide import decide, questions
from canary.core.measurement import DrainQuery
from canary.core.names import CARRIES, CHANGED, DRAINED_FROM
from canary.core.objects import Object
from canary.core.routes.choice import choose_route
from canary.core.routes.istio import make_route, plain_route, read_weights, rewrite_route
from canary.core.routes.policy import subsets_of
from canary.core.routes.routing import TO_PRIMARY, Routing, Weights
from canary.core.service_obstacles import port_not_opaque
from canary.core.snapshot import Snapshot
from canary.core.view import View
from tests.answers import busy, empty, good
from tests.builders import (
    NAMES,
    NOW,
    NS,
    OWNER_MARK,
    V2,
    apex,
    at,
    canary_object,
    deleted,
    deployment,
    finalising,
    managed,
    new_status,
    route,
    running,
    settled,
    spec_of,
    untouched,
    with_status,
)

TCP: dict[str, Any] = {"spec.service.appProtocol": "tcp", "spec.analysis.metrics": []}
P, K = "catalog-primary", "catalog-canary"


def spec(**service: Any) -> CanarySpec:
    """Return a spec of connections with some fields of its service replaced."""
    return Canary.parse(canary_object({**TCP, **{f"spec.service.{k}": v for k, v in service.items()}})).spec


def pair(canary: int) -> list[Object]:
    """Return the weighted pair with this share for the canary."""
    shares = ((P, 100 - canary), (K, canary))
    return [{"destination": {"host": host}, "weight": weight} for host, weight in shares]


def made(canary: int = 0, by: str = "canary-controller") -> dict[str, Any]:
    """Return our VirtualService of connections as stored."""
    found = make_route(spec(), NAMES, OWNER_MARK, Routing(canary))
    found["metadata"] |= {"uid": "uid-route", "resourceVersion": "50", "managedFields": managed(by, field="f:tcp")}
    return found


def users(**sections: Any) -> dict[str, Any]:
    """Return a VirtualService of the user's."""
    return {"metadata": {"name": "catalog", "namespace": NS}, "spec": {"hosts": ["catalog"], **sections}}


def leading(*hosts: str, **more: Any) -> list[dict[str, Any]]:
    """Return one route of connections to some hosts."""
    return [{**more, "route": [{"destination": {"host": host}} for host in hosts]}]


def front(role: str = "primary", **port: Any) -> dict[str, Any]:
    """Return the user's Service with a port that Istio takes for connections, unless told otherwise."""
    found = apex(role)
    found["spec"]["ports"] = [{"port": 80, "targetPort": 3000, **(port or {"name": "tcp-shop"})}]
    return found


def told(world: Snapshot) -> tuple[str, str]:
    """Return reason and message of the condition Ready."""
    ready = new_status(world, decide(world, (), NOW)).condition("Ready")
    assert ready is not None
    return ready.reason, ready.message


def test_made_route_shares_out_connections() -> None:
    """Hosts and gateways as for requests, one tcp route with both sides, and a mark that says so."""
    found = make_route(spec(), NAMES, OWNER_MARK, Routing(10))
    assert found["spec"] == {"hosts": ["catalog"], "gateways": ["mesh"], "tcp": [{"route": pair(10)}]}
    assert found["metadata"]["annotations"][CARRIES] == "connections"
    assert read_weights(found, NAMES) == Weights.of(10)


def test_conditions_of_connections_are_carried() -> None:
    """At a gateway the port tells which connections are meant; a field of requests is refused."""
    asked = spec(match=[{"port": 31400, "gateways": ["istio-system/edge"]}])
    assert make_route(asked, NAMES, OWNER_MARK, Routing(10))["spec"]["tcp"] == [
        {"match": [{"port": 31400, "gateways": ["istio-system/edge"]}], "route": pair(10)}
    ]


def test_only_the_share_of_a_routing_is_written() -> None:
    """What connections cannot do is left out, whoever asks for it."""
    asked = Routing(25, mirror=50, cohorts=(({"headers": {"a": {}}},),))
    after = rewrite_route(made(), spec(), NAMES, asked, None)
    assert after["spec"]["tcp"] == [{"route": pair(25)}]


@pytest.mark.parametrize("wanted", [None, spec()])
def test_share_is_moved_with_and_without_a_spec(wanted: CanarySpec | None) -> None:
    """A roll-back does not need a usable spec: the mark tells what is shared out."""
    before = made(40)
    before["spec"]["tls"] = leading("mail")
    after = rewrite_route(before, wanted, NAMES, TO_PRIMARY, None)
    assert after["spec"] == {**before["spec"], "tcp": [{"route": pair(0)}]}
    assert after["metadata"]["annotations"][CARRIES] == "connections"


def test_route_of_ours_follows_the_protocol() -> None:
    """The pair moves from http to tcp and back, with its share; routes that others added stay."""
    before = route(30)
    theirs = {"name": "theirs", "route": [{"destination": {"host": "other"}}]}
    before["spec"]["http"].append(theirs)
    now = rewrite_route(before, spec(), NAMES, Routing(30), None)
    assert now["spec"] == {**before["spec"], "http": [theirs], "tcp": [{"route": pair(30)}]}
    after = {**before, "metadata": {**before["metadata"], **now["metadata"]}, "spec": now["spec"]}
    back = rewrite_route(after, Canary.parse(canary_object()).spec, NAMES, Routing(30), None)
    assert back["spec"] == before["spec"]
    assert CARRIES not in back["metadata"]["annotations"]


def test_adopted_route_is_the_users_again() -> None:
    """Pass-through and tcp routes to the apex are shared out in every spelling; what is not ours stays."""
    long = f"catalog.{NS}.svc.cluster.local"
    tls = [
        {"match": [{"port": 443, "sniHosts": ["a.io"]}], "route": [{"destination": {"host": long, "subset": "v1"}}]},
        *leading("mail", match=[{"sniHosts": ["b.io"]}]),
    ]
    before = users(http=leading("catalog"), tls=tls, tcp=leading("catalog"), exportTo=["."])
    now = copy.deepcopy(before)
    for share in (0, 30, 100, 0):
        after = rewrite_route(now, spec(), NAMES, Routing(share), None)
        now = {"metadata": {**now["metadata"], **after["metadata"]}, "spec": after["spec"]}
        assert now["spec"]["http"] == before["spec"]["http"]
        assert now["spec"]["tls"][1] == tls[1]
        assert [d["weight"] for d in now["spec"]["tls"][0]["route"]] == [100 - share, share]
        assert now["spec"]["tcp"] == [{"route": pair(share)}]
        assert read_weights(now, NAMES) == Weights.of(share)
        assert subsets_of(now, NAMES) == {"v1"}
    assert plain_route(now, NAMES) == {"metadata": {"annotations": {}}, "spec": before["spec"]}
    assert '"tls"' in now["metadata"]["annotations"][CHANGED]


@pytest.mark.parametrize("section", ["tls", "tcp"])
def test_route_of_another_name_is_found(section: str) -> None:
    """A VirtualService for the host is the Canary's whatever its routes carry."""
    found = users(**{section: leading("catalog")})
    found["metadata"]["name"] = "shop"
    assert choose_route([found], NAMES, OWNER_MARK) is found


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({"http": leading("catalog")}, "has no tls or tcp route to host catalog; add one, or delete it and one is"),
        (
            {"tls": leading("mail"), "tcp": leading("catalog", "catalog")},
            "tcp route 1 has weights that sum to 0; give its destinations weights that sum to 100",
        ),
        (
            {"tls": [{"route": [{"destination": {"host": "catalog", "subset": s}, "weight": 50} for s in "ab"]}]},
            "tls route 1 names host catalog in more than one destination; leave one of them",
        ),
    ],
)
def test_route_that_cannot_be_adopted_is_named(sections: Object, sentence: str) -> None:
    """The sentence says which section and route."""
    reason, message = told(untouched(TCP, apex=front(""), route=users(**sections)))
    assert reason == "RouteNotAdoptable"
    assert message.startswith(f"VirtualService catalog cannot be adopted: {sentence}")


def test_condition_on_requests_is_refused() -> None:
    """The sentence names the field, and what a connection can be asked for."""
    changes = {**TCP, "spec.service.match": [{"port": 80}, {"uri": {"prefix": "/"}}]}
    assert told(untouched(changes, apex=front(""))) == (
        "RouteNotPossible",
        "spec.service does not fit appProtocol tcp: match asks for uri, which a connection does not have; "
        "ask for port, gateways, sourceLabels, sourceNamespace, destinationSubnets alone",
    )


@pytest.mark.parametrize(
    ("port", "shown"),
    [
        ({"name": "http-web"}, "has name http-web"),
        ({"name": "web"}, "has name web"),
        ({"name": "tcp", "appProtocol": "http"}, "has appProtocol http"),
        ({"targetPort": 3000}, "has no name"),
    ],
)
def test_port_of_requests_is_refused(port: Object, shown: str) -> None:
    """Where Istio sees or looks for requests it follows no tcp route."""
    assert told(untouched(TCP, apex=front("", **port))) == (
        "PortNotOpaque",
        f"port 80 of Service catalog {shown}, while spec.service.appProtocol is tcp: Istio does not take it for a "
        "port of connections and follows no tcp route there; set appProtocol of that port to tcp, or remove "
        "spec.service.appProtocol",
    )


@pytest.mark.parametrize("port", [{"name": "tls-shop"}, {"name": "web", "appProtocol": "TCP"}, {"name": "mysql"}])
def test_port_of_connections_is_no_obstacle(port: Object) -> None:
    """Whatever tells Istio that there are no requests."""
    world = untouched(TCP, apex=front("", **port))
    assert decide(world, (), NOW).actions != ()


def test_service_that_we_make_says_its_protocol() -> None:
    """Flagger's port name stays; the protocol beside it is what Istio goes by."""
    world = untouched(TCP, apex=None)
    port = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 3000, "appProtocol": "tcp"}
    assert wanted_ports(View(world, (), NOW)) == [port]
    assert port_not_opaque(View(world, (), NOW)) is None


def test_share_moved_by_hand_is_put_back_and_told() -> None:
    """The manager of the section that is shared out is the one to blame."""
    world = running(10, changes=TCP, apex=front(), route=made(30, by="kubectl-edit"))
    decision = decide(world, (), at(1))
    assert [event.message for event in decision.events if event.reason == "TrafficDrift"] == [
        "VirtualService catalog was changed to 70/30 by kubectl-edit; it is put back"
    ]
    assert spec_of((*decision.urgent, *decision.actions), NAMES.route_ref)["tcp"] == [{"route": pair(10)}]


def test_owner_of_a_section_without_ours_is_not_blamed() -> None:
    """A tls section that leads elsewhere stays its user's, who moved nothing by it."""
    stands = made(30)
    stands["spec"]["tls"] = leading("mail")
    stands["metadata"]["managedFields"] += managed("kubectl", field="f:tls")
    world = running(10, changes=TCP, apex=front(), route=stands)
    assert [event for event in decide(world, (), at(1)).events if event.reason == "TrafficDrift"] == []


def taken_off(seconds: float) -> Snapshot:
    """Return the canary of a release of connections some time after its last weight."""
    world = finalising(0, changes=TCP, status=settled("canary", seconds), apex=front(), route=made())
    return with_status(world, drain=settled("canary", seconds)["drain"])


@pytest.mark.parametrize(
    ("seconds", "answers", "shrinks"),
    [(16, good, False), (59, good, False), (60, good, True), (60, empty, True), (600, busy, False)],
)
def test_open_connections_get_four_drain_times(seconds: float, answers: Any, shrinks: bool) -> None:
    """They cannot be moved; after that only new ones keep a set from shrinking."""
    world = taken_off(seconds)
    asked = questions(world, at(60))
    assert [q.metric for q in asked if isinstance(q, DrainQuery)] == (
        ["istio_tcp_connections_opened_total"] if seconds >= 60 else []
    )
    written = spec_of(decide(world, answers(asked), at(60)).actions, NAMES.workload("canary"))
    assert (written.get("replicas") == 0) is shrinks


def test_wait_for_connections_is_told_in_their_words() -> None:
    """The condition says that connections are still opened."""
    world = taken_off(60)
    held = new_status(world, decide(world, busy(questions(world, at(60))), at(60))).condition("Held")
    assert held is not None
    assert held.message.endswith("it is not yet seen that new connections to it have ended")


@pytest.mark.parametrize(
    ("stands", "port", "seconds"),
    [
        pytest.param(made(), "http", 60, id="the route tells"),
        pytest.param(route(0), "tcp-debug", 15, id="the route tells of requests"),
        pytest.param(None, "tcp-shop", 60, id="the port tells"),
        pytest.param(None, "http", 15, id="the port tells of requests"),
    ],
)
def test_give_back_waits_for_connections(stands: Object | None, port: str, seconds: float) -> None:
    """Without a spec the route tells, and once that is given back the port; the canary goes no earlier."""
    notes = {DRAINED_FROM: NOW.isoformat()}
    target = deployment(pod=V2, generation=5, annotations=notes)
    gone = deleted(finalising(0, route=stands, apex=front(name=port), target=target))
    for moment, shrinks in ((seconds - 1, False), (seconds, True)):
        decision = decide(gone, good(questions(gone, at(moment))), at(moment))
        assert (spec_of(decision.actions, NAMES.workload("canary")).get("replicas") == 0) is shrinks
