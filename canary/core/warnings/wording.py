"""How warnings name objects."""

from __future__ import annotations

from collections.abc import Sequence

from canary.core.objects import Object

MOST = 3


def named(objects: Sequence[Object], kind: str) -> str:
    """Return objects of one kind as ``Kind namespace/name``, the first few of many by name."""
    names = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in objects]
    return f"{kind}{'s' if len(names) > 1 else ''} {listed(names)}"


def listed(names: Sequence[str]) -> str:
    """Return names as a list in words, the first few of many."""
    shown = [*names[:MOST], *([f"{len(names) - MOST} more"] if len(names) > MOST else [])]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
