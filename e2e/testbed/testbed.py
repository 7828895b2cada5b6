"""Start all parts in the right order and offer tests one place to reach them."""

import json
import os
import shutil
import sys
import time
import urllib.parse
import urllib.request
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from e2e.testbed import addresses, control_plane, credentials, mesh, rights
from e2e.testbed.api_path import ApiPath
from e2e.testbed.audit import AuditLog
from e2e.testbed.cache import Cache, open_cache
from e2e.testbed.commands import run_command
from e2e.testbed.enclose import MARKER
from e2e.testbed.errors import TestbedError
from e2e.testbed.kube import KubeClient, Object, has_rolled_out, is_established
from e2e.testbed.layout import CONFIG, REPOSITORY, Layout
from e2e.testbed.load import Load, Rate, header_arguments
from e2e.testbed.node import network
from e2e.testbed.part import Part
from e2e.testbed.pods import Pods
from e2e.testbed.telemetry import telemetry_filter
from e2e.testbed.waiting import wait_until

RUNS = REPOSITORY / "build" / "testbed"
INJECTION = {"istio-injection": "enabled"}
KEPT_RUNS = 10
IN_USE_SECONDS = 60
START_DEADLINE = timedelta(seconds=60)


class Testbed:
    """A running control plane, mesh, node and Prometheus."""

    __test__ = False

    def __init__(self, layout: Layout, cache: Cache) -> None:
        self.layout = layout
        self._cache = cache
        self.etcd = control_plane.etcd(cache, layout)
        self.api_server = control_plane.api_server(cache, layout)
        self.controller_manager = control_plane.controller_manager(cache, layout)
        self.istiod = mesh.istiod(cache, layout)
        self.prometheus = mesh.prometheus(cache, layout)
        self.node = _node(layout)
        self.audit = AuditLog(layout.audit_log)
        self.prometheus_url = addresses.PROMETHEUS_URL
        self._extra_parts: list[Part] = []
        self._loads = 0

    @classmethod
    def create(cls, root: Path | None = None) -> Self:
        """Prepare a run; raise TestbedError with the remedy when something is missing."""
        if MARKER not in os.environ:
            raise TestbedError("run it inside the enclosure: e2e/testbed/enclosed COMMAND")
        cache = open_cache()
        if missing := cache.missing():
            raise TestbedError(f"{', '.join(missing)} missing: run python -m e2e.testbed setup first")
        return cls(Layout.create(root or _new_run()), cache)

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig."""
        return self.layout.kubeconfig

    @property
    def controller_kubeconfig(self) -> Path:
        """Return the kubeconfig of user canary-controller."""
        return self.layout.controller_kubeconfig

    @property
    def audit_log(self) -> Path:
        """Return the path of the API server's audit log."""
        return self.layout.audit_log

    @cached_property
    def kube(self) -> KubeClient:
        """Return a client of the API server with the administrator's rights."""
        return KubeClient(self.layout.authority)

    @cached_property
    def pods(self) -> Pods:
        """Return the way into pods."""
        return Pods(self.kube, self.layout)

    @cached_property
    def api_path(self) -> ApiPath:
        """Return the fault-injecting proxy before the API server; it starts when first asked for."""
        credentials.write_kubeconfig(
            self.layout.proxied_kubeconfig,
            server=addresses.API_PROXY_URL,
            user=credentials.CONTROLLER,
            authority=None,
        )
        path = ApiPath(self.layout)
        path.proxy.start()
        self._extra_parts.append(path.proxy)
        return path

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return all parts in the order in which they start."""
        return (
            self.etcd,
            self.api_server,
            self.controller_manager,
            self.istiod,
            self.node,
            self.prometheus,
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start every part and wait until pods can run and Istio objects are checked."""
        network.create_bridge()
        self.etcd.start()
        self.api_server.start()
        self._write_kubeconfigs()
        user = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": credentials.CONTROLLER}
        rights.grant(self.kube, credentials.CONTROLLER, rights.rules(*rights.SWITCHES), user)
        self.controller_manager.launch()
        self.prometheus.launch()
        self._install_istio()
        self.node.start()
        self.controller_manager.wait_ready()
        self.prometheus.wait_ready()
        mesh.wait_for_admission(self.kube)

    def stop(self) -> None:
        """Stop what runs, in the reverse order; istiod and the rest have nothing to lose."""
        self.node.stop()
        self.kube.close()
        for part in (*self._extra_parts, *reversed(self.parts)):
            part.kill()

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl as administrator and return its output; raise CommandError if it fails and `check`."""
        command = [
            str(self._cache.go_tool("kubectl")),
            f"--kubeconfig={self.kubeconfig}",
            f"--cache-dir={self.layout.kubectl_cache}",
            *arguments,
        ]
        return run_command(command, stdin=stdin, check=check)

    def istioctl(self, *arguments: str, check: bool = True) -> str:
        """Run istioctl as administrator and return its output."""
        command = [str(self._cache.go_tool("istioctl")), f"--kubeconfig={self.kubeconfig}", *arguments]
        return run_command(command, check=check)

    def create_namespace(self, name: str, labels: dict[str, str] | None = None) -> None:
        """Create a namespace, by default one whose pods get a sidecar."""
        metadata = {"name": name, "labels": INJECTION if labels is None else labels}
        self.kube.create("/api/v1/namespaces", {"metadata": metadata})

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace without waiting."""
        self.kube.delete(f"/api/v1/namespaces/{name}")

    def prom_query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query: dicts with `metric` (labels) and `value` (a number)."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.prometheus_url}/api/v1/query?{query}", timeout=5) as answer:
            result = json.loads(answer.read())["data"]["result"]
        return [{"metric": sample["metric"], "value": float(sample["value"][1])} for sample in result]

    def wait_ready(
        self, namespace: str, deployment: str, deadline: timedelta = timedelta(seconds=90), size: int | None = None
    ) -> Object:
        """Wait until a Deployment, scaled to `size` if given, has rolled out completely and return it."""
        path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{deployment}"
        seen: list[Object] = []

        def rolled_out() -> Object | None:
            seen[:] = [self.kube.get(path)]
            scaled = size is None or seen[0]["spec"]["replicas"] == size
            return seen[0] if scaled and has_rolled_out(seen[0]) else None

        found = wait_until(rolled_out, deadline, lambda: f"{deployment}: {seen[0].get('status')}")
        assert found is not None
        return found

    def wait_for_definitions(self) -> None:
        """Wait until every CustomResourceDefinition is served."""
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        seen: list[str] = []

        # kubectl wait gives up on a definition so new that it has no conditions.
        def established() -> bool:
            seen[:] = [d["metadata"]["name"] for d in self.kube.get(path)["items"] if not is_established(d)]
            return not seen

        wait_until(established, START_DEADLINE, lambda: f"not Established: {', '.join(seen)}")

    def client_command(self, *options: str) -> list[str]:
        """Return the command of a client that puts load on something."""
        return [str(self._cache.programs), "load", *options]

    def load_mesh(self, namespace: str, pod: str, url: str, rate: Rate, **headers: str) -> Load:
        """Start a load from inside a pod: through its Envoy if it has one, connections kept open."""
        options = [f"--url={url}", *rate.arguments(), *header_arguments(headers)]
        command = [*self.pods.enter_command(namespace, pod), *self.client_command(*options)]
        return Load(command, self.load_output(f"{namespace}-mesh"))

    def load_endpoints(self, namespace: str, service: str, path: str, rate: Rate) -> Load:
        """Start a load as an ingress controller: straight to ready endpoints, a new connection each time."""
        options = [
            f"--service={namespace}/{service}",
            f"--path={path}",
            f"--server={addresses.API_SERVER_URL}",
            f"--authority={self.layout.authority}",
            f"--token={credentials.token(credentials.LOAD)}",
        ]
        command = self.client_command(*options, f"--header=Host={service}", *rate.arguments())
        return Load(command, self.load_output(f"{namespace}-endpoints"))

    def describe(self) -> str:
        """Say how to reach the parts, for a person."""
        return "\n".join(
            (
                f"kubeconfig    {self.kubeconfig}",
                f"as controller {self.controller_kubeconfig}",
                f"prometheus    {self.prometheus_url}",
                f"logs          {self.layout.logs}",
                f"enter it      nsenter --target {os.environ[MARKER]} --mount --net --pid --wd={Path.cwd()}",
                f"kubectl       {self._cache.go_tool('kubectl')} --kubeconfig {self.kubeconfig} get pods -A",
                "Ctrl-C ends everything",
            )
        )

    def load_output(self, name: str) -> Path:
        """Return where the next load writes what it sees."""
        self._loads += 1
        return self.layout.loads / f"{self._loads:03}-{name}.jsonl"

    def _write_kubeconfigs(self) -> None:
        for path, user in (
            (self.layout.kubeconfig, credentials.ADMIN),
            (self.layout.controller_kubeconfig, credentials.CONTROLLER),
        ):
            credentials.write_kubeconfig(
                path, server=addresses.API_SERVER_URL, user=user, authority=self.layout.authority
            )

    def _install_istio(self) -> None:
        """Install definitions, start istiod, and set the mesh up before the first Envoy."""
        self.create_namespace("istio-system", {})
        # The API server takes up to a second to heed the injector: it comes first.
        self.kubectl("create", "-f", str(CONFIG / "injector.yaml"), "-f", str(self._cache.istio_crds))
        self.wait_for_definitions()
        self.istiod.launch()
        objects = (CONFIG / "mesh-objects.yaml").read_text() + "---\n" + json.dumps(telemetry_filter())
        self.kubectl("apply", "-f", "-", stdin=objects)
        self.istiod.wait_ready()


def _new_run() -> Path:
    """Name a new run's folder and remove those of the oldest runs, except what other testbeds use now."""
    RUNS.mkdir(parents=True, exist_ok=True)
    ended = [run for run in sorted(RUNS.iterdir()) if not _in_use(run)]
    for old in ended[: -KEPT_RUNS + 1]:
        shutil.rmtree(old, ignore_errors=True)
    return RUNS / f"{datetime.now():%Y%m%d-%H%M%S}-{os.environ[MARKER]}"


def _in_use(run: Path) -> bool:
    """Tell whether an API server still writes its audit log there."""
    log = Layout(run).audit_log
    return log.exists() and time.time() - log.stat().st_mtime < IN_USE_SECONDS


def _node(layout: Layout) -> Part:
    """Build the node part; it is ready once it has registered itself."""
    command = [sys.executable, "-m", "e2e.testbed.node", str(layout.root)]

    def probe() -> str | None:
        return None if layout.targets.exists() else "the node has not begun"

    environment = {"PYTHONPATH": str(REPOSITORY)}
    return Part("node", command, layout.logs / "node.log", probe, environment=environment)
