"""Put load on a Service and look at every answer while it runs."""

import json
import statistics
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from e2e.testbed.waiting import wait_until

DEFAULT_DURATION = timedelta(minutes=10)
MAX_REQUESTS = 100_000


@dataclass(frozen=True, slots=True)
class Answer:
    """One request with its outcome: status 0 means that no answer came, then `error` says why.

    `cookies` are those its visitor has afterwards.
    """

    at: datetime
    latency: timedelta
    status: int
    version: str
    error: str
    url: str
    visitor: int
    cookies: Mapping[str, str]

    @property
    def failed(self) -> bool:
        """Tell whether a customer would call it a failure: no answer, or a 5xx."""
        return self.status == 0 or self.status >= 500


@dataclass(frozen=True, slots=True)
class Summary:
    """The answers of a time window."""

    total: int
    failed: int
    by_version: Mapping[str, int]
    by_status: Mapping[int, int]
    median: timedelta
    slowest: timedelta
    failures: Sequence[Answer]

    def share(self, version: str) -> float:
        """Return the share of a version among answered requests, 0..1."""
        return self.by_version.get(version, 0) / max(1, sum(self.by_version.values()))

    def __str__(self) -> str:
        """Say it in one line, with the first failures."""
        shown = "; ".join(f"{item.at:%H:%M:%S.%f} {item.status} {item.error} {item.url}" for item in self.failures[:5])
        counts = f"{self.total} requests, {self.failed} failed, versions {dict(self.by_version)}"
        return f"{counts}, status {dict(self.by_status)}" + (f": {shown}" if shown else "")


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast and how long a load runs; it ends by itself."""

    per_second: float = 50.0
    duration: timedelta = DEFAULT_DURATION
    max_requests: int = MAX_REQUESTS
    timeout: timedelta = timedelta(seconds=10)
    visitors: int = 0
    """Callers who take turns, each with cookies of its own; 0: nobody keeps cookies."""

    def arguments(self) -> list[str]:
        """Return the options of the client process."""
        return [
            f"--rate={self.per_second}",
            f"--seconds={self.duration.total_seconds()}",
            f"--max-requests={self.max_requests}",
            f"--timeout={self.timeout.total_seconds()}",
            f"--visitors={self.visitors}",
        ]


def header_arguments(headers: Mapping[str, str]) -> list[str]:
    """Return the options of the client process for headers of every request; ``_`` in a name stands for ``-``."""
    return [f"--header={name.replace('_', '-')}={value}" for name, value in headers.items()]


class Load:
    """A running client process and what it has seen so far."""

    def __init__(self, command: Sequence[str], output: Path) -> None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.touch()
        self.output = output
        self._answers: list[Answer] = []
        self._offset = 0
        with output.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, f"--output={output}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        try:
            self.wait_for_answers(1)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Tell whether requests are still being sent."""
        return self._process.poll() is None

    def stop(self) -> Summary:
        """Send no more requests, let the running ones end, and sum up the whole load."""
        if self.running:
            self._process.terminate()
        return self.join()

    def join(self, deadline: timedelta = DEFAULT_DURATION) -> Summary:
        """Wait for the natural end of the load and sum it up."""
        self._process.wait(deadline.total_seconds())
        return self.summary()

    def wait_for_answers(self, count: int, deadline: timedelta = timedelta(seconds=60)) -> None:
        """Wait until `count` requests have ended."""
        log = self.output.with_suffix(".log")
        wait_until(
            lambda: len(self.answers()) >= count or not self.running,
            deadline,
            lambda: f"{len(self.answers())} of {count} requests have ended; log: {log}",
        )

    def answers(self, since: datetime | None = None, until: datetime | None = None) -> list[Answer]:
        """List the requests that began in the window and have ended."""
        self._read()
        return [
            answer
            for answer in self._answers
            if (since is None or answer.at >= since) and (until is None or answer.at < until)
        ]

    def summary(self, since: datetime | None = None, until: datetime | None = None) -> Summary:
        """Sum up a window; without bounds, everything so far."""
        answers = self.answers(since, until)
        latencies = [answer.latency.total_seconds() for answer in answers] or [0.0]
        return Summary(
            total=len(answers),
            failed=sum(answer.failed for answer in answers),
            by_version=Counter(answer.version for answer in answers if answer.version),
            by_status=Counter(answer.status for answer in answers),
            median=timedelta(seconds=statistics.median(latencies)),
            slowest=timedelta(seconds=max(latencies)),
            failures=[answer for answer in answers if answer.failed],
        )

    def next_window(self, duration: timedelta) -> Summary:
        """Let `duration` pass and sum up the requests that began in it."""
        since = datetime.now(UTC)
        time.sleep(duration.total_seconds())
        return self.summary(since)

    def _read(self) -> None:
        with self.output.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._answers.append(_answer(json.loads(line)))


def _answer(record: dict[str, object]) -> Answer:
    return Answer(
        at=datetime.fromtimestamp(float(str(record["at"])), UTC),
        latency=timedelta(milliseconds=float(str(record["ms"]))),
        status=int(str(record["status"])),
        version=str(record["version"]),
        error=str(record["error"]),
        url=str(record["url"]),
        visitor=int(str(record["visitor"])),
        cookies=cast("dict[str, str]", record["cookies"]),
    )
