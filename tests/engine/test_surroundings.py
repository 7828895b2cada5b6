"""What is seen around a Canary, and whom a change of it concerns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.core.names import OWNER, ROLE_LABEL, ROOT_NAMESPACE
from canary.core.objects import (
    DESTINATION_RULE,
    FLAGGER_PROVIDER,
    FLAGGER_TEMPLATE,
    GATEWAY,
    NAMESPACE,
    NATIVE_CANARY,
    NATIVE_PROVIDER,
    NATIVE_TEMPLATE,
    PEER_AUTHENTICATION,
    POD,
    SIDECAR,
    VIRTUAL_SERVICE,
    WORKLOAD_ENTRY,
    CanaryKey,
    Object,
    Ref,
    Resource,
    ref_of,
)
from canary.core.warnings.injection import INJECTED
from canary.engine.affected import affected
from canary.engine.observe import observe
from tests.builders import KEY, NAMES, NS, OWNER_MARK, canary_object, idle
from tests.engine.cluster import FakeCluster

FQDN = f"catalog.{NS}.svc.cluster.local"
FAR = CanaryKey(NATIVE_CANARY.group, "far", "far")
MINE, ALL, NOBODY = {KEY.name}, {KEY.name, "far"}, set[str]()


def made(name: str, where: str = "web", labels: dict[str, str] | None = None, **spec: Any) -> Object:
    """Return an object of others."""
    return {"metadata": {"name": name, "namespace": where, "labels": labels or {}}, "spec": spec}


def namespace(**labels: str) -> Object:
    """Return the Canary's namespace."""
    return {"metadata": {"name": NS, "labels": labels}}


PRIMARY = {"app": "catalog", ROLE_LABEL: "primary"}


def pod(name: str = "catalog-primary-x", labels: dict[str, str] = PRIMARY, **metadata: Any) -> Object:
    """Return a pod as caches keep it."""
    return {"metadata": {"name": name, "namespace": NS, "labels": {**labels, "pod-template-hash": "x"}, **metadata}}


def cluster(*others: tuple[Resource, Object], **changes: Any) -> FakeCluster:
    """Return a cluster with listing 5.1's Canary, one of another namespace, and objects of others."""
    found = FakeCluster.of(idle(changes=changes))
    apart = canary_object({"metadata.name": "far", "metadata.namespace": "far"})
    found.objects[FAR.ref] = apart
    found.objects |= {ref_of(resource, obj): obj for resource, obj in others}
    return found


def to(host: str, **more: Any) -> Object:
    """Return a VirtualService of another namespace with a destination."""
    return made("r", hosts=["shop.io"], http=[{"route": [{"destination": {"host": host}}]}], **more)


def delegating(namespace: str) -> Object:
    """Return a VirtualService of another namespace that delegates to one."""
    return made("r", hosts=["shop.io"], http=[{"delegate": {"name": "catalog", "namespace": namespace}}])


RULE = made("x", host=FQDN)
EGRESS = made("x", egress=[{"hosts": [f"*/{FQDN}"]}])
ENTRY = made("vm", NS, labels={"a": "b"}, address="10.0.0.1")


