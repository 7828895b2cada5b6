"""The traffic policy in force for the apex host, carried over to the hosts of the two sides.

A DestinationRule speaks of one host: the one for the apex does not reach requests that the weighted
pair sends to the sides' own hosts (R-RES-3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from canary.core.names import Names, is_ours
from canary.core.objects import Object
from canary.core.routes.entries import touched
from canary.core.routes.hosts import spellings
from canary.core.routes.istio import plain_route
from canary.core.routes.sections import Sections, entries_of, shared_sections
from canary.core.routes.split import read_parts

_NOT_CARRIED = ("host", "subsets", "trafficPolicy")


def find_rule(rules: Sequence[Object], names: Names) -> Object | None:
    """Return the user's DestinationRule for the apex host; None when there is none."""
    wanted = spellings(names.apex, names.namespace)
    return next((r for r in rules if not is_ours(r) and (r.get("spec") or {}).get("host") in wanted), None)


def rule_spec(
    given: Object | None, rule: Object | None, route: Object | None, names: Names, host: str
) -> dict[str, Any] | None:
    """Return the spec of the DestinationRule for a host of ours; None when there is no policy to carry (R-RES-4).

    ``given`` is ``spec.service.trafficPolicy``, which goes before the policy of the user's rule.
    """
    body: dict[str, Any] = dict((rule or {}).get("spec") or {})
    policy = given or _policy(body, route, names)
    if not policy:
        return None
    carried = {k: v for k, v in body.items() if k not in _NOT_CARRIED}
    return {**carried, "host": host, "trafficPolicy": dict(policy)}


def subsets_of(route: Object | None, names: Names) -> frozenset[str]:
    """Return the subsets of the apex host that the user's routes name, also once they are shared out."""
    if route is None:
        return frozenset()
    entries = entries_of(plain_route(route, names), *shared_sections(route).names)
    return frozenset(_named_subsets(entries, names))


def find_stray_subset(
    route: Object, rule: Object | None, sections: Sections, names: Names, pods: Mapping[str, str]
) -> str | None:
    """Return which route of the user's names a subset of other pods than those with these labels; None when none does.

    A subset that no rule defines leads nowhere, one without labels to all pods of the host.
    """
    known = {
        str(one.get("name")): one.get("labels") or {} for one in ((rule or {}).get("spec") or {}).get("subsets") or ()
    }
    for section in sections.names:
        for number, entry in enumerate(touched(entries_of(route, section), names), 1):
            for subset in _named_subsets([entry], names):
                others = {key: value for key, value in known.get(subset, {}).items() if pods.get(key) != value}
                if others:
                    said = ", ".join(f"{key}: {value}" for key, value in others.items())
                    label = f"{section} route {entry.get('name') or number}"
                    return f"{label} goes to subset {subset}, of pods with label {said}"
    return None


def _named_subsets(entries: Sequence[Object], names: Names) -> Iterator[str]:
    for entry in touched(entries, names):
        for part in read_parts(entry.get("route") or [], names):
            for one in part.sides.values() if part.host is not None else ():
                if subset := (one.get("destination") or {}).get("subset"):
                    yield str(subset)


def _policy(body: dict[str, Any], route: Object | None, names: Names) -> dict[str, Any]:
    """Return the rule's policy; a subset that all routes agree on overrides it, as Istio does it."""
    policy = dict(body.get("trafficPolicy") or {})
    subsets = subsets_of(route, names) if body.get("subsets") else frozenset()
    named = [s for s in body.get("subsets") or [] if s.get("name") in subsets]
    return {**policy, **(named[0].get("trafficPolicy") or {})} if len(named) == 1 else policy
