"""A release behind an ingress gateway: customers outside the mesh get the split that the route says."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from canary.core.names import PREFIX
from e2e.controller import Controller
from e2e.findings import findings
from e2e.orphans import apply
from e2e.recorder import LATE_NEWS, Recorder, Seen
from e2e.release import CANARY, MANIFESTS, Release, manifests, weights_of
from e2e.test_green_release import bounds
from e2e.test_strategies import STAFF, TOLD, planned, staff, wait_step
from e2e.testbed.ingress import NAMESPACE, Ingress, start_ingress
from e2e.testbed.kube import Object
from e2e.testbed.load import Load, Rate
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed

HOST = "catalog.istioinaction.io"
PARTNERS = "partners.istioinaction.io"
"""The host at which the gateway asks customers for a certificate."""
GATEWAY = f"{NAMESPACE}/catalog-gateway"
ROUTES = "/apis/networking.istio.io/v1/virtualservices"
LONG = timedelta(seconds=120)
A_WHILE = timedelta(seconds=2)
INTERVAL = "7s"
RATE = Rate(per_second=40)
ENOUGH = 100
"""Of 7 s two may pass before a weight is read back, and news may be late at both ends: 3 s of load are left."""
WEIGHTS = (0, 10, 20, 30, 40, 50, 100)
BY_WEIGHT = [{"setWeight": weight} for weight in WEIGHTS[1:-1]]
FEW = Rate(per_second=5)
PREVIEW = {"headers": {"cookie": {"regex": r"(.*;\s*)?preview=yes(;.*)?"}}, "uri": {"prefix": "/items/"}}
COHORT = [
    STAFF,
    PREVIEW,
    {"queryParams": {"beta": {"exact": "1"}}, "gateways": ["mesh"]},
    {"headers": {"x-plan": {"prefix": "fr"}}, "sourceLabels": {"app": "client"}},
]
MARKS = {
    "staff": ("/items", {"x_group": "staff"}),
    "preview": ("/items/1", {"cookie": "lang=en; preview=yes"}),
    "beta": ("/items?beta=1", {}),
    "plan": ("/items", {"x_plan": "free"}),
}
"""Path and headers by which a caller meets a condition of the cohort each."""
MARKS_OF_THE_MESH = ("beta", "plan")
"""Those that say nothing at the gateway: their conditions ask for the mesh, or for the pod that calls."""
CERTAINTY = 1 - 0.0001 / 25
"""Five loads are compared with five weights each: all lie within bounds in all but one of 10,000 good runs."""


@pytest.fixture(scope="module")
def ingress(testbed: Testbed) -> Iterator[Ingress]:
    """Run a gateway with the certificate of its host."""
    files = (MANIFESTS / "ingress-gateway.yaml", MANIFESTS / "catalog-gateway.yaml")
    yield start_ingress(testbed, (HOST, PARTNERS), "catalog-credential", *files)
    testbed.delete_namespace(NAMESPACE)


@pytest.fixture(scope="module")
def partners(ingress: Ingress) -> Ingress:
    """Return the gateway at its other host, with a certificate to show."""
    return ingress.asking_for_certificates(PARTNERS, "partners-credential")


@pytest.fixture
def edge(testbed: Testbed, ingress: Ingress) -> Ingress:
    """Give one test the gateway for itself: the route of an earlier test, if still there, would win."""
    for route in testbed.kube.get(ROUTES)["items"]:
        if GATEWAY in route["spec"].get("gateways", []):
            name, namespace = route["metadata"]["name"], route["metadata"]["namespace"]
            testbed.kubectl("delete", "virtualservice", name, "-n", namespace, "--ignore-not-found")
    return ingress


@contextmanager
def marked_callers(edge: Ingress, release: Release) -> Iterator[dict[str, tuple[Load, Load]]]:
    """Call as somebody with each mark, at the gateway and in the mesh."""
    client = release.testbed.pods.first(release.namespace, "app=client")
    with ExitStack() as running:
        found = {}
        for mark, (path, headers) in MARKS.items():
            outside = edge.load("https", path, FEW, **headers)
            inside = release.testbed.load_mesh(release.namespace, client, f"http://catalog{path}", FEW, **headers)
            found[mark] = running.enter_context(outside), running.enter_context(inside)
        yield found


@pytest.mark.parametrize("gateways", [[GATEWAY], ["mesh", GATEWAY]], ids=["edge", "mesh and edge"])
def test_release_behind_a_gateway_splits_by_cohort_and_weight_and_goes_on_redirecting(
    edge: Ingress, release: Release, gateways: list[str]
) -> None:
    """Through TLS the cohort has v2, others the route's share at each weight; plain HTTP is sent to TLS."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    service = {"gateways": gateways, "hosts": [HOST], "match": [{"uri": {"prefix": "/items"}}]}
    release.apply(planned(release, service=service, steps=[{"match": COHORT}, *BY_WEIGHT], interval=INTERVAL))
    release.wait_for("Initialized")
    with (
        edge.load("https", "/items", RATE) as secure,
        edge.load("http", "/items", Rate(per_second=10)) as redirected,
        release.load(rps=40) as (inside, plain),
        marked_callers(edge, release) as marked,
    ):
        release.apply(release.deployment("v2"))
        release.wait_for("Succeeded", within=LONG)
        secure.next_window(A_WHILE)
    assert_none_failed(inside, plain)
    customers, callers = ([pair[side] for pair in marked.values()] for side in (0, 1))
    for load, status in ((secure, 200), (redirected, 301), *((one, 200) for one in (*customers, *callers))):
        assert set(load.summary().by_status) == {status}, str(load.summary())
    steps = release.recorder.seen("virtualservices", "catalog")
    assert [weights_of(step.object)[1] for step in steps] == [0, *WEIGHTS, 0]
    expect_split(secure, steps)
    for mark, customer in zip(MARKS, customers, strict=True):
        (expect_others if mark in MARKS_OF_THE_MESH else expect_cohort)(customer, steps)
    if "mesh" in gateways:
        expect_split(inside, steps)
        for caller in callers:
            expect_cohort(caller, steps)
    else:
        for caller in (inside, *callers):
            assert set(caller.summary(until=steps[-2].at - LATE_NEWS).by_version) == {"v1"}
    for began, ended in pairwise([*(step.at for step in steps[1:]), datetime.now(UTC)]):
        assert redirected.answers(began, ended), f"nobody was redirected between {began} and {ended}"
    assert f"location: https://{HOST}/items" in edge.ask(f"http://{HOST}/items")


