"""Delegation with real proxies: requests come by VirtualServices of others, and what Istio joins of both is known."""

import copy
from datetime import timedelta
from typing import Any

from canary.core.routes.delegation import find_root_conflict
from e2e.findings import findings
from e2e.orphans import apply
from e2e.release import CANARY, Release, manifests
from e2e.test_adoption import as_the_user_sees_it
from e2e.test_strategies import STAFF, TOLD, planned, staff, wait_step
from e2e.testbed.kube import Object
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed

LONG = timedelta(seconds=120)
SOON = timedelta(seconds=60)
A_SOAK = timedelta(seconds=6)
"""Well within the step that looks at the cohort alone."""
DELEGATION = {"delegation": True, "hosts": [], "gateways": []}
GROUP = "x-group"
PATH = {"uri": {"prefix": "/items"}}


def virtual_service(name: str, http: list[Any], **spec: Any) -> Object:
    """Return a VirtualService."""
    metadata = {"name": name}
    kind = "VirtualService"
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": {**spec, "http": http}}


def front(**entry: Any) -> Object:
    """Return a VirtualService for the service's host that delegates to the one of its name."""
    return virtual_service("front", [{"name": "shop", **entry, "delegate": {"name": "catalog"}}], hosts=["catalog"])


PAIRS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (PATH, STAFF),
    (PATH, {"uri": {"exact": "/items"}}),
    (PATH, {"uri": {"prefix": "/"}}),
    (PATH, {"uri": {"regex": "/it.*"}}),
    ({"headers": {GROUP: {"exact": "staff"}}}, STAFF),
    ({"headers": {GROUP: {"prefix": "st"}}}, STAFF),
    ({"headers": {GROUP: {"regex": "st.*"}}}, STAFF),
    ({"headers": {GROUP: {}}}, STAFF),
    (STAFF, {"headers": {GROUP: {}}}),
    ({"uri": {"prefix": "/ITEMS"}, "ignoreUriCase": True}, STAFF),
    ({"withoutHeaders": {"x-bot": {}}}, {"withoutHeaders": {"x-bot": {}}, **STAFF}),
    ({"withoutHeaders": {"x-bot": {}}}, STAFF),
    ({"sourceLabels": {"app": "client"}}, {"sourceLabels": {"app": "client"}, **STAFF}),
    ({"gateways": ["mesh"]}, {"gateways": ["mesh"], **STAFF}),
    ({"gateways": ["mesh"]}, {"gateways": ["mesh", "edge/public"], **STAFF}),
    ({"port": 80}, {"port": 80, **STAFF}),
]
"""A condition of a route that delegates and one of a route it delegates to; staff's request for /items meets both."""


def test_istio_leaves_out_what_we_refuse_and_nothing_else(testbed: Testbed, namespace: str) -> None:
    """Every pair that we let pass is joined by istiod, every one that we refuse is left out without a word."""
    client = manifests("client.yaml")[0]
    objects = [*manifests("catalog-service.yaml"), client]
    pairs = [*PAIRS, ({"sourceNamespace": namespace}, STAFF)]
    for number, (above, ours) in enumerate(pairs):
        entries = [{"match": [ours], "directResponse": {"status": 201}}, {"directResponse": {"status": 202}}]
        name = f"case-{number}"
        root = [{"match": [above], "delegate": {"name": name}}]
        objects += [virtual_service(name, entries), virtual_service(f"{name}-root", root, hosts=[f"{name}.test"])]
    for one in objects:
        one["metadata"]["namespace"] = namespace
    apply(testbed, *objects)
    testbed.wait_ready(namespace, "client")
    pod = testbed.pods.first(namespace, "app=client")

    def status(number: int) -> str:
        asked = ["-H", f"Host: case-{number}.test", "-H", f"{GROUP}: staff", "http://catalog/items"]
        return testbed.pods.run(namespace, pod, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *asked)

    wait_until(lambda: status(0) == "201" and status(len(pairs) - 1) == "202", SOON, lambda: status(0))
    joined = {number for number in range(len(pairs)) if status(number) == "201"}
    refused = [find_root_conflict({"match": [above]}, [{"match": [ours]}], ()) for above, ours in pairs]
    assert joined == {number for number, why in enumerate(refused) if why is None}
    assert 0 < len(joined) < len(pairs)


