"""Which route of a VirtualService takes a caller's requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any

from canary.core.objects import Object
from canary.core.routes.cohorts import join_all
from canary.core.routes.sections import EVERY


def entries(route: Object) -> Iterator[Mapping[str, Any]]:
    """Yield the http routes in order, those for connections when there are none."""
    yield from sections(route).get("http") or chain(*sections(route).values())


def sections(route: Object) -> dict[str, list[Mapping[str, Any]]]:
    """Return the routes of a VirtualService by section."""
    return {name: found for name in EVERY if (found := (route.get("spec") or {}).get(name))}


def delegated(
    route: Object, namespace: str, find: Callable[[str, str], Object | None]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the http routes in order, each with the namespace its hosts are read in.

    In the place of one that delegates come those it delegates to, with the conditions of both; none when
    there is nothing without hosts of that name.
    """
    for entry in entries(route):
        if (delegate := entry.get("delegate")) is None:
            yield namespace, entry
            continue
        place = delegate.get("namespace") or namespace
        found = find(place, delegate["name"])
        if found is None or (found.get("spec") or {}).get("hosts"):
            continue
        for one in entries(found):
            match = join_all(entry.get("match") or (), one["match"]) if one.get("match") else entry.get("match")
            if match or not one.get("match"):
                yield place, {**entry, **one, "match": match}


def takes(entry: Mapping[str, Any], headers: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Return whether an http route takes requests for `/` with these headers and caller labels."""
    conditions = entry.get("match") or ()
    return not conditions or any(_meets(one, headers, labels) for one in conditions)


def _meets(condition: Mapping[str, Any], headers: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    wanted, unwanted = condition.get("headers") or {}, condition.get("withoutHeaders") or {}
    return (
        all(name in headers and _fits(text, headers[name]) for name, text in wanted.items())
        and not any(name in headers and _fits(text, headers[name]) for name, text in unwanted.items())
        and _called_by(condition, labels)
        and _fits(condition.get("uri") or {}, "/")
        and not condition.get("queryParams")
        and not condition.get("sniHosts")
    )


def _called_by(condition: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Return whether proxies of a caller are told of a route: beside gateways its labels are not heeded."""
    if gateways := condition.get("gateways"):
        return "mesh" in gateways
    return (condition.get("sourceLabels") or {}).items() <= labels.items()


def _fits(text: Mapping[str, str], value: str) -> bool:
    if "exact" in text:
        return value == text["exact"]
    if "regex" in text:
        return re.fullmatch(text["regex"], value) is not None
    return value.startswith(text.get("prefix", ""))
