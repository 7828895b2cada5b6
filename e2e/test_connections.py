"""Releases of a service of connections: its port is named tcp, so that Envoy sees no requests in it."""

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from e2e.findings import findings
from e2e.recorder import LATE_NEWS, Seen
from e2e.release import CANARY, Release, manifests, weights_of
from e2e.test_adoption import as_the_user_sees_it
from e2e.test_green_release import bounds
from e2e.testbed.kube import Object
from e2e.testbed.load import Load, Rate
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed

LONG = timedelta(seconds=90)
ENOUGH = 60
"""Of 6 s two may pass before a weight is read back, and news may be late at both ends: 2 s of 40 calls are left."""
CERTAINTY = 1 - 0.0001 / 2
KEPT = timedelta(seconds=4)
"""Four times the settle time of these releases, twice what the testbed's proxies take to close old connections."""


def service_of_connections() -> Object:
    """Return the Service with a port in which Istio sees connections."""
    (found,) = manifests("catalog-service.yaml")
    found["spec"]["ports"][0]["name"] = "tcp-catalog"
    return found


def canary_of_connections(release: Release, **analysis: Any) -> Object:
    """Return listing 5.1 for connections, without its metrics."""
    return release.canary(service={"appProtocol": "tcp"}, metrics=[], stepWeight=25, **analysis)


@contextmanager
def connections(release: Release, host: str = "catalog", rps: float = 40) -> Iterator[Load]:
    """Call through a sidecar with a new connection each time."""
    client = release.testbed.pods.first(release.namespace, "app=client")
    url, rate = f"http://{host}/items", Rate(per_second=rps)
    with release.testbed.load_mesh(release.namespace, client, url, rate, connection="close") as new:
        yield new


def not_told(release: Release) -> AbstractContextManager[Load]:
    """Call the canary as one does who was not told of the route."""
    return connections(release, "catalog-canary", 10)


def held(release: Release) -> str:
    """Return what the Canary says that it waits for, empty when it does not."""
    conditions = release.status.get("conditions", [])
    return next((str(one["message"]) for one in conditions if one["type"] == "Held"), "")


def canary_size(release: Release) -> int:
    """Return how many pods the canary is to have."""
    return int(release.get("deployment", "catalog-canary")["spec"]["replicas"])


def expect_shares(load: Load, steps: list[Seen]) -> None:
    """Expect at each weight as many connections to v2 as chance allows."""
    for step, following in pairwise(steps):
        share = weights_of(step.object)[1]
        answered = load.summary(step.at + LATE_NEWS, following.at - LATE_NEWS)
        assert answered.total >= ENOUGH, f"{share} %: {answered}"
        low, high = bounds(answered.total, share / 100, CERTAINTY)
        assert low <= answered.by_version.get("v2", 0) <= high, f"{share} %: not in {low}..{high}: {answered}"


def test_release_of_connections_is_shared_out_by_weight(release: Release) -> None:
    """Connections follow the weights, no call fails, and sets are kept longer than proxies keep old connections."""
    release.bring_up(release.deployment("v1"), service_of_connections())
    with connections(release) as new:
        release.apply(canary_of_connections(release, interval="6s"))
        release.wait_for("Initialized", within=LONG)
        assert release.get("virtualservice", "catalog")["spec"].keys() == {"hosts", "gateways", "tcp"}
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 25, within=LONG)
        assert findings(release) == []
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(new)
    steps = release.recorder.seen("virtualservices", "catalog")
    assert [weights_of(step.object)[1] for step in steps] == [0, 25, 50, 100, 0]
    expect_shares(new, steps[1:4])
    assert set(new.summary(steps[-1].at + LATE_NEWS).by_version) == {"v2"}
    for began, ended in pairwise([row.at for row in release.rows() if row.phase in ("Promoting", "Finalising")]):
        assert ended - began >= KEPT


def users_route() -> Object:
    """Return the user's VirtualService: pass-through by name of the server, and the port of the service."""
    to_us = [{"destination": {"host": "catalog", "port": {"number": 80}}}]
    spec = {
        "hosts": ["catalog", "shop.example.com"],
        "exportTo": ["."],
        "tls": [{"match": [{"port": 443, "sniHosts": ["shop.example.com"]}], "route": to_us}],
        "tcp": [{"match": [{"port": 80}], "route": to_us}],
    }
    api = "networking.istio.io/v1"
    return {"apiVersion": api, "kind": "VirtualService", "metadata": {"name": "catalog-routes"}, "spec": spec}


def test_routes_of_connections_are_adopted_and_given_back(release: Release) -> None:
    """tcp and tls routes become pairs, a canary that is still called is kept, and all is as it was after."""
    release.bring_up(release.deployment("v1"), service_of_connections())
    release.apply(users_route())

    def route() -> Object:
        return release.get("virtualservice", "catalog-routes")

    def shares() -> list[list[int]]:
        return [[d["weight"] for d in route()["spec"][kind][0]["route"]] for kind in ("tls", "tcp")]

    before = copy.deepcopy(as_the_user_sees_it(route()))
    with connections(release) as new:
        release.apply(canary_of_connections(release, interval="4s"))
        release.wait_for("Initialized", within=LONG)
        assert release.find("virtualservice", "catalog") is None
        release.apply(release.deployment("v2"))
        wait_until(lambda: shares() == [[75, 25], [75, 25]], LONG, lambda: str(route()))
        since = datetime.now(UTC) + LATE_NEWS
        wait_until(lambda: new.summary(since).by_version.get("v2"), LONG, lambda: str(new.summary(since)))
        assert findings(release) == []
        with not_told(release):
            release.apply(release.deployment("v1"))
            release.wait_for("Initialized", within=LONG)
            wait_until(lambda: shares() == [[100, 0], [100, 0]], LONG, lambda: str(route()))
            wait_until(lambda: "that new connections to it have ended" in held(release), LONG, lambda: held(release))
            assert canary_size(release) > 0
        wait_until(lambda: canary_size(release) == 0, LONG, lambda: held(release))
        release.kubectl("delete", "canaries.flagger.app", CANARY)
        wait_until(lambda: as_the_user_sees_it(route()) == before, LONG, lambda: str(route()))
        wait_until(lambda: release.find("deployment", "catalog-primary") is None, LONG, lambda: "ours to be gone")
    assert_none_failed(new)
