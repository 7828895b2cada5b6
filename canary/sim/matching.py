"""Which http route of a VirtualService takes a caller's requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from canary.core.objects import Object


def taken_by(route: Object, headers: Mapping[str, str], labels: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Return the first http route that takes requests for `/` with these headers and caller labels."""
    return next((one for one in entries(route) if _takes(one, headers, labels)), None)


def entries(route: Object) -> Iterator[Mapping[str, Any]]:
    """Yield the http routes in order."""
    yield from (route.get("spec") or {}).get("http") or ()


def _takes(entry: Mapping[str, Any], headers: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    conditions = entry.get("match") or ()
    return not conditions or any(_meets(one, headers, labels) for one in conditions)


def _meets(condition: Mapping[str, Any], headers: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    wanted, unwanted = condition.get("headers") or {}, condition.get("withoutHeaders") or {}
    return (
        all(name in headers and _fits(text, headers[name]) for name, text in wanted.items())
        and not any(name in headers and _fits(text, headers[name]) for name, text in unwanted.items())
        and (condition.get("sourceLabels") or {}).items() <= labels.items()
        and _fits(condition.get("uri") or {}, "/")
        and not condition.get("queryParams")
        and "mesh" in (condition.get("gateways") or ("mesh",))
    )


def _fits(text: Mapping[str, str], value: str) -> bool:
    if "exact" in text:
        return value == text["exact"]
    if "regex" in text:
        return re.fullmatch(text["regex"], value) is not None
    return value.startswith(text.get("prefix", ""))
