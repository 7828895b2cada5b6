"""A HorizontalPodAutoscaler on production, under the real controller manager and with metrics of the pods."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from e2e.controller import Controller
from e2e.release import CANARY, MANIFESTS, QUICK, Release, manifests
from e2e.testbed.kube import Object
from e2e.testbed.metering import Metering
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, count, moments

SIZES, OWN = "catalog-sizes", "catalog-canary"
AT_ONCE = timedelta(seconds=2)
SOON = timedelta(seconds=60)
LONG = timedelta(seconds=120)
KIND = "horizontalpodautoscaler"


def page_objects() -> dict[str, Object]:
    """Return the objects of the page, by kind."""
    found = yaml.safe_load_all((MANIFESTS / "autoscaler.yaml").read_text())
    return {one["kind"]: one for one in found}


def sizes(**spec: int) -> Object:
    """Return the autoscaler of the page, which scales down without delay."""
    found: Object = page_objects()["HorizontalPodAutoscaler"]
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    return {**found, "spec": {**found["spec"], "behavior": behavior, **spec}}


def autoscaled(release: Release, **analysis: Any) -> Object:
    """Return the Canary of the page at a quick rhythm."""
    found: Object = page_objects()["Canary"]
    found["apiVersion"] = f"{release.group}/v1beta1"
    found["spec"]["progressDeadlineSeconds"] = 60
    found["spec"]["analysis"].update({**QUICK, **analysis})
    return found


@pytest.fixture
def metering(testbed: Testbed, release: Release) -> Iterator[Metering]:
    """Serve usage that asks for two pods."""
    with Metering(testbed, release.namespace, 200) as running:
        yield running


def set_up(release: Release, **analysis: Any) -> None:
    """Bring up the service with its autoscaler and Canary."""
    release.bring_up(release.deployment("v1", replicas=2), *manifests("catalog-service.yaml"))
    release.apply(sizes())
    release.apply(autoscaled(release, **analysis))
    release.wait_for("Initialized")


def spec(release: Release, name: str = SIZES) -> Object:
    """Return the spec of an autoscaler, empty when it is not there."""
    found: Object = (release.find(KIND, name) or {}).get("spec") or {}
    return found


def pointed(release: Release) -> str:
    """Return what the user's autoscaler scales."""
    return str(spec(release)["scaleTargetRef"]["name"])


def wait_size(release: Release, name: str, size: int, within: timedelta = SOON) -> None:
    """Wait until a Deployment has so many ready pods and asks for no others."""

    def there() -> bool:
        found = release.get("deployment", name)
        return bool(found["spec"]["replicas"] == size == count(found, "readyReplicas"))

    wait_until(there, within, lambda: f"{name}: {release.get('deployment', name)['status']}, {spec(release)}")


def reasons(release: Release) -> set[str]:
    """Return the reasons of all conditions that any autoscaler ever had."""
    seen = release.recorder.seen("horizontalpodautoscalers")
    found = [one.object.get("status", {}).get("conditions") or [] for one in seen]
    return {condition["reason"] for conditions in found for condition in conditions}


def smallest(release: Release, since: datetime) -> int:
    """Return the smallest size the primary was asked to have in a run: after it the autoscaler may take pods away."""
    seen = release.recorder.seen(f"canaries.{release.group}", since=since)
    ended = next(s for s in seen if s.object["status"]["phase"] == "Succeeded").object["metadata"]["resourceVersion"]
    sizes = {m.version: m.deployments["catalog-primary"]["spec"]["replicas"] for m in moments(release.recorder, since)}
    return min(int(size) for version, size in sizes.items() if version < int(ended))


