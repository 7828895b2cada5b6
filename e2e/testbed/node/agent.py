"""Be the node: bind pending pods, run them, renew the Lease."""

import asyncio
import traceback
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from e2e.testbed import addresses
from e2e.testbed.kube import MERGE_PATCH, STRATEGIC_MERGE_PATCH, ApiError, Object
from e2e.testbed.node import network
from e2e.testbed.node.hollow import HollowPod, is_hollow
from e2e.testbed.node.pods import DEFAULT_GRACE, PRESTOP, Machine, PodRunner
from e2e.testbed.node.status import timestamp

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
LEASE_INTERVAL = timedelta(seconds=10)
CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "500"}


class NodeAgent:
    """Follow pods and Services and keep one runner for each pod."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._kube = machine.kube
        self._pool = network.AddressPool()
        self._runners: dict[str, PodRunner] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._ending: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Work until cancelled, then stop every pod's processes; the pods stay in the API."""
        network.delete_all_namespaces()
        await self._register()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_services())
                group.create_task(self._follow_pods())
                group.create_task(self._renew_lease())
        finally:
            everyone = list(self._runners.values())
            await asyncio.gather(*(runner.end(timedelta(seconds=1)) for runner in everyone))

    async def _follow_services(self) -> None:
        hosts = self._machine.hosts
        async for kind, content in self._kube.follow("/api/v1/services"):
            if kind == "LISTED":
                hosts.replace(content["items"])
            else:
                hosts.change(kind, content)

    async def _follow_pods(self) -> None:
        async for kind, content in self._kube.follow("/api/v1/pods"):
            if kind == "LISTED":
                self._take_list(content["items"])
            else:
                self._take(kind, content)

    def _take_list(self, pods: list[Object]) -> None:
        present = {pod["metadata"]["uid"] for pod in pods}
        for uid in [uid for uid in self._runners if uid not in present]:
            self._end(uid, timedelta())
        for pod in pods:
            self._take("ADDED", pod)

    def _take(self, kind: str, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if kind == "DELETED":
            self._end(uid, timedelta())
        elif pod["metadata"].get("deletionTimestamp"):
            self._begin(pod)
            seconds = pod["metadata"].get("deletionGracePeriodSeconds", DEFAULT_GRACE)
            self._end(uid, timedelta(seconds=seconds))
        elif uid not in self._runners and pod["spec"].get("nodeName") in (None, *addresses.NODES):
            self._begin(pod)
            self._running[uid] = asyncio.create_task(self._run(uid))

    def _begin(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if uid not in self._runners:
            address = self._pool.take(pod.get("status", {}).get("podIP"))
            runner = HollowPod if is_hollow(pod) else PodRunner
            self._runners[uid] = runner(self._machine, pod, address)

    def _end(self, uid: str, grace: timedelta) -> None:
        if uid in self._runners and uid not in self._ending:
            self._ending[uid] = asyncio.create_task(self._finish(uid, grace))

    async def _run(self, uid: str) -> None:
        try:
            await self._runners[uid].run()
        except Exception:
            # One pod's error must not take the node down; it shows in the node's log.
            traceback.print_exc()

    async def _finish(self, uid: str, grace: timedelta) -> None:
        runner = self._runners[uid]
        runner.stopping = True
        try:
            await asyncio.sleep(min(PRESTOP, grace).total_seconds())
            if task := self._running.pop(uid, None):
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await runner.end(max(grace - PRESTOP, timedelta()))
            await runner.remove()
        except Exception:
            traceback.print_exc()
        self._pool.give_back(runner.address)
        self._runners.pop(uid)
        self._ending.pop(uid)

    async def _register(self) -> None:
        for name in addresses.NODES:
            metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
            await self._ensure("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": metadata})
            # The API server taints what is new, and the controller that would end that does not run here.
            await self._kube.request("PATCH", f"/api/v1/nodes/{name}", {"spec": {"taints": None}}, MERGE_PATCH)
            await self._write_node_status(name)
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": addresses.NODE_NAME, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": addresses.NODE_NAME, "leaseDurationSeconds": 40, "renewTime": _now()},
        }
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-node-lease"}}
        await self._ensure("/api/v1/namespaces", namespace)
        await self._ensure(LEASES, lease)

    async def _ensure(self, collection: str, body: Object) -> None:
        try:
            await self._kube.request("POST", collection, body)
        except ApiError as error:
            if error.status != 409:
                raise

    async def _write_node_status(self, name: str) -> None:
        moment = timestamp()
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
        body = {
            "capacity": CAPACITY,
            "allocatable": CAPACITY,
            "addresses": [{"type": "InternalIP", "address": addresses.NODE_ADDRESS}],
            "conditions": [{**ready, "lastHeartbeatTime": moment, "lastTransitionTime": moment}],
        }
        path = f"/api/v1/nodes/{name}/status"
        await self._kube.request("PATCH", path, {"status": body}, STRATEGIC_MERGE_PATCH)

    async def _renew_lease(self) -> None:
        while True:
            await asyncio.sleep(LEASE_INTERVAL.total_seconds())
            with suppress(ApiError, OSError, TimeoutError):
                body = {"spec": {"renewTime": _now()}}
                await self._kube.request("PATCH", f"{LEASES}/{addresses.NODE_NAME}", body, MERGE_PATCH)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
