"""Ports of the Services we make: the spec's own, and with ``portDiscovery`` the other container ports."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.canary import Canary, CanarySpec
from canary.core.converge.ports import wanted_ports
from canary.core.names import ROUTE_FIELDS
from canary.core.objects import Object
from canary.core.routes.istio import make_route, plain_route, rewrite_route, unshared_spec
from canary.core.routes.routing import Routing
from canary.core.snapshot import Snapshot
from canary.core.view import View
from tests.builders import NAMES, NOW, OWNER_MARK, apex, canary_object, clone, idle, kept, running, service
from tests.core.lacking import ported

S = "spec.service"
MAIN = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 3000}
METRICS = {"name": "metrics", "containerPort": 9090}


def shown(world: Snapshot) -> list[tuple[str, int, str]]:
    """Return name, number and protocol of the ports that the Services are to have besides the spec's own."""
    first, *others = wanted_ports(View(world, (), NOW))
    assert (first["port"], all(one["port"] == one["targetPort"] for one in others)) == (80, True)
    return [(one["name"], one["port"], one["protocol"]) for one in others]


def discovering(*ports: dict[str, Any], name: str = "catalog", **changes: Any) -> Snapshot:
    """Return a world with Services of ours whose pods have these ports."""
    pod = ported(*ports, name=name)
    fields = {f"{S}.portDiscovery": True, **{f"{S}.{key}": value for key, value in changes.items()}}
    return idle(changes=fields, apex=service("catalog", "primary"), primary=clone("primary", pod=pod))


def test_other_container_ports_are_added() -> None:
    """By number, under their own names; the pod's own port is the Service's already."""
    world = discovering({"name": "web", "containerPort": 3000}, {"containerPort": 9091}, METRICS)
    assert shown(world) == [("metrics", 9090, "TCP"), ("tcp-9091", 9091, "TCP")]
    assert wanted_ports(View(idle(apex=world.apex, primary=world.primary), (), NOW)) == [MAIN]


@pytest.mark.parametrize("name", ["istio-proxy", "envoy"])
def test_ports_of_the_mesh_are_left_out(name: str) -> None:
    """A proxy that is written into the template is none of the application's."""
    assert shown(discovering(METRICS, name=name)) == []


@pytest.mark.parametrize(
    ("port", "changes"),
    [
        ({"containerPort": 80, "name": "other"}, {}),
        ({"containerPort": 8080, "name": "web"}, {"targetPort": "web"}),
        ({"containerPort": 3000}, {}),
    ],
)
def test_port_that_is_served_already_is_not_added(port: dict[str, Any], changes: dict[str, Any]) -> None:
    """Told by number, by the name of the container port, or because the Service has that number for another."""
    assert shown(discovering(port, **changes)) == []


def test_every_port_has_a_name_of_its_own() -> None:
    """A name that is taken gives way to protocol and number; one number of two protocols is two ports."""
    udp = {"containerPort": 9090, "protocol": "UDP"}
    world = discovering({"name": "http", "containerPort": 8080}, METRICS, udp, {**METRICS, "containerPort": 9092})
    assert shown(world) == [
        ("tcp-8080", 8080, "TCP"),
        ("metrics", 9090, "TCP"),
        ("udp-9090", 9090, "UDP"),
        ("tcp-9092", 9092, "TCP"),
    ]


def test_ports_of_both_revisions_are_there_in_a_run() -> None:
    """The new one's before its first pod, the old one's for as long as the primary runs it."""
    changes = {f"{S}.portDiscovery": True}
    old, new = ported(METRICS), ported({"name": "metrics", "containerPort": 9091}, image="catalog:v2")
    world = running(changes=changes)
    first, second = kept(old, new)
    known = world.status.revisions.model_copy(update={"primary": first.id, "candidate": second.id})
    world = replace(
        world,
        status=world.status.model_copy(update={"revision": known}),
        revisions=(first, second),
        apex=service("catalog", "primary"),
        primary=clone("primary", pod=old),
    )
    both = [("metrics", 9090, "TCP"), ("tcp-9091", 9091, "TCP")]
    assert shown(world) == both
    promoted = known.model_copy(update={"primary": second.id})
    world = replace(world, status=world.status.model_copy(update={"revision": promoted}))
    assert {number for _, number, _ in shown(world)} == {9090, 9091}
    world = replace(world, primary=clone("primary", pod=new))
    assert shown(world) == [("metrics", 9091, "TCP")]


