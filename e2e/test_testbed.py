"""Show that the testbed itself behaves like a cluster with Istio, before anything is proven on it."""

import gc
import json
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from e2e.recorder import Recorder
from e2e.testbed import credentials
from e2e.testbed.commands import CommandError
from e2e.testbed.faults import Action, Fault
from e2e.testbed.kube import KubeClient
from e2e.testbed.load import Rate
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

MANIFESTS = Path(__file__).parent / "manifests"
NAMESPACE = "smoke"
SOON = timedelta(seconds=30)
AT_ONCE = timedelta(seconds=1)
# All but one in 10,000 series of 1,000 requests at 10 % lie within these bounds (binomial).
TENTH_OF_THOUSAND = range(64, 140)
METRIC_LABELS = {
    "reporter",
    "response_code",
    "response_flags",
    "destination_workload",
    "destination_workload_namespace",
    "request_protocol",
}


def deployment(name: str, version: str, **variables: str) -> dict[str, Any]:
    """Build a Deployment of catalog that only this version's Service selects."""
    labels = {"app": name}
    values = {"VERSION": version, **variables}
    container = {
        "name": "catalog",
        "image": "testbed/catalog:latest",
        "env": [{"name": key, "value": value} for key, value in values.items()],
        "ports": [{"containerPort": 3000, "name": "http"}],
    }
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def service(name: str) -> dict[str, Any]:
    """Build the Service of a Deployment of that name."""
    ports = [{"name": "http", "port": 80, "targetPort": 3000}]
    spec = {"selector": {"app": name}, "ports": ports}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def virtual_service(host: str, *routes: dict[str, Any]) -> dict[str, Any]:
    """Build a VirtualService for traffic inside the mesh."""
    spec = {"hosts": [host], "gateways": ["mesh"], "http": list(routes)}
    kind = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService"}
    return {**kind, "metadata": {"name": host}, "spec": spec}


def apply(testbed: Testbed, namespace: str, *objects: dict[str, Any]) -> None:
    """Apply objects to a namespace."""
    content = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
    testbed.kubectl("apply", "-n", namespace, "-f", "-", stdin=content)


def apply_manifests(testbed: Testbed, namespace: str, *names: str) -> None:
    """Apply manifests of the repository to a namespace."""
    files = [argument for name in names for argument in ("-f", str(MANIFESTS / f"{name}.yaml"))]
    testbed.kubectl("apply", "-n", namespace, *files)


@pytest.fixture(scope="module")
def smoke(testbed: Testbed) -> Iterator[str]:
    """Start the book's applications and a second catalog once for all tests that only look."""
    testbed.create_namespace(NAMESPACE)
    apply_manifests(testbed, NAMESPACE, "catalog-v1", "catalog-service", "webapp", "client")
    apply(testbed, NAMESPACE, deployment("catalog-next", "v2"), service("catalog-next"))
    for name in ("catalog", "webapp", "client", "catalog-next"):
        testbed.wait_ready(NAMESPACE, name)
    yield NAMESPACE
    testbed.delete_namespace(NAMESPACE)


@pytest.fixture
def client(testbed: Testbed, smoke: str) -> str:
    """Return the name of the pod that calls through its own Envoy."""
    return testbed.pods.first(smoke, "app=client")


def test_pod_is_ready_within_moments_and_has_a_status(testbed: Testbed, smoke: str) -> None:
    """A new pod gets an address, an Envoy and the condition Ready."""
    testbed.kubectl("scale", "-n", smoke, "deployment/catalog-next", "--replicas=2")
    testbed.wait_ready(smoke, "catalog-next", SOON, size=2)
    pods = testbed.pods.list_pods(smoke, "app=catalog-next")
    assert [pod["status"]["phase"] for pod in pods] == ["Running", "Running"]
    assert len({pod["status"]["podIP"] for pod in pods}) == 2


def test_webapp_passes_the_answer_of_catalog_on(testbed: Testbed, smoke: str, client: str) -> None:
    """A request travels from the client over webapp to catalog by the names of their Services."""
    answer = testbed.pods.wait_for_answer(smoke, client, "http://webapp/api/catalog", "200 OK")
    assert "x-version: v1" in answer


