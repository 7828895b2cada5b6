"""What a write that takes pods away rests on, read live just before it."""

from __future__ import annotations

from canary.core.actions import Guard
from canary.core.view import View


def route_guards(view: View) -> tuple[Guard, ...]:
    """Require that routes and apex Service, read live, are still the ones this was decided on (I21)."""
    names, snapshot = view.snapshot.names, view.snapshot
    pairs = ((snapshot.route_ref, snapshot.route), (names.apex_ref, snapshot.apex))
    return tuple(Guard(ref, obj["metadata"]["resourceVersion"] if obj else None) for ref, obj in pairs)
