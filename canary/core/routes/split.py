"""The weighted pair: destinations at the apex shared out between primary and canary, and back again.

Works on the destinations of one route entry.  A user's destination at the apex becomes two, one per
side; other destinations and other fields stay as they are.  While sessions are kept the primary's is
several, one per cookie that it gives; they are read as one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from canary.core.names import Names, Role
from canary.core.routes.hosts import Host, Side, read_host
from canary.core.routes.sessions import Sessions, sets_cookie, with_cookie, without_cookie

Destination = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """One destination as the user wrote it: of another host, at the apex, or as the pair that stands for it."""

    host: Host | None
    sides: dict[str, Destination]
    total: int

    @property
    def split(self) -> bool:
        """Return whether this is the weighted pair."""
        return "primary" in self.sides or "canary" in self.sides

    @property
    def canary(self) -> int:
        """Return the canary's weight in the pair."""
        if "canary" not in self.sides:
            return 0
        return weight_of(self.sides["canary"]) if "primary" in self.sides else self.total


def weight_of(destination: Destination, alone: bool = False) -> int:
    """Return a destination's weight: without one it gets everything when alone, nothing among several."""
    found = destination.get("weight")
    return int(found) if found is not None else 100 if alone else 0


def read_parts(route: Sequence[Destination], names: Names) -> tuple[Part, ...]:
    """Return the destinations of an entry, with each weighted pair as one."""
    return tuple(_parts(_gathered(route, names)))


def gathered(route: Sequence[Destination], names: Names) -> list[Destination]:
    """Return an entry's destinations with those of one side in a row as one, without the cookies they give."""
    return [one for one, _ in _gathered(route, names)]


def _gathered(route: Sequence[Destination], names: Names) -> list[tuple[Destination, Host | None]]:
    found: list[tuple[Destination, Host | None]] = []
    before: Host | None = None
    for one in route:
        host = _host(one, names)
        if host is None or host.side == "apex" or host != before:
            found.append((without_cookie(one) if sets_cookie(one) else one, host))
        else:
            first, _ = found[-1]
            found[-1] = ({**first, "weight": weight_of(first) + weight_of(one)}, host)
        before = host
    return found


def _host(destination: Destination, names: Names) -> Host | None:
    return read_host((destination.get("destination") or {}).get("host"), names)


def _parts(route: list[tuple[Destination, Host | None]]) -> Iterator[Part]:
    alone = len(route) == 1
    taken: set[int] = set()
    for index, (one, host) in enumerate(route):
        if index in taken:
            continue
        if host is None or host.side == "apex":
            yield Part(host, {"apex": one}, weight_of(one, alone))
            continue
        sides: dict[str, Destination] = {host.side: one}
        wanted = Host("canary" if host.side == "primary" else "primary", host.suffix)
        later = next((i for i in range(index + 1, len(route)) if route[i][1] == wanted and i not in taken), None)
        if later is not None:
            sides[wanted.side], _ = route[later]
            taken.add(later)
        yield Part(host, sides, sum(weight_of(d, alone) for d in sides.values()))


def leads_to_us(route: Sequence[Destination], names: Names) -> bool:
    """Return whether any destination of an entry is the apex, the pair that stands for it, or the canary.

    A route to the primary alone is one that a user wants there.
    """
    return bool(sides_of(route, names) - {"primary"})


def sides_of(route: Sequence[Destination], names: Names) -> set[Side]:
    """Return which of the three Services an entry's destinations name."""
    return {host.side for one in route if (host := _host(one, names)) is not None}


def share_of(total: int, canary: int) -> int:
    """Return the canary's weight out of ``total`` when its share is ``canary`` percent."""
    return (total * canary + 50) // 100


