"""Warnings: each is told in one sentence that names object, value and cure, once, and stops nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from canary.api.warnings import Caution
from canary.core.advance.readiness import IN_PLACE
from canary.core.decide import decide
from canary.core.names import OWNER, ROOT_NAMESPACE
from canary.core.objects import VIRTUAL_SERVICE, Object, Ref
from canary.core.routes.istio import make_route
from canary.core.routes.routing import TO_PRIMARY
from canary.core.snapshot import Neighbours, Snapshot, Surroundings
from canary.core.view import View
from canary.core.warnings.finders import WARNINGS, find_warnings
from tests.builders import (
    NAMES,
    NOW,
    OWNER_MARK,
    apex,
    at,
    deployment,
    idle,
    new_status,
    service,
    template,
    untouched,
)
from tests.core.lacking import LACKING
from tests.core.untold import NS, UNTOLD

FQDN = f"catalog.{NS}.svc.cluster.local"
S, A = "spec.service", "spec.analysis"


def istio(name: str, where: str = "web", age: str = "2025", **spec: Any) -> Object:
    """Return an Istio object of a namespace."""
    metadata = {"name": name, "namespace": where, "creationTimestamp": f"{age}-01-01T00:00:00Z"}
    return {"metadata": metadata, "spec": spec}


def going_to(*hosts: str) -> list[dict[str, Any]]:
    """Return http routes to hosts."""
    return [{"route": [{"destination": {"host": one}}]} for one in hosts]


def namespace(**labels: str) -> Object:
    """Return the Canary's namespace with labels, dashes for underscores."""
    return {"metadata": {"name": NS, "labels": {key.replace("_", "-"): value for key, value in labels.items()}}}


def around(changes: dict[str, Any] | None = None, **parts: Any) -> Snapshot:
    """Return an idle world with things around it."""
    return replace(idle(changes=changes), surroundings=Surroundings(**parts))


def pods(metadata: Mapping[str, Any], parts: dict[str, Any] | None = None, **spec: Any) -> Snapshot:
    """Return a world whose pod template has more metadata or another spec."""
    made = template()
    made = {"metadata": {**made["metadata"], **metadata}, "spec": {**made["spec"], **spec}}
    return replace(untouched(), target=deployment(pod=made), surroundings=Surroundings(**(parts or {})))


def adopted(changes: dict[str, Any] | None = None, **fields: Any) -> Snapshot:
    """Return a world whose route is the user's."""
    http = [{"name": "default", **going_to("catalog")[0], **fields}]
    spec = {"hosts": ["catalog"], "gateways": ["mesh"], "http": http}
    metadata = {"name": "shop", "namespace": NS, "resourceVersion": "50", "annotations": {OWNER: OWNER_MARK.to_text()}}
    return replace(idle(changes=changes), route={"kind": "VirtualService", "metadata": metadata, "spec": spec})


def elsewhere(*exported: str, changes: dict[str, Any] | None = None, **spec: Any) -> Snapshot:
    """Return a world whose route is the user's in another namespace, exported to some."""
    named = Ref(VIRTUAL_SERVICE, "edge", "shop")
    mark = replace(OWNER_MARK, route=named, namespace=NS)
    world = idle(changes={f"{S}.virtualService": {"name": "shop", "namespace": "edge"}, **(changes or {})})
    route = istio("shop", "edge", hosts=[FQDN], exportTo=[*exported], http=going_to(FQDN), **spec)
    metadata = {**route["metadata"], "resourceVersion": "50", "annotations": {OWNER: mark.to_text()}}
    names = replace(NAMES, named=named)
    return replace(world, names=names, owner=mark, route={**route, "metadata": metadata})


def at_gateways(*gateways: str) -> dict[str, Any]:
    """Return a plan whose cohort asks for gateways."""
    return {f"{A}.stepWeight": None, f"{A}.maxWeight": 0, f"{A}.iterations": 2, f"{A}.match": [{"gateways": gateways}]}


DELEGATION = {f"{S}.delegation": True, f"{S}.hosts": [], f"{S}.gateways": []}


