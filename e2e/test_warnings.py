"""Warnings on the real API server and mesh: told once, gone when cured, true, and never in a release's way."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from e2e.controller import Controller
from e2e.orphans import apply
from e2e.recorder import Recorder
from e2e.release import Release, manifests
from e2e.testbed.kube import Object
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed

LONG = timedelta(seconds=120)
A_WHILE = timedelta(seconds=4)
PROPAGATED = timedelta(seconds=1.5)
NETWORKING = "networking.istio.io/v1"
READY = "objects are in place"


def istio(kind: str, name: str, **spec: Any) -> Object:
    """Return an Istio object."""
    return {"apiVersion": NETWORKING, "kind": kind, "metadata": {"name": name}, "spec": spec}


def gateway(name: str) -> Object:
    """Return a Gateway that no proxy serves."""
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["shop.io"]}
    return istio("Gateway", name, selector={"app": "nobody"}, servers=[server])


def shop(host: str) -> Object:
    """Return a VirtualService of an ingress gateway that leads straight to the Service."""
    http = [{"route": [{"destination": {"host": host}}]}]
    return istio("VirtualService", "shop", hosts=["shop.io"], gateways=["edge"], http=http)


def sidecar(*hosts: str) -> Object:
    """Return the namespace's Sidecar with a list of egress hosts."""
    return istio("Sidecar", "default", egress=[{"hosts": [*hosts, "istio-system/*"]}])


def unprefixed_service(name: str = "web") -> Object:
    """Return the Service with another name for its port."""
    (found,) = manifests("catalog-service.yaml")
    found["spec"]["ports"][0]["name"] = name
    return found


def wait_ready(release: Release, reason: str, fits: Callable[[str], bool] = bool) -> Object:
    """Wait until condition Ready has a reason and a message that fits; return the condition."""

    def there() -> bool:
        found = release.condition("Ready")
        return bool(found.get("reason") == reason and fits(found["message"]))

    wait_until(there, LONG, lambda: f"{reason}: {release.condition('Ready')}")
    return release.condition("Ready")


def without(reason: str) -> Callable[[str], bool]:
    """Return whether a message does not speak of a reason."""
    return lambda said: reason not in said


def inject(release: Release, value: str) -> None:
    """Say whether pods of the namespace get sidecars from now on."""
    release.testbed.kubectl("label", "--overwrite", "namespace", release.namespace, f"istio-injection={value}")


def test_warnings_are_told_once_and_go_when_cured(release: Release, controller: Controller) -> None:
    """All are named by a Ready condition that stays True; a restart tells none again; each cure takes one away."""
    host = f"catalog.{release.namespace}.svc.cluster.local"
    expected = {
        "GatewayMissing": f"Gateway {release.namespace}/edge, named in spec.service.gateways, does not exist",
        "RouteBypassed": f"VirtualService {release.namespace}/shop at gateway {release.namespace}/edge sends requests",
        "SidecarHidesHost": f"Sidecar {release.namespace}/default lists egress hosts without {host}",
        "PortUnprefixed": 'port 80 of Service catalog is named "web", which tells no protocol',
        "NamespaceNotInjected": f"Namespace {release.namespace} has label istio-injection: disabled",
    }
    release.bring_up(release.deployment("v1"), unprefixed_service())
    release.apply(shop("catalog"), sidecar())
    release.apply(release.canary(service={"gateways": ["mesh", "edge"]}))
    release.wait_for("Initialized", within=LONG)
    inject(release, "disabled")
    ready = wait_ready(release, "NamespaceNotInjected", lambda said: all(words in said for words in expected.values()))
    assert ready["status"] == "True"
    controller.stop()
    controller.start()
    cures: list[tuple[str, Callable[[], object]]] = [
        ("NamespaceNotInjected", lambda: inject(release, "enabled")),
        ("GatewayMissing", lambda: release.apply(gateway("edge"))),
        ("RouteBypassed", lambda: release.kubectl("delete", "virtualservice", "shop")),
        ("SidecarHidesHost", lambda: release.apply(sidecar(f"./{host}"))),
        ("PortUnprefixed", lambda: release.apply(unprefixed_service("http-web"))),
    ]
    left = [reason for reason, _ in cures]
    for reason, cure in cures:
        cure()
        left.remove(reason)
        first = left[0] if left else "Served"
        said = wait_ready(release, first, without(reason))["message"]
        assert [one for one in expected if one in said] == [one for one in expected if one in left]
    assert release.condition("Ready")["message"] == READY
    for reason, words in expected.items():
        (message,) = release.told(reason)
        assert words in message
    counts = {event["reason"]: event["count"] for event in events(release) if event["reason"] in expected}
    assert counts == dict.fromkeys(expected, 1)
    expect_bare_pods_told(release)


def expect_bare_pods_told(release: Release) -> None:
    """Expect a warning of a pod made before its namespace was labelled, once, until it is replaced."""
    inject(release, "disabled")
    wait_ready(release, "NamespaceNotInjected")
    replace_primary(release)
    inject(release, "enabled")
    said = wait_ready(release, "NoSidecar")["message"]
    assert "pods of Deployment catalog-primary run without a sidecar, which new ones get" in said
    replace_primary(release)
    assert wait_ready(release, "Served")["message"] == READY
    assert [event["count"] for event in events(release) if event["reason"] == "NoSidecar"] == [1]


