"""Canaries without target: who serves them says so in their status, and makes nothing."""

import json
from datetime import datetime, timedelta

from e2e.release import manifests
from e2e.testbed import credentials
from e2e.testbed.audit import AuditEntry
from e2e.testbed.kube import Object
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

SOON = timedelta(seconds=30)


def orphan(name: str, namespace: str, group: str = "flagger.app") -> Object:
    """Return a Canary whose target does not exist: a controller that serves it says so in its status."""
    found = manifests("listing-5.1.yaml")[0]
    found["apiVersion"] = f"{group}/v1beta1"
    found["metadata"] = {"name": name, "namespace": namespace}
    found["spec"]["targetRef"]["name"] = found["spec"]["service"]["name"] = name
    found["spec"]["service"]["hosts"] = [name]
    return found


def apply(testbed: Testbed, *objects: Object) -> None:
    """Apply objects as a user does."""
    items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    testbed.kubectl("apply", "-f", "-", stdin=json.dumps(items))


def status_of(testbed: Testbed, canary: Object) -> Object:
    """Return the status of a Canary, empty before it has one."""
    metadata = canary["metadata"]
    path = f"/apis/{canary['apiVersion']}/namespaces/{metadata['namespace']}/canaries/{metadata['name']}"
    return testbed.kube.get(path).get("status") or {}


def wait_served(testbed: Testbed, canary: Object, reason: str = "TargetMissing") -> None:
    """Wait until a Canary without target was told so."""
    wait_until(
        lambda: reason in json.dumps(status_of(testbed, canary)),
        SOON,
        lambda: f"{canary['metadata']}: {status_of(testbed, canary)}",
    )


def requests_of_controller(testbed: Testbed, since: datetime) -> list[AuditEntry]:
    """Return what the controller's user asked of the API server since a time."""
    return testbed.audit.requests(user=credentials.CONTROLLER, since=since)
