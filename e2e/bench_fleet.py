"""Hundreds of Canaries in one namespace: pods are nothing but a status, metrics come from a stand-in."""

import math
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from e2e.recorder import Recorder, Row
from e2e.release import Release
from e2e.testbed import credentials
from e2e.testbed.addresses import LOOPBACK
from e2e.testbed.audit import AuditEntry
from e2e.testbed.kube import Object
from e2e.testbed.layout import REPOSITORY
from e2e.testbed.node.hollow import ANNOTATION
from e2e.testbed.part import Part, http_probe
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

NAMESPACE = "bench"
METRICS_PORT = 20090
INTERVAL = timedelta(seconds=10)
ROWS = [*(("Progressing", weight) for weight in range(0, 60, 10)), ("Promoting", 0), ("Finalising", 0)]
ROWS += [("Succeeded", 0)]
EVENTS = Counter(RevisionDetected=1, StepPassed=5, Promoting=1, Finalising=1, Promoted=1)
"""What people are told of a good release of listing 5.1's shape."""
METRICS = [
    {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "30s"},
    {"name": "errors", "thresholdRange": {"max": 1}, "interval": "30s", "query": "sum(errors)"},
]
CANARIES = "canaries.flagger.app"
MERGE_PATCH = "application/merge-patch+json"


@dataclass(frozen=True, slots=True)
class Ended:
    """One release as it was: its rows, from the write of its template on."""

    name: str
    asked: datetime
    rows: Sequence[Row]

    @property
    def whole(self) -> bool:
        """Return whether it took the rows of a good release, each once."""
        return [(row.phase, row.weight) for row in self.rows] == ROWS

    def lateness(self) -> Iterator[float]:
        """Give how many seconds after its time each row was seen, counted from the first."""
        for number, row in enumerate(self.rows[1:], 1):
            yield (row.at - self.rows[0].at - number * INTERVAL).total_seconds()

    @property
    def ratio(self) -> float:
        """Return how long it took, as a multiple of what its intervals add up to."""
        return (self.rows[-1].at - self.rows[0].at) / (INTERVAL * (len(ROWS) - 1))

    @property
    def reaction(self) -> float:
        """Return the seconds from the write to the first row."""
        return (self.rows[0].at - self.asked).total_seconds()


@contextmanager
def metrics(testbed: Testbed) -> Iterator[str]:
    """Run the stand-in for Prometheus and give its URL."""
    url = f"http://{LOOPBACK}:{METRICS_PORT}"
    command = [sys.executable, "-m", "e2e.bench_metrics", str(METRICS_PORT)]
    environment = {"PYTHONPATH": str(REPOSITORY)}
    probe = http_probe(f'{url}/api/v1/query?query=up{{destination_workload="a",destination_workload_namespace="b"}}')
    with Part("metrics", command, testbed.layout.logs / "metrics.log", probe, environment=environment):
        yield url


def service_name(number: int) -> str:
    """Return the name of one of the fleet, which is that of its Deployment, Service and Canary."""
    return f"service-{number:03}"


