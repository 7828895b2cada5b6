"""A service under release on the testbed: apply its manifests, watch its Canary, put load on it."""

import copy
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from canary.core.routes.entries import is_added
from e2e.recorder import Recorder, Row
from e2e.testbed.kube import Object
from e2e.testbed.load import Load, Rate
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

MANIFESTS = Path(__file__).parent / "manifests"
CANARY = "catalog-release"
SOON = timedelta(seconds=60)
BY_UPSTREAM = ("x-version:", "x-envoy-upstream-service-time:")
"""Heads of answers that a pod gave, or its own Envoy in its place, and not the caller's."""
QUICK = {"interval": "3s", "drainSeconds": 1}
"""Analysis settings that make a release take half a minute on the testbed, whose Prometheus scrapes each second."""
READ = {
    "canaries.flagger.app": ("/apis/flagger.app/v1beta1", "canaries"),
    "configmap": ("/api/v1", "configmaps"),
    "daemonset": ("/apis/apps/v1", "daemonsets"),
    "deployment": ("/apis/apps/v1", "deployments"),
    "destinationrule": ("/apis/networking.istio.io/v1", "destinationrules"),
    "horizontalpodautoscaler": ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    "scaledobject": ("/apis/keda.sh/v1alpha1", "scaledobjects"),
    "service": ("/api/v1", "services"),
    "virtualservice": ("/apis/networking.istio.io/v1", "virtualservices"),
}
"""Where objects of a kind are read; a kubectl for each look would cost more than what is looked at."""


def manifests(name: str) -> list[Object]:
    """Return the objects of a manifest file."""
    return [one for one in yaml.safe_load_all((MANIFESTS / name).read_text()) if one]


