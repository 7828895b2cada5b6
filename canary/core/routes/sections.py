"""The sections of a VirtualService that a Canary shares out: ``http``, or for a service of connections both others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from canary.api.canary import CanarySpec
from canary.core.names import CARRIES
from canary.core.objects import Object, annotations_of

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sections:
    """The sections whose routes are shared out; the one we make has its route in the last."""

    names: tuple[str, ...]
    mark: str | None
    """What the annotation on the VirtualService says; without one it is ``http``."""

    @property
    def made(self) -> str:
        """Return the section of the route in a VirtualService that we make."""
        return self.names[-1]

    @property
    def label(self) -> str:
        """Return the sections in words, e.g. ``tls or tcp``."""
        return " or ".join(self.names)


REQUESTS: Final = Sections(("http",), None)
CONNECTIONS: Final = Sections(("tls", "tcp"), "connections")
EVERY = (*REQUESTS.names, *CONNECTIONS.names)


def shared_sections(route: Object) -> Sections:
    """Return the sections of a VirtualService that were shared out last."""
    return CONNECTIONS if annotations_of(route).get(CARRIES) == CONNECTIONS.mark else REQUESTS


def wanted_sections(spec: CanarySpec | None, route: Object) -> Sections:
    """Return the sections to share out; while the spec is unusable those of before."""
    if spec is None:
        return shared_sections(route)
    return made_sections(spec)


def made_sections(spec: CanarySpec) -> Sections:
    """Return the sections that a spec asks for."""
    return CONNECTIONS if spec.service.carries_connections else REQUESTS


def entries_of(route: Object, *sections: str) -> list[Entry]:
    """Return the routes of some sections of a VirtualService, in their order."""
    body: Mapping[str, Any] = route.get("spec") or {}
    return [entry for section in sections for entry in body.get(section) or ()]
