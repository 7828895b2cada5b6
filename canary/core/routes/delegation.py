"""What Istio makes of a route that delegates and of the routes it delegates to.

It joins their conditions.  A route with a condition that it cannot join with those of the one that delegates is
left out as a whole, and nobody is told; how it compares them is narrower than what a request could meet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from canary.core.mentions import gateways_of
from canary.core.routes.cohorts import CannotJoinError, join, unheeded
from canary.core.routes.entries import MIRROR_FIELDS, is_cohort
from canary.core.routes.routing import Condition, Routing
from canary.core.routes.session_routes import is_session, session_conflict

_TEXTS = ("uri", "scheme", "method", "authority")
_MAPS = ("headers", "withoutHeaders", "queryParams")
_CLAIM = "@request.auth.claims"

Entry = Mapping[str, Any]


def find_root_conflict(root: Entry, entries: Iterable[Entry], plan: Iterable[Routing]) -> str | None:
    """Return what keeps a route that delegates from handing on what a plan asks for; None when nothing does.

    ``entries`` are the routes it delegates to; conditions of both name gateways in full.
    """
    for routing in plan:
        if routing.mirror and any(field in root for field in MIRROR_FIELDS):
            return "mirrors requests elsewhere, the canary's copies have no place there"
        if routing.sessions and routing.sticky and (why := session_conflict(root, routing.sessions)):
            return why
    for entry in entries:
        if field := _left_out(root.get("match") or (), entry.get("match") or ()):
            return (
                f"asks for {field} and so does {_label(entry)}, which Istio would leave out; ask for it in one of them"
            )
        if why := _widened(root.get("match") or (), entry.get("match") or ()):
            return f"and {_label(entry)} cannot be asked for at once: {why}"
    return None


def find_claim(entries: Iterable[Entry]) -> str | None:
    """Return the claim of a token that a route asks for, which Istio refuses in one without gateways."""
    for entry in entries:
        for condition in entry.get("match") or ():
            for name in (*(condition.get("headers") or ()), *(condition.get("withoutHeaders") or ())):
                if str(name).startswith(_CLAIM):
                    return f"{_label(entry)} asks for {name}"
    return None


def in_full(entry: Entry, namespace: str) -> Entry:
    """Return a route of a namespace whose conditions name gateways in full."""
    conditions = [
        {**one, "gateways": sorted(gateways_of(one["gateways"], namespace))} if one.get("gateways") else one
        for one in entry.get("match") or ()
    ]
    return {**entry, "match": conditions}


def _label(entry: Entry) -> str:
    if is_cohort(entry):
        return "the plan's cohort"
    return "session affinity" if is_session(entry) else f"http route {entry.get('name') or 'without name'}"


def _left_out(roots: Iterable[Condition], ours: Iterable[Condition]) -> str | None:
    """Return the field for which requests that meet both would not be taken; None when all are."""
    verdicts = [[(_unlike(root, one), _apart(root, one)) for root in roots] for one in ours]
    joined = [any(field is None for field, _ in found) for found in verdicts]
    for found, taken in zip(verdicts, joined, strict=True):
        for field, apart in found:
            # One condition that joins nowhere takes the others of its route with it.
            if field is not None and (not apart or (not taken and any(joined))):
                return field
    return None


def _widened(roots: Iterable[Condition], ours: Iterable[Condition]) -> str | None:
    """Return why Istio would take more requests for a route than meet both; None when it would not."""
    joined = ((root, one) for one in ours for root in roots if _unlike(root, one) is None)
    return next((why for root, one in joined if (why := unheeded(root, one))), None)


def _apart(root: Condition, ours: Condition) -> bool:
    """Return whether no request can meet both."""
    try:
        return join(root, ours) is None
    except CannotJoinError:
        return False


def _unlike(root: Condition, ours: Condition) -> str | None:
    """Return the first field in which Istio finds no way to ask for both; None when it joins them."""
    return next((field for field, alike in _compared(root, ours) if not alike), None)


def _compared(root: Condition, ours: Condition) -> Iterator[tuple[str, bool]]:
    for field in _TEXTS:
        yield field, _narrows(root.get(field), ours.get(field))
    for field in _MAPS:
        for key, text in (ours.get(field) or {}).items():
            yield f"{field}.{key}", _narrows((root.get(field) or {}).get(key), text)
    yield "ignoreUriCase", bool(root.get("ignoreUriCase")) == bool(ours.get("ignoreUriCase"))
    yield "port", not (root.get("port") and ours.get("port")) or root["port"] == ours["port"]
    yield "sourceNamespace", root.get("sourceNamespace") in (None, "", ours.get("sourceNamespace"))
    labels = root.get("sourceLabels") or {}
    for key, value in (ours.get("sourceLabels") or {}).items():
        yield f"sourceLabels.{key}", labels.get(key, value) == value
    gateways = root.get("gateways")
    yield "gateways", not gateways or set(ours.get("gateways") or ()) <= set(gateways)


def _narrows(root: Mapping[str, str] | None, ours: Mapping[str, str] | None) -> bool:
    """Return whether Istio takes a text condition for a part of another one; neither may be a regex or empty."""
    if root is None or ours is None:
        return True
    if root.get("exact"):
        return ours.get("exact") == root["exact"]
    begins = ours.get("exact") or ours.get("prefix")
    return bool(root.get("prefix") and begins) and str(begins).startswith(root["prefix"])