class Release:
    """The service ``catalog`` of a namespace and the Canary that releases it."""

    def __init__(self, testbed: Testbed, namespace: str, recorder: Recorder, group: str = "flagger.app") -> None:
        self.testbed = testbed
        self.namespace = namespace
        self.recorder = recorder
        self.group = group
        self.began = datetime.now(UTC)

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl in the release's namespace."""
        return self.testbed.kubectl("-n", self.namespace, *arguments, stdin=stdin, check=check)

    def apply(self, *objects: Object) -> str:
        """Apply objects as a user does, in the release's namespace."""
        placed = copy.deepcopy(list(objects))
        for one in placed:
            one["metadata"]["namespace"] = self.namespace
        return self.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": placed}))

    def deployment(self, version: str, replicas: int | None = 2, **env: str) -> Object:
        """Return the catalog Deployment of a version; ``env`` steers how its pods behave."""
        found = copy.deepcopy(manifests(f"catalog-{'v1' if version == 'v1' else 'v2'}.yaml")[0])
        if replicas is None:
            del found["spec"]["replicas"]
        else:
            found["spec"]["replicas"] = replicas
        container = found["spec"]["template"]["spec"]["containers"][0]
        for entry in container["env"]:
            if entry["name"] == "VERSION":
                entry["value"] = version
        container["env"] += [{"name": key, "value": value} for key, value in env.items()]
        return found

    def canary(self, service: dict[str, Any] | None = None, **analysis: Any) -> Object:
        """Return listing 5.1 for this namespace, at a quick rhythm, with parts changed."""
        found = manifests("listing-5.1.yaml")[0]
        found["apiVersion"] = f"{self.group}/v1beta1"
        found["metadata"]["namespace"] = self.namespace
        found["spec"]["progressDeadlineSeconds"] = 60
        found["spec"]["service"].update(service or {})
        found["spec"]["analysis"].update({**QUICK, **analysis})
        return found

    def set_up(self, version: str = "v1", replicas: int | None = 2, **analysis: Any) -> None:
        """Bring the service up with its Service, a client and its Canary, and wait until it is initialised."""
        self.bring_up(self.deployment(version, replicas), *manifests("catalog-service.yaml"))
        self.apply(self.canary(**analysis))
        self.wait_for("Initialized")

    def bring_up(self, *objects: Object) -> None:
        """Start the service as a user has it before there is a Canary, with a client."""
        self.apply(*objects, *manifests("client.yaml"))
        self.testbed.wait_ready(self.namespace, "catalog")
        self.testbed.wait_ready(self.namespace, "client")
        if any(one["kind"] == "Service" and one["metadata"]["name"] == "catalog" for one in objects):
            client = self.testbed.pods.first(self.namespace, "app=client")
            self.testbed.pods.wait_for_answer(self.namespace, client, "http://catalog/items", *BY_UPSTREAM)

    def get(self, kind: str, name: str) -> Object:
        """Read an object."""
        return self.testbed.kube.get(self._path(kind, name))

    def find(self, kind: str, name: str) -> Object | None:
        """Read an object, None when it is not there."""
        return self.testbed.kube.find(self._path(kind, name))

    def _path(self, kind: str, name: str) -> str:
        api, plural = READ[kind]
        return f"{api}/namespaces/{self.namespace}/{plural}/{name}"

    @property
    def path(self) -> str:
        """Return the API path of the Canary."""
        return f"/apis/{self.group}/v1beta1/namespaces/{self.namespace}/canaries/{CANARY}"

    @property
    def status(self) -> Object:
        """Return the Canary's status."""
        return self.testbed.kube.get(self.path).get("status") or {}

    @property
    def weights(self) -> tuple[int, int]:
        """Return the route's weights, primary and canary."""
        path = f"/apis/networking.istio.io/v1beta1/namespaces/{self.namespace}/virtualservices/catalog"
        return weights_of(self.testbed.kube.get(path))

    def condition(self, kind: str) -> Object:
        """Return one condition of the Canary, empty when it has none."""
        return next((c for c in self.status.get("conditions", []) if c["type"] == kind), {})

    def wait_for(self, phase: str, weight: int | None = None, within: timedelta = SOON) -> Object:
        """Wait until the Canary shows a phase, and a weight if given; return its status."""
        seen: list[Object] = [{}]

        def reached() -> bool:
            seen[0] = self.status
            right = weight is None or seen[0].get("canaryWeight", 0) == weight
            return bool(seen[0].get("phase") == phase and right)

        wait_until(reached, within, lambda: f"waiting for {phase} {weight}: {summary(seen[0])}")
        return seen[0]

    def wait_message(self, part: str, within: timedelta = SOON) -> None:
        """Wait until the status message contains a text."""
        wait_until(lambda: part in self.status.get("message", ""), within, lambda: summary(self.status))

    def rows(self, since: datetime | None = None) -> list[Row]:
        """Return the Canary's rows so far."""
        return self.recorder.rows(CANARY, since)

    def events(self) -> list[tuple[str, str]]:
        """Return (reason, message) of the events on the Canary."""
        listed = self.testbed.kube.get(f"/api/v1/namespaces/{self.namespace}/events")["items"]
        return [(e["reason"], e["message"]) for e in listed if e["involvedObject"]["name"] == CANARY]

    def told(self, reason: str) -> list[str]:
        """Return the messages of the events with a reason, in the order of the alphabet."""
        return sorted(message for found, message in self.events() if found == reason)

    def wait_told(self, reason: str, within: timedelta = SOON) -> list[str]:
        """Wait until an event with a reason is recorded; return the messages with it."""
        wait_until(lambda: self.told(reason), within, lambda: f"no event {reason} among {self.events()}")
        return self.told(reason)

    def shares(self, since: datetime) -> list[tuple[int, int]]:
        """Return the weights in each version of the route since a time: one entry for each write."""
        return [weights_of(seen.object) for seen in self.recorder.seen("virtualservices", "catalog", since)]

    def patch_spec(self, **fields: Any) -> None:
        """Change fields of the Canary's spec as a user does."""
        body = json.dumps({"spec": fields})
        self.kubectl("patch", f"canaries.{self.group}/{CANARY}", "--type=merge", "-p", body)

    @contextmanager
    def load(self, rps: float = 25.0, seconds: float = 240) -> Iterator[tuple[Load, Load]]:
        """Put load on the service from a caller with a sidecar and from one without, for a while."""
        rate = Rate(per_second=rps, duration=timedelta(seconds=seconds))
        client = self.testbed.pods.first(self.namespace, "app=client")
        with (
            self.testbed.load_mesh(self.namespace, client, "http://catalog/items", rate) as mesh,
            self.testbed.load_endpoints(self.namespace, "catalog", "/items", rate) as plain,
        ):
            yield mesh, plain


def weights_of(route: Object) -> tuple[int, int]:
    """Return the weights of a VirtualService's first route to the two sides that is not for a cohort or a cookie."""
    for entry in route["spec"].get("http") or route["spec"]["tcp"]:
        by_host: Counter[str] = Counter()
        for one in entry.get("route") or ():
            by_host[one["destination"]["host"].partition(".")[0]] += one.get("weight", 0)
        if not is_added(entry) and {"catalog-primary", "catalog-canary"} & by_host.keys():
            return by_host["catalog-primary"], by_host["catalog-canary"]
    return 0, 0


def summary(status: Object) -> str:
    """Return what matters of a status in one line."""
    counts = f"{status.get('canaryWeight')} %, {status.get('failedChecks')} failed checks"
    return f"{status.get('phase')} at {counts}: {status.get('message')}"
