"""Apex Services of the user that lack what the spec asks for, and in which words that is said."""

from __future__ import annotations

from typing import Any

from canary.core.snapshot import Snapshot
from tests.builders import clone, idle, template


def ported(*ports: dict[str, Any], image: str = "catalog:v1", name: str = "catalog") -> dict[str, Any]:
    """Return a pod template whose container has these ports."""
    pod = template(image)
    pod["spec"]["containers"][0] |= {"name": name, "ports": list(ports)}
    return pod


S = "spec.service"
REASON, WHY = "ServiceFieldsUnused", "not written to Service catalog, since that is yours; write it there"
APEX = {f"{S}.apex": {"labels": {"team": "shop"}, "annotations": {"example.com/by": "apex"}}}
PORTS = [{"containerPort": 3000}, {"containerPort": 9090, "name": "metrics"}, {"containerPort": 53, "protocol": "UDP"}]
DISTRIBUTION = {f"{S}.trafficDistribution": "PreferClose"}

LACKING: list[tuple[Snapshot, str, str]] = [
    (
        idle(changes={f"{S}.portDiscovery": True}, primary=clone("primary", pod=ported(*PORTS))),
        REASON,
        f"{S}.portDiscovery (of 53/UDP and 9090/TCP) is {WHY}",
    ),
    (idle(changes=DISTRIBUTION), REASON, f"{S}.trafficDistribution is {WHY}"),
    (
        idle(changes={**APEX, **DISTRIBUTION}),
        REASON,
        f"{S}.apex.labels, {S}.apex.annotations and {S}.trafficDistribution are {WHY}",
    ),
]
