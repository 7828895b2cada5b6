"""Apex Services of the user that lack what the spec asks for, and in which words that is said."""

from __future__ import annotations

from canary.core.snapshot import Snapshot
from tests.builders import idle

S = "spec.service"
REASON, WHY = "ServiceFieldsUnused", "not written to Service catalog, since that is yours; write it there"
APEX = {f"{S}.apex": {"labels": {"team": "shop"}, "annotations": {"example.com/by": "apex"}}}
DISTRIBUTION = {f"{S}.trafficDistribution": "PreferClose"}

LACKING: list[tuple[Snapshot, str, str]] = [
    (idle(changes=DISTRIBUTION), REASON, f"{S}.trafficDistribution is {WHY}"),
    (
        idle(changes={**APEX, **DISTRIBUTION}),
        REASON,
        f"{S}.apex.labels, {S}.apex.annotations and {S}.trafficDistribution are {WHY}",
    ),
]
