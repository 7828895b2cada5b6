"""What the VirtualService of Flagger leads to."""

from __future__ import annotations

from canary.core.names import Names
from canary.core.objects import Object
from canary.core.routes.hosts import read_host
from canary.core.routes.sections import EVERY, entries_of
from canary.core.routes.split import read_parts, sides_of


def names_sides(route: Object, names: Names) -> bool:
    """Return whether any route leads to one of the sides' Services."""
    entries = entries_of(route, *EVERY)
    return any(sides_of(one.get("route") or [], names) - {"apex"} for one in entries)


def exposes_canary(route: Object, names: Names) -> bool:
    """Return whether any request, or a copy of one, reaches the canary's Service."""
    for one in entries_of(route, *EVERY):
        mirror = read_host((one.get("mirror") or {}).get("host"), names)
        if mirror is not None and mirror.side == "canary":
            return True
        if any(part.canary for part in read_parts(one.get("route") or [], names)):
            return True
    return False
