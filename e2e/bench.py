"""``make bench``: what the controller costs: CPU time, and requests counted from a real API server's audit log."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from e2e import bench_routes, bench_simulated
from e2e.bench_fleet import CANARIES, NAMESPACE, Ended, Fleet, median, metrics, percentile, service_name
from e2e.conftest import install_crd
from e2e.controller import Controller, allow_lease
from e2e.recorder import Recorder
from e2e.release import Release
from e2e.testbed import credentials
from e2e.testbed.testbed import Testbed

IDLE_CANARIES = 200
FOREIGN_OBJECTS = 5000
REACTIONS = 30
RELEASE_NAMESPACE = "bench-release"
ROWS_OF_A_RELEASE = 9
PAGE = Path("docs/benchmarks.md")
TOGETHER_SIZES, OTHER_SIZES = (200,), (1, 50, 100)
WITH_FAULTY = 50
ON_DEMAND = SIZES = "sizes"
PARTS = REWRITE, DECISION, IDLE, FOREIGN, RELEASE, REACTION, TOGETHER, FAULTY = (
    "rewrite",
    "decision",
    "idle",
    "foreign",
    "release",
    "reaction",
    "together",
    "faulty",
)
WITHOUT_TESTBED = {REWRITE, DECISION}


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
    parser.add_argument("--idle-seconds", type=float, default=60)
    parser.add_argument(
        "--only", choices=(*PARTS, ON_DEMAND), action="append", help="measure this part alone; may be repeated"
    )
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE}; of all parts alone")
    options = parser.parse_args()
    if options.write and options.only:
        parser.error("--write puts down the whole table, --only measures parts of it")
    parts = options.only or PARTS
    results = Results()
    if REWRITE in parts:
        _measure_rewriting(results)
    if DECISION in parts:
        _measure_decisions(results)
    if set(parts) - WITHOUT_TESTBED:
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
        allow_lease(testbed, NAMESPACE, "controller", f"--user={credentials.CONTROLLER}")
        flags = ("--leader-election", f"--lease-namespace={NAMESPACE}")
        controller = Controller(testbed, log_level="info", flags=flags)
        controller.start()
        with metrics(testbed) as server, Recorder(testbed, NAMESPACE, [CANARIES]) as recorder:
            fleet = Fleet(testbed, recorder, server)
            if set(parts) - WITHOUT_TESTBED - {RELEASE}:
                print(f"making {IDLE_CANARIES} Canaries", flush=True)
                fleet.make(IDLE_CANARIES)
            for part, measure in _of_fleet(results, testbed, controller, fleet, idle_seconds).items():
                if part in parts:
                    measure()
        if RELEASE in parts:
            with Recorder(testbed, RELEASE_NAMESPACE) as released:
                _measure_release(results, testbed, Release(testbed, RELEASE_NAMESPACE, released))
        controller.stop()


def _of_fleet(
    results: Results, testbed: Testbed, controller: Controller, fleet: Fleet, idle_seconds: float
) -> dict[str, Callable[[], None]]:
    """Return what is measured with hundreds of Canaries, in order."""

    def idle() -> None:
        _measure_start(results, controller)
        _measure_idle(results, testbed, controller, idle_seconds, f"{IDLE_CANARIES} idle Canaries")

    def foreign() -> None:
        _add_foreign(testbed)
        controller.stop()
        controller.start()
        title = "the same beside 5,000 foreign Pods, ConfigMaps and Deployments"
        _measure_idle(results, testbed, controller, 30, title)

    def together(*sizes: int) -> None:
        for size in sizes:
            _measure_together(results, controller, fleet, size)

    return {
        IDLE: idle,
        FOREIGN: foreign,
        REACTION: lambda: _measure_reaction(results, fleet),
        TOGETHER: partial(together, *TOGETHER_SIZES),
        SIZES: partial(together, *OTHER_SIZES),
        # Those in trouble are left in it.
        FAULTY: lambda: _measure_faulty(results, fleet),
    }


def _measure_rewriting(results: Results) -> None:
    print(f"rewriting VirtualServices, each {bench_routes.REWRITES} times", flush=True)
    for title, milliseconds in bench_routes.measured().items():
        results.add(f"{title}: CPU time of a rewrite, median", milliseconds, bench_routes.LIMIT, " ms")


def _measure_decisions(results: Results) -> None:
    count = bench_simulated.CANARIES
    print(f"deciding on {count} Canaries", flush=True)
    took = bench_simulated.decisions(count)
    title = f"{count:,} Canaries: CPU time of a look and its decision"
    results.add(f"{title}, median", median(took), None, " ms")
    results.add(f"{title}, 99 %", percentile(took, 99), bench_simulated.DECISION, " ms")


def _measure_start(results: Results, controller: Controller) -> None:
    print("a restart", flush=True)
    controller.stop()
    began = time.monotonic()
    controller.start()
    ready = time.monotonic() - began
    results.add(f"{IDLE_CANARIES} Canaries: start to ready", ready, 2, " s")
    results.add(f"{IDLE_CANARIES} Canaries: CPU time of a start", _cpu_seconds(controller.pid), None, " s")


def _measure_idle(results: Results, testbed: Testbed, controller: Controller, seconds: float, title: str) -> None:
    print(f"idle for {seconds:g} s: {title}", flush=True)
    # Until it leads, all have been looked at once, and the last release has settled.
    time.sleep(10)
    since, cpu = datetime.now(UTC), _cpu_seconds(controller.pid)
    time.sleep(seconds)
    used = _cpu_seconds(controller.pid) - cpu
    asked = [e for e in testbed.audit.requests(user=credentials.CONTROLLER, since=since) if e.verb != "watch"]
    leases = [e for e in asked if e.resource == "leases"]
    results.add(f"{title}: API requests beside watches and the lease in {seconds:g} s", len(asked) - len(leases), 0)
    results.add(f"{title}: requests for the lease, per second", len(leases) / seconds, 1)
    results.add(f"{title}: CPU of one core", 100 * used / seconds, 1, " %")
    results.add(f"{title}: RSS", _rss_megabytes(controller.pid), 150, " MB")


def _measure_reaction(results: Results, fleet: Fleet) -> None:
    print(f"reaction to {REACTIONS} new templates", flush=True)
    names = [service_name(number) for number in range(REACTIONS)]
    # One at a time: the pods that start for a run keep this machine busier than the controller does.
    took = [fleet.react(name) for name in names]
    results.add("write of a new template to Progressing, median", median(took), 0.1, " s")
    results.add("write of a new template to Progressing, slowest", max(took), None, " s")
    fleet.wait_ended(names)


def _measure_together(results: Results, controller: Controller, fleet: Fleet, count: int) -> None:
    print(f"{count} releases at once", flush=True)
    names = [service_name(number) for number in range(count)]
    since, cpu = datetime.now(UTC), _cpu_seconds(controller.pid)
    ended = fleet.release(names)
    title = f"{count} releases at once" if count > 1 else "one release of the fleet"
    _add_releases(results, title, ended)
    results.add(f"{title}: with events missing", fleet.untold(names, since), 0)
    results.add(f"{title}: API requests of each", len(fleet.requests(since)) / count, 60)
    results.add(f"{title}: CPU time of each", (_cpu_seconds(controller.pid) - cpu) / count, None, " s")
    results.add(f"{title}: RSS", _rss_megabytes(controller.pid), None, " MB")


def _add_releases(results: Results, title: str, ended: Sequence[Ended]) -> None:
    late = [seconds for one in ended for seconds in one.lateness()]
    results.add(f"{title}: not as a good release is", sum(not one.whole for one in ended), 0)
    results.add(f"{title}: lateness of a row, median", median(late), None, " s")
    results.add(f"{title}: lateness of a row, 99 %", percentile(late, 99), 1, " s")
    results.add(f"{title}: time against the ideal, median", median([one.ratio for one in ended]), 1.03)


def _measure_faulty(results: Results, fleet: Fleet) -> None:
    """Release some beside as many whose hooks hang, one whose metrics hang and one whose writes are refused."""
    print(f"{WITH_FAULTY} releases beside {WITH_FAULTY} whose hooks hang, and two in other trouble", flush=True)
    names = [service_name(number) for number in range(WITH_FAULTY)]
    slow, refused, *hooked = (service_name(IDLE_CANARIES - 1 - number) for number in range(WITH_FAULTY + 2))
    with fleet.trouble(slow, refused, hooked):
        ended = fleet.release([slow, refused, *hooked, *names], awaited=names)
        _add_releases(results, f"{WITH_FAULTY} releases beside {WITH_FAULTY + 2} in trouble", ended)


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
