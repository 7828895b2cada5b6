"""Delegation: what Istio would leave out between two VirtualServices is refused before anything is touched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.core.decide import decide
from canary.core.objects import Object
from canary.core.snapshot import Neighbours, Snapshot
from tests.builders import NOW, NS, new_status, untouched

S, A = "spec.service", "spec.analysis"
DELEGATION: dict[str, Any] = {f"{S}.delegation": True, f"{S}.hosts": [], f"{S}.gateways": []}
BLUE_GREEN: dict[str, Any] = {f"{A}.stepWeight": None, f"{A}.maxWeight": 0, f"{A}.iterations": 3}
STAFF = {"headers": {"x-group": {"exact": "staff"}}}
SESSIONS = {f"{A}.sessionAffinity": {"cookieName": "shop"}}


def cohort(*conditions: dict[str, Any]) -> dict[str, Any]:
    """Return a plan with a cohort."""
    return {**BLUE_GREEN, f"{A}.match": list(conditions)}


def root(*conditions: dict[str, Any], **entry: Any) -> Object:
    """Return a VirtualService that delegates to the Canary's, for requests that meet a condition."""
    other = {"name": "other", "match": [{"uri": {"prefix": "/x"}}], "delegate": {"name": "other", "namespace": NS}}
    handed: dict[str, Any] = {"name": "shop", "delegate": {"name": "catalog", "namespace": NS}, **entry}
    if conditions:
        handed["match"] = list(conditions)
    metadata = {"name": "edge", "namespace": "web"}
    return {"kind": "VirtualService", "metadata": metadata, "spec": {"hosts": ["shop.io"], "http": [other, handed]}}


def ready(world: Snapshot) -> tuple[str, str]:
    """Return reason and message of condition Ready."""
    found = new_status(world, decide(world, (), NOW)).condition("Ready")
    assert found is not None
    return found.reason, found.message


def told(changes: dict[str, Any], above: Object) -> str:
    """Return why a world cannot be served for what delegates to its route; empty when it can."""
    world = replace(untouched({**DELEGATION, **changes}), roots=[above])
    reason, message = ready(world)
    return message if reason == "DelegationUnfit" else ""


PATH, WIDE = {"uri": {"prefix": "/catalog"}}, {"uri": {"prefix": "/"}}
GATED = {"gateways": ["edge/public"]}
AT_ONCE = "and the plan's cohort cannot be asked for at once:"


@pytest.mark.parametrize(
    ("changes", "above"),
    [
        ({}, root()),
        ({}, root(PATH, mirror={"host": "shadow"})),
        (cohort(STAFF), root()),
        (cohort(STAFF), root(PATH, timeout="5s")),
        (cohort({"uri": {"exact": "/catalog/new"}}), root(PATH)),
        (cohort(STAFF), root({"headers": {"x-group": {"exact": "staff"}}}, {"headers": {"x-group": {"prefix": "s"}}})),
        (cohort(STAFF), root({"headers": {"x-group": {"exact": "guests"}}})),
        (cohort({"sourceLabels": {"app": "web"}}), root({"sourceLabels": {"tier": "front"}})),
        (cohort({"gateways": ["edge/public"], **STAFF}), root({"gateways": ["mesh", "edge/public"]})),
        (cohort({"port": 80, **STAFF}), root({"port": 80})),
        (SESSIONS, root(PATH)),
        ({f"{S}.match": [PATH]}, root(WIDE)),
        ({f"{A}.mirror": True, f"{A}.mirrorWeight": 20}, root(retries={"attempts": 1})),
    ],
)
def test_what_istio_joins_is_served(changes: dict[str, Any], above: Object) -> None:
    """Conditions of one that are part of the other's, and routes that no request of both could meet."""
    assert told(changes, above) == ""


