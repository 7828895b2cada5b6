"""Pure rewriting of the VirtualService: what we own in it, and nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from canary.api.canary import CanarySpec
from canary.core.names import OWNER, ROLLED_BACK, ROUTE_FIELDS, Names, Owner, owned_metadata
from canary.core.objects import VIRTUAL_SERVICE, Object, annotations_of

ROUTE_NAME = "weighted"
"""Name of the generated http route; access logs and traces show it (R-OBS-3)."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Shares of live traffic in percent; they sum to 100."""

    primary: int
    canary: int

    @staticmethod
    def of(canary: int) -> Weights:
        """Return the weights that give the canary this share."""
        return Weights(100 - canary, canary)


PRIMARY_ONLY = Weights(100, 0)
CANARY_ONLY = Weights(0, 100)


def read_weights(route: Object, names: Names) -> Weights | None:
    """Return the shares a VirtualService gives the two sides; None when it has no weighted route of ours."""
    entry = _find_weighted(route, names)
    if entry is None:
        return None
    shares = dict.fromkeys((names.service("primary").name, names.service("canary").name), 0)
    destinations = entry.get("route") or []
    for destination in destinations:
        # A single destination without weight gets everything; among several it gets nothing.
        default = 100 if len(destinations) == 1 else 0
        host = (destination.get("destination") or {}).get("host")
        if host not in shares:
            return None
        shares[host] += int(destination.get("weight", default))
    primary, canary = shares[names.service("primary").name], shares[names.service("canary").name]
    return Weights(primary, canary)


def _find_weighted(route: Object, names: Names) -> dict[str, Any] | None:
    """Return our http route: the one of our name, else the one whose destinations are our Services."""
    entries: list[dict[str, Any]] = list((route.get("spec") or {}).get("http") or [])
    hosts = {names.service("primary").name, names.service("canary").name}

    def leads_to_us(entry: dict[str, Any]) -> bool:
        found = {(d.get("destination") or {}).get("host") for d in entry.get("route") or []}
        return bool(found) and found <= hosts

    named = (e for e in entries if e.get("name") == ROUTE_NAME)
    return next(named, None) or next((e for e in entries if leads_to_us(e)), None)


def mirrors(route: Object, names: Names) -> bool:
    """Return whether our route mirrors requests, which no step asked for."""
    entry = _find_weighted(route, names)
    return entry is not None and any(k in entry for k in ("mirror", "mirrors", "mirrorPercentage"))


def _managed(spec: CanarySpec) -> dict[str, Any]:
    """Return the http route fields that come from the spec."""
    service = spec.service
    fields = {
        "match": list(service.match) or None,
        "timeout": service.timeout,
        "retries": _wire(service.retries),
        "rewrite": _wire(service.rewrite, drop="type"),
        "headers": service.headers,
        "corsPolicy": service.cors_policy,
        "fault": service.fault,
    }
    return {name: value for name, value in fields.items() if value}


def _wire(model: Any, drop: str = "") -> dict[str, Any] | None:
    if model is None:
        return None
    wire: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    wire.pop(drop, None)
    return wire


def _destinations(names: Names, weights: Weights) -> list[dict[str, Any]]:
    return [
        {"destination": {"host": names.service("primary").name}, "weight": weights.primary},
        {"destination": {"host": names.service("canary").name}, "weight": weights.canary},
    ]


def make_route(spec: CanarySpec, names: Names, owner: Owner, weights: Weights) -> dict[str, Any]:
    """Return the VirtualService we make when the apex has none."""
    managed = _managed(spec)
    metadata = owned_metadata(names.apex, names.namespace, owner)
    metadata["annotations"][ROUTE_FIELDS] = ",".join(managed)
    return {
        "apiVersion": VIRTUAL_SERVICE.api_version,
        "kind": VIRTUAL_SERVICE.kind,
        "metadata": metadata,
        "spec": {
            "hosts": list(spec.hosts),
            "gateways": list(spec.service.route_gateways),
            "http": [{"name": ROUTE_NAME, **managed, "route": _destinations(names, weights)}],
        },
    }


def rewrite_route(
    route: Object, spec: CanarySpec | None, names: Names, weights: Weights, rolled_back: str | None
) -> dict[str, Any]:
    """Return the VirtualService with our fields as they should be and all others untouched (I20).

    Ours are the weights, mirror, hosts, gateways and the route fields named in the spec; fields the
    spec named before and names no more are removed.  ``rolled_back`` is the text of the roll-back
    mark, None for no mark.  With no usable spec only the weights change.
    """
    annotations = dict(annotations_of(route))
    annotations.pop(ROLLED_BACK, None)
    if rolled_back is not None:
        annotations[ROLLED_BACK] = rolled_back
    body = dict(route.get("spec") or {})
    before = annotations.get(ROUTE_FIELDS, "")
    managed: dict[str, Any] = {}
    dropped: list[str] = []
    if spec is not None:
        managed = _managed(spec)
        dropped = [name for name in before.split(",") if name and name not in managed]
        body |= {"hosts": list(spec.hosts), "gateways": list(spec.service.route_gateways)}
        annotations[ROUTE_FIELDS] = ",".join(managed)
    entry = _find_weighted(route, names)
    ours = {k: v for k, v in (entry or {"name": ROUTE_NAME}).items() if k not in dropped}
    for name in ("mirror", "mirrors", "mirrorPercentage"):
        ours.pop(name, None)
    ours |= {**managed, "route": _merge_destinations((entry or {}).get("route"), names, weights)}
    https = list(body.get("http") or [])
    body["http"] = [ours if e is entry else e for e in https] if entry is not None else [ours, *https]
    return {"metadata": {"annotations": annotations}, "spec": body}


def _merge_destinations(present: Any, names: Names, weights: Weights) -> list[dict[str, Any]]:
    """Return the weighted pair, keeping what else stands in the present destinations."""
    by_host = {(d.get("destination") or {}).get("host"): d for d in present or []}
    merged = []
    for wanted in _destinations(names, weights):
        old = by_host.get(wanted["destination"]["host"], {})
        merged.append({**old, **wanted, "destination": {**old.get("destination", {}), **wanted["destination"]}})
    return merged


def roll_back_mark(revision: str, run: str, reason: str, message: str) -> str:
    """Return the mark left in the VirtualService by the write that rolls a run back.

    The write that takes traffic off the canary does not wait for the status.  Should the status never
    be written, the mark still says that this run is over.
    """
    mark = {"revision": revision, "run": run, "reason": reason, "message": message}
    return json.dumps(mark, separators=(",", ":"))


def read_roll_back(route: Object | None, revision: str | None, run: str) -> tuple[str, str] | None:
    """Return (reason, message) of a roll-back of exactly this run, or None."""
    text = annotations_of(route).get(ROLLED_BACK) if route is not None else None
    if not text:
        return None
    try:
        mark = json.loads(text)
    except ValueError:
        return None
    if not isinstance(mark, dict) or (mark.get("revision"), mark.get("run")) != (revision, run):
        return None
    return str(mark.get("reason", "")), str(mark.get("message", ""))


def is_owned_by(route: Object, owner: Owner) -> bool:
    """Return whether a VirtualService carries this Canary's mark."""
    return annotations_of(route).get(OWNER) == owner.to_text()
