"""Which VirtualService shares out the apex's traffic: ours, or the user's that is adopted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from canary.core.mentions import delegate_name, delegates
from canary.core.names import OWNER, Names, Owner, key_of
from canary.core.objects import VIRTUAL_SERVICE, Object, annotations_of, ref_of
from canary.core.routes.entries import find_conflict, touched
from canary.core.routes.hosts import apex_host, spellings
from canary.core.routes.routing import Routing
from canary.core.routes.sections import EVERY, REQUESTS, Sections, entries_of
from canary.core.routes.split import read_parts


def choose_route(routes: Sequence[Object], names: Names, owner: Owner) -> Object | None:
    """Return the VirtualService of a Canary: the one that names it, else the one that it names.

    When it names none the apex's own, else one of its namespace for its host.  None when there is none yet, or
    none leads to the apex.  One that delegates to the apex's own is not the Canary's, whatever else it routes.
    """
    kinds = (_is_marked, _is_named) if names.named is not None else (_is_marked, _is_apex, _routes_apex)
    for ours in kinds:
        found = next((route for route in routes if ours(route, names, owner)), None)
        if found is not None:
            return found
    return None


def routes_host(route: Object, names: Names) -> bool:
    """Return whether a VirtualService is asked for requests to the apex's host."""
    hosts = (route.get("spec") or {}).get("hosts") or []
    return bool(spellings(names.apex, names.namespace) & set(hosts))


def is_marked(route: Object) -> bool:
    """Return whether a VirtualService carries our mark: made by us, or adopted."""
    return OWNER in annotations_of(route)


def refuse_adoption(route: Object, sections: Sections, names: Names, plan: Sequence[Routing]) -> str | None:
    """Return why a user's VirtualService cannot be adopted, in words that name the route; None when it can."""
    shared = {section: touched(entries_of(route, section), names) for section in sections.names}
    if not any(shared.values()):
        return f"has no {sections.label} route to host {apex_host(names)}; {_cure(names)}"
    for section, entries in shared.items():
        for number, entry in enumerate(entries, 1):
            if why := _refuse_entry(entry, names):
                return f"{section} route {entry.get('name') or number} {why}"
    conflicts = (find_conflict(entries_of(route, *REQUESTS.names), names, routing) for routing in plan)
    return next((one for one in conflicts if one is not None), None) if sections is REQUESTS else None


def _cure(names: Names) -> str:
    return "add one" if names.named is not None else "add one, or delete it and one is made"


def _refuse_entry(entry: Mapping[str, Any], names: Names) -> str | None:
    parts = read_parts(entry.get("route") or [], names)
    if sum(part.total for part in parts) <= 0:
        return "has weights that sum to 0; give its destinations weights that sum to 100"
    if sum(part.host is not None for part in parts) > 1:
        return f"names host {apex_host(names)} in more than one destination; leave one of them"
    return None


def _is_marked(route: Object, names: Names, owner: Owner) -> bool:
    return key_of(route) == owner.key(names.namespace)


def _is_named(route: Object, names: Names, owner: Owner) -> bool:
    return ref_of(VIRTUAL_SERVICE, route) == names.named


def _is_apex(route: Object, names: Names, owner: Owner) -> bool:
    return ref_of(VIRTUAL_SERVICE, route) == names.route_ref


def _routes_apex(route: Object, names: Names, owner: Owner) -> bool:
    root = delegate_name(names.namespace, names.apex) in delegates(route)
    return (
        not root
        and not is_marked(route)
        and routes_host(route, names)
        and bool(touched(entries_of(route, *EVERY), names))
    )
