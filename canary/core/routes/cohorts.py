"""Conditions of a cohort joined with those of a route: a request must meet both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from canary.core.routes.routing import Cohort, Condition

_MAPS = ("headers", "withoutHeaders", "queryParams", "sourceLabels")
_TEXTS = ("uri", "scheme", "method", "authority")


class CannotJoinError(ValueError):
    """Two conditions that Istio cannot ask for at once; the text names the field and both values."""


def join_all(route: Sequence[Condition], cohort: Cohort) -> list[dict[str, Any]]:
    """Return the conditions of requests that a route takes and that belong to a cohort.

    A route without conditions takes every request.  Pairs that no request can meet are left out;
    raises CannotJoinError for a pair that Istio has no words for.
    """
    if not route:
        return [dict(one) for one in cohort]
    joined = (join(one, other) for one in route for other in cohort)
    return [one for one in joined if one is not None]


def join(left: Condition, right: Condition) -> dict[str, Any] | None:
    """Return the condition that asks for both; None when no request can meet both."""
    joined: dict[str, Any] = {**left, **right}
    for field in right:
        if field not in left:
            continue
        value = _join_field(field, left[field], right[field])
        if value is None:
            return None
        joined[field] = value
    return joined


def _join_field(field: str, left: Any, right: Any) -> Any:
    if left == right:
        return left
    if field in _MAPS:
        return _join_maps(field, left, right)
    if field in _TEXTS:
        return _join_texts(field, left, right)
    if field == "gateways":
        return [one for one in left if one in right] or None
    if field == "name":
        return f"{left}.{right}"
    if field == "ignoreUriCase":
        raise CannotJoinError("ignoreUriCase is true in one condition and false in the other")
    # A port or a namespace: one request has one.
    return None


def _join_maps(field: str, left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any] | None:
    shared = [key for key in right if key in left and left[key] != right[key]]
    joined = {**left, **right}
    if not shared:
        return joined
    if field == "sourceLabels":
        return None
    for key in sorted(shared):
        if field == "withoutHeaders":
            raise CannotJoinError(f"{field}.{key} is {left[key]} in one condition and {right[key]} in the other")
        value = _join_texts(f"{field}.{key}", left[key], right[key])
        if value is None:
            return None
        joined[key] = value
    return joined


def _join_texts(field: str, left: dict[str, str], right: dict[str, str]) -> dict[str, str] | None:
    """Return the narrower of two text conditions; None when they exclude each other."""
    for one, other in ((left, right), (right, left)):
        if "exact" in one and "exact" in other:
            return None
        if "exact" in one and "prefix" in other:
            return one if one["exact"].startswith(other["prefix"]) else None
        if "prefix" in one and "prefix" in other and one["prefix"].startswith(other["prefix"]):
            return one
        if not other:
            # An empty condition asks for presence alone, which any other implies.
            return one
    if "prefix" in left and "prefix" in right:
        return None
    raise CannotJoinError(f"{field} is {left} in one condition and {right} in the other")
