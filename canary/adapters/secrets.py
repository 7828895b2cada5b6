"""Secrets that manifests name, read live and never kept."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

from canary.adapters.asking import CA, CERTIFICATE, PASSWORD, USER, AskError, Secret
from canary.core.objects import SECRET, Object, Ref
from canary.ports import ClusterError

Read = Callable[[Ref], Awaitable[Object | None]]
"""Read an object live; None when it does not exist, ``ClusterError`` when that cannot be told."""

SHORTEST = 4
"""Letters of a value that is hidden: shorter ones are part of any text."""
_OPEN = (USER, CA, CERTIFICATE)


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


def redacted(text: str, secret: Secret) -> str:
    """Return a text of the other side without what is secret: some servers repeat what they are sent."""
    user, password = (secret.get(key, b"").strip(b"\r\n") for key in (USER, PASSWORD))
    hidden = [value.strip(b"\r\n").decode(errors="ignore") for key, value in secret.items() if key not in _OPEN]
    hidden.append(base64.b64encode(user + b":" + password).decode() if user else "")
    for words in sorted(hidden, key=len, reverse=True):
        text = text.replace(words, "***") if len(words) >= SHORTEST else text
    return text
