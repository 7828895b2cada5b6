"""``make bench``: what the controller costs: CPU time, and requests counted from a real API server's audit log."""

import argparse
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from e2e import bench_routes
from e2e.conftest import install_crd
from e2e.controller import Controller
from e2e.recorder import Recorder
from e2e.release import Release
from e2e.testbed import credentials
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

IDLE_CANARIES = 100
FOREIGN_OBJECTS = 5000
REACTIONS = 30
NAMESPACE = "bench"
RELEASE_NAMESPACE = "bench-release"
ROWS_OF_A_RELEASE = 9
PAGE = Path("docs/benchmarks.md")
PARTS = REWRITE, IDLE, FOREIGN, RELEASE, REACTION = "rewrite", "idle", "foreign", "release", "reaction"


@dataclass
class Results:
    """Lines of the table: figure, measured, limit."""

    lines: list[tuple[str, str, str]] = field(default_factory=list)
    misses: list[str] = field(default_factory=list)

    def add(self, figure: str, value: float, limit: float | None, unit: str = "") -> None:
        """Record one figure, with its limit if it has one (at most, inclusive)."""
        shown = f"{value:.3g}{unit}"
        self.lines.append((figure, shown, "" if limit is None else f"at most {limit:g}{unit}"))
        if limit is not None and value > limit:
            self.misses.append(f"{figure}: {shown}, limit {limit:g}{unit}")

    def table(self) -> str:
        """Return the figures as a Markdown table."""
        head = ["| figure | measured | limit |", "| --- | --- | --- |"]
        return "\n".join((*head, *(f"| {a} | {b} | {c} |" for a, b, c in self.lines)))


