"""The controller under test: the real process, for the namespaces of one test."""

import itertools
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from e2e.testbed.layout import REPOSITORY
from e2e.testbed.part import Part, http_probe
from e2e.testbed.testbed import Testbed

PAGE = REPOSITORY / "docs/high-availability.md"
_FIRST_PORT = 21000
_ports = itertools.count(_FIRST_PORT)


def allow_lease(testbed: Testbed, namespace: str, name: str, holder: str) -> None:
    """Give somebody the Role of docs/high-availability.md."""
    role = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)[0])
    role["metadata"]["namespace"] = namespace
    testbed.kubectl("apply", "-f", "-", stdin=json.dumps(role))
    named = f"--role={role['metadata']['name']}"
    testbed.kubectl("-n", namespace, "create", "rolebinding", name, named, holder)


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