@pytest.mark.parametrize(
    ("resource", "before", "after", "expected"),
    [
        pytest.param(NAMESPACE, namespace(), namespace(**{"istio-injection": "enabled"}), MINE, id="namespace"),
        pytest.param(NAMESPACE, namespace(), namespace(team="x"), NOBODY, id="other label of the namespace"),
        pytest.param(WORKLOAD_ENTRY, ENTRY, made("vm", NS, labels={"a": "c"}), MINE, id="machine's labels"),
        pytest.param(WORKLOAD_ENTRY, ENTRY, {**ENTRY, "status": {"x": 1}}, NOBODY, id="machine's health"),
        pytest.param(WORKLOAD_ENTRY, None, made("vm"), NOBODY, id="machine elsewhere"),
        pytest.param(PEER_AUTHENTICATION, None, made("p", NS), MINE, id="policy of the namespace"),
        pytest.param(PEER_AUTHENTICATION, None, made("p", ROOT_NAMESPACE), ALL, id="policy of the mesh"),
        pytest.param(POD, None, pod(), MINE, id="pod without sidecar"),
        pytest.param(POD, pod(), pod(deletionTimestamp="2026-01-01T00:00:00Z"), MINE, id="such a pod on its way out"),
        pytest.param(POD, pod(), pod(resourceVersion="9"), NOBODY, id="such a pod that went on"),
        pytest.param(POD, None, pod(annotations={INJECTED: ""}), NOBODY, id="pod with a sidecar"),
        pytest.param(PEER_AUTHENTICATION, None, made("p"), NOBODY, id="policy elsewhere"),
        pytest.param(SIDECAR, None, made("s", NS), MINE, id="Sidecar of the namespace"),
        pytest.param(SIDECAR, made("s", ROOT_NAMESPACE), None, ALL, id="Sidecar of the mesh"),
        pytest.param(SIDECAR, EGRESS, made("x"), MINE, id="Sidecar of a caller"),
        pytest.param(SIDECAR, None, made("x", egress=[{"hosts": ["./*"]}]), NOBODY, id="Sidecar elsewhere"),
        pytest.param(VIRTUAL_SERVICE, None, to(FQDN), MINE, id="route straight to the apex"),
        pytest.param(VIRTUAL_SERVICE, to(FQDN), to("cart"), MINE, id="route that leaves the apex"),
        pytest.param(VIRTUAL_SERVICE, to(FQDN), {**to(FQDN), "status": {"x": 1}}, NOBODY, id="status of a route"),
        pytest.param(VIRTUAL_SERVICE, None, to("catalog"), NOBODY, id="route to another catalog"),
        pytest.param(VIRTUAL_SERVICE, None, delegating(NS), MINE, id="route that delegates to the apex's own"),
        pytest.param(VIRTUAL_SERVICE, None, delegating("web"), NOBODY, id="route that delegates to another one"),
        pytest.param(DESTINATION_RULE, None, RULE, MINE, id="rule for the apex"),
        pytest.param(
            DESTINATION_RULE, None, made("x", host=f"*.{NS}.svc.cluster.local"), MINE, id="rule for all of it"
        ),
        pytest.param(DESTINATION_RULE, None, made("x", host="*.local"), ALL, id="rule for the mesh"),
        pytest.param(DESTINATION_RULE, None, made("x", host="shop.io"), NOBODY, id="rule for others"),
        pytest.param(GATEWAY, None, made("g", NS), MINE, id="Gateway of the route comes"),
        pytest.param(GATEWAY, made("g", NS), made("g", NS, servers=[]), NOBODY, id="Gateway is edited"),
        pytest.param(GATEWAY, None, made("g"), NOBODY, id="Gateway of others"),
    ],
)
def test_change_around_wakes_whom_it_concerns(
    resource: Resource, before: Object | None, after: Object | None, expected: set[str]
) -> None:
    """An edit of a foreign object wakes those it may spoil, and no other Canary of the cluster."""
    found = cluster()
    route = dict(found.objects[Ref(VIRTUAL_SERVICE, NS, "catalog")])
    found.objects[Ref(VIRTUAL_SERVICE, NS, "catalog")] = {**route, "spec": {**route["spec"], "gateways": ["g"]}}
    assert {key.name for key in affected(found, resource, before, after)} == expected


def test_route_for_a_host_of_the_route_wakes_its_canary() -> None:
    """A host outside the cluster leads to the Canary by the route that is asked for it."""
    found = cluster()
    route = dict(found.objects[Ref(VIRTUAL_SERVICE, NS, "catalog")])
    found.objects[Ref(VIRTUAL_SERVICE, NS, "catalog")] = {**route, "spec": {**route["spec"], "hosts": ["shop.io"]}}
    assert {key.name for key in affected(found, VIRTUAL_SERVICE, None, to("cart"))} == MINE


