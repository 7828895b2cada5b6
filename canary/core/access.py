"""Who calls the controller, and what they want to be allowed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """A user as the API server knows them."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Right:
    """One verb on Canaries of a group, or on a subresource of theirs; an empty namespace or name means all."""

    verb: str
    group: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        kind = f"canaries/{self.subresource}" if self.subresource else "canaries"
        place = f" in namespace {self.namespace}" if self.namespace else " in all namespaces"
        return f"{self.verb} {kind}.{self.group}{place}"
