"""A VirtualService that the spec names, of another namespace: what its hosts mean, and whose it is."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.core.actions import Patch
from canary.core.decide import decide
from canary.core.measurement import GoneAnswer, GoneQuery, Measurement
from canary.core.names import OWNER, owner_of
from canary.core.objects import VIRTUAL_SERVICE, Object, Ref, apply_merge_patch
from canary.core.routes.choice import choose_route
from canary.core.routes.hosts import read_host
from canary.core.routes.istio import plain_route, read_weights, rewrite_route
from canary.core.routes.routing import TO_PRIMARY, Routing
from canary.core.snapshot import Neighbours, Snapshot
from tests.builders import KEY, NAMES, NOW, NS, OWNER_MARK, idle, new_status, untouched
from tests.core.test_route_rewriting import patched, routes, routings

EDGE = Ref(VIRTUAL_SERVICE, "edge", "shop")
FAR = replace(NAMES, named=EDGE)
FULL = f"{NS}.svc.cluster.local"
MARK = replace(OWNER_MARK, route=EDGE, namespace=NS)
NAMING = {"spec.service.virtualService": {"name": "shop", "namespace": "edge"}}


def users(host: str = f"catalog.{FULL}", annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """Return the VirtualService that is named, with a destination."""
    metadata = {"name": "shop", "namespace": "edge", "uid": "uid-shop", "resourceVersion": "70"}
    http = [{"route": [{"destination": {"host": host}}]}]
    body = {"hosts": [f"catalog.{FULL}"], "http": http, **spec}
    return {"kind": "VirtualService", "metadata": {**metadata, "annotations": annotations or {}}, "spec": body}


def shared_out(canary: int = 0) -> dict[str, Any]:
    """Return the VirtualService that is named as it stands under a Canary."""
    before = users(annotations={OWNER: MARK.to_text()})
    return patched(before, rewrite_route(before, None, FAR, Routing(canary), None))


def world(route: Object | None, **parts: Any) -> Snapshot:
    """Return the world just after a Canary was applied that names a VirtualService."""
    return replace(untouched(NAMING), names=FAR, owner=MARK, route=route, **parts)


def ready(snapshot: Snapshot) -> tuple[str, str]:
    """Return reason and message of condition Ready."""
    found = new_status(snapshot, decide(snapshot, (), NOW)).condition("Ready")
    assert found is not None
    return found.reason, found.message


@pytest.mark.parametrize("side", ["apex", "primary", "canary"])
def test_only_the_full_host_means_the_apex_from_another_namespace(side: Any) -> None:
    """A bare name is a Service of the namespace it is written in, and Istio completes no others."""
    name = "catalog" if side == "apex" else f"catalog-{side}"
    found = read_host(f"{name}.{FULL}", FAR)
    assert found is not None
    assert (found.side, found.spelled(FAR, "canary")) == (side, f"catalog-canary.{FULL}")
    for other in (name, f"{name}.edge", f"{name}.{NS}", f"{name}.{NS}.svc", f"{name}.edge.svc.cluster.local"):
        assert read_host(other, FAR) is None, other
    assert read_host(name, replace(FAR, named=replace(EDGE, namespace=NS))) is not None


@given(before=routes(), walk=st.lists(routings, min_size=1, max_size=3))
def test_route_elsewhere_is_undone_and_only_full_hosts_are_changed(before: dict[str, Any], walk: list[Routing]) -> None:
    """Whatever is asked for, destinations with short hosts stay another's, and the original comes back."""
    now = copy.deepcopy(before)
    for wanted in walk:
        now = patched(now, rewrite_route(now, None, FAR, wanted, None))
        hosts = {leg["destination"]["host"] for one in now["spec"]["http"] for leg in one.get("route") or ()}
        known = {leg["destination"]["host"] for one in before["spec"]["http"] for leg in one.get("route") or ()}
        assert hosts - known <= {f"catalog-{side}.{FULL}" for side in ("primary", "canary", "cohort1", "cohort2")}
    assert patched(now, plain_route(now, FAR)) == before


def test_mark_tells_where_route_and_canary_are_and_is_as_ever_without() -> None:
    """Marks of Canaries that name no VirtualService are what they were (I5)."""
    assert owner_of({"metadata": {"annotations": {OWNER: MARK.to_text()}}}) == MARK
    assert MARK.key("edge") == KEY
    assert not {"route", "namespace"} & set(OWNER_MARK.to_text().split('"'))


