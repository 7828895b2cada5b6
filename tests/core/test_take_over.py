"""Taking over from Flagger: what counts as the same as production, and what forbids the take-over."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from canary.api.canary import Canary
from canary.core.configuration import Configuration
from canary.core.decide import decide
from canary.core.flagger.derived import find_difference, find_edited
from canary.core.flagger.remains import FLAGGER, TAKE_OVER
from canary.core.flagger.routes import exposes_canary, names_sides
from canary.core.names import Names
from canary.core.objects import VIRTUAL_SERVICE, Object
from canary.core.routes.istio import unshared_spec
from canary.core.snapshot import Snapshot
from canary.core.workload import Workload
from canary.sim.flagger import STATUS, left_behind
from tests.builders import NAMES, NOW, canary_object, deployment, untouched
from tests.scalers import scaled_object

TERMS = [{"labelSelector": {"matchLabels": {"app": "catalog"}}, "topologyKey": "host"}]
POD = {
    "containers": [
        {
            "name": "catalog",
            "image": "catalog:v1",
            "env": [{"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}}],
            "envFrom": [{"secretRef": {"name": "keys"}}],
        }
    ],
    "volumes": [{"name": "files", "configMap": {"name": "files"}}, {"name": "tls", "secret": {"secretName": "tls"}}],
    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": TERMS}},
}


def target() -> Workload:
    """Return a target that reads all kinds of configuration."""
    return deployment(pod={"metadata": {"labels": {"app": "catalog", "tier": "web"}}, "spec": POD})


def left(workload: Workload, **changes: Any) -> Workload:
    """Return the primary that Flagger makes of a target, with fields of its template's spec changed."""
    of_flagger = left_behind(canary_object({"metadata.uid": "uid-canary"}), workload.raw)[0]
    # As an API server keeps it: names in anti-affinity are those of the target's label.
    terms = of_flagger["spec"]["template"]["spec"].get("affinity", {}).get("podAntiAffinity", {})
    for term in copy.deepcopy(terms.get("requiredDuringSchedulingIgnoredDuringExecution", [])):
        term["labelSelector"]["matchLabels"] = {"app": "catalog-primary"}
        terms["requiredDuringSchedulingIgnoredDuringExecution"] = [term]
    of_flagger["spec"]["template"]["spec"] |= changes
    return Workload(of_flagger)


def test_primary_of_flagger_runs_what_its_target_says() -> None:
    """Its own label, its stamp, and the names of its copies of configuration are no difference."""
    assert find_difference(target(), left(target())) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"containers": [{**POD["containers"][0], "image": "catalog:v2"}]}, "spec.template.spec.containers[0].image"),
        (
            {"containers": [{**POD["containers"][0], "image": "catalog:v1-primary"}]},
            "spec.template.spec.containers[0].image",
        ),
        ({"containers": []}, "spec.template.spec.containers"),
        ({"serviceAccountName": "shop"}, "spec.template.spec.serviceAccountName"),
        ({"volumes": [{"name": "files", "configMap": {"name": "others-primary"}}]}, "spec.template.spec.volumes"),
    ],
)
def test_difference_from_production_is_named(changes: dict[str, Any], field: str) -> None:
    """Also one that ends as Flagger's names do, in a field that it renames nothing in."""
    assert find_difference(target(), left(target(), **changes)) == field


@pytest.mark.parametrize(
    ("copies", "edited"),
    [
        ({"settings-primary": "one"}, None),
        ({"settings-primary": "older"}, "ConfigMap settings"),
        ({"settings": "one"}, None),
        ({}, None),
    ],
)
def test_configuration_edited_since_it_was_copied_is_named(copies: dict[str, str], edited: str | None) -> None:
    """One that both read live, and one whose copy is gone, is not."""
    read = Configuration(pins={"ConfigMap": {"settings": "one"}})
    assert find_edited(read, Configuration(pins={"ConfigMap": copies})) == edited


