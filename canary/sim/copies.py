"""Rules on copies of configuration: pods find theirs, and what nothing reads goes."""

from __future__ import annotations

from canary.core.configuration import references
from canary.core.names import REVISION_LABEL
from canary.core.objects import CONFIG_MAP, SECRET, Object, Ref, labels_of
from canary.sim.memory import Memory
from canary.sim.scene import Scene
from canary.sim.world import Change

KINDS = (CONFIG_MAP, SECRET)


def clone_without_copy(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find a clone given a template whose pods would not find the configuration that was pinned for them (I10)."""
    if change.after is None or change.ref not in scene.deployments()[1:]:
        return None
    template = change.after["spec"]["template"]
    if change.before and change.before["spec"]["template"] == template:
        return None
    end = f"-{revision_of(template)}"
    for one in references(template):
        if one.name.endswith(end) and scene.world.find(Ref(one.resource, scene.ref.namespace, one.name)) is None:
            return f"{change.ref.name} refers to {one}, which does not exist"
    return None


def used_copy_deleted(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find the deletion of a copy that a Deployment refers to."""
    if change.after is not None or change.ref.resource not in KINDS:
        return None
    for ref in scene.deployments():
        workload = scene.world.find(ref)
        read = references(workload["spec"]["template"]) if workload else {}
        if any((one.resource, one.name) == (change.ref.resource, change.ref.name) for one in read):
            return f"{change.ref} was deleted while {ref.name} refers to it"
    return None


def unused_copy(scene: Scene) -> str | None:
    """Return a copy that is still there though neither a Deployment nor a revision that is kept needs it."""
    known = ((scene.canary or {}).get("status") or {}).get("revision") or {}
    clones = [found for found in (scene.workload("primary"), scene.workload("canary")) if found]
    needed = {*known.values(), *(revision_of(one["spec"]["template"]) for one in clones)}
    for resource in KINDS:
        for ref, obj in scene.world.items(resource, scene.ref.namespace):
            revision = labels_of(obj).get(REVISION_LABEL)
            if revision and revision not in needed:
                return f"{ref} is still there though nothing needs revision {revision}"
    return None


def revision_of(template: Object) -> str:
    """Return the revision a clone's template was written from."""
    labels: dict[str, str] = template["metadata"].get("labels") or {}
    return labels.get(REVISION_LABEL, "")
