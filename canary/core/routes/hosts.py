"""The spellings of a Service's host in a route, and the same spelling for one side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from canary.core.names import Names

Side = Literal["apex", "primary", "canary"]
SERVICES = ".svc.cluster.local"
"""The domain of Services, behind name and namespace."""


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
    """Return which of the three Services a destination's host names; None for any other host.

    From another namespace only the full host means one of them.
    """
    if not isinstance(host, str):
        return None
    return _hosts(names.apex, names.namespace, names.routed_from_elsewhere).get(host)


@lru_cache(maxsize=4096)
def _hosts(apex: str, namespace: str, from_elsewhere: bool) -> dict[str, Host]:
    # Asked for at every destination: by these it is found in half the time that the names take.
    names = Names(namespace, apex, apex)
    sides: tuple[Side, ...] = ("apex", "primary", "canary")
    seen = suffixes(namespace)[-1:] if from_elsewhere else suffixes(namespace)
    known = (Host(side, suffix) for side in sides for suffix in seen)
    return {one.spelled(names, one.side): one for one in known}


def suffixes(namespace: str) -> tuple[str, ...]:
    """Return what may follow a Service's name in its host, seen from its own namespace."""
    return ("", f".{namespace}", f".{namespace}.svc", f".{namespace}{SERVICES}")


def apex_host(names: Names) -> str:
    """Return the apex's host as its route names it: where the VirtualService is elsewhere in full."""
    return qualified(names.apex, names.namespace) if names.routed_from_elsewhere else names.apex


def spellings(name: str, namespace: str) -> frozenset[str]:
    """Return every host that means the Service of this name and namespace, seen from there."""
    return frozenset(f"{name}{suffix}" for suffix in suffixes(namespace))


def qualified(host: str, namespace: str) -> str:
    """Return a host as Istio reads it in an object of a namespace: a bare name is a Service of that namespace."""
    return host if "." in host or host.startswith("*") else f"{host}.{namespace}{SERVICES}"


def service_of(host: str) -> tuple[str, str] | None:
    """Return name and namespace of the Service a qualified host means; None for any other host."""
    name, _, namespace = host.removesuffix(SERVICES).partition(".")
    return (name, namespace) if host.endswith(SERVICES) and namespace and "." not in namespace else None


@lru_cache(maxsize=4096)
def covering(host: str) -> tuple[str, ...]:
    """Return the wildcard hosts that take in a qualified one, the widest first."""
    parts = host.split(".")[1:]
    return ("*", *("*." + ".".join(parts[i:]) for i in reversed(range(len(parts)))))


@lru_cache(maxsize=4096)
def qualified_hosts(names: Names) -> Mapping[Side, str]:
    """Return the qualified hosts of the three Services."""
    sides: tuple[Side, ...] = ("apex", "primary", "canary")
    return {side: qualified(Host(side, "").spelled(names, side), names.namespace) for side in sides}
