"""A DaemonSet as the core reads it, and what it writes to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from canary.core.converge.objects import make_clone
from canary.core.decide import decide, questions
from canary.core.names import WISH, Names, Owner, owner_of
from canary.core.objects import DAEMON_SET, combined
from canary.core.revisions import pin
from canary.core.snapshot import Snapshot
from canary.core.view import View
from canary.core.workload import SCALED_AWAY, Workload, on_its_nodes
from tests.answers import good
from tests.builders import (
    NOW,
    NS,
    OWNER_MARK,
    V1,
    apex,
    at,
    deleted,
    idle,
    new_status,
    untouched,
)

NAMES = Names(NS, "catalog", "catalog", DAEMON_SET)
AWAY = {SCALED_AWAY: "true"}
MARK: Owner = replace(OWNER_MARK, workloads=DAEMON_SET)


def placed(template: Mapping[str, Any], selector: Mapping[str, str] | None) -> dict[str, Any]:
    """Return a pod template with a node selector."""
    spec = {key: value for key, value in template["spec"].items() if key != "nodeSelector"}
    return {**template, "spec": {**spec, **({"nodeSelector": dict(selector)} if selector else {})}}


def daemons(
    name: str = "catalog",
    template: Mapping[str, Any] = V1,
    nodes: int = 3,
    *,
    selector: Mapping[str, str] | None = None,
    observed: bool = True,
    **counts: int,
) -> Workload:
    """Return a DaemonSet whose roll-out is over unless told otherwise."""
    status = {
        "desiredNumberScheduled": nodes,
        "currentNumberScheduled": nodes,
        "updatedNumberScheduled": nodes,
        "numberReady": nodes,
        "numberAvailable": nodes,
        "numberMisscheduled": 0,
        **counts,
    }
    metadata = {"name": name, "namespace": NS, "uid": f"uid-{name}", "generation": 2, "resourceVersion": "10"}
    return Workload(
        {
            "kind": "DaemonSet",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": {"app": "catalog"}},
                "template": placed(template, selector),
                "updateStrategy": {"type": "RollingUpdate"},
            },
            "status": {**status, "observedGeneration": 2 if observed else 1},
        }
    )


def released(world: Snapshot, **parts: Any) -> Snapshot:
    """Return a world whose target is a DaemonSet."""
    return replace(world, names=NAMES, owner=MARK, **parts)


@pytest.mark.parametrize(
    ("found", "replicas", "complete", "empty"),
    [
        (daemons(), 3, True, False),
        (daemons(numberAvailable=2), 3, False, False),
        (daemons(updatedNumberScheduled=2), 3, False, False),
        (daemons(currentNumberScheduled=2, updatedNumberScheduled=2), 3, False, False),
        (daemons(observed=False), 3, False, False),
        (daemons(nodes=0), 1, False, False),
        (daemons(numberMisscheduled=1), 3, True, False),
        (daemons(nodes=0, selector=AWAY), 0, True, True),
        (daemons(nodes=0, selector=AWAY, numberMisscheduled=2), 0, False, False),
        (daemons(nodes=3, selector=AWAY, observed=False), 0, False, False),
    ],
)
def test_daemon_set_is_as_large_as_the_nodes_it_fits_on(
    found: Workload, replicas: int, complete: bool, empty: bool
) -> None:
    """Kept off all nodes it has size 0, whatever its status still counts; without any node it is never complete."""
    assert (found.replicas, found.is_complete(100), found.empty) == (replicas, complete, empty)


@pytest.mark.parametrize("threshold", [0, 1, 33])
def test_daemon_set_without_ready_pods_is_never_complete(threshold: int) -> None:
    """Flagger rounds down, so that none of three pods is enough at 33 % (W44)."""
    assert not daemons(numberAvailable=0).is_complete(threshold)
    assert daemons(numberAvailable=1).is_complete(threshold)


@pytest.mark.parametrize("selector", [None, {"disk": "ssd"}])
def test_template_is_the_same_kept_off_all_nodes_or_not(selector: dict[str, str] | None) -> None:
    """What we write into a DaemonSet's template is no part of what is pinned and compared."""
    away = {**(selector or {}), **AWAY}
    found, shown = daemons(selector=selector), daemons(nodes=0, selector=away)
    assert found.template == shown.template
    assert pin(found, 1).id == pin(shown, 1).id
    assert on_its_nodes({"spec": {"nodeSelector": {}}}) == {"spec": {}}