def test_weights_split_traffic_and_both_sides_count_it(testbed: Testbed, smoke: str, client: str) -> None:
    """90/10 gives a tenth to the second version within chance, and metrics of both reporters agree."""
    apply(testbed, smoke, service("shop"), virtual_service("shop", weighted(("catalog-next", 100))))
    shop = virtual_service("shop", weighted(("catalog", 90), ("catalog-next", 10)))
    apply(testbed, smoke, shop)
    rate = Rate(per_second=250, duration=timedelta(seconds=4), max_requests=1000)
    testbed.pods.wait_for_answer(smoke, client, "http://shop/items", "x-version: v1")
    summary = testbed.load_mesh(smoke, client, "http://shop/items", rate).join(timedelta(seconds=60))
    assert summary.failed == 0, str(summary)
    assert summary.total == 1000
    assert summary.by_version["v2"] in TENTH_OF_THOUSAND, str(summary)
    for reporter in ("source", "destination"):
        expect_metrics(testbed, smoke, reporter)


def weighted(*weights: tuple[str, int]) -> dict[str, Any]:
    """Build a route by weights."""
    return {"route": [{"destination": {"host": host}, "weight": weight} for host, weight in weights]}


def expect_metrics(testbed: Testbed, namespace: str, reporter: str) -> None:
    """Wait for a reporter's counters of the second version with all labels that queries use."""
    matchers = f'reporter="{reporter}",destination_workload="catalog-next",response_code="200"'
    expression = f'istio_requests_total{{{matchers},destination_workload_namespace="{namespace}"}}'

    def counted() -> list[dict[str, Any]]:
        samples = testbed.prom_query(expression)
        return samples if sum(sample["value"] for sample in samples) >= TENTH_OF_THOUSAND.start else []

    samples = wait_until(counted, SOON, lambda: f"{expression}: {testbed.prom_query(expression)}")
    assert set(samples[0]["metric"]) >= METRIC_LABELS
    buckets = testbed.prom_query(f"istio_request_duration_milliseconds_bucket{{{matchers}}}")
    assert buckets


def test_timeout_is_a_504_with_flag_at_the_source(testbed: Testbed, smoke: str, client: str) -> None:
    """A route's timeout ends a slow request at the caller's Envoy, which counts it with flag UT."""
    apply(testbed, smoke, deployment("slow", "v1", DELAY_MS="800"), service("slow"))
    apply(testbed, smoke, virtual_service("slow", {**weighted(("slow", 100)), "timeout": "0.2s"}))
    testbed.wait_ready(smoke, "slow")
    testbed.pods.wait_for_answer(smoke, client, "http://slow/items", "HTTP/1.1 504")
    rate = Rate(per_second=10, duration=timedelta(seconds=1))
    summary = testbed.load_mesh(smoke, client, "http://slow/items", rate).join(timedelta(seconds=60))
    assert summary.by_status == {504: 10}, str(summary)
    query = 'istio_requests_total{reporter="source",response_code="504",response_flags="UT"}'
    wait_until(lambda: testbed.prom_query(query), SOON, lambda: str(testbed.prom_query("istio_requests_total")))


def test_caller_without_sidecar_reaches_ready_endpoints(testbed: Testbed, smoke: str) -> None:
    """A caller outside the mesh follows the endpoints while pods are replaced, without a failed request."""
    rate = Rate(per_second=50, duration=timedelta(seconds=30))
    with testbed.load_endpoints(smoke, "catalog", "/items", rate) as load:
        testbed.kubectl("rollout", "restart", "-n", smoke, "deployment/catalog")
        testbed.wait_ready(smoke, "catalog")
        load.next_window(timedelta(seconds=1.5))
    summary = load.summary()
    assert summary.failed == 0, str(summary)
    assert summary.total > 50


def test_killed_program_makes_the_pod_unready_and_starts_again(testbed: Testbed, namespace: str) -> None:
    """A crash shows in readiness at once and in the restart count later."""
    apply(testbed, namespace, deployment("catalog", "v1"))
    testbed.wait_ready(namespace, "catalog")
    pod = testbed.pods.first(namespace, "app=catalog")
    with Recorder(testbed, namespace) as recorder:

        def shown(*, ready: bool) -> list[tuple[datetime, int]]:
            told = [(seen.at, seen.object["status"]["containerStatuses"][0]) for seen in recorder.seen("pods", pod)]
            return [(at, status["restartCount"]) for at, status in told if status["ready"] == ready]

        since = datetime.now(UTC)
        testbed.pods.kill(namespace, pod, "catalog")
        wait_until(lambda: shown(ready=True)[-1][1] == 1, SOON, lambda: str(shown(ready=True)))
        assert shown(ready=False)[0][0] - since < AT_ONCE


