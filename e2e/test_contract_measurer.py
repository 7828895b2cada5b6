"""The measurer contract on a real Prometheus, with the metrics of real proxies under real traffic."""

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from canary.adapters.asking import Asker
from canary.adapters.checks import CheckMeasurer
from canary.core.objects import Object as Found
from canary.core.objects import Ref
from e2e.release import manifests
from e2e.testbed.kube import Object
from e2e.testbed.load import Rate
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from tests.contract.measurer_contract import MeasurerContract
from tests.contract.measurer_stage import Callers, Play, Sent, Story

NAMESPACE = "measured"
RATE = Rate(per_second=20, duration=timedelta(seconds=60))
SOON = timedelta(seconds=60)


def side(name: str, version: str) -> list[Object]:
    """Return a Deployment of one version and a Service that selects it alone."""
    deployment = copy.deepcopy(manifests("catalog-v1.yaml")[0])
    service = copy.deepcopy(manifests("catalog-service.yaml")[0])
    labels = {"app": "catalog", "side": name}
    deployment["metadata"]["name"] = service["metadata"]["name"] = name
    deployment["spec"]["selector"]["matchLabels"] = service["spec"]["selector"] = labels
    deployment["spec"]["template"]["metadata"]["labels"] = labels
    deployment["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "VERSION", "value": version}]
    return [deployment, service]


def apex() -> list[Object]:
    """Return the Service that is called, which selects the primary, and the route that halves its requests."""
    service = copy.deepcopy(manifests("catalog-service.yaml")[0])
    service["spec"]["selector"] = {"app": "catalog", "side": "catalog-primary"}
    halves = [{"destination": {"host": f"catalog-{name}"}, "weight": 50} for name in ("primary", "canary")]
    spec = {"hosts": ["catalog"], "gateways": ["mesh"], "http": [{"route": halves}]}
    kind = {"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService"}
    return [service, {**kind, "metadata": {"name": "catalog"}, "spec": spec}]


class RealStage:
    """The catalog's two sides behind a VirtualService, called by pods and processes."""

    namespace = NAMESPACE
    primary = "catalog-primary"
    canary = "catalog-canary"
    scrape = 1.0

    def __init__(self, testbed: Testbed, measurer: CheckMeasurer) -> None:
        self._testbed = testbed
        self.measurer = measurer

    def now(self) -> datetime:
        """Return the present time."""
        return datetime.now(UTC)

    async def rest(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    @asynccontextmanager
    async def calling(self, callers: Callers) -> AsyncIterator[Sent]:
        """Let a client send requests meanwhile."""
        client = self._testbed.pods.first(NAMESPACE, "app=client")
        load = (
            self._testbed.load_mesh(NAMESPACE, client, "http://catalog/items", RATE)
            if callers == "mesh"
            else self._testbed.load_endpoints(NAMESPACE, "catalog", "/items", RATE)
        )

        def sent() -> dict[str, int]:
            versions = load.summary().by_version
            return {self.primary: versions.get("v1", 0), self.canary: versions.get("v2", 0)}

        with load:
            yield sent
        whole = load.summary()
        assert sum(sent().values()) == whole.total, f"requests without an answer cannot be matched: {whole}"

    @asynccontextmanager
    async def failing(self) -> AsyncIterator[None]:
        """Let the canary answer 500 meanwhile."""
        pod = self._testbed.pods.first(NAMESPACE, f"side={self.canary}")
        self._testbed.pods.behave(NAMESPACE, pod, failPercent=100)
        yield
        self._testbed.pods.behave(NAMESPACE, pod, failPercent=0)

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Stop Prometheus meanwhile."""
        self._testbed.prometheus.stop()
        try:
            yield
        finally:
            self._testbed.prometheus.start()


@pytest.fixture(scope="module")
def service(testbed: Testbed) -> Iterator[None]:
    """Start both sides and let both reporters of both have requests, so that their series exist."""
    testbed.create_namespace(NAMESPACE)
    objects = [*side("catalog-primary", "v1"), *side("catalog-canary", "v2"), *apex(), *manifests("client.yaml")]
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    testbed.kubectl("-n", NAMESPACE, "apply", "-f", "-", stdin=items)
    for name in ("catalog-primary", "catalog-canary", "client"):
        testbed.wait_ready(NAMESPACE, name)
    client = testbed.pods.first(NAMESPACE, "app=client")
    with (
        testbed.load_mesh(NAMESPACE, client, "http://catalog/items", RATE) as mesh,
        testbed.load_endpoints(NAMESPACE, "catalog", "/items", RATE) as plain,
    ):
        wait_until(
            lambda: {"v1", "v2"} <= set(mesh.summary().by_version) and plain.summary().by_version,
            SOON,
            lambda: f"{mesh.summary()} {plain.summary()}",
        )
    requests = 2 * mesh.summary().total + plain.summary().total
    wait_until(lambda: scraped(testbed) == requests, SOON, lambda: f"{scraped(testbed)} of {requests} are counted")
    yield
    testbed.delete_namespace(NAMESPACE)


def scraped(testbed: Testbed) -> float:
    """Return how many requests Prometheus knows of, those of the mesh twice."""
    found = testbed.prom_query(f'sum(istio_requests_total{{destination_workload_namespace="{NAMESPACE}"}})')
    return float(found[0]["value"]) if found else 0.0


async def no_secret(ref: Ref) -> Found | None:
    """Read nothing: no question of the contract names a Secret."""
    raise AssertionError(f"{ref} is read")


class TestCheckMeasurer(MeasurerContract):
    """What ``ports.Measurer`` promises, kept by the adapters of Prometheus."""

    @pytest.fixture
    def play(self, testbed: Testbed, service: None) -> Play:
        """Return a way to run a story on the service."""

        async def whole(story: Story) -> None:
            measurer = CheckMeasurer(testbed.prometheus_url, no_secret, Asker("contract"))
            try:
                await story(RealStage(testbed, measurer))
            finally:
                await measurer.close()

        return lambda story: asyncio.run(whole(story))
