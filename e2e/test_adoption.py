"""A user's own VirtualService and DestinationRule through a whole release under load, and back as they were."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from e2e.findings import findings
from e2e.release import CANARY, Release, manifests
from e2e.testbed.kube import Object
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed

LONG = timedelta(seconds=120)
NETWORKING = "networking.istio.io/v1"
SUBSET = {"name": "v1", "labels": {"app": "catalog"}}
POOL = {"connectionPool": {"tcp": {"maxConnections": 100}}, "outlierDetection": {"consecutive5xxErrors": 50}}


def users_rule() -> Object:
    """Return the user's DestinationRule, with a subset that the routes name."""
    spec = {"host": "catalog", "trafficPolicy": POOL, "subsets": [SUBSET]}
    return {"apiVersion": NETWORKING, "kind": "DestinationRule", "metadata": {"name": "limits"}, "spec": spec}


def users_route(namespace: str) -> Object:
    """Return the user's VirtualService: a redirect, a route with a time-out, and the default one."""
    qualified = f"catalog.{namespace}.svc.cluster.local"
    http: list[Any] = [
        {"name": "moved", "match": [{"uri": {"prefix": "/old"}}], "redirect": {"uri": "/items"}},
        {
            "name": "reports",
            "match": [{"uri": {"prefix": "/reports"}}],
            "timeout": "20s",
            "route": [{"destination": {"host": qualified, "subset": "v1", "port": {"number": 80}}}],
        },
        {
            "name": "default",
            "retries": {"attempts": 2, "perTryTimeout": "2s", "retryOn": "connect-failure"},
            "headers": {"response": {"set": {"x-served-by": "shop"}}},
            "route": [{"destination": {"host": "catalog", "subset": "v1"}, "weight": 100}],
        },
    ]
    metadata = {"name": "catalog-routes", "labels": {"team": "shop"}, "annotations": {"cost": "7"}}
    spec = {"hosts": ["catalog"], "exportTo": ["."], "http": http}
    return {"apiVersion": NETWORKING, "kind": "VirtualService", "metadata": metadata, "spec": spec}


def as_the_user_sees_it(obj: Object) -> tuple[Any, Any, Any]:
    """Return labels, annotations of the user and spec."""
    metadata = obj["metadata"]
    annotations = {k: v for k, v in metadata.get("annotations", {}).items() if "last-applied" not in k}
    return metadata.get("labels"), annotations, obj["spec"]


def route(release: Release) -> Object:
    """Return the user's VirtualService as it is."""
    return release.get("virtualservice", "catalog-routes")


def shares(obj: Object) -> list[list[int]]:
    """Return the weights of each route that leads to the two sides."""
    return [[d["weight"] for d in one["route"]] for one in obj["spec"]["http"] if "route" in one]


def test_users_route_and_rule_are_kept_through_a_release_and_given_back(release: Release) -> None:
    """Only destinations at the apex change; redirects, time-outs, headers and policies stay in every phase."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(users_rule(), users_route(release.namespace))
    before = copy.deepcopy(as_the_user_sees_it(route(release)))
    with release.load() as (mesh, plain):
        release.apply(release.canary(stepWeight=25, maxWeight=50))
        release.wait_for("Initialized", within=LONG)
        assert shares(route(release)) == [[100, 0], [100, 0]]
        assert release.find("virtualservice", "catalog") is None
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 25, within=LONG)
        wait_until(lambda: shares(route(release)) == [[75, 25], [75, 25]], LONG, lambda: str(route(release)))
        assert findings(release) == []
        for role in ("primary", "canary"):
            assert release.get("destinationrule", f"catalog-{role}")["spec"]["trafficPolicy"] == POOL
        untouched = route(release)["spec"]
        assert untouched["http"][0] == users_route("")["spec"]["http"][0]
        assert untouched["exportTo"] == ["."]
        release.wait_for("Succeeded", within=LONG)
        since = datetime.now(UTC)
        release.kubectl("delete", "canaries.flagger.app", CANARY)
        wait_until(lambda: as_the_user_sees_it(route(release)) == before, LONG, lambda: str(route(release)))
        gone = ("deployment/catalog-primary", "destinationrule/catalog-canary")
        wait_until(lambda: not any(release.find(*one.split("/")) for one in gone), LONG, lambda: "ours to be gone")
    assert_none_failed(mesh, plain)
    assert set(mesh.summary(since).by_version) == {"v2"}


def test_policy_follows_the_users_rule(release: Release) -> None:
    """An edit of the user's rule reaches both sides; without the rule ours go."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(users_rule())
    release.apply(release.canary())
    release.wait_for("Initialized")
    edited = users_rule()
    edited["spec"]["trafficPolicy"] = {"connectionPool": {"http": {"http1MaxPendingRequests": 7}}}
    release.apply(edited)

    def policies() -> list[Any]:
        found = (release.find("destinationrule", f"catalog-{role}") for role in ("primary", "canary"))
        return [one["spec"]["trafficPolicy"] if one else None for one in found]

    wait_until(lambda: policies() == [edited["spec"]["trafficPolicy"]] * 2, LONG, lambda: str(policies()))
    release.kubectl("delete", "destinationrule", "limits")
    wait_until(lambda: policies() == [None, None], LONG, lambda: str(policies()))


def test_route_that_cannot_be_adopted_is_named_and_left_alone(release: Release) -> None:
    """The condition names VirtualService and route; nothing is written; the corrected route recovers."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    broken = users_route(release.namespace)
    subsets = [{"destination": {"host": "catalog", "subset": one}, "weight": 50} for one in ("v1", "v2")]
    broken["spec"]["http"][2]["route"] = subsets
    release.apply(users_rule(), broken)
    release.apply(release.canary())
    wait_until(
        lambda: release.condition("Ready").get("reason") == "RouteNotAdoptable", LONG, lambda: str(release.status)
    )
    message = release.condition("Ready")["message"]
    assert "VirtualService catalog-routes cannot be adopted: http route default names host catalog" in message
    assert release.find("deployment", "catalog-primary") is None
    release.apply(users_route(release.namespace))
    release.wait_for("Initialized", within=LONG)
