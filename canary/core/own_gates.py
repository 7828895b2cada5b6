"""The controller's own gates: what an annotation on the Canary opens, and which hooks ask for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from canary.api.open_gates import ANNOTATION, NAME, OpenGate, read_gates, write_gates
from canary.core.objects import Object, annotations_of

GATE, ROLLBACK = "gate", "rollback"
"""The two that Flagger's load tester keeps for each Canary."""
_ASKED = re.compile(rf"/(?:(?P<rollback>rollback)/check|gate/check(?:/(?P<name>{NAME}))?)/?")


def open_gates(canary: Object) -> Mapping[str, OpenGate]:
    """Return the gates of a Canary that are open."""
    return read_gates(annotations_of(canary).get(ANNOTATION))


def is_open(canary: Object, gate: str, revision: str) -> bool:
    """Return whether a gate of a Canary lets a revision pass; it is closed unless somebody opened it."""
    found = open_gates(canary).get(gate)
    return found is not None and found.lets(revision)


def opened(canary: Object, gate: str, revision: str, by: str, now: datetime) -> dict[str, str | None]:
    """Return the annotation of a Canary with a gate open for one revision, or for all when it is empty."""
    return {ANNOTATION: write_gates({**open_gates(canary), gate: OpenGate(revision=revision, by=by, at=now)})}


def closed(canary: Object, gate: str) -> dict[str, str | None]:
    """Return the annotation of a Canary with a gate closed."""
    return {ANNOTATION: write_gates({name: one for name, one in open_gates(canary).items() if name != gate})}


def hooks_by_gate(canary: Object) -> dict[str, list[str]]:
    """Return the gates of a Canary with the names of the hooks that ask for them, as their addresses tell."""
    found: dict[str, list[str]] = {GATE: [], ROLLBACK: []}
    analysis = (canary.get("spec") or {}).get("analysis") or {}
    for hook in analysis.get("webhooks") or ():
        asked = _ASKED.fullmatch(_path(str(hook.get("url", ""))))
        if asked is not None:
            found.setdefault(asked["name"] or asked["rollback"] or GATE, []).append(str(hook.get("name", "")))
    return found


def _path(url: str) -> str:
    """Return the path of an address; of one behind a prefix, what follows the prefix."""
    try:
        path = urlsplit(url).path
    except ValueError:
        return ""
    start = max(path.rfind("/gate/check"), path.rfind("/rollback/check"))
    return path[start:] if start >= 0 else ""
