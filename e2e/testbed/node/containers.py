"""Choose and run the program that stands in for a container, and start it again when it exits."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from e2e.testbed import addresses
from e2e.testbed.kube import Object
from e2e.testbed.layout import REPOSITORY

APPLICATIONS = {"testbed/catalog": "catalog", "testbed/webapp": "webapp"}
"""Image without its tag -> the name among our programs; these answer on the health port."""
IDLE = "testbed/client"
CONTROLLER = "canary"
"""The image that the chart names: its entry point is `canary`, run from this tree."""
# As a kubelet, with shorter steps: the first restart is at once.
RESTART_DELAYS = tuple(timedelta(seconds=seconds) for seconds in (0, 1, 2, 4, 8, 10))
KILL_AFTER = timedelta(seconds=3)
_READ_ONLY = 'mount -o remount,bind,ro / && exec "$@"'


def repository_of(image: str) -> str:
    """Return an image's name without its tag."""
    return image.split("@")[0].rsplit(":", 1)[0]


def is_known(image: str) -> bool:
    """Tell whether a program stands in for the image; others can never be pulled."""
    return repository_of(image) in (*APPLICATIONS, IDLE, CONTROLLER)


def readiness_of(container: Object) -> tuple[int, str] | None:
    """Return port and path that tell whether a container is ready: those of its probe, or our programs' own."""
    if wanted := container.get("readinessProbe", {}).get("httpGet"):
        named = {port.get("name"): int(port["containerPort"]) for port in container.get("ports", [])}
        port = wanted["port"]
        return named[port] if port in named else int(port), wanted["path"]
    return (addresses.HEALTH_PORT, "/healthz") if repository_of(container["image"]) in APPLICATIONS else None


def command_of(container: Object, programs: Path) -> Sequence[str]:
    """Return the command that stands in for a container with a known image."""
    repository = repository_of(container["image"])
    if repository == CONTROLLER:
        return [*confinement(container), sys.executable, "-m", "canary", *container.get("args", [])]
    return ["sleep", "infinity"] if repository == IDLE else [str(programs), APPLICATIONS[repository]]


def confinement(container: Object) -> Sequence[str]:
    """Return the command prefix that takes capabilities and the writable root away, as the container asks.

    The user stays, as this tree may lie in a private home.
    """
    asked = container.get("securityContext", {})
    dropped = ["--bounding-set=-all", "--inh-caps=-all"] if asked.get("capabilities", {}).get("drop") == ["ALL"] else []
    kept = [] if asked.get("allowPrivilegeEscalation", True) else ["--no-new-privs"]
    read_only = ["sh", "-c", _READ_ONLY, "confine"] if asked.get("readOnlyRootFilesystem") else []
    return [*read_only, *(["setpriv", *kept, *dropped] if kept or dropped else [])]


def environment_of(container: Object, pod_variables: Mapping[str, str]) -> dict[str, str]:
    """Return the process environment: plain values of the template, and PORT from the first port named."""
    ports = container.get("ports") or []
    variables = {"PORT": str(ports[0]["containerPort"])} if ports else {}
    variables |= {item["name"]: item["value"] for item in container.get("env", []) if "value" in item}
    inherited = {"PATH": os.environ["PATH"], "HEALTH_PORT": str(addresses.HEALTH_PORT)}
    if repository_of(container["image"]) == CONTROLLER:
        inherited["PYTHONPATH"] = str(REPOSITORY)
    # As the kubelet sets them for every container.
    api = {"KUBERNETES_SERVICE_HOST": addresses.NODE_ADDRESS, "KUBERNETES_SERVICE_PORT": str(addresses.API_SERVER_PORT)}
    return {**inherited, **api, **pod_variables, **variables}


@dataclass(frozen=True, slots=True)
class Exit:
    """How and when a program ended last."""

    code: int
    at: datetime


class Container:
    """Keep one program running until told to stop."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        on_change: Callable[[], None],
    ) -> None:
        self.name = name
        self.restarts = 0
        self.last_exit: Exit | None = None
        self.started_at: datetime | None = None
        self._command = command
        self._environment = dict(environment)
        self._folder = folder
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False

    @property
    def running(self) -> bool:
        """Tell whether the program is alive."""
        return self._process is not None and self._process.returncode is None

    async def keep_running(self) -> None:
        """Start the program, and again whenever it exits, a little later each time."""
        while not self._stopping:
            await self._start()
            assert self._process is not None
            code = await self._process.wait()
            self.last_exit = Exit(code, datetime.now(UTC))
            self._on_change()
            if not self._stopping:
                delay = RESTART_DELAYS[min(self.restarts, len(RESTART_DELAYS) - 1)]
                await asyncio.sleep(delay.total_seconds())
                self.restarts += 1

    async def _start(self) -> None:
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                env=self._environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started_at = datetime.now(UTC)
        # Tests kill the program by this id.
        (self._folder / f"{self.name}.pid").write_text(str(self._process.pid))
        self._on_change()

    async def stop(self, grace: timedelta) -> None:
        """End the program for good, by force after `grace`."""
        self._stopping = True
        if self._process is None or not self.running:
            return
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), min(grace, KILL_AFTER).total_seconds())
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.running:
            self._process.send_signal(number)
