"""A VirtualService of another namespace that the Canary names, through releases under load and back as it was."""

import copy
from collections.abc import Iterator
from datetime import timedelta

import pytest

from e2e.controller import Controller
from e2e.findings import findings
from e2e.orphans import apply
from e2e.recorder import Recorder
from e2e.release import CANARY, Release, manifests, weights_of
from e2e.test_adoption import NETWORKING, as_the_user_sees_it
from e2e.test_gateway import expect_split
from e2e.testbed.kube import ApiError, Object
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed

LONG = timedelta(seconds=120)
A_WHILE = timedelta(seconds=2)
NAME = "shop-routes"


@pytest.fixture
def edge(testbed: Testbed, namespace: str) -> Iterator[str]:
    """Create the namespace of the team that has the routes."""
    name = f"edge-{namespace}"[:40].rstrip("-")
    testbed.create_namespace(name)
    yield name
    testbed.delete_namespace(name)


@pytest.fixture
def controller(testbed: Testbed, namespace: str, edge: str, compat_crd: None) -> Iterator[Controller]:
    """Run a controller for both namespaces."""
    with Controller(testbed, [namespace, edge]) as running:
        yield running


@pytest.fixture
def routes(testbed: Testbed, edge: str) -> Iterator[Recorder]:
    """Record what becomes of the routes."""
    with Recorder(testbed, edge) as recorder:
        yield recorder


def users_route(release: Release, edge: str) -> Object:
    """Return a VirtualService for the service's host: a redirect, a route to a namesake, and the default one."""
    full = f"catalog.{release.namespace}.svc.cluster.local"
    http = [
        {"name": "moved", "match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/items"}},
        {
            "name": "other",
            "match": [{"uri": {"prefix": "/other"}}],
            "route": [{"destination": {"host": "catalog"}}],
        },
        {
            "name": "default",
            "timeout": "5s",
            "route": [{"destination": {"host": full, "port": {"number": 80}}}],
        },
    ]
    metadata = {"name": NAME, "namespace": edge, "labels": {"team": "edge"}}
    spec = {"hosts": [full], "http": http}
    return {"apiVersion": NETWORKING, "kind": "VirtualService", "metadata": metadata, "spec": spec}


def initialise(release: Release, edge: str) -> None:
    """Bring the service up with a Canary that names a VirtualService, which comes once the Canary asked for it."""
    namesake = copy.deepcopy(manifests("catalog-service.yaml")[0])
    namesake["metadata"]["namespace"] = edge
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    named = {"virtualService": {"name": NAME, "namespace": edge}}
    release.apply(release.canary(service=named, interval="7s", stepWeight=25))
    wait_until(
        lambda: f"VirtualService {edge}/{NAME}, named in" in release.condition("Ready").get("message", ""),
        LONG,
        lambda: str(release.status),
    )
    assert release.find("deployment", "catalog-primary") is None
    apply(release.testbed, namesake, users_route(release, edge))
    release.wait_for("Initialized", within=LONG)
    assert release.condition("Ready")["reason"] == "Served"


def test_route_of_another_namespace_is_shared_out_where_it_is_and_given_back(
    release: Release, edge: str, routes: Recorder
) -> None:
    """Callers get the share at each weight, a failed release goes back to 0, and the route is at last as it was."""

    def shown() -> Object:
        return release.testbed.kube.get(f"/apis/{NETWORKING}/namespaces/{edge}/virtualservices/{NAME}")

    initialise(release, edge)
    with release.load(rps=40) as (mesh, plain):
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 25, within=LONG)
        assert findings(release) == findings(release, edge) == []
        release.wait_for("Succeeded", within=LONG)
        mesh.next_window(A_WHILE)
        first, *steps = routes.seen("virtualservices", NAME)
    assert_none_failed(mesh, plain)
    assert [weights_of(step.object)[1] for step in steps] == [0, 25, 50, 100, 0]
    expect_split(mesh, steps)
    untouched = shown()["spec"]["http"]
    assert untouched[:2] == users_route(release, edge)["spec"]["http"][:2]
    assert untouched[2]["timeout"] == "5s"
    assert release.find("virtualservice", "catalog") is None
    with release.load(rps=40) as (mesh, _):
        release.apply(release.deployment("v3", FAIL_PERCENT="100"))
        release.wait_for("Failed", within=LONG)
        assert weights_of(shown()) == (100, 0)
    assert "v3" in mesh.summary().by_version
    before = as_the_user_sees_it(first.object)
    with release.load() as (mesh, plain):
        release.kubectl("delete", "canaries.flagger.app", CANARY)
        wait_until(lambda: as_the_user_sees_it(shown()) == before, LONG, lambda: str(shown()))
        wait_until(lambda: release.find("service", "catalog-primary") is None, LONG, lambda: "ours to be gone")
        mesh.next_window(A_WHILE)
    assert_none_failed(mesh, plain)
    assert set(mesh.summary().by_version) == {"v2"}


def test_named_route_cannot_be_exchanged_for_another(release: Release, edge: str) -> None:
    """The API server refuses to name another VirtualService, or none, with the sentence that says what to do."""
    named = {"virtualService": {"name": NAME, "namespace": edge}}
    release.apply(release.canary(service=named))
    for other in ({"name": "another", "namespace": edge}, None):
        with pytest.raises(ApiError, match=r"spec\.service\.virtualService cannot change; delete this Canary"):
            release.testbed.kube.merge(release.path, {"spec": {"service": {"virtualService": other}}})
    release.testbed.kube.merge(release.path, {"spec": {"service": named, "suspend": True}})
