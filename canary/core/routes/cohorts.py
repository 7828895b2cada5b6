"""Conditions of a cohort joined with those of a route: a request must meet both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from canary.core.mentions import gateways_of
from canary.core.routes.routing import Cohort, Condition

_ANY_PATH = {"prefix": "/"}
_CASE = "ignoreUriCase"
_SOURCES = ("sourceLabels", "sourceNamespace")
_ENTWINED = frozenset((_CASE, "gateways"))
"""Fields on which it depends what others mean."""
_MAPS = ("headers", "withoutHeaders", "queryParams", "sourceLabels")
_TEXTS = ("uri", "scheme", "method", "authority")


class CannotJoinError(ValueError):
    """Two conditions that Istio cannot ask for at once; the text names the field and both values."""


def join_all(route: Sequence[Condition], cohort: Cohort, namespace: str = "") -> list[dict[str, Any]]:
    """Return the conditions of requests that a route takes and that belong to a cohort.

    A route without conditions takes every request.  Pairs that no request can meet are left out;
    raises CannotJoinError for a pair that Istio has no words for.
    """
    if not route:
        return [dict(one) for one in cohort]
    joined = (join(one, other, namespace) for one in route for other in cohort)
    return [one for one in joined if one is not None]


def join(left: Condition, right: Condition, namespace: str = "") -> dict[str, Any] | None:
    """Return the condition that asks for both; None when no request can meet both.

    Gateways without a namespace are those of the one given.
    """
    joined: dict[str, Any] = {**left, **right}
    if not _ENTWINED.isdisjoint(joined):
        return _join_entwined(left, right, namespace)
    for field in right:
        if field not in left:
            continue
        value = _join_field(field, left[field], right[field])
        if value is None:
            return None
        joined[field] = value
    return joined


def unheeded(left: Condition, right: Condition) -> str | None:
    """Return why Istio would not heed who calls in one of two conditions, once joined; None when it would."""
    for one, other in ((left, right), (right, left)):
        source = next((field for field in _SOURCES if one.get(field)), None)
        if source is not None and other.get("gateways") and not one.get("gateways"):
            told = f"gateways is {other['gateways']} in one condition and {source} is {one[source]} in the other"
            return f"{told}, but beside gateways Istio heeds no {source}; ask for one of them alone"
    return None


def _join_entwined(left: Condition, right: Condition, namespace: str) -> dict[str, Any] | None:
    cases = {_ignores_case(left), _ignores_case(right)} - {None}
    joined = join(_fieldwise(left, True in cases), _fieldwise(right, True in cases))
    gateways = _shared(left.get("gateways") or [], right.get("gateways") or [], namespace)
    if joined is None or gateways is None:
        return None
    if len(cases) > 1:
        raise CannotJoinError(f"{_CASE} is true in one condition and false in the other")
    if why := unheeded(left, right):
        raise CannotJoinError(why)
    if True in cases:
        joined[_CASE] = True
    return {**joined, "gateways": gateways} if gateways else joined


def _ignores_case(condition: Condition) -> bool | None:
    """Return whether the path may be in any case; None for one without letters, and without a path."""
    texts = (condition.get("uri") or {}).values()
    return bool(condition.get(_CASE)) if any(text.lower() != text.upper() for text in texts) else None


def _fieldwise(condition: Condition, any_case: bool) -> Condition:
    """Return what is left of a condition to be joined field by field: neither gateways, nor who calls beside them."""
    passed = (_CASE, "gateways", *(_SOURCES if condition.get("gateways") else ()))
    left = {field: value for field, value in condition.items() if field not in passed}
    if any_case and "uri" in left:
        left["uri"] = {kind: text if kind == "regex" else text.lower() for kind, text in left["uri"].items()}
    return left


def _shared(left: Sequence[str], right: Sequence[str], namespace: str) -> list[str] | None:
    """Return the gateways of both, in the words of the first; a list without any leaves it to the other."""
    if not (left and right):
        return [*left, *right]
    wanted = gateways_of(right, namespace)
    return [one for one in left if gateways_of((one,), namespace) <= wanted] or None


def _join_field(field: str, left: Any, right: Any) -> Any:
    if left == right:
        return left
    if field in _MAPS:
        return _join_maps(field, left, right)
    if field in _TEXTS:
        return _join_texts(field, left, right)
    if field == "name":
        return f"{left}.{right}"
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
        if not other or (field == "uri" and other == _ANY_PATH):
            # An empty condition asks for presence alone, which any other implies.
            return one
    if "prefix" in left and "prefix" in right:
        return None
    raise CannotJoinError(f"{field} is {left} in one condition and {right} in the other")
