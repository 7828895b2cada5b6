"""What counts as reached: what the EndpointSlices of a Service say, and what is decided on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.core.advance import advance
from canary.core.converge.wanted import wanted_apex_role, wanted_routing
from canary.core.endpoints import SERVICE_NAME, count_ready, service_host
from canary.core.routes.routing import TO_CANARY, TO_PRIMARY
from canary.core.view import View
from tests.builders import at, clone, finalising, running, with_status


def sliced(*endpoints: dict[str, Any], labels: dict[str, str] | None = None) -> dict[str, Any]:
    """Return an EndpointSlice of Service web."""
    shown = {SERVICE_NAME: "web"} if labels is None else labels
    return {"metadata": {"name": "web-x", "namespace": "shop", "labels": shown}, "endpoints": list(endpoints)}


def endpoint(pod: str, ready: bool | None = True, address: str = "10.0.0.1") -> dict[str, Any]:
    """Return one endpoint."""
    conditions = {} if ready is None else {"ready": ready}
    return {"addresses": [address], "conditions": conditions, "targetRef": {"kind": "Pod", "uid": pod}}


@pytest.mark.parametrize(
    ("slices", "count"),
    [
        ([], 0),
        ([sliced()], 0),
        ([{**sliced(), "endpoints": None}], 0),
        ([sliced(endpoint("a"), endpoint("b", ready=False))], 1),
        ([sliced(endpoint("a", ready=None))], 1),
        ([sliced(endpoint("a")), sliced(endpoint("b"))], 2),
        ([sliced(endpoint("a")), sliced(endpoint("a", address="fd00::1"))], 1),
        ([sliced({"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]})], 2),
    ],
)
def test_ready_pods_of_all_slices_count_once(slices: list[dict[str, Any]], count: int) -> None:
    """Of both address families, in slices that are full, without conditions, without a pod behind."""
    assert count_ready(slices) == count


def test_slice_belongs_to_the_service_it_names() -> None:
    """By its label; without one it is nobody's."""
    assert service_host(sliced()) == "web.shop.svc.cluster.local"
    assert service_host(sliced(labels={})) == ""


def test_pods_that_are_not_reached_are_not_ready() -> None:
    """They count as neither ready, available nor fresh, and the rollout is over all the same."""
    workload = replace(clone("primary", replicas=3), reached=1)
    assert (workload.running, workload.ready, workload.available, workload.fresh, workload.unreached) == (3, 1, 1, 1, 2)
    assert (workload.is_complete(100), workload.is_reached(100), workload.is_reached(33)) == (True, False, True)
    assert replace(workload, reached=5).is_reached(100)


def test_canary_that_is_not_reached_takes_no_more_and_says_why() -> None:
    """A step for which its pods are ready waits for the Service."""
    world = running(10, candidate=replace(clone("canary", replicas=2), reached=0))
    view = View(world, (), at(45))
    assert view.canary_lost
    assert wanted_routing(view) == TO_PRIMARY
    behind = View(running(0, candidate=replace(clone("canary"), reached=0)), (), at(45))
    assert "Service catalog-canary does not lead to 2 of its pods yet" in str(advance(behind).status.message)


def test_primary_that_is_not_reached_gets_nothing_back() -> None:
    """Neither route nor apex Service turns to it, the canary goes on serving."""
    world = finalising(100)
    assert world.primary is not None
    behind = replace(world, primary=replace(world.primary, reached=1))
    for seen, routing, role in ((world, TO_PRIMARY, "primary"), (behind, TO_CANARY, "canary")):
        view = View(with_status(seen, canary_weight=0), (), at(45))
        assert (wanted_routing(view), wanted_apex_role(view, wanted_routing(view))) == (routing, role)