def test_change_of_a_named_route_wakes_the_canary_that_names_it() -> None:
    """Also before it is there, and by its mark the Canary whose it is and no namesake of its namespace."""
    named = made("shop", hosts=["shop.io"])
    found = cluster(**{"spec.service.virtualService": {"name": "shop", "namespace": "web"}})
    assert set(affected(found, VIRTUAL_SERVICE, None, named)) == {KEY}
    assert set(affected(found, VIRTUAL_SERVICE, None, made("shop", "elsewhere", hosts=["shop.io"]))) == set()
    root = made("root", http=[{"delegate": {"name": "shop"}}])
    assert set(affected(found, VIRTUAL_SERVICE, None, root)) == {KEY}
    mark = replace(OWNER_MARK, route=Ref(VIRTUAL_SERVICE, "web", "shop"), namespace=NS).to_text()
    marked = {**named, "metadata": {**named["metadata"], "annotations": {OWNER: mark}}}
    assert set(affected(cluster(), VIRTUAL_SERVICE, marked, None)) == {KEY}


def test_named_route_is_observed_with_what_is_told_of_it_in_marks() -> None:
    """Names and mark say where it is; a route of the namespace is not looked at, and nothing is seen unwatched."""
    named = made("shop", hosts=["shop.io"])
    ref = Ref(VIRTUAL_SERVICE, "web", "shop")
    found = cluster((VIRTUAL_SERVICE, named), **{"spec.service.virtualService": {"name": "shop", "namespace": "web"}})
    del found.objects[Ref(VIRTUAL_SERVICE, NS, "catalog")]
    seen = observe(found, KEY)
    assert seen is not None
    assert (seen.route, seen.names.named, seen.owner.route, seen.owner.namespace) == (named, ref, ref, NS)
    assert seen.route_seen
    found.unseen.add("web")
    unseen = observe(found, KEY)
    assert unseen is not None
    assert not unseen.route_seen


def test_mark_on_a_route_elsewhere_is_believed_when_something_here_says_so_too() -> None:
    """Whoever writes in another namespace moves nothing here, neither a Canary's route nor one that is gone."""
    ref = Ref(VIRTUAL_SERVICE, "web", "shop")
    mark = replace(OWNER_MARK, route=ref, namespace=NS)
    marked = {**made("shop"), "metadata": {"name": "shop", "namespace": "web", "annotations": {OWNER: mark.to_text()}}}
    found = cluster((VIRTUAL_SERVICE, marked))
    seen = observe(found, KEY)
    assert seen is not None
    assert (seen.route, seen.owner) == (found.objects[NAMES.route_ref], OWNER_MARK)
    assert observe(FakeCluster((ref, marked)), KEY) is None
    ours = NAMES.service("primary")
    metadata = {**found.objects[ours]["metadata"], "annotations": {OWNER: mark.to_text()}}
    found.objects[ours] = {**found.objects[ours], "metadata": metadata}
    del found.objects[NAMES.route_ref]
    again = observe(found, KEY)
    assert again is not None
    assert (again.route, again.owner) == (marked, mark)


def test_surroundings_are_found_wherever_they_are() -> None:
    """Objects of other namespaces are found by the hosts they name, those of the root namespace always."""
    theirs, wide = to(FQDN), made("wide", ROOT_NAMESPACE, host="*.local")
    mesh, policy = made("mesh", ROOT_NAMESPACE), made("all", ROOT_NAMESPACE)
    found = cluster(
        (VIRTUAL_SERVICE, theirs),
        (VIRTUAL_SERVICE, made("other", hosts=["cart"])),
        (DESTINATION_RULE, RULE),
        (DESTINATION_RULE, wide),
        (DESTINATION_RULE, made("other", host="cart")),
        (SIDECAR, EGRESS),
        (SIDECAR, mesh),
        (SIDECAR, made("other")),
        (PEER_AUTHENTICATION, policy),
        (WORKLOAD_ENTRY, ENTRY),
    )
    found.objects[Ref(NAMESPACE, "", NS)] = namespace()
    seen = observe(found, KEY)
    assert seen is not None
    around = seen.surroundings
    assert around.namespace == namespace()
    assert theirs in around.routes
    assert [one["metadata"]["name"] for one in around.routes] == ["catalog", "r"]
    assert (around.rules, around.sidecars) == ((wide, RULE), (mesh, EGRESS))
    assert (list(around.entries), around.authentications) == ([ENTRY], (policy,))
    assert around.absent_gateways == ()