def test_autoscaler_sizes_production_through_a_release_and_back(release: Release, metering: Metering) -> None:
    """It goes over with the traffic, shrinks nothing in the run, and no pod is ever selected by two of them."""
    set_up(release, stepWeight=25, maxWeight=50)
    assert pointed(release) == "catalog-primary"
    metering.milli = 300
    wait_size(release, "catalog-primary", 3)
    with release.load() as loads:
        release.apply(release.deployment("v2", replicas=2))
        release.wait_for("Progressing")
        begun = datetime.now(UTC)
        metering.milli = 100
        release.wait_for("Promoting", within=LONG)
        wait_until(lambda: bool(spec(release, OWN)), SOON, "the canary has no autoscaler of its own")
        assert (spec(release, OWN)["minReplicas"], spec(release, OWN)["maxReplicas"]) == (3, 5)
        release.wait_for("Succeeded", within=LONG)
        assert smallest(release, begun) == 3
        assert release.find(KIND, OWN) is None
        wait_size(release, "catalog-primary", 1)
        assert spec(release)["minReplicas"] == 1
        release.kubectl("delete", "canaries.flagger.app", CANARY)
        wait_until(lambda: pointed(release) == "catalog", SOON, lambda: str(spec(release)))
        wait_until(lambda: release.find("deployment", "catalog-primary") is None, LONG, "the primary is still there")
        metering.milli = 400
        wait_size(release, "catalog", 4)
    assert_none_failed(*loads)
    assert "canary.delivery" not in json.dumps(release.get(KIND, SIZES))
    assert "ValidMetricFound" in reasons(release)
    assert "AmbiguousSelector" not in reasons(release)


def test_autoscaler_applied_again_in_a_run_keeps_its_place_and_changes_its_bounds(
    release: Release, metering: Metering, controller: Controller
) -> None:
    """What a user applies while a run goes on holds (W49), with the controller killed in between."""
    set_up(release, stepWeight=20, maxWeight=60)
    release.apply(release.deployment("v2", replicas=2))
    release.wait_for("Progressing", 20, within=LONG)
    assert spec(release)["minReplicas"] == 2
    controller.kill()
    release.apply(sizes(minReplicas=1, maxReplicas=7))
    assert pointed(release) == "catalog"
    controller.start()
    wait_until(lambda: pointed(release) == "catalog-primary", SOON, lambda: str(spec(release)))
    assert release.wait_told("TrafficDrift")
    wait_until(lambda: spec(release)["minReplicas"] == 2, SOON, lambda: str(spec(release)))
    release.apply(sizes(minReplicas=3, maxReplicas=7))
    wait_size(release, "catalog-primary", 3)
    assert pointed(release) == "catalog-primary"


def test_autoscaler_the_canary_does_not_name_is_refused(release: Release) -> None:
    """One on a target that runs no pods would be dead: the Canary says so and touches nothing."""
    release.bring_up(release.deployment("v1", replicas=1), *manifests("catalog-service.yaml"))
    release.apply(sizes())
    release.apply(release.canary())
    release.wait_message("HorizontalPodAutoscaler catalog-sizes scales Deployment catalog; name it in")
    assert release.find("deployment", "catalog-primary") is None
    release.apply(autoscaled(release))
    release.wait_for("Initialized")
    wait_until(lambda: pointed(release) == "catalog-primary", SOON, lambda: str(spec(release)))


def test_missing_autoscaler_is_a_condition_and_is_taken_over_when_it_comes(release: Release) -> None:
    """Initialisation goes on without it (W49)."""
    release.bring_up(release.deployment("v1", replicas=1), *manifests("catalog-service.yaml"))
    release.apply(autoscaled(release))
    release.wait_for("Initialized")
    assert release.condition("Ready")["reason"] == "AutoscalerMissing"
    release.apply(sizes())
    wait_until(lambda: release.condition("Ready")["status"] == "True", SOON, lambda: str(release.condition("Ready")))
    # The status is written before what it speaks of.
    wait_until(lambda: pointed(release) == "catalog-primary", AT_ONCE, lambda: pointed(release))


def test_two_autoscalers_over_one_pod_scale_nothing(release: Release) -> None:
    """Why the user's goes over instead of being cloned: the target's selector matches its clones' pods too."""
    target = release.deployment("v1", replicas=1)
    clone = release.deployment("v1", replicas=1)
    clone["metadata"]["name"] = "catalog-two"
    for labels in (clone["spec"]["selector"]["matchLabels"], clone["spec"]["template"]["metadata"]["labels"]):
        labels["canary.delivery/role"] = "primary"
    cloned = sizes()
    cloned["metadata"] = {"name": "two"}
    cloned["spec"] = {**cloned["spec"], "scaleTargetRef": {**cloned["spec"]["scaleTargetRef"], "name": "catalog-two"}}
    release.apply(target, clone, sizes(), cloned)
    wait_until(lambda: "AmbiguousSelector" in reasons(release), SOON, lambda: f"reasons: {reasons(release)}")
