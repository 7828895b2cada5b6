"""The traffic policy of the apex host reaches both sides, and no rule is made without need (R-RES-3, R-RES-4)."""

from __future__ import annotations

from typing import Any

import pytest

from canary.core.actions import Create, Delete, Patch
from canary.core.decide import decide
from canary.core.names import owned_metadata
from canary.core.objects import DESTINATION_RULE, Object, apply_merge_patch
from canary.core.snapshot import Neighbours
from tests.builders import NAMES, NOW, NS, OWNER_MARK, idle

LIMITS = {"connectionPool": {"tcp": {"maxConnections": 9}, "http": {"http1MaxPendingRequests": 2}}}
EJECTS = {"outlierDetection": {"consecutive5xxErrors": 3}, "loadBalancer": {"localityLbSetting": {"enabled": True}}}


def users(host: str = "catalog", **spec: Any) -> Object:
    """Return a user's DestinationRule for a host."""
    metadata = {"name": "limits", "namespace": NS, "resourceVersion": "7"}
    return {"kind": "DestinationRule", "metadata": metadata, "spec": {"host": host, **spec}}


def ours(role: str, **policy: Any) -> Object:
    """Return the DestinationRule of one side as we wrote it."""
    name = f"catalog-{role}"
    metadata = {**owned_metadata(name, NS, OWNER_MARK, role=role), "uid": "u", "resourceVersion": "8"}
    return {"metadata": metadata, "spec": {"host": name, "trafficPolicy": policy}}


def written(rules: tuple[Object, ...] = (), **parts: Any) -> list[Any]:
    """Return the writes on rules in a world that is at rest but for them."""
    mine = {r["metadata"]["name"]: r for r in rules if r["metadata"]["name"] != "limits"}
    world = idle(neighbours=Neighbours(rules=rules), rules=mine, **parts)
    decision = decide(world, (), NOW)
    return [a for a in (*decision.urgent, *decision.actions) if a.ref.resource == DESTINATION_RULE]


@pytest.mark.parametrize("host", ["catalog", f"catalog.{NS}.svc.cluster.local"])
def test_policy_of_the_apex_is_copied_whole(host: str) -> None:
    """Port level settings, pools, ejection and exportTo are carried under the sides' own hosts."""
    policy = {**LIMITS, **EJECTS, "portLevelSettings": [{"port": {"number": 80}}]}
    made = written((users(host, trafficPolicy=policy, exportTo=["."]),))
    assert [type(one) for one in made] == [Create, Create]
    assert [one.body["spec"] for one in made] == [
        {"host": f"catalog-{role}", "trafficPolicy": policy, "exportTo": ["."]} for role in ("primary", "canary")
    ]


def test_no_rule_is_made_without_a_policy() -> None:
    """Neither without a rule, nor for one of subsets alone or of another host."""
    assert written() == []
    assert written((users(subsets=[{"name": "v1", "labels": {"version": "v1"}}]),)) == []
    assert written((users("catalogue", trafficPolicy=LIMITS),)) == []


def test_rule_follows_the_users() -> None:
    """An edit of the user's rule is copied, and a rule that goes takes ours with it."""
    both = (ours("primary", **LIMITS), ours("canary", **LIMITS))
    assert written((users(trafficPolicy=LIMITS), *both)) == []
    patches = written((users(trafficPolicy=EJECTS), *both))
    assert [type(one) for one in patches] == [Patch, Patch]
    after = apply_merge_patch(both[0], patches[0].body)
    assert after["spec"] == {"host": "catalog-primary", "trafficPolicy": EJECTS}
    assert [type(one) for one in written(both)] == [Delete, Delete]


def test_policy_of_the_spec_goes_first() -> None:
    """service.trafficPolicy is written as it stands, nothing pruned (W63)."""
    policy = {"connectionPool": {"tcp": {"maxConnections": 1}}, "tunnel": {"protocol": "CONNECT"}}
    made = written((users(trafficPolicy=EJECTS),), changes={"spec.service.trafficPolicy": policy})
    assert [one.body["spec"]["trafficPolicy"] for one in made] == [policy, policy]


def test_policy_of_the_subset_in_use_is_carried() -> None:
    """A user's route to a subset loses the subset, and keeps its policy."""
    subset = {"name": "v1", "labels": {"version": "v1"}, "trafficPolicy": EJECTS}
    http = [{"route": [{"destination": {"host": "catalog", "subset": "v1"}}]}]
    route = {"metadata": {"name": "catalog", "namespace": NS, "resourceVersion": "5"}, "spec": {"http": http}}
    made = written((users(trafficPolicy=LIMITS, subsets=[subset]),), route=route)
    assert [one.body["spec"]["trafficPolicy"] for one in made] == [{**LIMITS, **EJECTS}] * 2


def test_rule_of_others_under_our_name_is_not_touched() -> None:
    """A DestinationRule that already has the name of ours is told, not written."""
    theirs = {"metadata": {"name": "catalog-primary", "namespace": NS, "resourceVersion": "9"}, "spec": {"host": "x"}}
    made = written((users(trafficPolicy=LIMITS), theirs))
    assert [one.ref for one in made] == [NAMES.rule("canary")]