@pytest.mark.parametrize(
    ("found", "sets"),
    [
        ([pod()], ("Deployment catalog-primary",)),
        ([pod(), pod("catalog-primary-y", annotations={INJECTED: ""})], ("Deployment catalog-primary",)),
        ([pod(annotations={INJECTED: ""})], ()),
        ([pod(deletionTimestamp="2026-01-01T00:00:00Z")], ()),
        ([pod("cart-primary-x", {"app": "cart", ROLE_LABEL: "primary"})], ()),
    ],
)
def test_sets_with_pods_without_sidecar_are_found(found: list[Object], sets: tuple[str, ...]) -> None:
    """A pod counts by its labels while it is to stay, whatever runs beside it."""
    seen = observe(cluster(*((POD, one) for one in found)), KEY)
    assert seen is not None
    assert seen.surroundings.bare == sets


def test_routes_that_delegate_are_found_wherever_they_are() -> None:
    """Also for a Canary that is gone; whether there may be others is told by what is watched."""
    found = cluster((VIRTUAL_SERVICE, delegating(NS)), (VIRTUAL_SERVICE, {**delegating("web"), **made("other")}))
    del found.objects[KEY.ref]
    seen = observe(found, KEY)
    assert seen is not None
    assert (seen.roots, seen.all_roots_seen) == ((delegating(NS),), True)
    found.unseen = {""}
    seen = observe(found, KEY)
    assert seen is not None
    assert not seen.all_roots_seen


def test_route_that_delegates_to_the_apexs_own_is_not_adopted() -> None:
    """Whatever else it routes, the one it delegates to is shared out."""
    found = cluster()
    del found.objects[Ref(VIRTUAL_SERVICE, NS, "catalog")]
    root = delegating(NS)
    http = [{"route": [{"destination": {"host": "catalog"}}]}, *root["spec"]["http"]]
    theirs = made("root", NS, hosts=["catalog"], http=http)
    found.objects[Ref(VIRTUAL_SERVICE, NS, "root")] = theirs
    seen = observe(found, KEY)
    assert seen is not None
    assert (seen.route, seen.roots) == (None, (theirs,))


def test_only_a_gateway_that_would_be_seen_is_missed() -> None:
    """Of a namespace that nobody watches nothing can be said."""
    named = {"spec.service.gateways": ["mesh", "here", "edge/public", "unseen/one"]}
    found = cluster((GATEWAY, made("public", "edge")), **named)
    del found.objects[Ref(VIRTUAL_SERVICE, NS, "catalog")]
    found.unseen = {"unseen"}
    seen = observe(found, KEY)
    assert seen is not None
    assert seen.surroundings.absent_gateways == (f"{NS}/here",)


def test_spec_is_read_with_what_it_asks_in_vain() -> None:
    """The warnings of the spec come with it, and none with one that is refused."""
    seen = observe(cluster(**{"spec.revertOnDeletion": True}), KEY)
    assert seen is not None
    assert [one.reason for one in seen.cautions] == ["FieldIgnored"]
    refused = observe(cluster(**{"spec.revertOnDeletion": True, "spec.analysis.stepWeight": 500}), KEY)
    assert refused is not None
    assert (refused.cautions, refused.spec) == ((), None)


def asking(**ref: str) -> dict[str, Any]:
    """Return the changes that let the Canary's first check name a MetricTemplate."""
    return {"spec.analysis.metrics.0.templateRef": ref}


PROVIDER = {"type": "prometheus", "address": "http://p:9090"}
SPOKEN = made("errors", NS, provider=PROVIDER, query="up")


