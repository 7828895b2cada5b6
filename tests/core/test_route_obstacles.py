"""Routes that cannot do what the plan asks: the sentence names VirtualService, route, field and values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import Phase
from canary.core.decide import decide
from canary.core.names import OWNER
from canary.core.objects import Object
from canary.core.routes.istio import rewrite_route
from canary.core.routes.routing import TO_PRIMARY
from canary.core.snapshot import Neighbours, Snapshot
from tests.builders import NAMES, NOW, NS, OWNER_MARK, deployment, new_status, template, untouched

S, A = "spec.service", "spec.analysis"
ITERATIONS: dict[str, Any] = {f"{A}.stepWeight": None, f"{A}.maxWeight": 0, f"{A}.iterations": 3}
STAFF = {**ITERATIONS, f"{A}.match": [{"headers": {"x-group": {"exact": "staff"}}}]}
COOKIE = {f"{A}.sessionAffinity": {"cookieName": "shop"}}
MARK = {OWNER: OWNER_MARK.to_text()}
TO_APEX: dict[str, Any] = {"route": [{"destination": {"host": "catalog"}}]}


def users(*http: dict[str, Any]) -> Object:
    """Return a user's VirtualService for the apex."""
    metadata = {"name": "shop", "namespace": NS, "resourceVersion": "50"}
    return {"kind": "VirtualService", "metadata": metadata, "spec": {"hosts": ["catalog"], "http": [*http]}}


def told(world: Snapshot) -> tuple[str, str]:
    """Return reason and message of condition Ready; nothing is touched when it is False."""
    decision = decide(world, (), NOW)
    status = new_status(world, decision)
    ready = status.condition("Ready")
    assert ready is not None
    if ready.reason.startswith("Route"):
        assert (status.phase, decision.urgent, decision.actions) == (Phase.INITIALIZING, (), ())
        assert [event.reason for event in decision.events] == [ready.reason]
    return ready.reason, ready.message


def header(text: dict[str, str]) -> dict[str, Any]:
    """Return a route for a header of requests."""
    return {"name": "groups", "match": [{"headers": {"x-group": text}}], **TO_APEX}


SHADOWED: dict[str, Any] = {"mirror": {"host": "shadow"}, **TO_APEX}
PART = {"headers": {"response": {"remove": ["Set-Cookie"]}}, **TO_APEX["route"][0]}
UNFIT: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {},
        {"name": "all", "redirect": {"uri": "/x"}},
        "has no http route to host catalog; add one, or delete it and one",
    ),
    (
        {},
        {"route": [{**TO_APEX["route"][0], "weight": 0}]},
        "http route 1 has weights that sum to 0; give its destinations weights that sum to 100",
    ),
    (
        {},
        {"route": [{"destination": {"host": host}, "weight": 50} for host in ("catalog", f"catalog.{NS}")]},
        "http route 1 names host catalog in more than one destination; leave one of them",
    ),
    (
        {f"{A}.mirror": True},
        SHADOWED,
        "http route 1 mirrors requests elsewhere, the canary's copies have no place there",
    ),
    (
        STAFF,
        header({"regex": "s.*"}),
        "http route groups and the cohort cannot be asked for at once: headers.x-group is {'regex': 's.*'} in one "
        "condition and {'exact': 'staff'} in the other",
    ),
    (
        COOKIE,
        {"match": [{"headers": {"cookie": {"regex": "a=.*"}}}], **TO_APEX},
        "http route 1 asks for header cookie itself, the session's cookie cannot be asked for beside it",
    ),
    (
        COOKIE,
        {"headers": {"response": {"set": {"set-cookie": "a=1"}}}, **TO_APEX},
        "http route 1 names set-cookie in headers.response.set, the session's cookie has no place there",
    ),
    (
        COOKIE,
        {"route": [PART]},
        "http route 1 names set-cookie in route[].headers.response.remove, the session's cookie has no place there",
    ),
]
GENERATED = ("match", "headers")
"""What of a route spec.service can ask for."""


@pytest.mark.parametrize(("changes", "entry", "sentence"), UNFIT, ids=lambda value: value if value is str else "")
def test_users_route_that_cannot_do_what_the_plan_asks_is_named(
    changes: dict[str, Any], entry: dict[str, Any], sentence: str
) -> None:
    """Beside other routes that can: nothing is written, not even to those."""
    reason, message = told(untouched(changes, route=users(entry)))
    assert reason == "RouteNotAdoptable"
    assert message.startswith(f"VirtualService shop cannot be adopted: {sentence}")


