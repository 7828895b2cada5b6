"""Keep equal small parts of many objects once: resources, probes and ports repeat all over a cluster."""

from __future__ import annotations

from sys import intern
from typing import Any

LIMIT = 4096


class Sharing:
    """Replace equal parts by one; what is returned must never be changed in place."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._known: dict[Any, Any] = {}

    def __call__(self, value: Any) -> Any:
        """Return a value equal to ``value`` that shares strings and innermost parts with earlier ones."""
        if isinstance(value, str):
            return intern(value)
        if isinstance(value, dict):
            mapping = {key: self(part) for key, part in value.items()}
            return self._one(tuple((key, type(part), part) for key, part in mapping.items()), mapping)
        if isinstance(value, list):
            parts = [self(part) for part in value]
            return self._one(tuple((type(part), part) for part in parts), parts)
        return value

    def _one(self, key: tuple[Any, ...], value: Any) -> Any:
        if len(self._known) >= self._limit:
            self._known.clear()
        try:
            # Types tell True from 1 and 1 from 1.0, and the empty object from the empty list.
            return self._known.setdefault((type(value), *key), value)
        except TypeError:
            # It has parts of its own, which cannot be a key: not an innermost part.
            return value
