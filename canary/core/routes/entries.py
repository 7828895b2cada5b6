"""The http routes of a VirtualService: which are touched, and what a routing makes of them.

A touched route leads to the apex, as the user wrote it, or to the weighted pair that stands for it.
Routes of cohorts and of sessions are ours whole and stand right before the touched route they were made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from canary.core.names import Names
from canary.core.routes.cohorts import CannotJoinError, join_all
from canary.core.routes.hosts import read_host
from canary.core.routes.routing import Routing
from canary.core.routes.session_routes import is_session, session_conflict, with_sessions
from canary.core.routes.sessions import without_cookie
from canary.core.routes.split import (
    Destination,
    Part,
    join,
    leads_to_us,
    read_parts,
    sides_of,
    split,
    to_service,
    to_side,
)

Entry = dict[str, Any]
Memory = tuple[list[Destination] | None, ...]
"""Per touched route, its destinations as the user wrote them where the pair alone does not tell."""

COHORT_PREFIX = "canary-cohort-"
MIRROR_FIELDS = ("mirror", "mirrors", "mirrorPercentage")


def is_cohort(entry: Mapping[str, Any]) -> bool:
    """Return whether this is a cohort route of ours."""
    return str(entry.get("name", "")).startswith(COHORT_PREFIX)


def is_added(entry: Mapping[str, Any]) -> bool:
    """Return whether this is a route of ours beside the one it was made from."""
    return is_cohort(entry) or is_session(entry)


def is_touched(entry: Mapping[str, Any], names: Names) -> bool:
    """Return whether a route leads to the apex or to the pair that stands for it."""
    return not is_added(entry) and leads_to_us(entry.get("route") or [], names)


def touched(entries: Iterable[Mapping[str, Any]], names: Names) -> list[Mapping[str, Any]]:
    """Return the routes whose traffic is shared out."""
    return [one for one in entries if is_touched(one, names)]


def is_split(entry: Mapping[str, Any], names: Names) -> bool:
    """Return whether no destination of a touched route is the apex any more."""
    return "apex" not in sides_of(entry.get("route") or [], names)


def rewrite(
    entries: Sequence[Mapping[str, Any]], names: Names, routing: Routing, memory: Memory
) -> tuple[list[Entry], Memory]:
    """Return the routes under a routing, and what undoing it needs; untouched routes are the same.

    ``memory`` is what the last rewriting returned.  What a route has no words for is left out of it
    (see ``find_conflict``).
    """
    found: list[Entry] = []
    kept: list[list[Destination] | None] = []
    known = memory if memory and len(memory) == len(touched(entries, names)) else ()
    for entry in entries:
        if is_added(entry):
            continue
        if not is_touched(entry, names):
            found.append(dict(entry))
            continue
        number = len(kept)
        given = list(entry.get("route") or [])
        before = read_parts(_bare(given) if routing.sessions else given, names)
        after = split(before, names, routing.canary)
        if all(part.split for part in before if part.host is not None):
            kept.append(known[number] if known else None)
        else:
            kept.append(None if _bare(join(after, names)) == given else given)
        plain = {k: v for k, v in entry.items() if not (k in MIRROR_FIELDS and _mirrors_canary(entry, names))}
        found += _cohort_entries(plain, before, names, routing, number)
        shared = {**plain, "route": after, **_mirroring(plain, after, names, routing.mirror)}
        found += with_sessions(shared, names, routing, number)
    return found, tuple(kept)


def undo(entries: Sequence[Mapping[str, Any]], names: Names, memory: Memory) -> list[Entry]:
    """Return the routes as the user wrote them, with whatever else the user changed meanwhile."""
    found: list[Entry] = []
    number = 0
    for entry in entries:
        if is_added(entry):
            continue
        if not is_touched(entry, names):
            found.append(dict(entry))
            continue
        route = list(entry.get("route") or [])
        written = memory[number] if number < len(memory) else None
        number += 1
        plain = {k: v for k, v in entry.items() if not (k in MIRROR_FIELDS and _mirrors_canary(entry, names))}
        fits = written is not None and _on_primary(written, names) == _on_primary(route, names)
        found.append({**plain, "route": written if fits else join(route, names)})
    return found


def mirrored(entry: Mapping[str, Any], names: Names) -> int:
    """Return the percentage of a route's requests that is copied to the canary."""
    if not _mirrors_canary(entry, names):
        return 0
    percentage = (entry.get("mirrorPercentage") or {}).get("value", 100)
    return round(float(percentage))