@pytest.mark.parametrize(
    ("changes", "entry", "sentence"), [one for one in UNFIT if not one[1].keys().isdisjoint(GENERATED)]
)
def test_route_of_the_spec_that_cannot_do_what_the_plan_asks_is_named(
    changes: dict[str, Any], entry: dict[str, Any], sentence: str
) -> None:
    """The same asked for in spec.service is told of the route that would be made."""
    asked = {f"{S}.{field}": entry[field] for field in GENERATED if field in entry}
    reason, message = told(untouched({**changes, **asked}))
    assert reason == "RouteNotPossible"
    words = sentence.partition(" ")[2].partition(" ")[2].partition(" ")[2]
    assert message.startswith("spec.service does not fit spec.analysis: http route weighted ")
    assert message.endswith(words)


@pytest.mark.parametrize(
    ("changes", "entry"),
    [
        ({}, SHADOWED),
        (ITERATIONS, SHADOWED),
        (STAFF, header({"prefix": "s"})),
        (STAFF, header({"exact": "staff"})),
        (COOKIE, {"headers": {"response": {"add": {"set-cookie": "a=1"}}}, **TO_APEX}),
        ({**ITERATIONS, **COOKIE}, {"match": [{"headers": {"cookie": {"regex": "a=.*"}}}], **TO_APEX}),
    ],
)
def test_route_that_can_do_what_the_plan_asks_is_served(changes: dict[str, Any], entry: dict[str, Any]) -> None:
    """What looks alike and works, and what a plan without cohorts, copies or cookies does not ask for."""
    assert told(untouched(changes, route=users(entry)))[0] == "Initializing"


def subsets(**labels: dict[str, str]) -> Neighbours:
    """Return the user's DestinationRule with subsets of these labels."""
    spec = {"host": "catalog", "subsets": [{"name": name, "labels": found} for name, found in labels.items()]}
    return Neighbours(rules=[{"kind": "DestinationRule", "metadata": {"name": "rule", "namespace": NS}, "spec": spec}])


BETA = {"match": [{"headers": {"x-beta": {}}}], "route": [{"destination": {"host": "catalog", "subset": "v2"}}]}
STABLE = {"name": "rest", "route": [{"destination": {"host": "catalog", "subset": "v1"}}]}


def beside_v2(**labels: str) -> Snapshot:
    """Return a target of version v1 before its Canary, with routes to subsets v1 and v2."""
    target = deployment(pod=template(version="v1"))
    rules = subsets(v1={"version": "v1"}, v2=labels)
    return replace(untouched(target=target, route=users(BETA, STABLE)), neighbours=rules)


def test_route_to_pods_that_are_not_the_targets_is_refused() -> None:
    """Shared out, its requests would go from the pods of another Deployment to the primary's."""
    assert told(beside_v2(version="v2")) == (
        "RouteNotAdoptable",
        "VirtualService shop cannot be adopted: http route 1 goes to subset v2, of pods with label version: v2, which "
        "those of Deployment catalog do not have; take the subset out, or lead it to a Service of their own",
    )


def test_route_to_subsets_of_the_targets_pods_is_served() -> None:
    """Whatever a subset without labels, or one that nobody defined, is called."""
    assert told(beside_v2(version="v1"))[0] == "Initializing"
    assert told(beside_v2())[0] == "Initializing"
    assert told(replace(beside_v2(), neighbours=Neighbours()))[0] == "Initializing"


def test_subset_of_a_former_version_is_no_obstacle_to_an_adopted_route() -> None:
    """Its labels tell nothing any more: the pairs lead to both sides, whatever version they are."""
    route = rewrite_route(users(STABLE), None, NAMES, TO_PRIMARY, None)
    marked = {
        **users(STABLE),
        **route,
        "metadata": {**users()["metadata"], "annotations": MARK | route["metadata"]["annotations"]},
    }
    world = replace(
        untouched(target=deployment(pod=template(version="v9")), route=marked), neighbours=subsets(v1={"version": "v1"})
    )
    assert told(world)[0] == "Initializing"
