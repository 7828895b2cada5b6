"""Run one pod from its binding to its end."""

import asyncio
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from e2e.testbed import addresses
from e2e.testbed.kube import STRATEGIC_MERGE_PATCH, ApiError, AsyncKubeClient, Object
from e2e.testbed.layout import VOLATILE
from e2e.testbed.node import account, network, probes, status
from e2e.testbed.node.bootstrap import Proxy, Role, Sockets, bootstrap
from e2e.testbed.node.configuration import Configuration, ConfigurationError, mounts_of
from e2e.testbed.node.containers import (
    Container,
    command_of,
    environment_of,
    is_known,
    readiness_of,
)
from e2e.testbed.node.hosts import HostsFiles
from e2e.testbed.node.identity import CertificateAuthority, Identity
from e2e.testbed.node.secrets import SecretServer
from e2e.testbed.node.tags import Tags
from e2e.testbed.node.targets import Targets

PROXY_NAME = "istio-proxy"
NEVER_READY = "TESTBED_NEVER_READY"
# Names the one Deployment whose pods never get ready: the same template may be healthy elsewhere.
NEVER_READY_WORKLOAD = "TESTBED_NEVER_READY_WORKLOAD"
# The first pod of each workload that runs the template never gets ready.
FIRST_NEVER_READY = "TESTBED_FIRST_NEVER_READY"
INJECT_LABEL = "sidecar.istio.io/inject"
NAMESPACE_LABEL = "istio-injection"
TEMPLATES_ANNOTATION = "inject.istio.io/templates"
STARTING_INTERVAL = timedelta(milliseconds=50)
HEALTH_INTERVAL = timedelta(seconds=1)
# Callers learn in this time that the pod is going. Istio's agent lets Envoy serve on for 5 s after SIGTERM;
# the endpoint slice controller backs off for 1 s when pods change in quick succession.
PRESTOP = timedelta(milliseconds=1500)
DEFAULT_GRACE = 30


@dataclass(frozen=True, slots=True)
class Machine:
    """What every pod of the node shares."""

    kube: AsyncKubeClient
    authority: Path
    certificates: CertificateAuthority
    pods_folder: Path
    envoy: Path
    programs: Path
    hosts: HostsFiles
    targets: Targets
    tags: Tags
    hindered: dict[tuple[str, str], str] = field(default_factory=dict)
    """The uid of the pod that never gets ready, by namespace and owner."""


def wants_sidecar(pod: Object, namespace: Object) -> bool:
    """Decide as Istio's injector: the pod's label wins over the namespace's."""
    own = pod["metadata"].get("labels", {}).get(INJECT_LABEL)
    if own is not None:
        return bool(own == "true")
    return bool(namespace["metadata"].get("labels", {}).get(NAMESPACE_LABEL) == "enabled")


def proxy_role(pod: Object) -> Role:
    """Tell what a pod's proxy is for; a gateway asks the injector for its own template."""
    template = pod["metadata"].get("annotations", {}).get(TEMPLATES_ANNOTATION)
    return Role.ROUTER if template == "gateway" else Role.SIDECAR


def workload_name(pod: Object) -> str:
    """Return the name of the workload that owns the pod, for a Deployment without the ReplicaSet's suffix."""
    metadata = pod["metadata"]
    owners = [owner["name"] for owner in metadata.get("ownerReferences", []) if owner.get("controller")]
    name = str(owners[0] if owners else metadata["name"])
    return name.rsplit("-", 1)[0] if "pod-template-hash" in metadata.get("labels", {}) else name


def wanted_node(pod: Object) -> str:
    """Return the node that a DaemonSet's controller made the pod for; the first one for any other."""
    affinity = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {}).get("nodeSelectorTerms", [])
    fields = [field for term in terms for field in term.get("matchFields", []) if field["key"] == "metadata.name"]
    return str(fields[0]["values"][0]) if fields else addresses.NODE_NAME


