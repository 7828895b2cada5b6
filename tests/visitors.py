"""Callers who keep the cookies they are given, as browsers do, on the routes of a VirtualService."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from canary.core.objects import Object
from canary.sim.matching import entries, takes


@dataclass(slots=True)
class Visitor:
    """One caller with its cookies and the side that answered last."""

    jar: dict[str, str] = field(default_factory=dict)
    side: str = ""
    moved_back: int = 0
    """How often the primary answered after the canary."""

    def call(self, route: Object, random: Random, headers: dict[str, str] | None = None) -> str:
        """Send one request by the routes, keep the cookies of the answer and return the side that answered."""
        sent = dict(headers or {})
        if self.jar:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        entry = next((one for one in entries(route) if takes(one, sent, {})), None)
        assert entry is not None, f"no route takes {sent}"
        chosen = _chosen(entry["route"], random)
        self._keep(_cookies(chosen))
        side = chosen["destination"]["host"].split(".")[0].rpartition("-")[2]
        self.moved_back += (self.side, side) == ("canary", "primary")
        self.side = side
        return side

    def _keep(self, cookies: Iterable[str]) -> None:
        for text in cookies:
            pair, *attributes = text.split("; ")
            name, _, value = pair.partition("=")
            if "Max-Age=0" in attributes:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value


def crowd(count: int) -> list[Visitor]:
    """Return visitors who were never there, each with a cookie of the application."""
    return [Visitor({"lang": "en"}) for _ in range(count)]


def share(visitors: Iterable[Visitor]) -> float:
    """Return how many of those who have called were last answered by the canary, in percent."""
    sides = Counter(one.side for one in visitors if one.side)
    return 100 * sides["canary"] / sides.total()


def _chosen(route: list[dict[str, Any]], random: Random) -> dict[str, Any]:
    weights = [one.get("weight", 100 if len(route) == 1 else 0) for one in route]
    return random.choices(route, weights)[0]


def _cookies(destination: dict[str, Any]) -> list[str]:
    added = ((destination.get("headers") or {}).get("response") or {}).get("add") or {}
    return [value for name, value in added.items() if name.lower() == "set-cookie"]
