"""What a change of the world shows about pods, weights and metadata, for the rules on writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canary.core.names import NOT_PRUNED, PREFIX
from canary.core.objects import DAEMON_SET, DEPLOYMENT, VIRTUAL_SERVICE, Object
from canary.sim.pods import Pod
from canary.sim.rollout import bounds, size_of
from canary.sim.routing import reach_of
from canary.sim.scene import Scene
from canary.sim.world import Change

STALE = 0.5
"""Seconds by which what a controller knows of pods may lag behind."""


def blurred(scene: Scene, now: float) -> bool:
    """Return whether a controller could not know the pods: some died just now, or watches are broken."""
    watches = any(one.start <= now < one.end + one.delay for one in scene.faults.watch)
    return watches or any(at >= now - STALE for at, _ in scene.pods.deaths)


def legs_written(change: Change) -> list[tuple[str, int]]:
    """Return the (host, weight) pairs a change of the route leaves behind."""
    if change.ref.resource != VIRTUAL_SERVICE or change.after is None:
        return []
    return list(reach_of(change.after).items())


def anyone_ready(scene: Scene) -> bool:
    return any(pod.ready for pod in scene.pods.all() if pod.namespace == scene.ref.namespace)


def rolls(change: Change) -> bool:
    before, after = change.before, change.after
    return bool(before and after and before["spec"]["template"] != after["spec"]["template"])


def rolls_in_place(scene: Scene, change: Change) -> bool:
    """Return whether the primary gets the promoted template under its share, as asked for, and keeps pods meanwhile."""
    before, after = change.before, change.after
    if change.ref != scene.names.workload("primary") or scene.phase != "Promoting" or not (before and after):
        return False
    if not scene.in_place or not rolls(change):
        return False
    size = after["spec"]["replicas"]
    rolling = after["spec"]["strategy"]["type"] == "RollingUpdate" and bounds(after["spec"])[1] < size
    return bool(rolling and size >= before["spec"]["replicas"])


def takes_pods_away(scene: Scene, change: Change) -> bool:
    """Return whether a change ends pods that were serving or may serve."""
    if change.ref.resource not in (DAEMON_SET, DEPLOYMENT) or change.before is None or not pods_before(scene, change):
        return False
    if change.after is None or rolls(change):
        return True
    return size_of(change.after) < size_of(change.before)


def pods_before(scene: Scene, change: Change) -> list[Pod]:
    return pods_of_deployment(scene, change.before) if change.before else []


def pods_of_deployment(scene: Scene, deployment: Object) -> list[Pod]:
    return scene.pods.of(deployment["metadata"]["uid"])


def foreign_entries(obj: Object, kind: str) -> Mapping[str, Any]:
    values = obj["metadata"].get(kind) or {}
    return {key: value for key, value in values.items() if not key.startswith(PREFIX) and key not in NOT_PRUNED}