@pytest.mark.parametrize(
    ("changes", "above", "words"),
    [
        (cohort(STAFF), root({"headers": {"x-group": {"regex": "s.*"}}}), "asks for headers.x-group and so does the"),
        (cohort(STAFF), root({"headers": {"x-group": {}}}), "asks for headers.x-group and so does the plan's cohort"),
        (cohort({"headers": {"x": {}}}), root({"headers": {"x": {"exact": "y"}}}), "asks for headers.x and so does"),
        (cohort({"uri": {"prefix": "/"}}), root(PATH), "asks for uri and so does the plan's cohort"),
        (cohort({"uri": {"regex": "/c.*"}}), root(PATH), "asks for uri and so does the plan's cohort"),
        (cohort(STAFF, {"uri": {"exact": "/y"}}), root(PATH), "asks for uri and so does the plan's cohort"),
        (cohort({"withoutHeaders": {"x": {}}}), root({"withoutHeaders": {"x": {}}}), "asks for withoutHeaders.x and"),
        (cohort(STAFF), root({"ignoreUriCase": True, **PATH}), "asks for ignoreUriCase and so does"),
        (cohort(STAFF), root({"sourceNamespace": "web"}), "asks for sourceNamespace and so does the plan's cohort"),
        (cohort({"gateways": ["mesh", "edge/public"], **STAFF}), root(GATED), "asks for gateways and so does"),
        (cohort({"sourceLabels": {"app": "web"}}), root(GATED), f"{AT_ONCE} gateways is ['edge/public'] in one"),
        (cohort({"gateways": ["mesh"]}), root({"sourceLabels": {"app": "web"}}), f"{AT_ONCE} gateways is ['mesh'] in"),
        (SESSIONS, root({"headers": {"cookie": {"regex": "a=.*"}}}), "asks for header cookie itself, the session's"),
        (SESSIONS, root(headers={"response": {"set": {"set-cookie": "a=1"}}}), "names set-cookie in headers.response"),
        (SESSIONS, root({"sourceNamespace": "web"}), "asks for sourceNamespace and so does session affinity"),
        ({f"{S}.match": [WIDE]}, root(PATH), "asks for uri and so does http route weighted, which Istio would leave"),
        ({f"{A}.mirror": True}, root(mirror={"host": "shadow"}), "mirrors requests elsewhere, the canary's copies"),
    ],
)
def test_what_istio_would_leave_out_is_refused(changes: dict[str, Any], above: Object, words: str) -> None:
    """The sentence names both VirtualServices, the route that delegates and the field."""
    message = told(changes, above)
    assert message.startswith(f"VirtualService web/edge cannot delegate to catalog: http route shop {words}")


def test_gateways_are_compared_in_full() -> None:
    """A bare name is one of the namespace it is written in."""
    assert told(cohort({"gateways": ["web/g"], **STAFF}), root({"gateways": ["mesh", "g"]})) == ""
    assert told(cohort({"gateways": ["mesh", "g"], **STAFF}), root({"gateways": ["mesh", "g"]})) != ""


def test_claims_of_tokens_are_refused_in_a_route_without_gateways() -> None:
    """Istio's webhook would refuse the write in the middle of a release."""
    claim = cohort({"headers": {"@request.auth.claims.group": {"exact": "staff"}}})
    assert ready(replace(untouched({**DELEGATION, **claim}), roots=[root()])) == (
        "DelegationUnfit",
        "VirtualService catalog has no gateways and the plan's cohort asks for @request.auth.claims.group, which Istio "
        "takes beside gateways alone; name gateways instead of delegation",
    )


def host(**spec: Any) -> Object:
    """Return a VirtualService of the namespace for the apex's host."""
    return {"kind": "VirtualService", "metadata": {"name": "front", "namespace": NS}, "spec": spec}


def test_one_for_the_host_may_delegate_to_the_apexs_own() -> None:
    """With delegation the other one is no second for the host; without, the sentence says what would be right."""
    front = host(hosts=["catalog"], http=[{"delegate": {"name": "catalog"}}])
    parts = {"neighbours": Neighbours(routes=[front]), "roots": [front]}
    assert ready(replace(untouched(DELEGATION), **parts))[0] not in ("HostTaken", "DelegationUnfit")
    reason, message = ready(replace(untouched(), **parts))
    assert reason == "HostTaken"
    assert "VirtualService front routes host catalog too; since it delegates to VirtualService catalog, set " in message