def split(parts: Sequence[Part], names: Names, canary: int) -> list[Destination]:
    """Return an entry's destinations with this share for the canary; the weights sum to 100."""
    totals = _scaled([part.total for part in parts])
    found: list[Destination] = []
    for part, total in zip(parts, totals, strict=True):
        if part.host is None:
            found.append({**part.sides["apex"], "weight": total})
            continue
        share = share_of(total, canary)
        found.append({**_side(part, names, "primary"), "weight": total - share})
        found.append({**_side(part, names, "canary"), "weight": share})
    return found


def draw(parts: Sequence[Part], names: Names, sessions: Sessions, canary: int) -> list[Destination]:
    """Return an entry's shared out destinations with a cookie in each answer that tells the caller's side.

    The primary's share is drawn among those who follow at each later weight of the plan.
    """
    found: list[Destination] = []
    for part in parts:
        if part.host is None:
            found.append(part.sides["apex"])
            continue
        primary = _side(part, names, "primary")
        for low, high in pairwise((canary, *sessions.later(canary))):
            share = share_of(part.total, high) - share_of(part.total, low)
            cookie = sessions.setting(f"{sessions.primary_cookie}.{high}")
            found.append({**with_cookie(primary, cookie), "weight": share})
        share = share_of(part.total, canary)
        cookie = sessions.setting(sessions.canary_cookie)
        found.append({**with_cookie(_side(part, names, "canary"), cookie), "weight": share})
    return found


def to_side(parts: Sequence[Part], names: Names, side: Role, header: str = "") -> list[Destination]:
    """Return an entry's destinations with all that is ours at one side, giving a cookie if there is one."""
    totals = _scaled([part.total for part in parts])
    found: list[Destination] = []
    for part, total in zip(parts, totals, strict=True):
        if part.host is None:
            found.append({**part.sides["apex"], "weight": total})
            continue
        ours = _side(part, names, side)
        found.append({**(with_cookie(ours, header) if header else ours), "weight": total})
    return found


def to_service(parts: Sequence[Part], names: Names, service: str) -> list[Destination]:
    """Return an entry's destinations with all that is ours at another Service of the canary's pods."""
    found = to_side(parts, names, "canary")
    for index, part in enumerate(parts):
        if part.host is not None:
            written = found[index]
            found[index] = {**written, "destination": {**written["destination"], "host": service + part.host.suffix}}
    return found


def join(route: Sequence[Destination], names: Names) -> list[Destination]:
    """Return an entry's destinations with every pair at the apex again; alone it needs no weight."""
    parts = read_parts(route, names)
    found: list[Destination] = []
    for part in parts:
        if part.host is None or not part.split:
            found.append(next(iter(part.sides.values())))
            continue
        written = part.sides.get("primary") or part.sides["canary"]
        joined = {**written, "destination": {**written["destination"], "host": part.host.spelled(names, "apex")}}
        joined["weight"] = part.total
        if len(parts) == 1:
            del joined["weight"]
        found.append(joined)
    return found


def _side(part: Part, names: Names, side: Role) -> Destination:
    """Return the destination of one side, with whatever else was written there."""
    if side in part.sides:
        return part.sides[side]
    assert part.host is not None
    written = next(iter(part.sides.values()))
    # A subset is told by labels that the two sides need not differ in; its policy is carried by their rules.
    kept = {k: v for k, v in (written.get("destination") or {}).items() if k != "subset"}
    return {**written, "destination": {**kept, "host": part.host.spelled(names, side)}}


def _scaled(totals: Sequence[int]) -> list[int]:
    """Return weights in the same proportions that sum to 100, the largest remainders rounded up."""
    whole = sum(totals)
    if whole == 100 or not totals:
        return list(totals)
    if whole == 0:
        # Nothing gets requests here; Istio refuses it, and a pair of ours reads as the primary's.
        return [100, *([0] * (len(totals) - 1))]
    floors = [total * 100 // whole for total in totals]
    by_remainder = sorted(range(len(totals)), key=lambda i: (-(totals[i] * 100 % whole), i))
    for index in by_remainder[: 100 - sum(floors)]:
        floors[index] += 1
    return floors