class Fleet:
    """Canaries of the shape of listing 5.1, each with a Deployment of one hollow pod."""

    def __init__(self, testbed: Testbed, recorder: Recorder, server: str) -> None:
        self._testbed = testbed
        self._kube = testbed.kube
        self._release = Release(testbed, NAMESPACE, recorder)
        self._recorder = recorder
        self._server = server
        self._generation = 1
        self.path = f"/apis/flagger.app/v1beta1/namespaces/{NAMESPACE}/canaries"

    def make(self, count: int) -> None:
        """Make the first of the fleet and wait until they are initialised."""
        numbers = range(count)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._make, numbers))
        wait_until(
            lambda: self.phases()["Initialized"] == count,
            timedelta(minutes=5),
            lambda: str(self.phases()),
            interval=timedelta(seconds=1),
        )

    def _make(self, number: int) -> None:
        name = service_name(number)
        self._kube.create(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments", _deployment(name))
        self._kube.create(self.path, self._canary(name))

    def _canary(self, name: str) -> Object:
        made = self._release.canary(service={"name": name, "hosts": [name]}, interval="10s", drainSeconds=1)
        made["metadata"] = {"name": name, "namespace": NAMESPACE}
        made["spec"]["targetRef"]["name"] = name
        made["spec"]["metricsServer"] = self._server
        made["spec"]["analysis"]["metrics"] = METRICS
        return made

    def phases(self) -> Counter[str]:
        """Count the Canaries in each phase."""
        return Counter(one.get("status", {}).get("phase", "") for one in self._kube.get(self.path)["items"])

    def change(self, name: str, **fields: Any) -> None:
        """Merge fields into the spec of one Canary."""
        self._kube.request("PATCH", f"{self.path}/{name}", {"spec": fields}, MERGE_PATCH)

    def write(self, name: str) -> datetime:
        """Give one Deployment a new template and return when."""
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}"
        env = [{"name": "GENERATION", "value": str(self._generation)}]
        container = {"name": "app", "image": "testbed/client:latest", "env": env}
        began = datetime.now(UTC)
        self._kube.request("PATCH", path, {"spec": {"template": {"spec": {"containers": [container]}}}}, MERGE_PATCH)
        return began

    def release(self, names: Sequence[str], awaited: Sequence[str] | None = None) -> list[Ended]:
        """Release new templates of all named as fast as they can be written; return those awaited once ended."""
        self._generation += 1
        with ThreadPoolExecutor(8) as pool:
            asked = dict(zip(names, pool.map(self.write, names), strict=True))
        awaited = names if awaited is None else awaited
        wait_until(lambda: self.phases()["Progressing"], timedelta(seconds=30), "none has begun")
        self.wait_ended(awaited)
        return [Ended(name, asked[name], self._recorder.rows(name, asked[name])) for name in awaited]

    def react(self, name: str) -> float:
        """Write a new template and return after how many seconds the run was seen to begin."""
        self._generation += 1
        asked, path = self.write(name), f"{self.path}/{name}"

        def begun() -> bool:
            return bool(self._kube.get(path)["status"]["phase"] == "Progressing")

        wait_until(begun, timedelta(seconds=20), f"{name} did not start")
        rows = self._recorder.rows(name, asked)
        return next((row.at - asked).total_seconds() for row in rows if row.phase == "Progressing")

    def wait_ended(self, names: Sequence[str]) -> None:
        """Wait until none of the named waits or runs any more."""

        def ended() -> bool:
            states = {one["metadata"]["name"]: one["status"]["phase"] for one in self._kube.get(self.path)["items"]}
            return all(states[name] in ("Succeeded", "Failed") for name in names)

        wait_until(ended, timedelta(minutes=8), lambda: str(self.phases()), interval=timedelta(seconds=2))

    @contextmanager
    def trouble(self, slow: str, refused: str, hooked: Sequence[str]) -> Iterator[None]:
        """Let the metrics of one hang, the writes of another be refused, and the hooks of several hang."""
        self.change(slow, metricsServer=f"{self._server}/hanging")
        hook = {"name": "hanging", "type": "rollout", "url": f"{self._server}/hanging", "timeout": "10s"}
        for name in hooked:
            self.change(name, analysis={"webhooks": [hook]})
        names = ", ".join(f"'{refused}{side}'" for side in ("", "-primary", "-canary"))
        policy = _refusing(f"!(object.metadata.name in [{names}])")
        for kind, body in policy.items():
            self._kube.create(f"/apis/admissionregistration.k8s.io/v1/{kind}", body)
        try:
            yield
        finally:
            for kind, body in policy.items():
                self._kube.request("DELETE", f"/apis/admissionregistration.k8s.io/v1/{kind}/{body['metadata']['name']}")
            self.change(slow, metricsServer=self._server)
            for name in hooked:
                self.change(name, analysis={"webhooks": None})

    def untold(self, names: Sequence[str], since: datetime) -> int:
        """Return how many releases have events missing or too many."""
        listed = self._kube.get(f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
        told: dict[str, Counter[str]] = {name: Counter() for name in names}
        for one in listed:
            name = one["involvedObject"]["name"]
            if (
                one["involvedObject"]["kind"] == "Canary"
                and name in told
                and datetime.fromisoformat(one["lastTimestamp"]) >= since.replace(microsecond=0)
            ):
                told[name][one["reason"]] += one.get("count", 1)
        return sum(found != EVENTS for found in told.values())

    def requests(self, since: datetime) -> list[AuditEntry]:
        """List what the controller asked of the API server for its Canaries, watches left out."""
        found = self._testbed.audit.requests(user=credentials.CONTROLLER, namespace=NAMESPACE, since=since)
        return [one for one in found if one.verb != "watch" and one.resource != "leases"]


def _refusing(expression: str) -> dict[str, Object]:
    """Return a policy of the cluster that refuses whatever the controller writes unless an expression holds."""
    rule = {"apiGroups": ["networking.istio.io"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*"]}
    name = {"metadata": {"name": "bench-refuses"}}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": expression}]}
    return {
        "validatingadmissionpolicies": {**name, "spec": {"failurePolicy": "Fail", **spec}},
        "validatingadmissionpolicybindings": {
            **name,
            "spec": {"policyName": "bench-refuses", "validationActions": ["Deny"]},
        },
    }


def _deployment(name: str) -> Object:
    labels = {"app": name}
    container = {"name": "app", "image": "testbed/client:latest", "env": [{"name": "GENERATION", "value": "1"}]}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [container]}
    template = {"metadata": {"labels": labels, "annotations": {ANNOTATION: "true"}}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of the values that so many percent of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def median(values: Sequence[float]) -> float:
    """Return the median."""
    return statistics.median(values)
