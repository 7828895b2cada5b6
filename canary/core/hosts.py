"""Which hosts Canaries and MetricTemplates may name: those that an allow-list holds, and never the node's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from urllib.parse import urlsplit

from canary.core.objects import Object

METADATA = ip_address("fd00:ec2::254")
"""Where a cloud keeps credentials of the node, outside of the link-local addresses."""


@dataclass(frozen=True, slots=True)
class Hosts:
    """An allow-list of hosts; ``*.example.com`` holds all below that name, and an empty list holds all."""

    patterns: tuple[str, ...] = ()

    def objection(self, host: str) -> str | None:
        """Return why a host is not asked, None when it may be."""
        if of_the_node(host):
            return f"host {host} is an address of the node's own network, which is never asked; name another one"
        name = host.lower().rstrip(".")
        if not self.patterns or any(_holds(pattern, name) for pattern in self.patterns):
            return None
        allowed = ", ".join(self.patterns)
        return f"host {host} is not in the controller's hookHosts ({allowed}); name one of them, or add it there"

    def refusals(self, canary: Object) -> tuple[str, ...]:
        """Return what is wrong with the hosts that a Canary names, in the order of its fields."""
        return tuple(
            f"{field} is {_shown(url)!r}: {why}" for field, url in _named(canary) if (why := self._against(url))
        )

    def _against(self, url: str) -> str | None:
        try:
            host = urlsplit(url).hostname
        except ValueError:
            return None
        return self.objection(host) if host else None


ANY_HOST = Hosts()
"""No allow-list."""


def of_the_node(host: str) -> bool:
    """Return whether a host is written as an address that means something else on each node."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_link_local or address == METADATA


def _holds(pattern: str, name: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern


def _named(canary: Object) -> Iterator[tuple[str, str]]:
    """Yield the addresses that a Canary names, each with its field."""
    spec = canary.get("spec") or {}
    if server := spec.get("metricsServer"):
        yield "spec.metricsServer", server
    for number, hook in enumerate((spec.get("analysis") or {}).get("webhooks") or ()):
        yield f"spec.analysis.webhooks[{number}].url", hook["url"]


def _shown(url: str) -> str:
    """Return an address without what may be secret in it."""
    scheme, _, rest = url.partition("?")[0].partition("#")[0].partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"