class PodRunner:
    """Hold the processes of one pod and keep its status true."""

    def __init__(self, machine: Machine, pod: Object, address: str) -> None:
        self.address = address
        self.has_proxy = False
        self.stopping = False
        self.pod = pod
        metadata = pod["metadata"]
        self.namespace, self.name, self.uid = metadata["namespace"], metadata["name"], metadata["uid"]
        self._machine = machine
        self._folder = machine.pods_folder / f"{self.namespace}_{self.name}"
        self._service_account = str(pod["spec"].get("serviceAccountName", "default"))
        # Any network namespace reaches a unix socket.
        self._sockets = Sockets(VOLATILE / f"{self.uid[:8]}.sock", VOLATILE / f"{self.uid[:8]}.sds.sock")
        self._secrets = SecretServer(self._sockets.secrets, self._sign)
        self._containers: list[Container] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Event()
        self._image_ids = {one["name"]: machine.tags.image_id(one["image"]) for one in pod["spec"]["containers"]}
        self._since = datetime.now(UTC)
        self._reported: Object | None = None

    @property
    def path(self) -> str:
        """Return the pod's address in the API."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    @property
    def _applications(self) -> list[Object]:
        """List the containers that the pod names, apart from a gateway's Envoy."""
        return [container for container in self.pod["spec"]["containers"] if container["name"] != PROXY_NAME]

    async def run(self) -> None:
        """Bind and start the pod, then report its state until the task is cancelled."""
        if not self.pod["spec"].get("nodeName"):
            await self._bind()
        if not all(is_known(container["image"]) for container in self._applications):
            await self._patch(status.pull_failed_status(self.pod))
            return
        namespace = await self._machine.kube.request("GET", f"/api/v1/namespaces/{self.namespace}")
        self.has_proxy = wants_sidecar(self.pod, namespace)
        self._folder.mkdir(parents=True, exist_ok=True)
        await network.create_namespace(self.uid, self.address)
        if self.has_proxy:
            await self._add_proxy()
        self._containers += [await self._configured(item) for item in self._applications]
        self._tasks = [asyncio.create_task(item.keep_running()) for item in self._containers]
        await self._keep_reporting()

    async def end(self, grace: timedelta) -> None:
        """Stop everything of the pod and remove its network: applications first, Envoy last."""
        self.stopping = True
        applications = [item for item in self._containers if item.name != PROXY_NAME]
        await asyncio.gather(*(item.stop(grace) for item in applications))
        for proxy in self._containers:
            await proxy.stop(grace)
        for task in self._tasks:
            task.cancel()
        await self._secrets.stop()
        await network.delete_namespace(self.uid)
        self._machine.targets.remove(self.uid)
        if self._machine.hindered.get(self._owner) == self.uid:
            del self._machine.hindered[self._owner]
        self._sockets.admin.unlink(missing_ok=True)

    async def remove(self) -> None:
        """Tell the API server that the pod is gone."""
        body = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
        body["preconditions"] = {"uid": self.uid}
        with suppress(ApiError):
            await self._machine.kube.request("DELETE", self.path, body)

    async def _bind(self) -> None:
        target = {"apiVersion": "v1", "kind": "Node", "name": wanted_node(self.pod)}
        metadata = {"name": self.name, "uid": self.uid}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        await self._machine.kube.request("POST", f"{self.path}/binding", body)

    async def _add_proxy(self) -> None:
        role = proxy_role(self.pod)
        if role is Role.SIDECAR:
            await network.capture_traffic(self.uid)
        await self._secrets.start()
        self._containers.append(self._proxy(role))
        self._machine.targets.add(self.uid, self.address, namespace=self.namespace, pod=self.name)

    async def _sign(self) -> Identity:
        return await self._machine.certificates.sign(self.namespace, self._service_account)

    def _proxy(self, role: Role) -> Container:
        metadata, workload = self.pod["metadata"], workload_name(self.pod)
        annotations = metadata.get("annotations", {})
        proxy = Proxy(
            role=role,
            pod=self.name,
            namespace=self.namespace,
            address=self.address,
            workload=workload,
            labels=metadata.get("labels", {}),
            annotations={name: value for name, value in annotations.items() if "istio.io" in name},
            service_account=self._service_account,
        )
        config = self._folder / "envoy.json"
        config.write_text(json.dumps(bootstrap(proxy, self._sockets)))
        # The capture rules spare Envoy's group; the user stays, as the files may lie in a private home.
        command = [
            *["setpriv", f"--regid={addresses.ENVOY_GROUP_ID}", "--clear-groups"],
            *[str(self._machine.envoy), "-c", str(config), "--disable-hot-restart", "--concurrency", "1"],
            *["--log-level", "warning", "--drain-time-s", "2", "--local-address-ip-version", "v4"],
        ]
        environment = {"ISTIO_META_WORKLOAD_NAME": workload, "ISTIO_META_NAMESPACE": self.namespace}
        return self._start_inside(PROXY_NAME, command, environment)

    async def _configured(self, container: Object) -> Container:
        """Wait until all that a container takes from ConfigMaps and Secrets is there."""
        configuration, told = Configuration(self._machine.kube, self.namespace), ""
        while True:
            try:
                mounts = mounts_of(container, await configuration.write(self.pod, self._folder))
                mounts += await account.mounts(self._machine.kube, self._machine.authority, self.pod, self._folder)
                return self._container(container, await configuration.environment(container), mounts)
            except ConfigurationError as error:
                if str(error) != told:
                    told = str(error)
                    await self._patch(status.unconfigured_status(self.pod, told))
            await asyncio.sleep(STARTING_INTERVAL.total_seconds())

    def _container(self, container: Object, variables: dict[str, str], mounts: list[tuple[Path, Path]]) -> Container:
        own = {"POD_NAME": self.name, "POD_NAMESPACE": self.namespace, "POD_IP": self.address}
        command = [*network.mount_command(mounts), *command_of(container, self._machine.programs)]
        return self._start_inside(container["name"], command, environment_of(container, {**own, **variables}))

    def _start_inside(self, name: str, command: Sequence[str], environment: dict[str, str]) -> Container:
        hosts = self._machine.hosts.path(self.namespace)
        inside = network.enter_command(network.network_namespace(self.uid), hosts)
        # The program must not outlive a killed node process.
        tied = ["setpriv", "--pdeathsig", "KILL"]
        return Container(name, [*inside, *tied, *command], environment, self._folder, self._changed.set)

    async def _keep_reporting(self) -> None:
        restarts = 0
        while not self.stopping:
            self._changed.clear()
            told, restarts = restarts, sum(container.restarts for container in self._containers)
            # However fast a program is back: after a restart the pod is not ready for once.
            ready = restarts == told and await self._ready()
            await self._report(ready=ready)
            interval = HEALTH_INTERVAL if ready else STARTING_INTERVAL
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), interval.total_seconds())

    async def _ready(self) -> bool:
        if not all(container.running for container in self._containers):
            return False
        if self.has_proxy and not await probes.answers_on_socket(self._sockets.admin, "/ready"):
            return False
        for container in self._applications:
            variables = {item["name"]: item.get("value") for item in container.get("env", [])}
            if variables.get(NEVER_READY) == "1":
                return False
            if variables.get(NEVER_READY_WORKLOAD) == workload_name(self.pod):
                return False
            if variables.get(FIRST_NEVER_READY) == "1" and self._is_first():
                return False
            if (wanted := readiness_of(container)) and not await probes.answers_on_port(self.address, *wanted):
                return False
        return True

    def _is_first(self) -> bool:
        return bool(self._machine.hindered.setdefault(self._owner, self.uid) == self.uid)

    @property
    def _owner(self) -> tuple[str, str]:
        owners = (str(owner["name"]) for owner in self.pod["metadata"].get("ownerReferences", []))
        return self.namespace, next(owners, self.name)

    async def _report(self, *, ready: bool) -> None:
        """Write the status when it differs from the last one written, apart from times."""
        new = status.running_status(
            self.pod, self.address, self._containers, self._image_ids, ready=ready, since=self._since
        )
        told = {"ready": ready, "containers": new["containerStatuses"]}
        if told == self._reported or self.stopping:
            return
        await self._patch(new)
        self._reported = told
        print(f"{self.namespace}/{self.name} {self.address} ready={ready}", flush=True)

    async def _patch(self, new: Object) -> None:
        try:
            await self._machine.kube.request("PATCH", f"{self.path}/status", {"status": new}, STRATEGIC_MERGE_PATCH)
        except ApiError as error:
            print(f"{self.namespace}/{self.name}: {error}", file=sys.stderr, flush=True)