@pytest.mark.parametrize("hindrance", ["unknown image", "never ready"])
def test_hindered_pod_never_gets_ready(testbed: Testbed, namespace: str, hindrance: str) -> None:
    """An image that cannot be pulled and a program that never reports ready keep a roll-out waiting."""
    hindered = deployment("catalog", "v1", TESTBED_NEVER_READY="1" if hindrance == "never ready" else "0")
    if hindrance == "unknown image":
        hindered["spec"]["template"]["spec"]["containers"][0]["image"] = "testbed/nothing:v9"
    apply(testbed, namespace, hindered)

    def state() -> str:
        pods = testbed.pods.list_pods(namespace)
        return json.dumps([pod["status"].get("containerStatuses") for pod in pods])

    expected = "ImagePullBackOff" if hindrance == "unknown image" else '"startedAt"'
    wait_until(lambda: expected in state(), SOON, state)
    assert '"ready": true' not in state()


def test_webhook_refuses_a_broken_virtual_service(testbed: Testbed, namespace: str) -> None:
    """istiod's validation is on, as in a cluster."""
    broken = virtual_service("catalog", weighted(("catalog", 0), ("catalog-next", 0)))
    with pytest.raises(CommandError, match="total destination weight = 0"):
        apply(testbed, namespace, broken)


def test_istioctl_analyze_finds_a_missing_host(testbed: Testbed, namespace: str) -> None:
    """istioctl works against the testbed and names what is wrong."""
    apply(testbed, namespace, virtual_service("catalog", weighted(("nowhere", 100))))
    assert "IST0101" in testbed.istioctl("analyze", "-n", namespace, check=False)


def test_prometheus_can_be_stopped_and_started(testbed: Testbed) -> None:
    """Tests can take the metrics away and bring them back with their history."""
    testbed.prometheus.stop()
    with pytest.raises(OSError, match="refused"):
        testbed.prom_query("up")
    testbed.prometheus.start()
    assert testbed.prom_query("vector(1)")[0]["value"] == 1


def test_recorder_misses_nothing_and_leaves_nothing_behind(testbed: Testbed, namespace: str) -> None:
    """What changes inside is recorded, however soon after the start; afterwards no thread or socket of it is left."""
    before = set(threading.enumerate())
    for name in ("one", "two"):
        with Recorder(testbed, namespace) as recorder:
            apply(testbed, namespace, service(name))
            testbed.kubectl("delete", "service", name, "-n", namespace)
            wait_until(lambda seen=recorder: len(seen.seen("services")) == 2, SOON, "a change is missing")  # type: ignore[misc]
        assert [(seen.type, seen.name) for seen in recorder.seen("services")] == [("ADDED", name), ("DELETED", name)]
        assert set(threading.enumerate()) == before
    with warnings.catch_warnings(record=True) as unclosed:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(one.message) for one in unclosed] == []


def test_audit_log_counts_requests_by_user(testbed: Testbed, namespace: str) -> None:
    """Every request of the controller's user is found, and nobody else's."""
    since = datetime.now(UTC)
    with closing(KubeClient(testbed.layout.authority, credentials.CONTROLLER)) as controller:
        for _ in range(3):
            controller.get(f"/api/v1/namespaces/{namespace}/services")
    testbed.kube.get(f"/api/v1/namespaces/{namespace}/services")
    assert testbed.audit.counts(user=credentials.CONTROLLER, since=since) == {("list", "services"): 3}


def test_api_path_refuses_and_loses_answers_on_request(testbed: Testbed, namespace: str) -> None:
    """Faults hit the requests they name, as often as told, and a lost answer is a write that happened."""
    kubectl = ("--kubeconfig", str(testbed.api_path.kubeconfig), "-n", namespace)
    testbed.api_path.inject(Fault(Action.STATUS, verb="create", resource="configmaps", status=500, times=1))
    with pytest.raises(CommandError, match="injected by the testbed"):
        testbed.kubectl(*kubectl, "create", "configmap", "one")
    testbed.api_path.inject(Fault(Action.CUT_AFTER, verb="create", resource="configmaps", times=1))
    with pytest.raises(CommandError, match="EOF"):
        testbed.kubectl(*kubectl, "create", "configmap", "two")
    assert [fault.hits for fault in testbed.api_path.faults()] == [1, 1]
    testbed.api_path.heal()
    assert "two" in testbed.kubectl(*kubectl, "get", "configmaps")
