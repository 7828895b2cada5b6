"""What the VirtualService remembers in an annotation: destinations as written, and the share they stand for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from canary.core.names import CHANGED
from canary.core.routes.entries import Memory
from canary.core.routes.routing import Routing

_KEYS = {"http": "routes", "tls": "tls", "tcp": "tcp"}
"""What the destinations of a section as written are kept under."""


def recalled(memory: Mapping[str, Memory], routing: Routing) -> str:
    """Return the annotation that undoes our changes: destinations as written, and the share they stand for."""
    body: dict[str, Any] = {"canary": routing.canary}
    body |= {_KEYS[name]: list(kept) for name, kept in memory.items() if any(one is not None for one in kept)}
    return json.dumps(body, separators=(",", ":"))


def _changed(annotations: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(annotations.get(CHANGED) or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def remembered(annotations: Mapping[str, str]) -> dict[str, Memory]:
    """Return what undoing needs, by section."""
    found = _changed(annotations)
    known = ((name, found.get(key)) for name, key in _KEYS.items())
    lists = ((name, one) for name, one in known if isinstance(one, list))
    return {name: tuple(one if isinstance(one, list) else None for one in kept) for name, kept in lists}


def recalled_share(annotations: Mapping[str, str]) -> int | None:
    """Return the share of the canary that the routes stand for."""
    share = _changed(annotations).get("canary")
    return share if isinstance(share, int) and not isinstance(share, bool) and 0 <= share <= 100 else None