def root(name: str, **spec: Any) -> Object:
    """Return a VirtualService of another namespace that delegates to the Canary's."""
    http = [{"delegate": {"name": "catalog", "namespace": NS}}]
    return istio(name, **{"hosts": ["shop.io"], "gateways": ["mesh", "edge/public"], "http": http, **spec})


def delegated(*roots: Object, **parts: Any) -> Snapshot:
    """Return a world whose route has no hosts and those that delegate to it, with things around them."""
    world = idle(changes=DELEGATION)
    assert world.spec is not None
    made = make_route(world.spec, NAMES, OWNER_MARK, TO_PRIMARY)
    made["metadata"] |= {"uid": "uid-route", "resourceVersion": "50"}
    return replace(world, route=made, roots=roots, surroundings=Surroundings(**parts))


def port(**fields: Any) -> Snapshot:
    """Return a world whose Service is the user's, with another port."""
    made = apex("primary")
    made["spec"]["ports"] = [{"port": 80, **fields}]
    return replace(idle(), apex=made)


def strict(where: str = NS, mode: str = "STRICT", age: str = "2025", **more: Any) -> Object:
    """Return a PeerAuthentication."""
    return istio("default", where, age, mtls={"mode": mode}, **more)


def no_tls(host: str, where: str = "web") -> Object:
    """Return a DestinationRule that takes TLS off."""
    return istio("plain", where, host=host, trafficPolicy={"tls": {"mode": "DISABLE"}})


PLAIN = {"tls": {"mode": "DISABLE"}}
BLUE_GREEN = {f"{A}.stepWeight": None, f"{A}.maxWeight": 0, f"{A}.iterations": 3}
SOAK_FIRST = [{"analysis": {"duration": "5m"}}, {"setWeight": 20}]
GATE = istio("shop", hosts=["shop.io"], gateways=["edge/public"], http=going_to("cart", FQDN))
LABEL = {"labels": {"app": "catalog", "sidecar.istio.io/inject": "false"}}