def replace_primary(release: Release) -> None:
    """Delete the primary's pods and wait for others."""
    pods = release.testbed.pods.list_pods(release.namespace, "canary.delivery/role=primary")
    release.kubectl("delete", "pod", *(pod["metadata"]["name"] for pod in pods))
    release.testbed.wait_ready(release.namespace, "catalog-primary", LONG)


def events(release: Release) -> list[Object]:
    """Return the events of the namespace."""
    listed: list[Object] = release.testbed.kube.get(f"/api/v1/namespaces/{release.namespace}/events")["items"]
    return listed


def test_callers_whose_sidecar_lists_the_apex_alone_are_split(release: Release) -> None:
    """Istio adds the destinations of a route that a Sidecar lets in: such a list is no reason for a warning."""
    host = f"catalog.{release.namespace}.svc.cluster.local"
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(sidecar(f"./{host}"))
    release.apply(release.canary(stepWeight=50, maxWeight=50, interval="8s"))
    release.wait_for("Initialized", within=LONG)
    assert release.condition("Ready")["message"] == READY
    with release.load() as (mesh, plain):
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 50, within=LONG)
        mesh.next_window(PROPAGATED)
        assert set(mesh.next_window(A_WHILE).by_version) == {"v1", "v2"}
        assert release.condition("Ready")["message"] == READY
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(mesh, plain)


def test_machines_behind_the_service_are_refused_until_they_are_gone(release: Release) -> None:
    """A WorkloadEntry that the Service selects keeps everything untouched; without its label the Canary is served."""
    machine = istio("WorkloadEntry", "vm-1", address="10.9.9.9", labels={"app": "catalog"})
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    before = release.get("service", "catalog")["spec"]
    release.apply(machine)
    release.apply(release.canary())
    ready = wait_ready(release, "WorkloadEntrySelected")
    assert ready["status"] == "False"
    assert "Service catalog selects WorkloadEntry vm-1, which a release would take out of it" in ready["message"]
    assert release.find("deployment", "catalog-primary") is None
    assert release.get("service", "catalog")["spec"] == before
    machine["spec"]["labels"] = {"app": "legacy"}
    release.apply(machine)
    release.wait_for("Initialized", within=LONG)
    wait_ready(release, "Served")
    assert len(release.told("WorkloadEntrySelected")) == 1


@pytest.fixture
def everywhere(testbed: Testbed, compat_crd: None) -> Iterator[Controller]:
    """Run a controller for all namespaces."""
    with Controller(testbed) as running:
        yield running


@pytest.fixture
def neighbour(testbed: Testbed, namespace: str) -> Iterator[str]:
    """Create a second namespace."""
    name = f"{namespace[:38]}-2"
    testbed.create_namespace(name)
    yield name
    testbed.delete_namespace(name)


def test_objects_of_other_namespaces_are_seen_by_a_controller_for_all(
    testbed: Testbed, namespace: str, neighbour: str, everywhere: Controller
) -> None:
    """A route past the split, a rule and a Gateway elsewhere: the first two are told, the third is found."""
    with Recorder(testbed, namespace) as recorder:
        release = Release(testbed, namespace, recorder)
        see_the_neighbour(release, neighbour)


def see_the_neighbour(release: Release, neighbour: str) -> None:
    """Let objects of a second namespace come and go."""
    host = f"catalog.{release.namespace}.svc.cluster.local"
    theirs = [shop(host), istio("DestinationRule", "limits", host=host), gateway("public")]
    for one in theirs:
        one["metadata"]["namespace"] = neighbour
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.apply(release.canary(service={"gateways": ["mesh", f"{neighbour}/public"]}))
    wait_ready(release, "GatewayMissing")
    apply(release.testbed, *theirs)
    said = wait_ready(release, "RouteBypassed", lambda said: "RuleElsewhere" in said)["message"]
    assert f"VirtualService {neighbour}/shop at gateway {neighbour}/edge sends requests straight to" in said
    assert f"the policy of DestinationRule {neighbour}/limits, for host {host}, does not hold for requests" in said
    release.testbed.kubectl("-n", neighbour, "delete", "virtualservice/shop", "destinationrule/limits")
    wait_ready(release, "Served")


def test_port_without_requests_keeps_the_canary_waiting(release: Release) -> None:
    """Istio shares out nothing by a port named for TCP: nothing is touched until the name is corrected."""
    release.bring_up(release.deployment("v1"), unprefixed_service("tcp-web"))
    split = istio("VirtualService", "answer", hosts=["catalog"], http=[{"directResponse": {"status": 418}}])
    release.apply(split)
    client = release.testbed.pods.first(release.namespace, "app=client")
    asked = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://catalog/items")

    def status() -> str:
        return release.testbed.pods.run(release.namespace, client, *asked, check=False)

    wait_until(lambda: status() == "200", LONG, status)
    release.kubectl("delete", "virtualservice", "answer")
    release.apply(release.canary())
    wait_ready(release, "PortOpaque", lambda told: "port 80 of Service catalog has name tcp-web" in told)
    assert release.find("deployment", "catalog-primary") is None
    release.apply(unprefixed_service("http-web"), split)
    wait_until(lambda: status() == "418", LONG, status)
    release.kubectl("delete", "virtualservice", "answer")
    release.wait_for("Initialized", within=LONG)