def test_marked_route_goes_before_the_named_one_and_that_before_all_others() -> None:
    """A Canary of the same name in the namespace of the route is another one."""
    own = {**users(), "metadata": {"name": "catalog", "namespace": NS}}
    theirs = users(annotations={OWNER: OWNER_MARK.to_text()})
    marked = copy.deepcopy(shared_out())
    marked["metadata"]["name"] = "before"
    assert choose_route([own, users()], FAR, MARK) == users()
    assert choose_route([own], FAR, MARK) is None
    assert choose_route([own, users(), marked], FAR, MARK) == marked
    assert choose_route([theirs, own], NAMES, OWNER_MARK) == own
    assert choose_route([marked, own], NAMES, OWNER_MARK) == marked


def test_missing_route_is_named_and_none_is_made() -> None:
    """Before the Canary is initialised and after."""
    told = "VirtualService edge/shop, named in spec.service.virtualService, not found; create it, or correct the name"
    assert ready(world(None)) == ("VirtualServiceMissing", told)
    later = replace(idle(changes=NAMING), names=FAR, owner=MARK, route=None)
    decision = decide(later, (), NOW)
    assert ready(later) == ("VirtualServiceMissing", told)
    assert [one for one in (*decision.urgent, *decision.actions) if one.ref.resource == VIRTUAL_SERVICE] == []


@pytest.mark.parametrize(
    ("parts", "reason", "words"),
    [
        ({"route": None, "route_seen": False}, "NamespaceNotWatched", "add edge to --namespaces, or CANARY_NAMESPACES"),
        (
            {"route": users("catalog")},
            "RouteNotAdoptable",
            f"VirtualService edge/shop cannot be adopted: has no http route to host catalog.{FULL}; add one",
        ),
        (
            {"route": users(annotations={OWNER: OWNER_MARK.to_text()})},
            "VirtualServiceTaken",
            "VirtualService edge/shop is the route of Canary edge/catalog-release already; give this Canary",
        ),
        (
            {"route": shared_out(), "canary": untouched().canary, "spec": untouched().spec},
            "VirtualServiceChanged",
            "VirtualService edge/shop is still shared out for this Canary, but spec.service.virtualService names none;",
        ),
        (
            {
                "route": users(),
                "neighbours": Neighbours(
                    routes=[{"metadata": {"name": "shop", "namespace": NS}, "spec": {"hosts": ["catalog"]}}]
                ),
            },
            "HostTaken",
            "VirtualService shop routes host catalog too",
        ),
    ],
    ids=["unwatched", "no route to it", "another Canary's", "another named", "second for the host"],
)
def test_named_route_that_cannot_be_the_canarys_is_refused(parts: dict[str, Any], reason: str, words: str) -> None:
    """The sentence names the VirtualService with its namespace and says what would be right."""
    found = ready(world(**{"route": users(), **parts}))
    assert found[0] == reason
    assert words in found[1]


def test_shares_are_read_and_written_where_the_route_is() -> None:
    """The write goes to the other namespace, with the mark that leads back from there."""
    moved = replace(idle(changes=NAMING), names=FAR, owner=MARK, route=shared_out(30))
    assert read_weights(shared_out(30), FAR) == Routing(30).weights
    write = decide(moved, (), NOW).urgent[0]
    assert isinstance(write, Patch)
    assert write.ref == EDGE
    after = apply_merge_patch(shared_out(30), write.body)
    assert read_weights(after, FAR) == TO_PRIMARY.weights
    assert owner_of(after) == MARK


def test_nothing_is_given_back_while_the_route_is_out_of_sight() -> None:
    """Its requests still go to the clones; the note names the setting, and nothing is asked again."""
    gone = replace(idle(changes=NAMING), names=FAR, owner=MARK, route=None, route_seen=False, canary=None, spec=None)
    decision = decide(gone, (Measurement(GoneQuery(KEY), GoneAnswer(True)),), NOW)
    assert (decision.urgent, decision.actions, decision.requeue_after) == ((), (), None)
    assert "VirtualService edge/shop is in namespace edge, which this controller does not watch" in decision.notes[0]
