"""What the demo prints: the live table and the closing report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from e2e.release import Release
from e2e.testbed.kube import Object
from e2e.testbed.load import Load

if TYPE_CHECKING:
    from e2e.demo import Outcome

BOOK = (
    ("Progressing", 0),
    *(("Progressing", weight) for weight in (10, 20, 30, 40, 50)),
    ("Promoting", 0),
    ("Finalising", 0),
    ("Succeeded", 0),
)
BOOK_INTERVAL = 45
HEAD = f"{'TIME':>6}  {'STATUS':<12} {'WEIGHT':>6}  {'SHARE':>6}  {'SUCCESS':>8}  {'P99':>7}  MESSAGE"


class Table:
    """Print a line per change and per half interval: what the Canary says and what callers really get."""

    def __init__(self, release: Release, load: Load, version: str, interval: timedelta) -> None:
        self._release = release
        self._load = load
        self._version = version
        self._began = datetime.now(UTC)
        self._every = interval / 2
        self._printed_at = self._began - interval
        self._last: tuple[Any, ...] = ()
        print(HEAD, flush=True)

    def update(self) -> Object:
        """Print a line when one is due and return the Canary's status."""
        status = self._release.status
        now = datetime.now(UTC)
        shown = (status.get("phase"), status.get("canaryWeight"), status.get("message"))
        if shown != self._last or now - self._printed_at >= self._every:
            self._last, self._printed_at = shown, now
            print(self._line(status, now), flush=True)
        return status

    def _line(self, status: Object, now: datetime) -> str:
        window = self._load.summary(now - timedelta(seconds=3))
        share = f"{100 * window.share(self._version):.0f} %"
        checks = {c["name"]: c.get("value") for c in status.get("checks", [])}
        success, p99 = checks.get("request-success-rate"), checks.get("request-duration")
        return (
            f"{(now - self._began).total_seconds():5.0f}s  {status.get('phase', ''):<12} "
            f"{status.get('canaryWeight', 0):>6}  {share:>6}  "
            f"{'-' if success is None else f'{success:.1f} %':>8}  "
            f"{'-' if p99 is None else f'{p99:.0f} ms':>7}  {status.get('message', '')}"
        )


def print_report(good: Outcome, bad: Outcome, interval: timedelta) -> None:
    """Print the rows of the good release beside the book's, and the counts of both."""
    print(f"\n=== {good.title}: {good.verdict}")
    print(f"{'the book, 45 s':<28}here, {interval.total_seconds():g} s")
    began = good.rows[0].at
    for i, row in enumerate(good.rows):
        phase, weight = BOOK[i] if i < len(BOOK) else ("", "")
        left = f"{i * BOOK_INTERVAL:>4} s  {phase:<12} {weight:>3}"
        print(f"{left:<28}{(row.at - began).total_seconds():>6.1f} s  {row.phase:<12} {row.weight:>3}")
    for outcome in (good, bad):
        _print_counts(outcome)


def _print_counts(outcome: Outcome) -> None:
    others = outcome.failed - outcome.own_errors
    print(f"\n=== {outcome.title}: {outcome.verdict} {outcome.reason}")
    print(
        f"client requests: {outcome.sent} sent, {outcome.failed} failed "
        f"({outcome.own_errors} the canary's own errors, {others} because of the release)"
    )
    total = sum(outcome.requests.values())
    print(f"API requests by the controller, watches aside: {total}")
    for request, count in outcome.requests.items():
        print(f"  {count:>4}  {request}")
