"""Moving from Flagger under load: what it left is taken over, and given back so that it can start again."""

import json
from datetime import UTC, datetime, timedelta

from canary.core.flagger.remains import FLAGGER, TAKE_OVER
from canary.sim.flagger import STATUS, left_behind
from e2e.controller import Controller
from e2e.release import BY_UPSTREAM, CANARY, Release
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, moments

LONG = timedelta(seconds=120)
CANARIES = f"canaries.flagger.app/{CANARY}"
PODS = {"app": "catalog", "version": "v1"}
"""The labels that the target selects its pods by."""


def left_by_flagger(release: Release) -> None:
    """Bring the service up as Flagger leaves it: its primary serves, the target is at 0, its controller is stopped."""
    release.bring_up(release.deployment("v1"))
    whole = release.get("deployment", "catalog")
    release.apply(release.canary())
    found = left_behind(release.testbed.kube.get(release.path), whole)
    as_flagger = f"--field-manager={FLAGGER}"
    for one in found:
        one["metadata"].pop("resourceVersion", None)
    listed = {"apiVersion": "v1", "kind": "List", "items": found}
    release.kubectl("create", as_flagger, "-f", "-", stdin=json.dumps(listed))
    release.testbed.wait_ready(release.namespace, "catalog-primary")
    release.kubectl("scale", "deployment", "catalog", "--replicas=0")
    status = json.dumps({"status": STATUS})
    release.kubectl("patch", CANARIES, "--subresource=status", as_flagger, "--type=merge", "-p", status)
    client = release.testbed.pods.first(release.namespace, "app=client")
    release.testbed.pods.wait_for_answer(release.namespace, client, "http://catalog/items", *BY_UPSTREAM)


def of_flagger(release: Release) -> list[str]:
    """List what in the namespace would go with the Canary."""
    kinds = "deployments,services,virtualservices,destinationrules"
    items = json.loads(release.kubectl("get", kinds, "-o", "json"))["items"]
    return [f"{one['kind']} {one['metadata']['name']}" for one in items if one["metadata"].get("ownerReferences")]


def test_what_flagger_left_is_taken_over_and_given_back_under_load(release: Release, controller: Controller) -> None:
    """No request fails, production never has fewer pods, no run begins, and the target serves alone in the end."""
    controller.stop()
    left_by_flagger(release)
    assert len(of_flagger(release)) == 7
    with release.load() as loads:
        controller.start()
        since = datetime.now(UTC)
        release.kubectl("annotate", CANARIES, f"{TAKE_OVER}={FLAGGER}")
        release.wait_for("Initialized", within=LONG)
        assert of_flagger(release) == []
        selector = release.get("deployment", "catalog-primary")["spec"]["selector"]["matchLabels"]
        assert selector == {**PODS, "canary.delivery/role": "primary"}
        assert {row.phase for row in release.rows(since)} <= {"Succeeded", "Initializing", "Initialized"}
        release.kubectl("delete", CANARIES)
        gone = ("deployment/catalog-primary", "service/catalog-primary", "virtualservice/catalog")
        wait_until(lambda: not any(release.find(*one.split("/")) for one in gone), LONG, lambda: f"{gone} to be gone")
        sizes = [one.ready("catalog") + one.ready("catalog-primary") for one in moments(release.recorder, since)]
        assert min(sizes) == 2
    assert_none_failed(*loads)
    assert release.get("service", "catalog")["spec"]["selector"] == PODS
    assert release.get("deployment", "catalog")["status"]["readyReplicas"] == 2