def test_ab_release_of_the_mesh_sends_its_cohort_alone_to_the_canary(edge: Ingress, release: Release) -> None:
    """Callers with the header see v2 only; all others, and customers whose route leads past ours, v1 only."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    http = [{"route": [{"destination": {"host": "catalog"}}]}]
    release.apply(virtual_service("shop", hosts=[HOST], gateways=[GATEWAY], http=http))
    release.apply(planned(release, service={"gateways": ["mesh"]}, iterations=3, match=[STAFF]))
    release.wait_for("Initialized")
    with (
        edge.load("https", "/items", FEW, x_group="staff") as customer,
        release.load() as (mesh, plain),
        staff(release) as insider,
    ):
        release.apply(release.deployment("v2"))
        since = wait_step(release, 1) + TOLD
        assert findings(release) == []
        assert release.condition("Ready")["reason"] == "RouteBypassed"
        wait_until(lambda: release.status.get("iterations") == 3, LONG, lambda: str(release.status))
        until = datetime.now(UTC)
        release.wait_for("Succeeded", within=LONG)
    assert set(insider.summary(since, until).by_version) == {"v2"}
    for load in (mesh, plain, customer):
        assert set(load.summary(since, until).by_version) == {"v1"}
    assert_none_failed(mesh, plain, insider, customer)
    assert len(release.get("virtualservice", "catalog")["spec"]["http"]) == 1


def test_release_behind_a_gateway_that_asks_for_certificates_splits_by_weight(
    edge: Ingress, partners: Ingress, release: Release
) -> None:
    """Customers with a certificate get the route's share at each weight, others nothing at any time."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(
        release.canary(service={"gateways": [GATEWAY], "hosts": [HOST, PARTNERS]}, interval=INTERVAL, stepWeight=25)
    )
    release.wait_for("Initialized")
    strangers = replace(partners, identity=None)
    with (
        partners.load("https", "/items", Rate(per_second=40)) as known,
        strangers.load("https", "/items", Rate(per_second=5)) as unknown,
        edge.load("https", "/items", Rate(per_second=40)) as secure,
    ):
        release.apply(release.deployment("v2"))
        release.wait_for("Succeeded", within=LONG)
        known.next_window(A_WHILE)
    steps = release.recorder.seen("virtualservices", "catalog")
    assert [weights_of(step.object)[1] for step in steps] == [0, 25, 50, 100, 0]
    for load in (known, secure):
        assert set(load.summary().by_status) == {200}, str(load.summary())
    expect_split(known, steps)
    assert set(secure.summary(steps[-1].at + LATE_NEWS).by_version) == {"v2"}
    assert set(unknown.summary().by_status) == {0}, str(unknown.summary())
    assert any("certificate required" in one.error for one in unknown.answers()), str(unknown.summary())


