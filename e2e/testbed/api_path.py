"""Steer the fault-injecting proxy between controller and API server."""

import json
import sys
import urllib.request
from pathlib import Path
from typing import Any

from e2e.testbed import addresses
from e2e.testbed.faults import Fault
from e2e.testbed.layout import REPOSITORY, Layout
from e2e.testbed.part import Part, http_probe


class ApiPath:
    """The way from controller to API server, with faults on request."""

    def __init__(self, layout: Layout) -> None:
        self.kubeconfig: Path = layout.proxied_kubeconfig
        self.proxy = Part(
            "api-proxy",
            [sys.executable, "-m", "e2e.testbed.api_proxy", str(layout.authority)],
            layout.logs / "api-proxy.log",
            http_probe(f"{addresses.API_PROXY_URL}/_faults"),
            environment={"PYTHONPATH": str(REPOSITORY)},
        )

    def inject(self, fault: Fault) -> None:
        """Add a fault behind those already in force."""
        self._ask("POST", "/_faults", fault.to_wire())

    def faults(self) -> list[Fault]:
        """List the faults with their hits so far."""
        return [Fault.from_wire(wire) for wire in self._ask("GET", "/_faults")]

    def heal(self) -> None:
        """Remove all faults; watches made silent stay so until cut."""
        self._ask("DELETE", "/_faults")

    def cut_watches(self) -> int:
        """Break every open watch and return how many there were."""
        return int(self._ask("POST", "/_cut")["cut"])

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(addresses.API_PROXY_URL + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=5) as answer:
            return json.loads(answer.read())
