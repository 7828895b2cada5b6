"""The resource metrics API, served by the API server itself: a definition for its type, and usage that is invented."""

import contextlib
import json
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from e2e.testbed.kube import ApiError, Object
from e2e.testbed.testbed import Testbed

GROUP, VERSION = "metrics.k8s.io", "v1beta1"
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": f"pods.{GROUP}",
        "annotations": {"api-approved.kubernetes.io": "unapproved, stands in for metrics-server in tests"},
    },
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"plural": "pods", "singular": "podmetrics", "kind": "PodMetrics", "listKind": "PodMetricsList"},
        "versions": [
            {
                "name": VERSION,
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
ROLE = "canary.delivery/role"
EVERY = 1.0
"""Seconds between two measurements of a pod."""


class Metering:
    """Measure the pods of ``app: catalog``: they use ``milli`` thousandths of a CPU, shared out as requests are."""

    def __init__(self, testbed: Testbed, namespace: str, milli: int) -> None:
        self.milli = milli
        self._testbed = testbed
        self._namespace = namespace
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="metering")

    def __enter__(self) -> Self:
        self._testbed.kubectl("apply", "-f", "-", stdin=json.dumps(DEFINITION))
        self._testbed.wait_for_definitions()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._testbed.kubectl("delete", "crd", f"pods.{GROUP}")

    def _run(self) -> None:
        while not self._stopped.wait(EVERY):
            # Pods come and go while they are measured.
            with contextlib.suppress(ApiError, OSError):
                self._measure()

    def _measure(self) -> None:
        kube, space = self._testbed.kube, self._namespace
        pods = kube.get(f"/api/v1/namespaces/{space}/pods?labelSelector=app%3Dcatalog")["items"]
        by_role: dict[str, list[Object]] = {}
        for pod in pods:
            by_role.setdefault(pod["metadata"]["labels"].get(ROLE, ""), []).append(pod)
        for known in kube.get(self._path)["items"]:
            if known["metadata"]["name"] not in {pod["metadata"]["name"] for pod in pods}:
                kube.delete(f"{self._path}/{known['metadata']['name']}")
        shares = self._shares()
        for role, members in by_role.items():
            for pod in members:
                self._record(pod, round(self.milli * shares.get(role, 0) / 100 / len(members)))

    @property
    def _path(self) -> str:
        return f"/apis/{GROUP}/{VERSION}/namespaces/{self._namespace}/pods"

    def _shares(self) -> dict[str, int]:
        path = f"/apis/networking.istio.io/v1beta1/namespaces/{self._namespace}/virtualservices/catalog"
        route = self._testbed.kube.find(path)
        if route is None:
            return {"": 100}
        legs = {leg["destination"]["host"]: leg.get("weight", 0) for leg in route["spec"]["http"][0]["route"]}
        return {role: legs.get(f"catalog-{role}", 0) for role in ("primary", "canary")}

    def _record(self, pod: Object, milli: int) -> None:
        metadata = pod["metadata"]
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "PodMetrics",
            "metadata": {"name": metadata["name"], "labels": metadata["labels"]},
            "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "window": "1s",
            "containers": [{"name": "catalog", "usage": {"cpu": f"{milli}m", "memory": "1Mi"}}],
        }
        known = f"{self._path}/{metadata['name']}"
        if self._testbed.kube.find(known) is None:
            self._testbed.kube.create(self._path, body)
        else:
            self._testbed.kube.merge(known, body)
