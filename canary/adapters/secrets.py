"""Secrets that manifests name, read live and never kept."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

from canary.adapters.asking import AskError, Secret
from canary.core.objects import SECRET, Object, Ref
from canary.ports import ClusterError

Read = Callable[[Ref], Awaitable[Object | None]]
"""Read an object live; None when it does not exist, ``ClusterError`` when that cannot be told."""


async def read_secret(read: Read, namespace: str, name: str) -> Secret:
    """Return what a Secret holds, decoded; raise AskError, which names it, when it cannot be read."""
    try:
        found = await read(Ref(SECRET, namespace, name))
    except ClusterError as fault:
        cure = "allow the controller to get it"
        raise AskError(f"cannot be asked: Secret {namespace}/{name} cannot be read ({fault}); {cure}") from None
    if found is None:
        raise AskError(f"cannot be asked: Secret {namespace}/{name} not found; create it")
    return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
