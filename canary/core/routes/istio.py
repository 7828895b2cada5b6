"""Pure rewriting of the VirtualService: what we own in it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from canary.api.canary import CanarySpec
from canary.core.names import (
    ASKED,
    CARRIES,
    CHANGED,
    OWNER,
    ROLLED_BACK,
    ROUTE_FIELDS,
    Names,
    Owner,
    is_ours,
    owned_metadata,
)
from canary.core.objects import VIRTUAL_SERVICE, Object, annotations_of
from canary.core.routes.entries import (
    MIRROR_FIELDS,
    Entry,
    cohorts_apart,
    cohorts_on_canary,
    find_conflict,
    is_added,
    is_split,
    is_touched,
    mirrored,
    rewrite,
    touched,
    undo,
)
from canary.core.routes.fields import route_fields, route_port
from canary.core.routes.memory import recalled, recalled_share, remembered
from canary.core.routes.routing import Routing, Weights
from canary.core.routes.sections import (
    CONNECTIONS,
    REQUESTS,
    Sections,
    entries_of,
    made_sections,
    shared_sections,
    wanted_sections,
)
from canary.core.routes.session_routes import read_sessions
from canary.core.routes.split import gathered, leads_to_us, read_parts, share_of, sides_of

ROUTE_NAME = "weighted"
"""Name of the generated http route; access logs and traces show it (R-OBS-3)."""
_ADDRESS = ("hosts", "gateways")
_PORT = "port"
"""Beside the fields of the route that come from the spec: the port of its destinations does."""
CONNECTION_CONDITIONS = ("port", "gateways", "sourceLabels", "sourceNamespace", "destinationSubnets")
"""What a condition can ask of a connection; all else speaks of a request."""


def make_route(spec: CanarySpec, names: Names, owner: Owner, routing: Routing) -> dict[str, Any]:
    """Return the VirtualService we make when the apex has none."""
    sections = made_sections(spec)
    metadata = owned_metadata(names.apex, names.namespace, owner)
    metadata["annotations"] |= {ROUTE_FIELDS: _managed(spec), **_mark(sections)}
    entries, _ = rewrite([_generated(names, spec, sections)], names, _fitting(routing, sections), ())
    return {
        "apiVersion": VIRTUAL_SERVICE.api_version,
        "kind": VIRTUAL_SERVICE.kind,
        "metadata": metadata,
        "spec": {**_addressed(spec), sections.made: entries},
    }


def unshared_spec(route: Object, spec: CanarySpec, names: Names) -> dict[str, Any]:
    """Return the spec of a VirtualService with all that leads to the sides as we make it, at the apex instead."""
    sections, body = made_sections(spec), dict(route.get("spec") or {})
    others = [one for one in body.get(sections.made) or [] if not sides_of(one.get("route") or [], names) - {"apex"}]
    return {**body, **_addressed(spec), sections.made: [*others, _generated(names, spec, sections)]}


def rewrite_route(
    route: Object, spec: CanarySpec | None, names: Names, routing: Routing, rolled_back: str | None
) -> dict[str, Any]:
    """Return the VirtualService with our fields as they should be and all others untouched (I20).

    In one that we made, hosts, gateways and the route fields named in the spec are ours; fields the
    spec named before and names no more are removed.  In one that is adopted only destinations at the
    apex are.  ``rolled_back`` is the text of the roll-back mark, None for no mark.
    """
    sections = wanted_sections(spec, route)
    annotations = {k: v for k, v in annotations_of(route).items() if k not in (ROLLED_BACK, CARRIES)} | _mark(sections)
    if rolled_back is not None:
        annotations[ROLLED_BACK] = rolled_back
    body = _elsewhere(route, names, sections)
    routing = _fitting(routing, sections)
    if is_ours(route):
        if spec is not None:
            body = {name: value for name, value in body.items() if name not in _ADDRESS} | _addressed(spec)
        entries = list(body.get(sections.made) or [])
        body[sections.made] = _our_entries(entries, spec, names, routing, annotations, sections)
    else:
        memory = remembered(annotations)
        for name in sections.names:
            if body.get(name):
                body[name], memory[name] = rewrite(body[name], names, routing, memory.get(name, ()))
        annotations[CHANGED] = recalled({name: memory.get(name, ()) for name in sections.names}, routing)
    return {"metadata": {"annotations": annotations}, "spec": body}


def _elsewhere(route: Object, names: Names, sections: Sections) -> dict[str, Any]:
    """Return the spec of a VirtualService, without what we did to sections that are shared out no more."""
    former = shared_sections(route)
    if former == sections or not (is_ours(route) or CHANGED in annotations_of(route)):
        return dict(route.get("spec") or {})
    body: dict[str, Any] = plain_route(route, names)["spec"]
    entries = body.get(former.made) or []
    if is_ours(route) and (ours := _find_generated(entries, names)) is not None:
        body[former.made] = [one for one in entries if one is not ours]
    return {name: value for name, value in body.items() if value or name != former.made}


def _mark(sections: Sections) -> dict[str, str]:
    return {CARRIES: sections.mark} if sections.mark else {}


def _fitting(routing: Routing, sections: Sections) -> Routing:
    """Return what the routes of some sections can do of a routing: connections have shares alone."""
    return routing if sections == REQUESTS else Routing(routing.canary)


def refuse_generated(spec: CanarySpec, names: Names, plan: Sequence[Routing]) -> str | None:
    """Return why the route that a spec asks for cannot do what its plan asks for; None when it can."""
    if made_sections(spec) == CONNECTIONS:
        asked = (key for one in spec.service.match for key in one if key not in CONNECTION_CONDITIONS)
        known = ", ".join(CONNECTION_CONDITIONS)
        found = next(asked, None)
        return f"match asks for {found}, which a connection does not have; ask for {known} alone" if found else None
    made = [_generated(names, spec, REQUESTS)]
    return next((why for one in plan if (why := find_conflict(made, names, one))), None)


def plain_route(route: Object, names: Names) -> dict[str, Any]:
    """Return an adopted VirtualService as its user wrote it, with what the user changed meanwhile."""
    annotations = dict(annotations_of(route))
    memory = remembered(annotations)
    for mark in (OWNER, CHANGED, ROLLED_BACK, ROUTE_FIELDS, CARRIES, ASKED):
        annotations.pop(mark, None)
    body = dict(route.get("spec") or {})
    for name in shared_sections(route).names:
        if body.get(name):
            body[name] = undo(body[name], names, memory.get(name, ()))
    return {"metadata": {"annotations": annotations}, "spec": body}


def read_weights(route: Object, names: Names) -> Weights | None:
    """Return what a VirtualService gives the two sides; None when traffic to the apex is not shared out."""
    sections = shared_sections(route)
    entries = entries_of(route, *((sections.made,) if is_ours(route) else sections.names))
    led = touched(entries, names)
    ours = [_find_generated(entries, names)] if is_ours(route) else led
    found = [one for one in ours if one is not None]
    if not found or not all(is_split(one, names) for one in found):
        return None
    if is_ours(route) and any(part.host is None for part in read_parts(found[0].get("route") or [], names)):
        return None
    mirrors = {mirrored(one, names) for one in found}
    foreign = is_ours(route) and not max(mirrors) and any(k in found[0] for k in MIRROR_FIELDS)
    primary, canary, even = _shares(found, names, recalled_share(annotations_of(route)))
    sticky, alike = read_sessions(entries, led, names)
    even = even and len(mirrors) == 1 and not foreign and alike
    return Weights(primary, canary, max(mirrors), cohorts_on_canary(entries), even, sticky)


def cohorts_of(route: Object, names: Names) -> frozenset[int]:
    """Return the numbers of the cohorts that a VirtualService leads to a Service of their own."""
    return cohorts_apart(entries_of(route, *REQUESTS.names), names)


def _shares(entries: Sequence[Mapping[str, Any]], names: Names, intended: int | None) -> tuple[int, int, bool]:
    """Return the shares of both sides over all touched routes, and whether the routes agree on them."""
    routes = [read_parts(one.get("route") or [], names) for one in entries]
    whole = all(sum(part.total for part in parts) == 100 for parts in routes)
    pairs = [(part.total - part.canary, part.canary) for parts in routes for part in parts if part.host is not None]
    if not pairs:
        return 0, 0, False
    if whole and intended is not None and all(c == share_of(p + c, intended) for p, c in pairs):
        return 100 - intended, intended, True
    if len(set(pairs)) == 1:
        return (*pairs[0], whole)
    largest = max(100 * c // (p + c) if p + c else 0 for p, c in pairs)
    return 100 - largest, largest, whole and all(c == share_of(p + c, largest) for p, c in pairs)


def _find_generated(entries: Sequence[Entry], names: Names) -> Entry | None:
    """Return our http route: the one of our name, else the first that leads to our Services."""
    named = (e for e in entries if e.get("name") == ROUTE_NAME)
    return next(named, None) or next((e for e in entries if is_touched(e, names)), None)


def _our_entries(
    entries: list[Entry],
    spec: CanarySpec | None,
    names: Names,
    routing: Routing,
    annotations: dict[str, str],
    sections: Sections,
) -> list[Entry]:
    """Return the routes of a VirtualService we made: our own one as it should be, all others untouched."""
    managed: dict[str, Any] = {}
    dropped: list[str] = list(MIRROR_FIELDS)
    if spec is not None:
        managed, former = route_fields(spec), annotations.get(ROUTE_FIELDS, "").split(",")
        dropped += [name for name in former if name and name not in managed]
        annotations[ROUTE_FIELDS] = _managed(spec)
    present = _find_generated(entries, names)
    others = [one for one in entries if one is not present and not is_added(one)]
    place = next((i for i, one in enumerate(entries) if one is present), 0)
    before = sum(not is_added(one) for one in entries[:place])
    ours = {k: v for k, v in (present or _generated(names, None, sections)).items() if k not in dropped} | managed
    kept = [d for d in gathered(ours.get("route") or [], names) if read_parts([d], names)[0].host is not None]
    whole, port = _whole(kept, names), route_port(spec) if spec is not None else None
    if port or _PORT in dropped:
        whole = [_at_port(one, port) for one in whole]
    rewritten, _ = rewrite([{**ours, "route": whole}], names, routing, ())
    return [*others[:before], *rewritten, *others[before:]]


def _whole(route: list[Any], names: Names) -> list[Any]:
    """Return the destinations of our own route with both sides there, whatever was left of them."""
    if not leads_to_us(route, names):
        # One side or none: what stood at it is kept.
        return [{**one, "destination": {**one["destination"], "host": names.apex}} for one in route] or list(
            _generated(names, None, REQUESTS)["route"]
        )
    return route


def _generated(names: Names, spec: CanarySpec | None, sections: Sections) -> Entry:
    """Return the one route of a VirtualService we make, before its traffic is shared out."""
    named = {"name": ROUTE_NAME} if sections == REQUESTS else {}
    managed, port = (route_fields(spec), route_port(spec)) if spec is not None else ({}, None)
    return {**named, **managed, "route": [_at_port({"destination": {"host": names.apex}}, port)]}


def _at_port(one: dict[str, Any], port: Mapping[str, int] | None) -> dict[str, Any]:
    """Return a destination at a port; None: at that of the request."""
    destination = {key: value for key, value in one["destination"].items() if key != "port"}
    return {**one, "destination": destination | ({"port": port} if port else {})}


def _managed(spec: CanarySpec) -> str:
    """Return the names of the fields of our route that come from the spec."""
    return ",".join((*route_fields(spec), *([_PORT] if route_port(spec) else [])))


def _addressed(spec: CanarySpec) -> dict[str, Any]:
    return dict(zip(_ADDRESS, map(list, (spec.hosts, spec.service.route_gateways)), strict=True)) if spec.hosts else {}


def planned_entries(
    route: Object | None, spec: CanarySpec | None, names: Names, plan: Sequence[Routing]
) -> Iterator[Entry]:
    """Yield the http routes that lead to the two sides under the routings of a plan, many of them alike."""
    written: list[Entry] = [_generated(names, spec, REQUESTS)] if spec is not None else []
    if route is not None and not is_ours(route):
        written = list((route.get("spec") or {}).get("http") or [])
    for routing in plan:
        entries, _ = rewrite(written, names, routing, ())
        yield from (one for one in entries if is_added(one) or is_touched(one, names))