def test_resizing_writes_the_node_selector_alone() -> None:
    """A DaemonSet has no number to write, only whether it is kept off all nodes."""
    away = daemons(nodes=0, selector=AWAY)

    def selector(value: str | None) -> dict[str, Any]:
        return {"template": {"spec": {"nodeSelector": {SCALED_AWAY: value}}}}

    assert (daemons().resized(0), away.resized(2)) == (selector("true"), selector(None))
    assert (daemons().resized(5), away.resized(0)) == ({}, {})


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"s": {"disk": None}}, {"s": {"key": None}}, {"s": {"disk": None, "key": None}}),
        ({"s": None}, {"s": {"key": None}}, {"s": None}),
        ({"s": None}, {"s": {"key": "true"}}, {"s": {"key": "true"}}),
    ],
)
def test_combined_patches_do_what_both_do(one: Any, other: Any, both: Any) -> None:
    """A selector that is removed whole takes the key in it along."""
    assert combined(one, other) == both


def test_owner_mark_names_a_daemon_set_and_no_deployment() -> None:
    """The give-back knows what it looks for; marks on Deployments are as ever (I5)."""
    assert "kind" not in OWNER_MARK.to_text()
    assert owner_of({"metadata": {"annotations": {"canary.delivery/owner": MARK.to_text()}}}) == MARK


def test_clones_are_daemon_sets_without_a_number() -> None:
    """The clone follows the update strategy and has neither replicas, nor a deadline, nor a wish."""
    target = daemons()
    world = released(untouched(), target=target)
    made = make_clone(View(world, (), NOW), "primary", pin(target, 1), 3)
    assert (made["kind"], made["spec"]["updateStrategy"]) == ("DaemonSet", {"type": "RollingUpdate"})
    assert not {"replicas", "progressDeadlineSeconds", "strategy"} & made["spec"].keys()
    assert WISH not in made["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"updateStrategy": {"type": "OnDelete"}}, "UpdateStrategyUnfit"),
        ({"updateStrategy": {}}, "Initializing"),
        ({"template": {**V1, "spec": {**V1["spec"], "hostNetwork": True}}}, "HostPortTaken"),
        (
            {"template": {**V1, "spec": {"containers": [{"name": "c", "ports": [{"hostPort": 80}]}]}}},
            "HostPortTaken",
        ),
    ],
)
def test_daemon_set_that_no_clone_can_stand_beside_is_refused(spec: dict[str, Any], reason: str) -> None:
    """Nothing is made: the message says what is in the way."""
    raw = dict(daemons().raw)
    raw["spec"] = {**raw["spec"], **spec}
    world = released(untouched(), target=Workload(raw))
    decision = decide(world, (), NOW)
    condition = new_status(world, decision).condition("Ready")
    assert condition is not None
    assert condition.reason == reason


def test_nothing_is_done_about_daemon_sets_nobody_may_read() -> None:
    """They are not gone: neither is a primary made again, nor is what is left behind cleared away."""
    world = released(idle(), target=None, primary=None, candidate=None, target_seen=False)
    decision = decide(world, good(questions(world, at(60))), at(60))
    condition = new_status(world, decision).condition("Ready")
    assert condition is not None
    assert (decision.urgent, decision.actions, condition.reason) == ((), (), "TargetUnreadable")
    gone = released(deleted(), target=None, primary=None, candidate=None, target_seen=False, apex=apex("primary"))
    decision = decide(gone, good(questions(gone, at(60))), at(60))
    assert (decision.actions, decision.requeue_after) == ((), timedelta(seconds=5))
