"""A ScaledObject of KEDA: what is written to it, on an API server that has its definition but no KEDA."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from e2e.release import CANARY, MANIFESTS, Release, manifests
from e2e.testbed.kube import Object
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed

SOON, LONG = timedelta(seconds=60), timedelta(seconds=120)
DEFINITION = str(MANIFESTS / "scaled-objects-crd.yaml")
TRIGGER: Object = {
    "type": "prometheus",
    "name": "rps",
    "metadata": {"query": 'sum(rate(istio_requests_total{destination_service_name="catalog"}[1m]))', "threshold": "10"},
}
SPEC = {
    "scaleTargetRef": {"name": "catalog"},
    "idleReplicaCount": 0,
    "minReplicaCount": 1,
    "triggers": [TRIGGER],
    "advanced": {"horizontalPodAutoscalerConfig": {"name": "catalog-sizes"}},
}
REF = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "catalog"}
PRIMARY_QUERY = 'sum(rate(istio_requests_total{destination_workload="catalog-primary"}[1m]))'
SCALED = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "catalog"}, "spec": SPEC}


@pytest.fixture
def definition(testbed: Testbed, release: Release) -> Iterator[None]:
    """Serve the type while a controller runs that did without it."""
    testbed.kubectl("apply", "-f", DEFINITION)
    testbed.wait_for_definitions()
    yield
    testbed.kubectl("delete", "-f", DEFINITION)


def spec(release: Release, name: str) -> Object:
    """Return the spec of a ScaledObject, empty when it is not there."""
    found: Object = (release.find("scaledobject", name) or {}).get("spec") or {}
    return found


def pointed(release: Release) -> str:
    """Return what the user's ScaledObject scales."""
    return str(spec(release, "catalog")["scaleTargetRef"]["name"])


def test_scaled_object_goes_over_is_held_and_comes_back(release: Release, definition: None) -> None:
    """Only its target, bounds and queries are written, and after the Canary it is as its user wrote it."""
    release.bring_up(release.deployment("v1", replicas=2), *manifests("catalog-service.yaml"))
    release.apply(SCALED)
    canary = release.canary(stepWeight=50)
    canary["spec"]["autoscalerRef"] = {**REF, "primaryScalerQueries": {"rps": PRIMARY_QUERY}}
    release.apply(canary)
    release.wait_for("Initialized")
    queried = {**TRIGGER, "metadata": {**TRIGGER["metadata"], "query": PRIMARY_QUERY}}
    expected = {**SPEC, "scaleTargetRef": {"name": "catalog-primary"}, "triggers": [queried]}
    wait_until(lambda: spec(release, "catalog") == expected, SOON, lambda: str(spec(release, "catalog")))
    with release.load() as loads:
        release.apply(release.deployment("v2", replicas=2))
        release.wait_for("Progressing", 50, within=LONG)
        held = {key: value for key, value in expected.items() if key != "idleReplicaCount"}
        assert spec(release, "catalog") == {**held, "minReplicaCount": 2}
        wait_until(lambda: bool(spec(release, "catalog-canary")), LONG, "the canary has no ScaledObject of its own")
        own = spec(release, "catalog-canary")
        assert (own["scaleTargetRef"], own["minReplicaCount"], own["triggers"]) == (
            {"name": "catalog-canary"},
            2,
            [TRIGGER],
        )
        release.wait_for("Succeeded", within=LONG)
        assert spec(release, "catalog-canary") == {}
        wait_until(lambda: spec(release, "catalog") == expected, SOON, lambda: str(spec(release, "catalog")))
        release.kubectl("delete", "canaries.flagger.app", CANARY)
        wait_until(lambda: pointed(release) == "catalog", LONG, lambda: str(spec(release, "catalog")))
    assert_none_failed(*loads)
    assert spec(release, "catalog") == SPEC
    assert "canary.delivery" not in json.dumps(release.get("scaledobject", "catalog"))