def virtual_service(name: str, **spec: Any) -> Object:
    """Return a VirtualService of a user."""
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": name}, "spec": spec}


def root(release: Release, name: str, host: str, *gateways: str) -> Object:
    """Return a VirtualService for a host that delegates to the one under release."""
    delegate = {"name": "catalog", "namespace": release.namespace}
    http = [{"name": "shop", "match": [{"uri": {"prefix": "/items"}}], "timeout": "5s", "delegate": delegate}]
    return virtual_service(name, hosts=[host], gateways=[*gateways], http=http)


def test_release_behind_routes_that_delegate_splits_by_weight_and_leaves_them_served(
    edge: Ingress, release: Release
) -> None:
    """One at the gateway, of a namespace nobody watches, and one for the mesh; both hand on once the Canary is gone."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(release.canary(service={"delegation": True, "hosts": [], "gateways": []}, interval=INTERVAL))
    release.wait_for("Initialized")
    assert release.get("virtualservice", "catalog")["spec"].keys() == {"http"}
    release.apply(root(release, "front", "catalog", "mesh"))
    edge_root = root(release, "shop", HOST, GATEWAY)
    edge_root["metadata"]["namespace"] = NAMESPACE
    apply(release.testbed, edge_root)
    with edge.load("https", "/items", RATE) as secure, release.load(rps=40) as (inside, plain):
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 10, within=LONG)
        assert findings(release) == []
        release.wait_for("Succeeded", within=LONG)
        secure.next_window(A_WHILE)
        steps = release.recorder.seen("virtualservices", "catalog")
        since = datetime.now(UTC)
        release.kubectl("delete", "canaries.flagger.app", CANARY)
        wait_until(lambda: release.find("deployment", "catalog-primary") is None, LONG, lambda: "ours to be gone")
        secure.next_window(A_WHILE)
    assert_none_failed(inside, plain)
    assert set(secure.summary().by_status) == {200}, str(secure.summary())
    assert [weights_of(step.object)[1] for step in steps] == [*WEIGHTS, 0]
    expect_split(secure, steps)
    expect_split(inside, steps)
    assert set(secure.summary(since).by_version) == {"v2"}
    left = release.get("virtualservice", "catalog")
    assert left["spec"] == {"http": [{"name": "weighted", "route": [{"destination": {"host": "catalog"}}]}]}
    assert not [key for kind in ("labels", "annotations") for key in left["metadata"].get(kind) or {}]


def route_beside_the_gateway(release: Release) -> Object:
    """Return a VirtualService that names Gateway and service as is right in the gateway's namespace."""
    short, full = GATEWAY.split("/")[1], f"catalog.{release.namespace}.svc.cluster.local"
    match = [{"uri": {"prefix": "/items"}, "gateways": [short]}]
    http = [{"match": match, "timeout": "5s", "route": [{"destination": {"host": full}}]}]
    found = virtual_service("shop", hosts=[HOST], gateways=[short], http=http)
    found["metadata"]["namespace"] = NAMESPACE
    return found