FOUND: list[tuple[Snapshot, str, str]] = [
    *UNTOLD,
    *LACKING,
    (
        around(changes={f"{A}.metrics": [{"name": "e", "templateRef": {"name": "x"}, "thresholdRange": {"max": 1}}]}),
        "CheckUnanswerable",
        f"check e cannot be measured: MetricTemplate {NS}/x not found; create it, or correct templateRef",
    ),
    (
        around(changes={f"{A}.metrics": [{"name": "e", "query": "{{ variables.x }}", "thresholdRange": {"max": 1}}]}),
        "CheckUnanswerable",
        "check e cannot be measured: its query cannot be asked: its query names variables.x, which nobody gave",
    ),
    (
        around(namespace=namespace()),
        "NamespaceNotInjected",
        f"Namespace {NS} has no label istio-injection: its pods get no sidecar, so no request is split by callers "
        "there and none is measured; label it istio-injection=enabled, or istio.io/rev with a revision, and restart "
        "the pods",
    ),
    (
        around(namespace=namespace(istio_injection="disabled")),
        "NamespaceNotInjected",
        f"Namespace {NS} has label istio-injection: disabled: its pods get no sidecar",
    ),
    (
        pods(LABEL),
        "NoSidecar",
        'pods of Deployment catalog get no sidecar, their template has sidecar.istio.io/inject: "false" among its '
        "labels: requests are measured at callers with a sidecar alone; remove it",
    ),
    (pods({"annotations": {"sidecar.istio.io/inject": "false"}}), "NoSidecar", "among its annotations"),
    (pods({}, hostNetwork=True), "NoSidecar", "their template has hostNetwork: true"),
    (around(bare=["Deployment catalog-primary"]), "NoSidecar", "pods of Deployment catalog-primary run without a"),
    (
        around(absent_gateways=["edge/public"]),
        "GatewayMissing",
        "Gateway edge/public, named in spec.service.gateways, does not exist: no request comes in there; create it, or "
        "correct the name",
    ),
    (
        replace(adopted(), surroundings=Surroundings(absent_gateways=["a/b", "c/d"])),
        "GatewayMissing",
        "Gateway a/b and c/d, named in gateways of VirtualService shop, do not exist",
    ),
    (
        idle(changes=at_gateways("edge/public")),
        "GatewayNotRouted",
        "cohort 1 of the plan asks for gateway edge/public, while spec.service.gateways has mesh alone: no request of "
        "the cohort comes in there; add it there, or correct the condition",
    ),
    (adopted(at_gateways("mesh", "other", "./own")), "GatewayNotRouted", "while gateways of VirtualService shop has"),
    (
        around(routes=[istio("theirs", hosts=[FQDN], http=going_to("other"))]),
        "HostRoutedTwice",
        f"VirtualService web/theirs routes host {FQDN} too: requests that follow it are not split; move its routes "
        "into VirtualService catalog and delete it",
    ),
    (
        around(routes=[GATE]),
        "RouteBypassed",
        "VirtualService web/shop at gateway edge/public sends requests straight to Service catalog: none of them is "
        "split or reaches the canary; give spec.service.gateways and spec.service.hosts its gateway and hosts, and "
        "take the route out of it",
    ),
    (
        around(routes=[istio("tcp", NS, gateways=["here"], hosts=["*"], tcp=going_to("catalog"))]),
        "RouteBypassed",
        f"VirtualService {NS}/tcp at gateway {NS}/here sends",
    ),
    (
        around(routes=[istio(f"r{n}", hosts=["x.io"], http=going_to(FQDN)) for n in range(5)]),
        "RouteBypassed",
        "VirtualServices web/r0, web/r1, web/r2 and 2 more at gateway mesh send requests",
    ),
    (
        elsewhere("."),
        "RouteHidden",
        f"VirtualService edge/shop is exported to . alone: requests of pods in namespace {NS} pass it and are not "
        f"split; add {NS} to its exportTo",
    ),
    (
        around(sidecars=[istio("default", NS, egress=[{"hosts": ["istio-system/*", "other/*"]}])]),
        "SidecarHidesHost",
        f"Sidecar {NS}/default lists egress hosts without {FQDN}: requests of its pods reach the Service past the "
        f"route and are not split; add {NS}/{FQDN} to spec.egress[].hosts",
    ),
    (
        around(sidecars=[istio("all", ROOT_NAMESPACE, egress=[{"hosts": ["a/*"]}])]),
        "SidecarHidesHost",
        "istio-system/all",
    ),
    (
        around(
            sidecars=[
                istio(
                    "w",
                    egress=[{"hosts": [f"*/{FQDN.replace('catalog', 'catalog-primary')}"]}],
                    workloadSelector={"x": 1},
                )
            ]
        ),
        "SidecarHidesHost",
        "Sidecar web/w lists egress hosts without",
    ),
    (
        replace(around(), roots=[root("shop"), root("edge")]),
        "DelegateHasHosts",
        f"VirtualServices web/shop and web/edge delegate to VirtualService {NS}/catalog, which has hosts: Istio leaves "
        "that out, its requests have nowhere to go; set spec.service.delegation to true, without hosts and gateways",
    ),
    (replace(adopted(), roots=[root("edge")]), "DelegateHasHosts", f"to VirtualService {NS}/shop, which has hosts:"),
    (
        delegated(),
        "NotDelegatedTo",
        "VirtualService catalog has no hosts and no other one delegates to it: no request is split or reaches the "
        f"canary; delegate to name catalog, namespace {NS}, in an http route of the VirtualService that has the hosts",
    ),
    (
        delegated(root("shop"), routes=[istio("side", NS, hosts=["catalog"], http=going_to("catalog"))]),
        "RouteBypassed",
        f"none of them is split or reaches the canary; let it delegate to VirtualService {NS}/catalog instead",
    ),
    (
        delegated(root("shop", hosts=[FQDN]), sidecars=[istio("default", NS, egress=[{"hosts": ["other/*"]}])]),
        "SidecarHidesHost",
        f"Sidecar {NS}/default lists egress hosts without",
    ),
    (
        adopted({**DELEGATION, f"{S}.timeout": "5s"}),
        "RouteFieldsUnused",
        "spec.service.timeout and spec.service.delegation are not used, since VirtualService shop is yours",
    ),
    (
        around({f"{S}.trafficPolicy": PLAIN}, authentications=[strict()]),
        "TlsDisabled",
        "tls mode DISABLE is set in spec.service.trafficPolicy, while PeerAuthentication istioinaction/default asks "
        "for mTLS mode STRICT: every request under it fails; remove the tls setting, or use ISTIO_MUTUAL",
    ),
    (
        around(rules=[no_tls("*.local", ROOT_NAMESPACE)], authentications=[strict(ROOT_NAMESPACE)]),
        "TlsDisabled",
        "tls mode DISABLE is set in DestinationRule istio-system/plain, while PeerAuthentication istio-system/default",
    ),
    (
        around(
            {f"{S}.trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}},
            rules=[no_tls("*.svc.cluster.local"), no_tls("*.local", NS)],
            authentications=[strict()],
        ),
        "TlsDisabled",
        "set in DestinationRule web/plain, while",
    ),
    (
        port(name="web"),
        "PortUnprefixed",
        'port 80 of Service catalog is named "web", which tells no protocol: metrics may never come; name it '
        '"http-web", or set its appProtocol',
    ),
    (port(), "PortUnprefixed", "port 80 of Service catalog has no name, which tells no protocol: metrics"),
    (
        around(BLUE_GREEN),
        "NothingToJudge",
        "step 1 of the plan sends the canary no request, so every run holds there for ever for want of data for "
        "request-success-rate and request-duration; send it some before (mirror, match or a weight), or set onNoData "
        "to Pass",
    ),
    (
        around({**BLUE_GREEN, f"{A}.onNoData": "Fail"}),
        "NothingToJudge",
        "so every run fails there for want of data for request-success-rate and request-duration; send",
    ),
    (
        around({f"{A}.stepWeight": None, f"{A}.maxWeight": 0, f"{A}.steps": SOAK_FIRST}),
        "NothingToJudge",
        "step 1 of the plan sends the canary no request",
    ),
    (
        around(rules=[istio("limits", host=FQDN)]),
        "RuleElsewhere",
        f"the policy of DestinationRule web/limits, for host {FQDN}, does not hold for requests that the route sends "
        "to primary and canary; put it into spec.service.trafficPolicy",
    ),
    (
        around(rules=[istio("mine", host=f"catalog-canary.{NS}.svc.cluster.local")]),
        "RuleElsewhere",
        f"the policy of DestinationRule web/mine, for host catalog-canary.{NS}.svc.cluster.local, overrides that of "
        "this Canary for callers of its namespace; delete the rule",
    ),
    (
        idle(changes={f"{S}.timeout": "5s", f"{S}.retries": {"attempts": 3, "perTryTimeout": "2s"}}),
        "RetriesOutlastTimeout",
        "spec.service: 3 retries of 2s do not fit into timeout 5s, the last are cut off; raise the timeout above 6s, "
        "or lower retries.attempts or retries.perTryTimeout",
    ),
    (
        adopted(timeout="1s", retries={"attempts": 2, "perTryTimeout": "500ms"}),
        "RetriesOutlastTimeout",
        "VirtualService shop, http route default: 2 retries of 500ms do not fit into timeout 1s",
    ),
    (
        adopted({f"{S}.timeout": "5s", f"{S}.hosts": ["catalog.io"], f"{S}.gateways": ["edge/public"]}),
        "RouteFieldsUnused",
        "spec.service.timeout, spec.service.hosts and spec.service.gateways are not used, since VirtualService shop is "
        "yours; write it there and remove it here",
    ),
]

EARLY = [istio("default", NS, "2024", mtls={"mode": "PERMISSIVE"}), strict()]

NOT_FOUND: list[Snapshot] = [
    idle(),
    elsewhere(".", NS),
    elsewhere("*"),
    elsewhere(".", gateways=["public"], changes={f"{S}.gateways": ["edge/public"]}),
    around(namespace=namespace(istio_injection="enabled")),
    around(namespace=namespace(**{"istio.io/rev": "1-31"})),
    pods({"labels": {"app": "catalog", "sidecar.istio.io/inject": "true"}}, {"namespace": namespace()}),
    pods({}, {"bare": ["Deployment catalog-primary"]}, containers=[{"name": "catalog"}, {"name": "istio-proxy"}]),
    pods(LABEL, {"namespace": namespace()}, containers=[{"name": "catalog"}, {"name": "istio-proxy"}]),
    around(routes=[istio("other", hosts=["shop.io"], http=going_to("cart"))]),
    around(routes=[istio("catalog", NS, hosts=["catalog"], http=going_to("catalog"))]),
    around(routes=[istio("theirs", hosts=[FQDN], gateways=["edge/public"], http=going_to("other"))]),
    around(sidecars=[istio("default", NS, egress=[{"hosts": ["./*"]}])]),
    around(sidecars=[istio("default", NS, egress=[{"hosts": [f"./{FQDN}"]}])]),
    around(sidecars=[istio("default", NS, egress=[{"hosts": [f"*/*.{NS}.svc.cluster.local"]}])]),
    around(sidecars=[istio("default", NS, workloadSelector={"labels": {"app": "batch"}}, egress=[{"hosts": ["a/*"]}])]),
    around(sidecars=[istio("default", NS, ingress=[])]),
    around(sidecars=[istio("x", ROOT_NAMESPACE, egress=[{"hosts": ["./*"]}])]),
    around(
        sidecars=[
            istio("x", ROOT_NAMESPACE, egress=[{"hosts": ["a/*"]}]),
            istio("own", NS, egress=[{"hosts": ["./*"]}]),
        ]
    ),
    around({f"{S}.trafficPolicy": PLAIN}),
    around({f"{S}.trafficPolicy": PLAIN}, authentications=EARLY),
    around({f"{S}.trafficPolicy": PLAIN}, authentications=[strict(ROOT_NAMESPACE), strict(mode="DISABLE")]),
    around({f"{S}.trafficPolicy": PLAIN}, authentications=[strict(selector={"matchLabels": {"app": "web"}})]),
    around({f"{S}.trafficPolicy": PLAIN}, authentications=[strict(portLevelMtls={"3000": {"mode": "PERMISSIVE"}})]),
    around({f"{S}.trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}, authentications=[strict()]),
    around(
        {f"{S}.trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}},
        rules=[no_tls("*.local", ROOT_NAMESPACE)],
        authentications=[strict()],
    ),
    around(
        rules=[no_tls("*.local", ROOT_NAMESPACE), istio("own", NS, host="*.local", trafficPolicy={})],
        authentications=[strict()],
    ),
    port(name="http-web"),
    port(name="web", appProtocol="http"),
    port(name="grpc"),
    replace(idle(), apex=service("catalog", "primary", ports=[{"port": 80, "name": "web"}])),
    around({**BLUE_GREEN, f"{A}.onNoData": "Pass"}),
    around({**BLUE_GREEN, f"{A}.metrics": []}),
    around({**BLUE_GREEN, f"{A}.mirror": True}),
    around({**BLUE_GREEN, f"{A}.match": [{"headers": {"x": {"exact": "y"}}}]}),
    around({f"{A}.stepWeight": None, f"{A}.maxWeight": 0, f"{A}.steps": [{"setWeight": 5}, *SOAK_FIRST]}),
    around(rules=[istio("own", NS, host="catalog")]),
    idle(changes={f"{S}.timeout": "7s", f"{S}.retries": {"attempts": 3, "perTryTimeout": "2s"}}),
    idle(changes={f"{S}.timeout": "0s", f"{S}.retries": {"attempts": 3, "perTryTimeout": "2s"}}),
    idle(changes={f"{S}.timeout": "1s", f"{S}.retries": {"attempts": 3}}),
    adopted(),
    adopted(at_gateways("mesh")),
    idle(changes={f"{S}.gateways": ["mesh", f"{NS}/edge"], **at_gateways("edge", "mesh")}),
    delegated(root("shop"), routes=[root("shop"), root("here", hosts=[FQDN])]),
    replace(delegated(), all_roots_seen=False),
    delegated(root("shop"), sidecars=[istio("default", NS, egress=[{"hosts": ["other/*"]}])]),
]


def told(world: Snapshot) -> tuple[Caution, ...]:
    """Return the warnings of a world."""
    return find_warnings(View(world, (), NOW))


@pytest.mark.parametrize(("world", "reason", "words"), FOUND, ids=lambda value: value if isinstance(value, str) else "")
def test_warning_names_object_value_and_cure(world: Snapshot, reason: str, words: str) -> None:
    """Each warning is found alone, under its reason, in its words."""
    (found,) = told(world)
    assert found.reason == reason
    assert words in found.message


@pytest.mark.parametrize("world", NOT_FOUND)
def test_nothing_is_said_of_what_works(world: Snapshot) -> None:
    """What looks alike and works is no warning."""
    assert told(world) == ()


def test_every_warning_is_tested_for_its_text() -> None:
    """No finder is without a case here."""
    found = {finder.__name__: [r for world, r, _ in FOUND if finder(View(world, (), NOW))] for finder in WARNINGS}
    assert [name for name, reasons in found.items() if not reasons] == []


def test_warnings_leave_a_canary_ready_and_are_all_named() -> None:
    """Ready stays True with the first one's reason; the message tells every one, and one event each."""
    world = around(routes=[GATE], absent_gateways=["edge/x"])
    decision = decide(world, (), NOW)
    ready = new_status(world, decision).condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("True", "GatewayMissing")
    assert ready.message.startswith(f"{IN_PLACE}. GatewayMissing: Gateway edge/x, named in")
    assert ". RouteBypassed: VirtualService web/shop at gateway edge/public sends" in ready.message
    assert [e.reason for e in decision.events if e.type == "Warning"] == ["GatewayMissing", "RouteBypassed"]
    assert (decision.urgent, decision.actions) == ((), ())


def test_warning_is_told_once_and_ends_silently() -> None:
    """What stays writes and says nothing; what comes beside it is told alone; what goes is one write."""
    world = around(routes=[GATE])
    world = replace(world, status=new_status(world, decide(world, (), NOW)))
    again = decide(world, (), at(100))
    assert (again.status, again.events, again.requeue_after) == (None, (), None)
    more = replace(world, surroundings=replace(world.surroundings, absent_gateways=["edge/x"]))
    decision = decide(more, (), at(200))
    assert [e.reason for e in decision.events] == ["GatewayMissing"]
    more = replace(more, status=new_status(more, decision))
    gone = decide(replace(more, surroundings=Surroundings()), (), at(300))
    assert gone.events == ()
    ready = gone.status.condition("Ready") if gone.status else None
    assert ready is not None
    assert (ready.status, ready.reason, ready.message) == ("True", "Served", IN_PLACE)


def test_warning_that_stays_while_an_obstacle_comes_and_goes_is_not_told_again() -> None:
    """The condition remembers warnings beside what stands in the way."""
    world = around(routes=[GATE])
    world = replace(world, status=new_status(world, decide(world, (), NOW)))
    theirs = {"metadata": {"name": "two", "namespace": NS}, "spec": {"hosts": ["catalog"]}}
    blocked = replace(world, neighbours=Neighbours(routes=[theirs]))
    decision = decide(blocked, (), at(100))
    assert [e.reason for e in decision.events] == ["HostTaken"]
    status = new_status(blocked, decision)
    ready = status.condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "HostTaken")
    still = decide(replace(blocked, status=status), (), at(150))
    assert (still.status, still.events) == (None, ())
    assert decide(replace(world, status=status), (), at(200)).events == ()


def test_spec_that_asks_in_vain_is_told_on_the_condition() -> None:
    """What the spec's own reader found is told like any other warning."""
    world = replace(idle(), cautions=(Caution("FieldIgnored", "spec.x is 1 and is ignored"),))
    decision = decide(world, (), NOW)
    assert [(e.reason, e.message) for e in decision.events] == [("FieldIgnored", "spec.x is 1 and is ignored")]


def test_warnings_are_told_while_a_canary_initialises() -> None:
    """Who waits for the first pods learns of them already, and the message stays what is waited for."""
    world = replace(untouched(target=deployment(ready=0)), surroundings=Surroundings(absent_gateways=["edge/x"]))
    decision = decide(world, (), NOW)
    status = new_status(world, decision)
    ready = status.condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", "Initializing")
    assert ready.message.startswith(f"{status.message}. GatewayMissing: ")
    assert [e.reason for e in decision.events] == ["GatewayMissing"]


def test_refused_spec_has_no_warnings() -> None:
    """Nothing is said of a plan that nobody can read."""
    assert told(untouched({f"{A}.stepWeight": 500})) == ()
