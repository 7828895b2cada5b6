"""The spellings of a Service's host in a route, and the same spelling for one side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from canary.core.names import Names

Side = Literal["apex", "primary", "canary"]


@dataclass(frozen=True, slots=True)
class Host:
    """One of the three Services of a Canary, with how its name was written: short, or up to the FQDN."""

    side: Side
    suffix: str

    def spelled(self, names: Names, side: Side) -> str:
        """Return the host of a side in the same spelling."""
        base = names.apex if side == "apex" else names.service(side).name
        return f"{base}{self.suffix}"


def read_host(host: object, names: Names) -> Host | None:
    """Return which of the three Services a destination's host names; None for any other host."""
    return _hosts(names).get(host) if isinstance(host, str) else None


@lru_cache(maxsize=4096)
def _hosts(names: Names) -> dict[str, Host]:
    sides: tuple[Side, ...] = ("apex", "primary", "canary")
    known = (Host(side, suffix) for side in sides for suffix in suffixes(names.namespace))
    return {one.spelled(names, one.side): one for one in known}


def suffixes(namespace: str) -> tuple[str, ...]:
    """Return what may follow a Service's name in its host, seen from its own namespace."""
    return ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")


def spellings(name: str, namespace: str) -> frozenset[str]:
    """Return every host that means the Service of this name and namespace, seen from there."""
    return frozenset(f"{name}{suffix}" for suffix in suffixes(namespace))
