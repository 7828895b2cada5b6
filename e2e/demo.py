"""``make demo``: the release of the book's section 5.3.1 on real parts, then one that is rolled back."""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from e2e.controller import Controller
from e2e.demo_table import Table, print_report
from e2e.recorder import Recorder, Row
from e2e.release import CANARY, MANIFESTS, Release
from e2e.testbed import credentials
from e2e.testbed.audit import AuditEntry
from e2e.testbed.errors import TestbedError
from e2e.testbed.load import Load, Rate
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

NAMESPACE = "istioinaction"
REPORT = Path("build/demo/report.json")
RPS = 20.0
ENDED = ("Succeeded", "Failed")
CRD = Path(__file__).parent.parent / "crds" / "flagger.app_canaries.yaml"


@dataclass(frozen=True, slots=True)
class Speed:
    """A rhythm: the book's own, or one scaled down; ``changes`` are put into listing 5.1."""

    interval: timedelta
    changes: Mapping[str, Any]
    windows: tuple[str, str] | None

    @property
    def words(self) -> str:
        """Return which numbers are used."""
        if not self.changes or not self.windows:
            return "listing 5.1 byte for byte: interval 45 s, windows 1m and 30s, drain 15 s"
        success, duration = self.windows
        return (
            f"listing 5.1 scaled down: interval {self.changes['interval']} instead of 45s, windows {success} and "
            f"{duration} instead of 1m and 30s, drain {self.changes['drainSeconds']} s instead of 15 s "
            "(make demo SPEED=book keeps the book's)"
        )


SPEEDS = {
    "demo": Speed(timedelta(seconds=8), {"interval": "8s", "drainSeconds": 3}, ("12s", "8s")),
    "book": Speed(timedelta(seconds=45), {}, None),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One release as it went."""

    title: str
    rows: tuple[Row, ...]
    verdict: str
    reason: str
    sent: int
    failed: int
    own_errors: int
    requests: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Return the release as the report has it."""
        began = next(r.at for r in self.rows if r.phase == "Progressing")
        rows = [
            {"at": round((r.at - began).total_seconds(), 1), "phase": r.phase, "weight": r.weight} for r in self.rows
        ]
        return {
            "rows": rows,
            "verdict": self.verdict,
            "reason": self.reason,
            "requests": {"sent": self.sent, "failed": self.failed},
            "apiRequests": dict(self.requests),
        }


def main() -> int:
    """Run the demo and return its exit code: 0 when both releases ended as they should."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--speed", choices=sorted(SPEEDS), default="demo")
    speed = SPEEDS[parser.parse_args().speed]
    try:
        with Testbed.create() as testbed:
            return _show(testbed, speed)
    except TestbedError as fault:
        print(f"demo: {fault}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; every process of the demo is ended")
        return 130


def _show(testbed: Testbed, speed: Speed) -> int:
    print(f"Testbed is up: real etcd, kube-apiserver, istiod, Envoy, Prometheus.\n{speed.words}\n", flush=True)
    testbed.kubectl("apply", "--server-side", "-f", str(CRD))
    testbed.wait_for_definitions()
    controller = Controller(testbed, [NAMESPACE], log_level="info")
    testbed.create_namespace(NAMESPACE)
    controller.start()
    try:
        with Recorder(testbed, NAMESPACE) as recorder:
            release = Release(testbed, NAMESPACE, recorder)
            _initialise(release, speed)
            with _load(release) as load:
                good = _release(release, load, "v2", speed)
                bad = _release(release, load, "v3", speed, FAIL_PERCENT="100")
    finally:
        controller.stop()
    return _report(good, bad, speed)


def _initialise(release: Release, speed: Speed) -> None:
    for file in ("catalog-v1.yaml", "catalog-service.yaml", "webapp.yaml", "client.yaml"):
        _run(release, "apply", "-f", str(MANIFESTS / file))
    for name in ("catalog", "webapp", "client"):
        release.testbed.wait_ready(NAMESPACE, name)
    _run(release, "apply", "-f", "-", stdin=_listing(speed))
    release.wait_for("Initialized", within=timedelta(seconds=150))
    print(release.kubectl("get", "canary", CANARY))


def _listing(speed: Speed) -> str:
    text = (MANIFESTS / "listing-5.1.yaml").read_text()
    if not speed.changes or not speed.windows:
        return text
    canary = yaml.safe_load(text)
    analysis = canary["spec"]["analysis"]
    analysis.update(speed.changes)
    for metric, window in zip(analysis["metrics"], speed.windows, strict=True):
        metric["thresholdRange"]["interval"] = window
    return yaml.safe_dump(canary, sort_keys=False)


def _run(release: Release, *arguments: str, stdin: str | None = None) -> None:
    shown = " ".join(a.removeprefix(f"{Path.cwd()}/") for a in arguments)
    print(f"$ kubectl {shown}\n{release.kubectl(*arguments, stdin=stdin).strip()}", flush=True)


def _load(release: Release) -> Load:
    rate = Rate(per_second=RPS, duration=timedelta(minutes=40))
    client = release.testbed.pods.first(NAMESPACE, "app=client")
    print(f"load: {RPS:g} requests/s from a client through webapp to catalog\n", flush=True)
    return release.testbed.load_mesh(NAMESPACE, client, "http://webapp/api/catalog", rate)


def _release(release: Release, load: Load, version: str, speed: Speed, **env: str) -> Outcome:
    began = datetime.now(UTC)
    title = f"catalog {version}" + (" (answers 500)" if env else "")
    print(f"--- release of {title}", flush=True)
    manifest = json.dumps(release.deployment(version, 1, **env))
    _run(release, "apply", "-f", "-", stdin=manifest)
    table = Table(release, load, version, speed.interval)
    wait_until(
        lambda: table.update().get("phase") in ENDED and len(release.rows(began)) > 1,
        40 * speed.interval,
        "the release did not end",
        interval=timedelta(seconds=0.5),
    )
    load.next_window(timedelta(seconds=2))
    counted = release.testbed.audit.requests(user=credentials.CONTROLLER, since=began)
    return _outcome(release, load, began, title, version, counted)


def _outcome(
    release: Release, load: Load, began: datetime, title: str, version: str, counted: list[AuditEntry]
) -> Outcome:
    status = release.status
    answers = load.answers(began)
    failed = [a for a in answers if a.failed]
    requests: dict[str, int] = {}
    for entry in counted:
        if entry.verb != "watch":
            key = f"{entry.verb.upper()} {entry.resource}"
            requests[key] = requests.get(key, 0) + 1
    reason = next((c["reason"] for c in status["conditions"] if c["type"] == "Progressing"), "")
    rows = tuple(release.rows(began))
    started = next(i for i, r in enumerate(rows) if r.phase == "Progressing")
    return Outcome(
        title=title,
        rows=rows[started:],
        verdict=status["phase"],
        reason=reason,
        sent=len(answers),
        failed=len(failed),
        own_errors=sum(1 for a in failed if a.version == version),
        requests=dict(sorted(requests.items())),
    )


def _report(good: Outcome, bad: Outcome, speed: Speed) -> int:
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps({"releases": [good.to_json(), bad.to_json()]}, indent=1) + "\n")
    print_report(good, bad, speed.interval)
    print(f"\nthe same as JSON: {REPORT}")
    right = (good.verdict, bad.verdict) == ENDED
    innocent = good.failed == 0 and bad.failed == bad.own_errors
    return 0 if right and innocent else 1


if __name__ == "__main__":
    sys.exit(main())
