"""Load of kubernetes-asyncio what is used here: configuration, logins, TLS and the session of aiohttp.

The package imports all of its typed models and APIs by itself, 850 modules and 33 MB of memory that objects as plain
dicts never touch (docs/adr/0013).  Whatever else uses it in this process must import it before this module does.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

NAME = "kubernetes_asyncio"


def _hollow(name: str) -> ModuleType:
    """Return a package whose own code is not run; modules in it can be imported."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    return module


def _load() -> None:
    whole, client = _hollow(NAME), _hollow(f"{NAME}.client")
    vars(whole)["client"] = client
    # What names a model to be answered with would look here: nothing does.
    vars(client)["models"] = _hollow(f"{NAME}.client.models")
    for name, module in (("Configuration", "configuration"), ("ApiClient", "api_client")):
        vars(client)[name] = getattr(importlib.import_module(f"{NAME}.client.{module}"), name)


if NAME not in sys.modules:
    _load()

from kubernetes_asyncio.client import ApiClient, Configuration  # noqa: E402
from kubernetes_asyncio.client.rest import RESTClientObject  # noqa: E402
from kubernetes_asyncio.config import ConfigException, load_incluster_config  # noqa: E402
from kubernetes_asyncio.config.dateutil import parse_rfc3339  # noqa: E402
from kubernetes_asyncio.config.exec_provider import ExecProvider  # noqa: E402
from kubernetes_asyncio.config.incluster_config import SERVICE_TOKEN_FILENAME  # noqa: E402
from kubernetes_asyncio.config.kube_config import FileOrData, KubeConfigLoader, KubeConfigMerger  # noqa: E402

__all__ = [
    "SERVICE_TOKEN_FILENAME",
    "ApiClient",
    "ConfigException",
    "Configuration",
    "ExecProvider",
    "FileOrData",
    "KubeConfigLoader",
    "KubeConfigMerger",
    "RESTClientObject",
    "load_incluster_config",
    "parse_rfc3339",
]