def cohorts_on_canary(entries: Sequence[Mapping[str, Any]]) -> int:
    """Return how many cohorts have routes of their own."""
    numbers = {str(one["name"]).removeprefix(COHORT_PREFIX).split("-")[0] for one in entries if is_cohort(one)}
    return len(numbers)


def cohorts_apart(entries: Sequence[Mapping[str, Any]], names: Names) -> frozenset[int]:
    """Return the numbers of the cohorts whose routes lead to a Service of their own."""
    led = (one for entry in entries if is_cohort(entry) for one in entry.get("route") or ())
    numbers = (names.cohort_of((one.get("destination") or {}).get("host")) for one in led)
    return frozenset(number for number in numbers if number is not None)


def _cohort_entries(plain: Entry, before: tuple[Part, ...], names: Names, routing: Routing, number: int) -> list[Entry]:
    label = str(plain.get("name") or number + 1)
    found = []
    for index, cohort in enumerate(routing.cohorts, 1):
        try:
            conditions = join_all(plain.get("match") or (), cohort, names.route_ref.namespace)
        except CannotJoinError:
            continue
        if conditions:
            name = f"{COHORT_PREFIX}{index}-{label}"
            apart = names.cohort_service(index).name if index in routing.counted else ""
            route = to_service(before, names, apart) if apart else to_side(before, names, "canary")
            found.append({**plain, "name": name, "match": conditions, "route": route})
    return found


def _mirrors_canary(entry: Mapping[str, Any], names: Names) -> bool:
    host = read_host((entry.get("mirror") or {}).get("host"), names)
    return host is not None and host.side == "canary"


def find_conflict(entries: Iterable[Mapping[str, Any]], names: Names, routing: Routing) -> str | None:
    """Return what touched routes cannot do of what a routing asks for, and why; None when they can do all."""
    shared = touched(entries, names)
    met: set[int] = set()
    for number, entry in enumerate(shared, 1):
        label = f"http route {entry.get('name') or number}"
        if routing.mirror and not _mirrors_canary(entry, names) and any(k in entry for k in MIRROR_FIELDS):
            return f"{label} mirrors requests elsewhere, the canary's copies have no place there"
        if routing.sessions and routing.sticky and (why := session_conflict(entry, routing.sessions)):
            return f"{label} {why}"
        for index, cohort in enumerate(routing.cohorts, 1):
            try:
                met |= {index} if join_all(entry.get("match") or (), cohort, names.route_ref.namespace) else set()
            except CannotJoinError as error:
                return f"{label} and the cohort cannot be asked for at once: {error}"
    unmet = next((index for index in range(1, len(routing.cohorts) + 1) if shared and index not in met), None)
    return _unmet(names, unmet) if unmet is not None else None


def _unmet(names: Names, cohort: int) -> str:
    told = f"no http route to {names.apex} takes a request of cohort {cohort}"
    return f"{told}: no request meets a condition of both; correct the match of one of them"


def _mirroring(plain: Entry, route: list[Destination], names: Names, percentage: int) -> Entry:
    if not percentage or any(k in plain for k in MIRROR_FIELDS):
        return {}
    canary = next(part.sides["canary"] for part in read_parts(route, names) if part.split)
    return {"mirror": canary["destination"], "mirrorPercentage": {"value": percentage}}


def _bare(route: list[Destination]) -> list[Destination]:
    """Return destinations as they are after they have given a cookie."""
    return [without_cookie(one) for one in route]


def _on_primary(route: list[Destination], names: Names) -> list[Destination]:
    """Return destinations as they are with all at the primary, whatever their weights."""
    return [{**one, "weight": 0} for one in _bare(split(read_parts(route, names), names, 0))]