def test_release_on_a_route_beside_the_gateway_splits_by_cohort_and_weight_and_leaves_it_as_it_was(
    edge: Ingress, release: Release, controller: Controller
) -> None:
    """The VirtualService stays in the gateway's namespace; the Canary names it; the cohort follows its conditions."""
    route = route_beside_the_gateway(release)
    service = {"virtualService": route["metadata"], "gateways": [], "hosts": []}
    plan = [{"match": [{**STAFF, "gateways": [GATEWAY]}, PREVIEW]}, *BY_WEIGHT]
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    controller.stop()
    with (
        Controller(release.testbed, [release.namespace, NAMESPACE]),
        Recorder(release.testbed, NAMESPACE) as routes,
    ):
        apply(release.testbed, route)
        release.apply(planned(release, service=service, steps=plan, interval=INTERVAL))
        release.wait_for("Initialized", within=LONG)
        with edge.load("https", "/items", RATE) as secure, marked_callers(edge, release) as marked:
            release.apply(release.deployment("v2"))
            release.wait_for("Progressing", 10, within=LONG)
            about_routes = [one for one in findings(release, NAMESPACE) if "Gateway" not in one["origin"]]
            assert findings(release) == about_routes == []
            release.wait_for("Succeeded", within=LONG)
            secure.next_window(A_WHILE)
            steps = routes.seen("virtualservices", "shop")[1:]
            release.kubectl("delete", "canaries.flagger.app", CANARY)
            wait_until(lambda: release.find("service", "catalog-primary") is None, LONG, lambda: "ours to be gone")
            secure.next_window(A_WHILE)
        left = routes.seen("virtualservices", "shop")[-1].object
    for load in (secure, *(one for pair in marked.values() for one in pair)):
        assert set(load.summary().by_status) == {200}, str(load.summary())
    assert [weights_of(step.object)[1] for step in steps] == [0, *WEIGHTS, 0]
    expect_split(secure, steps)
    for mark, (customer, caller) in marked.items():
        (expect_cohort if mark in ("staff", "preview") else expect_others)(customer, steps)
        assert set(caller.summary(until=steps[-2].at - LATE_NEWS).by_version) == {"v1"}
    assert left["spec"] == route["spec"]
    assert not [key for key in left["metadata"].get("annotations") or {} if key.startswith(PREFIX)]


def expect_cohort(load: Load, steps: list[Seen]) -> None:
    """Expect v1 alone until the cohort's routes, the first written after initialisation, and v2 alone ever after."""
    before, after = load.summary(until=steps[1].at - LATE_NEWS), load.summary(steps[1].at + LATE_NEWS)
    assert (set(before.by_version), set(after.by_version)) == ({"v1"}, {"v2"}), f"{before}, then {after}"
    for step, following in pairwise(steps[1:]):
        assert load.answers(step.at, following.at), f"nobody called between {step.at} and {following.at}"


def expect_others(load: Load, steps: list[Seen]) -> None:
    """Expect v1 alone while the cohort has v2, some of it at the first weight, and v2 alone at last."""
    assert load.answers(steps[1].at + LATE_NEWS, steps[2].at - LATE_NEWS)
    before = load.summary(until=steps[2].at - LATE_NEWS)
    assert set(before.by_version) == {"v1"}, str(before)
    assert "v1" in load.summary(steps[2].at, steps[3].at).by_version
    assert set(load.summary(steps[-1].at + LATE_NEWS).by_version) == {"v2"}


def expect_split(load: Load, steps: list[Seen]) -> None:
    """Expect v1 alone at first, at each weight as many answers from v2 as chance allows, and v2 alone at last."""
    before = load.summary(until=steps[1].at - LATE_NEWS)
    assert set(before.by_version) == {"v1"}, str(before)
    for step, following in pairwise(steps[1:]):
        share = weights_of(step.object)[1]
        answered = load.summary(step.at + LATE_NEWS, following.at - LATE_NEWS)
        assert answered.total >= ENOUGH, f"{share} %: {answered}"
        low, high = bounds(answered.total, share / 100, CERTAINTY)
        assert low <= answered.by_version.get("v2", 0) <= high, f"{share} %: not in {low}..{high}: {answered}"
    last = load.summary(steps[-1].at + LATE_NEWS)
    assert set(last.by_version) == {"v2"}, str(last)
