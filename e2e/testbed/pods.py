"""Reach into pods: their network, their programs."""

import json
import urllib.parse
import urllib.request
from datetime import timedelta
from typing import Any

from e2e.testbed.addresses import HEALTH_PORT
from e2e.testbed.commands import run_command
from e2e.testbed.kube import KubeClient, Object
from e2e.testbed.layout import VOLATILE, Layout
from e2e.testbed.node import network
from e2e.testbed.waiting import wait_until


class Pods:
    """The pods on the testbed's node."""

    def __init__(self, kube: KubeClient, layout: Layout) -> None:
        self._kube = kube
        self._layout = layout

    def list_pods(self, namespace: str, selector: str = "") -> list[Object]:
        """List the pods of a namespace, by a label selector if given."""
        query = urllib.parse.urlencode({"labelSelector": selector})
        pods: list[Object] = self._kube.get(f"/api/v1/namespaces/{namespace}/pods?{query}")["items"]
        return pods

    def first(self, namespace: str, selector: str) -> str:
        """Return the name of the first pod that a selector finds and that is not being deleted."""
        pods = self.list_pods(namespace, selector)
        return str(next(pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]))

    def netns(self, namespace: str, pod: str) -> str:
        """Return the name of a pod's network namespace."""
        uid = self._kube.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")["metadata"]["uid"]
        return network.network_namespace(uid)

    def enter_command(self, namespace: str, pod: str) -> list[str]:
        """Return the command prefix that runs a program in a pod's network, where Service names resolve."""
        return network.enter_command(self.netns(namespace, pod), VOLATILE / "hosts" / namespace)

    def run(self, namespace: str, pod: str, *command: str, check: bool = True) -> str:
        """Run a command in a pod's network and return its output."""
        return run_command([*self.enter_command(namespace, pod), *command], check=check)

    def wait_for_answer(
        self, namespace: str, pod: str, url: str, *words: str, deadline: timedelta = timedelta(seconds=60)
    ) -> str:
        """Wait until a request from a pod is answered with one of some words, in whatever case; return it.

        A pod that is ready is not known to its callers' proxies yet: until they are told they answer 503 by themselves.
        """
        answers: list[str] = []

        def seen() -> bool:
            answers[:] = [self.run(namespace, pod, "curl", "-si", url, check=False)]
            return any(one.lower() in answers[0].lower() for one in words)

        wait_until(seen, deadline, lambda: f"{url}: {answers[0]}")
        return answers[0]

    def kill(self, namespace: str, pod: str, container: str) -> None:
        """End a container's program by force; the node starts it again. Envoy's name is istio-proxy."""
        pid = (self._layout.pods / f"{namespace}_{pod}" / f"{container}.pid").read_text()
        run_command(["kill", "-KILL", pid])

    def behave(self, namespace: str, pod: str, **behaviour: Any) -> None:
        """Change how a catalog pod answers, past the mesh: failPercent, delayMs, healthy."""
        address = self._kube.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")["status"]["podIP"]
        url = f"http://{address}:{HEALTH_PORT}/behaviour"
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, json.dumps(behaviour).encode(), headers)
        with urllib.request.urlopen(request, timeout=5):
            return
