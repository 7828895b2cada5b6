"""The cluster contract on a real API server: what the simulator's cluster promises, Kubernetes does."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.cluster import KubeCluster
from canary.adapters.kube.paths import collection, single
from canary.core.objects import FLAGGER_CANARY, Object, Ref
from e2e.testbed import kube
from e2e.testbed.testbed import Testbed
from tests.contract.cluster_contract import ClusterContract

SYNC_SECONDS = 30


@pytest.fixture(scope="module", autouse=True)
def still_world(testbed: Testbed) -> Iterator[None]:
    """Keep Kubernetes' own controllers away: the contract tells of objects that nobody else writes to."""
    testbed.controller_manager.stop()
    yield
    testbed.controller_manager.start()


class Administrator:
    """Somebody else who writes to the cluster, past the cache of the one under test."""

    def __init__(self, client: kube.KubeClient) -> None:
        self._client = client

    async def create(self, ref: Ref, body: Object) -> Object:
        """Create an object and return it as stored."""
        identity = {"apiVersion": ref.resource.api_version, "kind": ref.resource.kind}
        metadata = {**body.get("metadata", {}), "name": ref.name}
        path = collection(ref.resource, ref.namespace)
        return await asyncio.to_thread(self._client.create, path, {**body, **identity, "metadata": metadata})

    async def patch(self, ref: Ref, body: Mapping[str, Any]) -> Object:
        """Merge-patch an object and return it as stored."""
        return await asyncio.to_thread(self._client.merge, single(ref), dict(body))

    async def delete(self, ref: Ref) -> None:
        """Delete an object."""
        await asyncio.to_thread(self._client.delete, single(ref))


class TestKubeCluster(ClusterContract):
    """What ``ports.Cluster`` promises, kept by the adapter of the Kubernetes API."""

    @pytest.fixture
    async def cluster(self, testbed: Testbed, namespace: str, compat_crd: None) -> AsyncIterator[KubeCluster]:
        """Return a cluster with full caches that follow the API server."""
        client = await KubeClient.connect(str(testbed.kubeconfig), None, user_agent="canary-contract")
        running = KubeCluster(client, groups=[FLAGGER_CANARY.group], namespaces=[namespace])
        following = asyncio.create_task(running.run())
        await running.wait_synced(SYNC_SECONDS)
        yield running
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await client.close()

    @pytest.fixture
    def stranger(self, testbed: Testbed) -> Administrator:
        """Return somebody else."""
        return Administrator(testbed.kube)