def test_service_of_the_user_keeps_its_ports() -> None:
    """All of them, and the other two Services have the same."""
    mine = apex("primary")
    mine["spec"]["ports"].append({"name": "grpc", "port": 9000, "protocol": "TCP", "targetPort": "grpc"})
    world = replace(discovering(METRICS), apex=mine)
    assert wanted_ports(View(world, (), NOW)) == mine["spec"]["ports"]


def spec(**fields: Any) -> CanarySpec:
    """Return a spec with fields of its service replaced."""
    return Canary.parse(canary_object({f"{S}.{key}": value for key, value in fields.items()})).spec


def made(wanted: CanarySpec, canary: int = 10) -> dict[str, Any]:
    """Return the route that is made for a spec."""
    return make_route(wanted, NAMES, OWNER_MARK, Routing(canary))


def ports(found: Object) -> list[Any]:
    """Return the port of each destination of a route."""
    return [one["destination"].get("port") for entry in found["spec"]["http"] for one in entry["route"]]


EDGE = {"portDiscovery": True, "gateways": ["edge/public", "mesh"]}


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        (EDGE, 80),
        ({"portDiscovery": True, "delegation": True, "hosts": [], "gateways": []}, 80),
        ({"portDiscovery": True}, None),
        ({"portDiscovery": True, "gateways": ["mesh", "edge/public"]}, None),
        ({"gateways": ["edge/public"]}, None),
    ],
)
def test_route_at_a_gateway_names_the_port(fields: dict[str, Any], number: int | None) -> None:
    """Where the port of the request would be the gateway's; else a request keeps its own."""
    assert ports(made(spec(**fields))) == [{"number": number} if number else None] * 2


def test_port_of_the_route_follows_the_spec() -> None:
    """It comes, changes and goes with the spec; cohorts and copies have it; without a spec it stays."""
    plain, edge = spec(), spec(**EDGE)
    cohort = Routing(10, mirror=20, cohorts=(({"headers": {"x": {"exact": "y"}}},),))
    found = rewrite_route(made(plain), edge, NAMES, cohort, None)
    assert ports(found) == [{"number": 80}] * 3
    assert found["spec"]["http"][-1]["mirror"]["port"] == {"number": 80}
    now = {**made(plain), "spec": found["spec"]}
    now["metadata"]["annotations"] = found["metadata"]["annotations"]
    assert ports(rewrite_route(now, None, NAMES, Routing(0), None)) == [{"number": 80}] * 2
    back = rewrite_route(now, plain, NAMES, Routing(10), None)
    assert back["spec"] == made(plain)["spec"]
    assert back["metadata"]["annotations"][ROUTE_FIELDS] == ""


def test_port_that_others_wrote_stays() -> None:
    """Without discovery the destinations of our route are as they were found."""
    found = made(spec())
    for one in found["spec"]["http"][0]["route"]:
        one["destination"]["port"] = {"number": 81}
    assert rewrite_route(found, spec(), NAMES, Routing(10), None)["spec"] == found["spec"]


def test_route_that_is_taken_over_names_the_port_on_the_way() -> None:
    """Led to the apex, requests of a gateway still find the port; and so does the route that is handed on."""
    wanted = spec(**EDGE)
    assert ports({"spec": unshared_spec(made(wanted), wanted, NAMES)}) == [{"number": 80}]
    assert ports(plain_route(made(wanted), NAMES)) == [{"number": 80}]
