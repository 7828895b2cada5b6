"""What istioctl analyze says about the services under release: at one moment, or about every state they were in."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from e2e.release import Release
from e2e.testbed.kube import Object
from e2e.testbed.testbed import Testbed

PROXY_MISSING = "IST0103"
"""The testbed's node runs Envoy beside each pod without naming it in the pod's specification."""

HEEDED = ("deployments", "services", "virtualservices", "destinationrules")
ROLL_OUT = "deployment.kubernetes.io/revision"


def findings(release: Release, namespace: str = "") -> list[Object]:
    """Return the findings about the service and what we made for it, as a person would get them in a namespace."""
    return _told(release.testbed, "-n", namespace or release.namespace)


def _told(testbed: Testbed, *scope: str) -> list[Object]:
    found = testbed.istioctl("analyze", *scope, "-o", "json", check=False)
    return [one for one in json.loads(found) or [] if _about_the_service(one)]


def _about_the_service(finding: Object) -> bool:
    about_us = "catalog" in f"{finding.get('origin')} {finding['message']}"
    return about_us and finding["code"] != PROXY_MISSING


@dataclass(frozen=True, slots=True)
class State:
    """A service's objects as they stood together, and the phases of its Canary in which they did."""

    phases: set[str]
    objects: str
    """As JSON, which is what makes two states the same."""


def states_of(release: Release) -> list[State]:
    """Return every state of the objects that Istio heeds, from initialisation on, as the API server's versions tell."""
    recorder, canaries = release.recorder, f"canaries.{release.group}"
    changes = [seen for kind in (canaries, *HEEDED) for seen in recorder.seen(kind) if "catalog" in seen.name]
    phase, standing = "", dict[tuple[str, str], Object]()
    found: dict[str, State] = {}
    for seen in sorted(changes, key=lambda one: int(one.object["metadata"]["resourceVersion"])):
        if seen.kind == canaries:
            phase = str((seen.object.get("status") or {}).get("phase", ""))
        elif seen.type == "DELETED":
            standing.pop((seen.kind, seen.name), None)
        else:
            standing[seen.kind, seen.name] = _resting(seen.object)
        if phase not in ("", "Initializing"):
            objects = json.dumps([one for _, one in sorted(standing.items())], sort_keys=True)
            found.setdefault(objects, State(set(), objects)).phases.add(phase)
    return list(found.values())


def _resting(found: Object) -> Object:
    """Return what a user could apply to get the object once more, without pods."""
    metadata = {key: found["metadata"][key] for key in ("name", "labels", "annotations") if key in found["metadata"]}
    spec = {key: value for key, value in found["spec"].items() if key not in ("clusterIP", "clusterIPs")}
    if found["kind"] == "Deployment":
        spec["replicas"] = 0
        metadata["annotations"] = {k: v for k, v in metadata.get("annotations", {}).items() if k != ROLL_OUT}
    return {"apiVersion": found["apiVersion"], "kind": found["kind"], "metadata": metadata, "spec": spec}


def findings_of_run(release: Release) -> tuple[set[str], list[Object]]:
    """Return the phases in which a service's states were looked at, and the findings about all of them."""
    states = states_of(release)
    phases = set[str]().union(*(state.phases for state in states))
    return phases, findings_in(release.testbed, f"{release.namespace[:30]}-states", {"run": states})


def findings_in(testbed: Testbed, namespace: str, services: Mapping[str, list[State]]) -> list[Object]:
    """Return the findings about all states of services at once: they stand side by side, each under another name."""
    items: list[Object] = []
    for name, states in services.items():
        for number, state in enumerate(states):
            # Hosts, selectors and labels follow the name.
            items += json.loads(state.objects.replace("catalog", f"{name}-{number}-catalog"))
    testbed.create_namespace(namespace)
    try:
        created = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
        testbed.kubectl("create", "-n", namespace, "-f", "-", stdin=created)
        return _told(testbed, "-n", namespace)
    finally:
        testbed.delete_namespace(namespace)