def main() -> int:
    """Measure, print the table, and return 1 when a limit is missed."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--idle-seconds", type=float, default=300)
    parser.add_argument("--only", choices=PARTS, action="append", help="measure this part alone; may be repeated")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE}; of all parts alone")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write puts down the whole table, --only measures parts of it")
    parts = options.only or PARTS
    results = Results()
    if REWRITE in parts:
        _measure_rewriting(results)
    if set(parts) - {REWRITE}:
        _measure_on_testbed(results, parts, options.idle_seconds)
    print(results.table())
    if options.write:
        _write(results)
    for miss in results.misses:
        print(f"limit missed: {miss}", file=sys.stderr)
    return 1 if results.misses else 0


def _measure_on_testbed(results: Results, parts: Sequence[str], idle_seconds: float) -> None:
    with Testbed.create() as testbed:
        install_crd(testbed, "canary.delivery")
        install_crd(testbed, "flagger.app")
        testbed.create_namespace(NAMESPACE, {})
        testbed.create_namespace(RELEASE_NAMESPACE)
        controller = Controller(testbed, log_level="info")
        controller.start()
        with Recorder(testbed, NAMESPACE) as recorder, Recorder(testbed, RELEASE_NAMESPACE) as released:
            fleet = Release(testbed, NAMESPACE, recorder)
            if {IDLE, FOREIGN, REACTION} & set(parts):
                _initialise(fleet)
            if IDLE in parts:
                _measure_idle(results, testbed, controller, idle_seconds, f"{IDLE_CANARIES} idle Canaries")
            if FOREIGN in parts:
                _add_foreign(testbed)
                _restart(controller)
                title = "the same beside 5,000 foreign Pods, ConfigMaps and Deployments"
                _measure_idle(results, testbed, controller, 30, title)
            if RELEASE in parts:
                _measure_release(results, testbed, Release(testbed, RELEASE_NAMESPACE, released))
            if REACTION in parts:
                _measure_reaction(results, fleet)
        controller.stop()


def _measure_rewriting(results: Results) -> None:
    print(f"rewriting VirtualServices, each {bench_routes.REWRITES} times", flush=True)
    for title, milliseconds in bench_routes.measured().items():
        results.add(f"{title}: CPU time of a rewrite, median", milliseconds, bench_routes.LIMIT, " ms")


def _deployment(name: str, generation: str) -> dict[str, Any]:
    """Return a Deployment of one sleeping pod: what is measured is the controller, not the pods."""
    labels = {"app": name}
    container = {"name": "app", "image": "testbed/client:latest", "env": [{"name": "GENERATION", "value": generation}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    }


def _initialise(fleet: Release) -> None:
    print(f"making {IDLE_CANARIES} Canaries", flush=True)
    for first in range(0, IDLE_CANARIES, 20):
        batch = [f"service-{i:03}" for i in range(first, min(first + 20, IDLE_CANARIES))]
        fleet.apply(*(_deployment(name, "1") for name in batch))
        for name in batch:
            canary = fleet.canary(service={"name": name, "hosts": [name]}, interval="10s", drainSeconds=0)
            canary["metadata"]["name"] = name
            canary["spec"]["targetRef"]["name"] = name
            fleet.apply(canary)
    path = f"/apis/flagger.app/v1beta1/namespaces/{NAMESPACE}/canaries"

    def phases() -> Counter[str]:
        listed = fleet.testbed.kube.get(path)["items"]
        return Counter(c.get("status", {}).get("phase", "") for c in listed)

    wait_until(
        lambda: phases()["Initialized"] == IDLE_CANARIES,
        timedelta(minutes=5),
        lambda: str(phases()),
        interval=timedelta(seconds=1),
    )


def _measure_idle(results: Results, testbed: Testbed, controller: Controller, seconds: float, title: str) -> None:
    print(f"idle for {seconds:g} s: {title}", flush=True)
    time.sleep(5)
    since, cpu = datetime.now(UTC), _cpu_seconds(controller.pid)
    time.sleep(seconds)
    used = _cpu_seconds(controller.pid) - cpu
    asked = [e for e in testbed.audit.requests(user=credentials.CONTROLLER, since=since) if e.verb != "watch"]
    results.add(f"{title}: API requests beside watches in {seconds:g} s", len(asked), 0)
    results.add(f"{title}: CPU of one core", 100 * used / seconds, 1, " %")
    results.add(f"{title}: RSS", _rss_megabytes(controller.pid), 150, " MB")


def _measure_reaction(results: Results, fleet: Release) -> None:
    print(f"reaction to {REACTIONS} new templates", flush=True)
    took = []
    for i in range(REACTIONS):
        name = f"service-{i:03}"
        path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}"
        began = datetime.now(UTC)
        fleet.testbed.kube.request(
            "PATCH",
            path,
            {"spec": {"template": {"metadata": {"annotations": {"bench": "2"}}}}},
            "application/merge-patch+json",
        )
        took.append((_progressing_at(fleet, name, began) - began).total_seconds())
        # One at a time: the pods that start for a run keep this machine busier than the controller does.
        _wait_for_canary(fleet, name)
    results.add("write of a new template to Progressing, median", statistics.median(took), 0.1, " s")
    results.add("write of a new template to Progressing, slowest", max(took), None, " s")


def _wait_for_canary(fleet: Release, name: str) -> None:
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}-canary"

    def up() -> bool:
        found = fleet.testbed.kube.find(path)
        return found is not None and found.get("status", {}).get("availableReplicas", 0) > 0

    wait_until(up, timedelta(seconds=20), f"{name}-canary is not ready")


def _progressing_at(fleet: Release, name: str, since: datetime) -> datetime:
    path = f"/apis/{fleet.group}/v1beta1/namespaces/{NAMESPACE}/canaries/{name}"
    wait_until(
        lambda: fleet.testbed.kube.get(path)["status"]["phase"] == "Progressing",
        timedelta(seconds=20),
        f"{name} did not start",
    )
    return next(r.at for r in fleet.recorder.rows(name, since) if r.phase == "Progressing")


def _measure_release(results: Results, testbed: Testbed, release: Release) -> None:
    print("one release of listing 5.1's shape", flush=True)
    release.set_up(replicas=2)
    with release.load(rps=10):
        since = datetime.now(UTC)
        release.apply(release.deployment("v2"))
        release.wait_for("Succeeded", within=timedelta(seconds=90))
    entries = testbed.audit.requests(user=credentials.CONTROLLER, namespace=RELEASE_NAMESPACE, since=since)
    counts = Counter((e.verb, e.resource) for e in entries if e.verb != "watch")
    results.add("one release: API requests", sum(counts.values()), 60)
    results.add("one release: VirtualService writes", counts["patch", "virtualservices"], ROWS_OF_A_RELEASE)
    results.add("one release: status writes", counts["patch", "canaries/status"], 2 * ROWS_OF_A_RELEASE)
    for (verb, resource), count in sorted(counts.items()):
        results.add(f"one release: {verb} {resource}", count, None)


def _add_foreign(testbed: Testbed) -> None:
    print(f"adding {FOREIGN_OBJECTS} foreign Pods, ConfigMaps and Deployments", flush=True)
    testbed.create_namespace("foreign", {})
    payload = {"key": "x" * 500}
    container = {"name": "app", "image": "foreign/app:1", "env": [{"name": "E", "value": "x" * 200}]}

    def add(i: int) -> None:
        metadata = {"name": f"foreign-{i}", "labels": {"app": "foreign"}}
        testbed.kube.create("/api/v1/namespaces/foreign/configmaps", {"metadata": metadata, "data": payload})
        # Bound to a node that is not there: stored, and run by nobody.
        spec = {"nodeName": "elsewhere", "containers": [container]}
        testbed.kube.create("/api/v1/namespaces/foreign/pods", {"metadata": metadata, "spec": spec})
        template = {"metadata": {"labels": metadata["labels"]}, "spec": {"containers": [container]}}
        # Paused: stored, and made into nothing.
        rollout = {"paused": True, "selector": {"matchLabels": metadata["labels"]}, "template": template}
        testbed.kube.create("/apis/apps/v1/namespaces/foreign/deployments", {"metadata": metadata, "spec": rollout})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(FOREIGN_OBJECTS)))


def _restart(controller: Controller) -> None:
    controller.stop()
    controller.start()


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _rss_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _write(results: Results) -> None:
    text = PAGE.read_text()
    begin, end = "<!-- measured -->", "<!-- end -->"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    PAGE.write_text(f"{head}{begin}\n{results.table()}\n{end}{tail}")


if __name__ == "__main__":
    sys.exit(main())
