"""The part of the client library that is loaded."""

from __future__ import annotations

import json
import subprocess
import sys


def test_controller_loads_no_typed_models() -> None:
    """All that `canary run` consists of comes without them; what is loaded is the library's own."""
    script = (
        "import json, sys, canary.wiring\n"
        "from kubernetes_asyncio.config.kube_config import KubeConfigLoader\n"
        "from canary.adapters.kube import library\n"
        "assert library.KubeConfigLoader is KubeConfigLoader\n"
        "print(json.dumps([name for name in sys.modules if name.startswith('kubernetes_asyncio.client')]))"
    )
    loaded = json.loads(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout)
    parts = ("models", "exceptions", "configuration", "rest", "api_client")
    assert sorted(loaded) == sorted(["kubernetes_asyncio.client", *(f"kubernetes_asyncio.client.{p}" for p in parts)])
