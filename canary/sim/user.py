"""What people and other tools do to the cluster, typed by hand or sent by a pipeline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any

from canary.api.command import ANNOTATION as COMMAND
from canary.core.objects import (
    AUTOSCALER,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    DESTINATION_RULE,
    FLAGGER_CANARY,
    FLAGGER_PROVIDER,
    FLAGGER_TEMPLATE,
    GATEWAY,
    NAMESPACE,
    NATIVE_CANARY,
    NATIVE_PROVIDER,
    NATIVE_TEMPLATE,
    PEER_AUTHENTICATION,
    SECRET,
    SERVICE,
    SIDECAR,
    VIRTUAL_SERVICE,
    WORKLOAD_ENTRY,
    Object,
    Ref,
    annotations_of,
    merge_patch,
)
from canary.core.workload import SCALED_AWAY
from canary.sim.matching import sections
from canary.sim.world import World

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
APPLY = "kubectl-client-side-apply"

RESOURCES = (
    GATEWAY,
    NAMESPACE,
    SIDECAR,
    PEER_AUTHENTICATION,
    WORKLOAD_ENTRY,
    AUTOSCALER,
    DAEMON_SET,
    DEPLOYMENT,
    CONTROLLER_REVISION,
    SERVICE,
    VIRTUAL_SERVICE,
    DESTINATION_RULE,
    NATIVE_CANARY,
    FLAGGER_CANARY,
    NATIVE_TEMPLATE,
    FLAGGER_TEMPLATE,
    NATIVE_PROVIDER,
    FLAGGER_PROVIDER,
    CONFIG_MAP,
    SECRET,
)
BY_KIND = {(one.api_version, one.kind): one for one in RESOURCES}

DEFAULT_NAMESPACE = "default"


def ref_of_manifest(manifest: Object) -> Ref:
    """Return where a manifest belongs; KeyError for kinds the simulator does not know."""
    resource = BY_KIND[manifest["apiVersion"], manifest["kind"]]
    metadata = manifest["metadata"]
    namespace = "" if resource == NAMESPACE else metadata.get("namespace", DEFAULT_NAMESPACE)
    return Ref(resource, namespace, metadata["name"])


class User:
    """Write to the cluster as kubectl does, under a manager name of one's own."""

    def __init__(self, world: World, manager: str = APPLY) -> None:
        self._world = world
        self._manager = manager

    def apply(self, manifest: Object) -> Ref:
        """Apply a manifest client-side: create, or send what differs from the last one applied."""
        ref = ref_of_manifest(manifest)
        text = json.dumps(manifest, sort_keys=True)
        live = self._world.find(ref)
        if live is None:
            metadata = dict(manifest["metadata"])
            metadata["annotations"] = {**(metadata.get("annotations") or {}), LAST_APPLIED: text}
            self._world.create(ref, {**manifest, "metadata": metadata}, writer=self._manager)
            return ref
        last = json.loads(annotations_of(live).get(LAST_APPLIED, "{}"))
        patch = _changed(_only_known(live, manifest), manifest)
        dropped = _removed(last, manifest)
        body = _merged(dropped, patch)
        body.setdefault("metadata", {}).setdefault("annotations", {})[LAST_APPLIED] = text
        self._world.patch(ref, body, writer=self._manager)
        return ref

    def edit(self, ref: Ref, body: Mapping[str, Any]) -> None:
        """Merge-patch an object."""
        self._world.patch(ref, body, writer=self._manager)

    def edit_status(self, ref: Ref, body: Mapping[str, Any]) -> None:
        """Merge-patch the status of an object."""
        self._world.patch(ref, {"status": body}, writer=self._manager, subresource="status")

    def delete(self, ref: Ref) -> None:
        """Delete an object; nothing happens when it is not there."""
        if self._world.find(ref) is not None:
            self._world.delete(ref, writer=self._manager)

    def scale(self, ref: Ref, replicas: int) -> None:
        """Scale a Deployment; let a DaemonSet have its nodes, or keep it off all."""
        selector = {SCALED_AWAY: None if replicas else "true"}
        daemons = {"template": {"spec": {"nodeSelector": selector}}}
        self.edit(ref, {"spec": daemons if ref.resource == DAEMON_SET else {"replicas": replicas}})

    def restart(self, ref: Ref) -> None:
        """Do `kubectl rollout restart`."""
        stamp = {"annotations": {RESTARTED: self._world.stamp()}}
        self.edit(ref, {"spec": {"template": {"metadata": stamp}}})

    def annotate(self, ref: Ref, key: str, value: str | None) -> None:
        """Set or remove an annotation."""
        self.edit(ref, {"metadata": {"annotations": {key: value}}})

    def command(self, ref: Ref, verb: str, **fields: str) -> None:
        """Ask something of the controller, under an id of its own."""
        identity = f"{self._world.stamp()} {verb}"
        self.annotate(ref, COMMAND, json.dumps({"id": identity, "verb": verb, "by": "ann", **fields}))

    def set_weights(self, ref: Ref, weights: Mapping[str, int]) -> None:
        """Write other weights into the routes of a VirtualService."""
        found = self._world.find(ref)
        if found is None:
            return
        edited = {name: [dict(route) for route in routes] for name, routes in sections(found).items()}
        for route in chain(*edited.values()):
            route["route"] = [
                {**leg, "weight": weights.get(leg["destination"]["host"].partition(".")[0], leg.get("weight", 0))}
                for leg in route.get("route") or ()
            ]
        self.edit(ref, {"spec": edited})

    def erase_status(self, ref: Ref) -> None:
        """Remove the status of a Canary, as a restore from a backup does."""
        found = self._world.find(ref)
        if found is not None:
            empty = dict.fromkeys(found.get("status") or {})
            self._world.patch(ref, {"status": empty}, writer=self._manager, subresource="status")


def _only_known(live: Any, manifest: Any) -> Any:
    """Return the part of a live value that a manifest speaks of."""
    if isinstance(live, Mapping) and isinstance(manifest, Mapping):
        return {key: _only_known(live[key], manifest[key]) for key in manifest if key in live}
    if isinstance(live, list) and isinstance(manifest, list) and len(live) == len(manifest):
        return [_only_known(old, new) for old, new in zip(live, manifest, strict=True)]
    return live


def _changed(live: Any, manifest: Any) -> dict[str, Any]:
    return {key: value for key, value in merge_patch(live, manifest).items() if value is not None}


def _removed(last: Any, manifest: Any) -> dict[str, Any]:
    """Return a patch that removes what the last manifest had and this one has not."""
    patch: dict[str, Any] = {}
    for key, value in last.items():
        if key not in manifest:
            patch[key] = None
        elif isinstance(value, Mapping) and isinstance(manifest[key], Mapping):
            patch[key] = _removed(value, manifest[key])
    return patch


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(one)
    for key, value in other.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = _merged(result[key], value) if both else value
    return result