@pytest.mark.parametrize(
    ("resource", "template", "concerned"),
    [
        (FLAGGER_TEMPLATE, SPOKEN, {KEY.name}),
        (FLAGGER_TEMPLATE, made("other", NS), set()),
        (FLAGGER_TEMPLATE, made("errors", "elsewhere"), set()),
        (NATIVE_TEMPLATE, SPOKEN, set()),
    ],
)
def test_change_of_a_template_concerns_the_canaries_that_name_it(
    resource: Resource, template: Object, concerned: set[str]
) -> None:
    """Of its own group alone; whether it came, went or was edited."""
    found = cluster(**asking(name="errors"))
    edited = {**template, "spec": {**template["spec"], "query": "down"}}
    for before, after in ((None, template), (template, None), (template, edited)):
        assert {key.name for key in affected(found, resource, before, after)} == concerned


def test_touched_template_concerns_nobody() -> None:
    """An annotation changes nothing that is asked."""
    found = cluster(**asking(name="errors"))
    touched = {**SPOKEN, "metadata": {**SPOKEN["metadata"], "annotations": {"a": "b"}}}
    assert list(affected(found, FLAGGER_TEMPLATE, SPOKEN, touched)) == []


def test_templates_are_seen_as_they_are() -> None:
    """What one asks; what is wrong with one from before our definition; one that is not there, or not seen."""
    wrong = made("errors", NS, provider={"type": "datadog"}, query="avg:errors")
    ref, apart = Ref(FLAGGER_TEMPLATE, NS, "errors"), Ref(FLAGGER_TEMPLATE, "shared", "errors")
    here, there = asking(name="errors"), asking(name="errors", namespace="shared")

    def seen(found: FakeCluster) -> Any:
        snapshot = observe(found, KEY)
        assert snapshot is not None
        return snapshot.templates

    assert seen(cluster((FLAGGER_TEMPLATE, SPOKEN), **here))[ref].spec.query == "up"
    (refusal,) = seen(cluster((FLAGGER_TEMPLATE, wrong), **here))[ref].refusals
    assert refusal.startswith('spec.provider.type is "datadog", which is not supported')
    assert (seen(cluster(**here))[ref].spec, seen(cluster(**here))[ref].seen) == (None, True)
    unseen = cluster(**there)
    unseen.unseen = {"shared"}
    assert (seen(unseen).keys(), seen(unseen)[apart].seen) == ({apart}, False)
    assert seen(cluster()) == {}


ALERTED = {"spec.analysis.alerts": [{"name": "x", "providerRef": {"name": "on-call"}}]}
ON_CALL = made("on-call", NS, type="slack", address="https://hooks.test/T000")


@pytest.mark.parametrize(
    ("resource", "provider", "concerned"),
    [
        (FLAGGER_PROVIDER, ON_CALL, {KEY.name}),
        (FLAGGER_PROVIDER, made("other", NS), set()),
        (NATIVE_PROVIDER, ON_CALL, set()),
        (FLAGGER_TEMPLATE, ON_CALL, set()),
    ],
)
def test_change_of_a_provider_concerns_the_canaries_that_name_it(
    resource: Resource, provider: Object, concerned: set[str]
) -> None:
    """Of its own group and kind alone; also while their spec cannot be used."""
    for changes in ({}, {"spec.analysis.threshold": 0}):
        found = cluster(**ALERTED, **changes)
        for before, after in ((None, provider), (provider, None)):
            assert {key.name for key in affected(found, resource, before, after)} == concerned


def test_providers_are_seen_as_they_are() -> None:
    """Where one sends; what is wrong with one, without the address that it has; one that is not there."""
    ref = Ref(FLAGGER_PROVIDER, NS, "on-call")

    def seen(*objects: tuple[Resource, Object]) -> Any:
        snapshot = observe(cluster(*objects, **ALERTED), KEY)
        assert snapshot is not None
        return snapshot.providers[ref]

    assert seen((FLAGGER_PROVIDER, ON_CALL)).spec.type == "slack"
    assert "T000" not in repr(seen((FLAGGER_PROVIDER, ON_CALL)))
    wrong = seen((FLAGGER_PROVIDER, made("on-call", NS, type="slack", address="hooks.test/T000")))
    assert wrong.spec is None
    assert wrong.refusals == ("spec.address is not right; it must be an address that begins with http:// or https://",)
    assert (seen().spec, seen().seen) == (None, True)