def shown(release: Release) -> Object:
    """Return the Canary's VirtualService."""
    return release.get("virtualservice", "catalog")


def test_users_delegate_is_shared_out_in_place_and_given_back(release: Release) -> None:
    """A cohort by way of delegation sees v2 alone, weights hold for all others, and every caller is served."""
    ours = [{"name": "items", "timeout": "9s", "route": [{"destination": {"host": "catalog"}}]}]
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(
        virtual_service("catalog", ours), front(match=[PATH], headers={"response": {"set": {"x-by": "shop"}}})
    )
    before = copy.deepcopy(as_the_user_sees_it(shown(release)))
    steps = [{"match": [STAFF]}, {"analysis": {"duration": "12s"}}, {"setWeight": 30}]
    canary = planned(release, steps=steps)
    for field in ("hosts", "gateways"):
        del canary["spec"]["service"][field]
    canary["spec"]["service"]["delegation"] = True
    with release.load() as (mesh, plain), staff(release) as insider:
        release.apply(canary)
        release.wait_for("Initialized", within=LONG)
        assert shown(release)["spec"].keys() == {"http"}
        release.apply(release.deployment("v2"))
        since = wait_step(release, 2) + TOLD
        until = since + A_SOAK
        assert findings(release) == []
        release.wait_for("Succeeded", within=LONG)
        assert release.condition("Ready")["reason"] == "Served"
        release.kubectl("delete", "canaries.flagger.app", CANARY)
        wait_until(lambda: as_the_user_sees_it(shown(release)) == before, LONG, lambda: str(shown(release)))
        wait_until(lambda: release.find("deployment", "catalog-primary") is None, LONG, lambda: "ours to be gone")
    assert_none_failed(mesh, plain, insider)
    assert set(insider.summary(since, until).by_version) == {"v2"}
    assert set(mesh.summary(since, until).by_version) == {"v1"}


def test_callers_keep_their_side_by_way_of_delegation(release: Release) -> None:
    """Routes for callers with a cookie are joined with the condition of the one that delegates."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(release.canary(service=DELEGATION, sessionAffinity={"cookieName": "shop"}, stepWeight=50))
    release.wait_for("Initialized")
    release.apply(front(match=[PATH]))
    with release.load(seconds=60) as (mesh, plain):
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 50, within=LONG)
        client = release.testbed.pods.first(release.namespace, "app=client")
        ask = ["curl", "-s", "-i", "http://catalog/items"]
        answers: list[str] = []

        def drawn() -> bool:
            answers.append(release.testbed.pods.run(release.namespace, client, *ask))
            return "shop=canary." in answers[-1]

        wait_until(drawn, SOON, lambda: answers[-1])
        cookie = next(line for line in answers[-1].splitlines() if "shop=canary." in line).split(": ")[1].split(";")[0]
        again = [release.testbed.pods.run(release.namespace, client, *ask, "-H", f"Cookie: {cookie}") for _ in range(9)]
        assert all("v2" in one for one in again)
    assert_none_failed(mesh, plain)


def test_what_istio_would_leave_out_keeps_the_canary_waiting(release: Release) -> None:
    """The condition names both VirtualServices, the route and the field; nothing is written until it is corrected."""
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(front(match=[{"headers": {GROUP: {"regex": "s.*"}}}]))
    canary = planned(release, iterations=2, match=[STAFF])
    canary["spec"]["service"].update(DELEGATION)
    release.apply(canary)
    words = "VirtualService {}/front cannot delegate to catalog: http route shop asks for headers.x-group and so does"
    wait_until(
        lambda: words.format(release.namespace) in release.condition("Ready").get("message", ""),
        LONG,
        lambda: str(release.status),
    )
    assert release.find("virtualservice", "catalog") is None
    release.apply(front(match=[PATH]))
    release.wait_for("Initialized", within=LONG)
