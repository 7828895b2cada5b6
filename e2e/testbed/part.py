"""Run one process of the testbed: start it, know when it is ready, stop or kill it."""

import http.client
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from e2e.testbed.errors import TestbedError

Probe = Callable[[], str | None]
"""Return None when ready, else what was seen."""

LOG_TAIL_LINES = 8
SPARING = {"GOGC": "300"}
"""Memory is plentiful, the cores are few: a sixth of the API server's work was collecting garbage."""


class Part:
    """One long-running process of the testbed with its log file and its ready probe."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        probe: Probe,
        *,
        environment: Mapping[str, str] | None = None,
        start_deadline: timedelta = timedelta(seconds=60),
    ) -> None:
        self.name = name
        self.log = log
        self._command = list(command)
        self._probe = probe
        self._environment = {**os.environ, **(environment or {})}
        self._start_deadline = start_deadline
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Tell whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return the process id; raise TestbedError when it does not run."""
        if self._process is None or not self.running:
            raise TestbedError(f"{self.name} is not running")
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it is ready; one that does not get ready is ended."""
        self.launch()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start the process without waiting."""
        if self.running:
            return
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                # Ctrl-C belongs to the test run; parts are stopped in order by us.
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until the ready probe passes; raise TestbedError with what was seen."""
        end = time.monotonic() + self._start_deadline.total_seconds()
        while True:
            if not self.running:
                raise TestbedError(f"{self.name} exited at start: {self._log_tail()}")
            seen = self._probe()
            if seen is None:
                return
            if time.monotonic() > end:
                waited = self._start_deadline.total_seconds()
                raise TestbedError(f"{self.name} not ready after {waited:g} s: {seen}; log: {self.log}")
            time.sleep(0.02)

    def stop(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """Ask the process to end and kill it when it does not within `grace`."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(grace.total_seconds())
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _log_tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return " | ".join(lines) or "no output"


def http_probe(url: str) -> Probe:
    """Build a probe that is ready when `url` answers 200."""

    def probe() -> str | None:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return None if answer.status == 200 else f"{url} answered {answer.status}"
        except urllib.error.HTTPError as error:
            with error:
                return f"{url} answered {error.code}: {error.read(200)!r}"
        except (OSError, http.client.HTTPException) as error:
            return f"{url}: {error}"

    return probe
