"""What Istio's own webhook refuses is told on the Canary in its words, and production is as it was."""

from datetime import UTC, datetime, timedelta
from typing import Any

from e2e.release import Release, manifests
from e2e.test_strategies import LONG, STAFF, planned, staff
from e2e.testbed.kube import ApiError, Object
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed
from tests.api.manifests import listing
from tests.api.routes import ROUTES, route_cases

BROKEN = {"headers": {"x-group": {"regex": "(staff"}}}


def wait_ready(release: Release, reason: str) -> str:
    """Wait until condition Ready has a reason; return its message."""
    wait_until(lambda: release.condition("Ready").get("reason") == reason, LONG, lambda: str(release.status))
    return str(release.condition("Ready")["message"])


def test_cohort_that_istio_refuses_is_named_and_goes_on_once_corrected(release: Release) -> None:
    """An expression without end: nobody reaches the canary, the Canary says why, and the corrected plan succeeds."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(planned(release, iterations=2, match=[BROKEN]))
    release.wait_for("Initialized")
    with release.load() as (mesh, plain), staff(release) as insider:
        release.apply(release.deployment("v2"))
        told = wait_ready(release, "WriteRefused")
        assert told.startswith("VirtualService catalog could not be written: 400: admission webhook")
        assert "(staff" in told or "missing closing )" in told
        assert release.condition("Ready")["status"] == "False"
        refused = datetime.now(UTC)
        release.apply(planned(release, iterations=2, match=[STAFF]))
        release.wait_for("Succeeded", within=LONG)
    for load in (mesh, plain, insider):
        assert set(load.summary(until=refused).by_version) == {"v1"}
    assert_none_failed(mesh, plain, insider)
    assert release.condition("Ready")["reason"] == "Served"
    assert len(release.told("WriteRefused")) == 1


def test_route_of_the_spec_that_istio_refuses_keeps_everything_untouched(release: Release) -> None:
    """An answer that gRPC does not know: the apex Service stays with the target until it is corrected."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    before = release.get("service", "catalog")["spec"]
    release.apply(release.canary(service={"fault": {"abort": {"grpcStatus": "SOON"}}}))
    told = wait_ready(release, "WriteRefused")
    assert "VirtualService catalog could not be written: 4" in told
    assert 'gRPC status "SOON" is not supported' in told
    assert release.get("service", "catalog")["spec"] == before
    release.apply(release.canary(service={"fault": {"delay": {"fixedDelay": "5ms"}}}))
    release.wait_for("Initialized", within=timedelta(seconds=90))
    assert release.condition("Ready")["reason"] == "Served"


def istio_says(testbed: Testbed, namespace: str, changes: dict[str, Any]) -> str:
    """Return why no VirtualService may hold what a Canary asks for, nothing when it may."""
    service = listing(changes)["spec"]["service"]
    route: Object = {"route": [{"destination": {"host": "catalog"}}]}
    for field in ("timeout", "retries", "fault"):
        route |= {field: service[field]} if field in service else {}
    if "retries" in route:
        route["retries"] = {"attempts": 1, **route["retries"]}
    spec = {"hosts": service["hosts"], "http": [route]}
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "asked"},
        "spec": spec,
    }
    try:
        testbed.kube.create(f"/apis/networking.istio.io/v1/namespaces/{namespace}/virtualservices?dryRun=All", body)
    except ApiError as refused:
        return str(refused)
    return ""


def test_admission_refuses_of_routes_what_istio_refuses_and_nothing_else(testbed: Testbed, namespace: str) -> None:
    """No manifest that works elsewhere is refused: whatever admission finds wrong with a route Istio refuses too."""
    refused = [changes for changes, _, _ in route_cases()]
    assert [changes for changes in refused if not istio_says(testbed, namespace, changes)] == []
    assert {str(changes): said for changes in ROUTES if (said := istio_says(testbed, namespace, changes))} == {}