def stopped(**status: Any) -> Snapshot:
    """Return the world that Flagger leaves, with the take-over asked for."""
    world = untouched()
    canary: dict[str, Any] = copy.deepcopy(dict(world.canary or {}))
    canary["metadata"]["annotations"] = {TAKE_OVER: FLAGGER}
    canary["metadata"]["managedFields"] = [{"manager": FLAGGER, "subresource": "status"}]
    canary["status"] = {**STATUS, **status}
    assert world.target is not None
    primary, canaries, primaries, apex, *rules, route = (_stored(one) for one in left_behind(canary, world.target.raw))
    raw = {**world.target.raw, "spec": {**world.target.raw["spec"], "replicas": 0}, "status": {}}
    return replace(
        world,
        canary=canary,
        status=world.status.model_copy(update={"phase": canary["status"]["phase"]}),
        target=Workload(raw),
        primary=Workload(primary),
        apex=apex,
        primary_service=primaries,
        canary_service=canaries,
        route=route,
        rules={one["metadata"]["name"]: one for one in rules},
    )


def _stored(obj: dict[str, Any]) -> Object:
    name = f"{obj['kind']}-{obj['metadata']['name']}".lower()
    metadata = {**obj["metadata"], "uid": f"uid-{name}", "resourceVersion": "7", "generation": 1}
    return {**obj, "metadata": metadata, "status": {"readyReplicas": 2, "availableReplicas": 2}}


def test_first_writes_move_no_caller_and_keep_what_serves() -> None:
    """The route goes to the Service that selects the same pods, and no owner reference is left (W10)."""
    decision = decide(stopped(), (), NOW)
    assert decision.status is not None
    assert decision.status.phase == "Initializing"
    first, *others = decision.actions
    assert first.ref == NAMES.route_ref
    assert [one["route"] for one in first.body["spec"]["http"]] == [[{"destination": {"host": "catalog"}}]]
    assert all(one.body["metadata"]["ownerReferences"] is None for one in (first, *others))
    assert {str(one.ref).replace(f"{one.ref.namespace}/", "") for one in others} == {
        "Deployment catalog-primary",
        "Service catalog",
        "Service catalog-primary",
        "Service catalog-canary",
        "DestinationRule catalog-primary",
        "DestinationRule catalog-canary",
    }


def test_autoscaler_that_keeps_the_target_at_zero_is_named() -> None:
    """KEDA would take the target away again as soon as it is scaled up."""
    asked = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "sizes"}
    paused = scaled_object()
    paused.raw["metadata"]["annotations"] = {"autoscaling.keda.sh/paused-replicas": "0"}  # type: ignore[index]
    world = replace(stopped(), spec=Canary.parse(canary_object({"spec.autoscalerRef": asked})).spec, scalers=(paused,))
    decision = decide(world, (), NOW)
    assert (decision.status, decision.actions) == (None, ())
    assert "ScaledObject sizes is kept at 0 by annotation autoscaling.keda.sh/paused-replicas" in decision.notes[0]


def route_of(*entries: dict[str, Any]) -> Object:
    """Return a VirtualService with http routes."""
    return {"kind": VIRTUAL_SERVICE.kind, "metadata": {"name": "catalog", "namespace": "ns"}, "spec": {"http": entries}}


def to(**weights: int) -> dict[str, Any]:
    """Return an http route with a weight for each host of the catalog's."""
    pairs = [("catalog" + (f"-{side}" if side != "apex" else ""), weight) for side, weight in weights.items()]
    return {"route": [{"destination": {"host": host}, "weight": weight} for host, weight in pairs]}


@pytest.mark.parametrize(
    ("entry", "sides", "exposed"),
    [
        (to(primary=100, canary=0), True, False),
        (to(primary=99, canary=1), True, True),
        (to(primary=100), True, False),
        ({**to(primary=100, canary=0), "mirror": {"host": "catalog-canary"}}, True, True),
        (to(apex=100), False, False),
    ],
)
def test_what_a_route_of_flagger_leads_to(entry: dict[str, Any], sides: bool, exposed: bool) -> None:
    """Also an A/B test's second route, which names the primary alone."""
    names = Names("ns", "catalog", "catalog")
    assert (names_sides(route_of(entry), names), exposes_canary(route_of(entry), names)) == (sides, exposed)


def test_all_routes_of_flagger_become_one_at_the_apex() -> None:
    """The two of an A/B test are what the spec asks for again; a user's own beside them stays."""
    other = {"name": "moved", "redirect": {"uri": "/items"}}
    ab_test = ({**to(primary=100, canary=0), "match": [{"headers": {}}]}, to(primary=100), other)
    spec = unshared_spec(route_of(*ab_test), Canary.parse(canary_object()).spec, NAMES)
    assert [one.get("name") for one in spec["http"]] == ["moved", "weighted"]
    assert not names_sides({"metadata": {}, "spec": spec}, NAMES)
