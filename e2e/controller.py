"""The controller under test: the real process, for the namespaces of one test."""

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from e2e.testbed.layout import REPOSITORY
from e2e.testbed.part import Part, http_probe
from e2e.testbed.testbed import Testbed

_FIRST_PORT = 21000
_ports = itertools.count(_FIRST_PORT)


class Controller(Part):
    """One ``canary run`` process; ``stop``, ``kill`` and ``start`` it again at will."""

    def __init__(
        self,
        testbed: Testbed,
        namespaces: Sequence[str] = (),
        *,
        flagger_compat: bool = True,
        kubeconfig: Path | None = None,
        log_level: str = "debug",
        flags: Sequence[str] = (),
        replica: str = "",
    ) -> None:
        port = next(_ports)
        self.url = f"http://127.0.0.1:{port}"
        command = [
            *(sys.executable, "-m", "canary", "run"),
            f"--kubeconfig={kubeconfig or testbed.controller_kubeconfig}",
            f"--metrics-server={testbed.prometheus_url}",
            f"--namespaces={','.join(namespaces)}",
            f"--log-level={log_level}",
            "--http-host=127.0.0.1",
            f"--http-port={port}",
            *(["--flagger-compat"] if flagger_compat else []),
            *([f"--lease-identity={replica}"] if replica else []),
            *flags,
        ]
        name = "-".join(("controller", *filter(None, (replica,)), *namespaces))[:80]
        super().__init__(
            name,
            command,
            testbed.layout.logs / f"{name}.log",
            http_probe(f"{self.url}/readyz"),
            environment={"PYTHONPATH": str(REPOSITORY)},
        )
