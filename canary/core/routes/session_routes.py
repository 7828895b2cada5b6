"""The http routes of session affinity: those for callers with a cookie, and the one that draws all others.

They stand right before the touched route they were made from and are ours whole; that one keeps its pair,
whose destinations give the cookies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from canary.core.names import Names, Role
from canary.core.routes.cohorts import CannotJoinError, join_all
from canary.core.routes.routing import Condition, Routing
from canary.core.routes.sessions import (
    Sessions,
    find_other_cookie,
    joining,
    on_canary,
    on_primary,
    sets_cookie,
)
from canary.core.routes.split import draw, read_parts, sides_of, to_side

Entry = dict[str, Any]

PREFIX = "canary-session-"
STICKY: dict[str, Role] = {"stays": "canary", "joins": "canary", "waits": "primary"}
"""Where callers with a cookie are sent, by what they do there."""
ENDING = ("ends", "ended")
"""Callers who are rid of the canary's cookie, and of the primary's."""
_NAMES = tuple(f"{PREFIX}{kind}-" for kind in (*STICKY, *ENDING))


def is_session(entry: Mapping[str, Any]) -> bool:
    """Return whether this is a route of ours for callers with a cookie."""
    return str(entry.get("name", "")).startswith(_NAMES)


def with_sessions(shared: Entry, names: Names, routing: Routing, number: int) -> list[Entry]:
    """Return a route shared out, after those for callers with a cookie; it draws the side of all others."""
    sessions, weight = routing.sessions, routing.canary
    if sessions is None or not weight or find_other_cookie(shared):
        return [shared]
    label = str(shared.get("name") or number + 1)
    parts, match = read_parts(shared["route"], names), shared.get("match") or ()
    try:
        found = [
            {
                **shared,
                "name": f"{PREFIX}{kind}-{label}",
                "match": join_all(match, (condition,)),
                "route": to_side(parts, names, side, header),
            }
            for kind, condition, side, header in _kinds(sessions, weight)
        ]
    except CannotJoinError:
        return [shared]
    last = {**shared, "route": draw(parts, names, sessions, weight)} if routing.sticky else shared
    return [*found, last]


def session_conflict(entry: Mapping[str, Any], sessions: Sessions) -> str | None:
    """Return why callers of a route cannot be told by cookies; None when they can."""
    if field := find_other_cookie(entry):
        return f"names set-cookie in {field}, the session's cookie has no place there"
    try:
        join_all(entry.get("match") or (), (on_canary(sessions),))
    except CannotJoinError:
        return "asks for header cookie itself, the session's cookie cannot be asked for beside it"
    return None


def read_sessions(
    entries: Sequence[Mapping[str, Any]], touched: Sequence[Mapping[str, Any]], names: Names
) -> tuple[bool, bool]:
    """Return whether routes keep callers on their side, and whether all touched ones do so alike."""
    sticky = [(kind, one) for one in entries if is_session(one) and (kind := _kind(one)) in STICKY]
    drawing = [any(sets_cookie(d) for d in one.get("route") or ()) for one in touched]
    whole = all(drawing) and len(sticky) == len(STICKY) * len(drawing)
    right = all(sides_of(one.get("route") or [], names) == {STICKY[kind]} for kind, one in sticky)
    shown = bool(sticky) or any(drawing)
    return shown, not shown or (whole and right)


@lru_cache(maxsize=256)
def _kinds(sessions: Sessions, weight: int) -> tuple[tuple[str, Condition, Role, str], ...]:
    """Return per route for callers with a cookie its kind, its condition, its side and the cookie it gives."""
    if weight == 100:
        cookies = ((on_canary(sessions), sessions.canary), (on_primary(sessions), sessions.primary))
        return tuple(
            (kind, condition, "canary", sessions.ending(name))
            for kind, (condition, name) in zip(ENDING, cookies, strict=True)
        )
    joined = sessions.setting(sessions.canary_cookie)
    conditions = (on_canary(sessions), joining(sessions, weight), on_primary(sessions))
    return tuple(
        (kind, condition, side, header)
        for (kind, side), condition, header in zip(STICKY.items(), conditions, ("", joined, ""), strict=True)
    )


def _kind(entry: Mapping[str, Any]) -> str:
    return str(entry["name"]).removeprefix(PREFIX).split("-")[0]
