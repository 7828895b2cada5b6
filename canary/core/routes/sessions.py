"""Session affinity: which cookie means what, the headers that set it and the conditions that read it.

A caller is drawn once per revision, at its first request while the canary has a weight.  Callers of the
canary get its cookie; all others get one that says from which weight of the plan on they belong to the
canary, so that no step draws anybody again and the shares of callers are those of the plan.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canary.api.hooks import SessionAffinity

Destination = dict[str, Any]

HEADER = "Set-Cookie"
EXPIRED = "; Max-Age=0"
_PATH = ("headers", "response", "add")
_OURS = re.compile(r"[^=]+=(canary\.[0-9a-z]+|primary\.[0-9a-z]+\.[0-9]+);.*")
_FIELDS = ("set", "add", "remove")


@dataclass(frozen=True, slots=True)
class Sessions:
    """The two cookies of one revision's release.

    ``lasts`` and ``reach`` are the attributes of a cookie that say how long it lives and where it goes;
    ``weights`` are those of the plan, rising.
    """

    canary: str
    primary: str
    revision: str
    weights: tuple[int, ...]
    lasts: str
    reach: str

    @property
    def canary_cookie(self) -> str:
        """Return the cookie of callers of the canary, as ``name=value``."""
        return f"{self.canary}=canary.{self.revision}"

    @property
    def primary_cookie(self) -> str:
        """Return what the cookies of all other callers begin with, as ``name=value``."""
        return f"{self.primary}=primary.{self.revision}"

    def later(self, weight: int) -> tuple[int, ...]:
        """Return the weights at which callers of the primary will follow; 100 for those who never do."""
        return (*(one for one in self.weights if weight < one < 100), 100)

    def setting(self, cookie: str) -> str:
        """Return the header that gives a caller a cookie."""
        return f"{cookie}{self.lasts}{self.reach}"

    def ending(self, name: str) -> str:
        """Return the header that takes a cookie from a caller."""
        return f"{name}={EXPIRED}{self.reach}"


def sessions_of(affinity: SessionAffinity, revision: str, weights: Sequence[int]) -> Sessions:
    """Return the cookies that a spec asks for in the release of a revision."""
    attributes = (
        f"Domain={affinity.domain}" if affinity.domain else "",
        "HttpOnly" if affinity.http_only else "",
        "Partitioned" if affinity.partitioned else "",
        f"Path={affinity.path or '/'}",
        f"SameSite={affinity.same_site}" if affinity.same_site else "",
        "Secure" if affinity.secure else "",
    )
    return Sessions(
        affinity.cookie_name,
        affinity.primary_name,
        revision,
        tuple(sorted(set(weights))),
        f"; Max-Age={affinity.lifetime}",
        "".join(f"; {one}" for one in attributes if one),
    )


def on_canary(sessions: Sessions) -> dict[str, Any]:
    """Return the condition of requests of callers that were given the canary's cookie."""
    return _carries(re.escape(sessions.canary_cookie))


def joining(sessions: Sessions, weight: int) -> dict[str, Any]:
    """Return the condition of requests of callers whose turn has come by this weight."""
    return _carries(f"{re.escape(sessions.primary_cookie)}\\.({_up_to(weight)})")


def on_primary(sessions: Sessions) -> dict[str, Any]:
    """Return the condition of requests of callers that were given the primary's cookie."""
    return _carries(f"{re.escape(sessions.primary_cookie)}\\.[0-9]+")


def with_cookie(destination: Mapping[str, Any], header: str) -> Destination:
    """Return a destination whose answers carry a cookie, beside what the user adds to them."""
    return _put(destination, _PATH, {HEADER: header})


def without_cookie(destination: Mapping[str, Any]) -> Destination:
    """Return a destination without a cookie of ours and without empty maps on the way to it."""
    return _pruned(destination, _PATH)


def sets_cookie(destination: Mapping[str, Any]) -> bool:
    """Return whether answers of a destination carry a cookie of ours."""
    added = _added(destination).get(HEADER)
    return isinstance(added, str) and _OURS.fullmatch(added) is not None


def find_other_cookie(entry: Mapping[str, Any]) -> str | None:
    """Return which field of a route leaves no place for our cookie; None when there is one."""
    for kind in ("set", "remove"):
        if _names_cookie(_response(entry).get(kind)):
            return f"headers.response.{kind}"
    for one in entry.get("route") or ():
        for kind in _FIELDS:
            if _names_cookie(_response(one).get(kind)) and not sets_cookie(one):
                return f"route[].headers.response.{kind}"
    return None


def _carries(cookie: str) -> dict[str, Any]:
    return {"headers": {"cookie": {"regex": f"(.*; *)?{cookie}(;.*)?"}}}


def _up_to(number: int) -> str:
    """Return a regular expression for the numbers from 1 to this one, at most 99."""
    tens, ones = divmod(number, 10)
    if not tens:
        return f"[1-{ones}]"
    between = (f"[1-{tens - 1}][0-9]",) if tens > 1 else ()
    return "|".join(("[1-9]", *between, f"{tens}[0-{ones}]"))


def _names_cookie(headers: Any) -> bool:
    return any(str(name).lower() == HEADER.lower() for name in headers or ())


def _response(node: Mapping[str, Any]) -> Mapping[str, Any]:
    return (node.get("headers") or {}).get("response") or {}


def _added(destination: Mapping[str, Any]) -> Mapping[str, Any]:
    return _response(destination).get("add") or {}


def _put(node: Mapping[str, Any], path: tuple[str, ...], value: Mapping[str, Any]) -> dict[str, Any]:
    if not path:
        return {**node, **value}
    return {**node, path[0]: _put(node.get(path[0]) or {}, path[1:], value)}


def _pruned(node: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    if not path:
        ours = isinstance(node.get(HEADER), str) and _OURS.fullmatch(node[HEADER])
        return {k: v for k, v in node.items() if k != HEADER or not ours}
    rest = {k: v for k, v in node.items() if k != path[0]}
    inner = _pruned(node.get(path[0]) or {}, path[1:])
    return {**rest, path[0]: inner} if inner else rest
