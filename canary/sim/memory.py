"""What the invariant checker remembers about one Canary between two changes of the world."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from canary.core.names import MANAGER, PREFIX, Role
from canary.core.objects import DEPLOYMENT, Ref, canonical
from canary.sim.cluster import Call
from canary.sim.history import state_of
from canary.sim.pods import version_of
from canary.sim.scene import Scene
from canary.sim.world import Change

RUNNING = ("Waiting", "Progressing", "WaitingPromotion", "Promoting", "Finalising")
IDLE = ("Initialized", "Succeeded", "Failed")
CONTESTED_AFTER = 3
"""Times the same field is undone until it counts as contested (release.md section 8)."""
NEVER = float("-inf")


def code_of(template: Mapping[str, Any]) -> str:
    """Return a text that is equal for the clones of one pinned template, whatever their role."""
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != f"{PREFIX}role"}
    pod = template.get("spec") or {}
    # The role is added to selectors inside these two.
    same = {key: value for key, value in pod.items() if key not in ("affinity", "topologySpreadConstraints")}
    return canonical({"labels": labels, "annotations": metadata.get("annotations") or {}, "pod": same})


class Memory:
    """Remember times, versions and calls that the rules need."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque(maxlen=500)
        self.unpointed: dict[Ref, float | None] = {}
        """Since when nothing points at a Deployment; None while something does."""
        self.weighted: set[str] = set()
        """Versions that were given a weight or the apex Service."""
        self.proven: set[str] = set()
        """Templates that may enter the primary, as `code_of`."""
        self.promoted: set[str] = set()
        """Versions the primary was given."""
        self.target_had: dict[str, float] = {}
        """Until when the target held a version it holds no more."""
        self.candidate = ""
        """The template being promoted, as `code_of`."""
        self.size = 0
        """Replicas of the primary at the start of the run."""
        self.row: tuple[str, int] = ("", 0)
        self.row_since = NEVER
        self.row_interval = 0.0
        """The interval as it was when the present row began."""
        self.contested = False
        """Whether the status remembers a manager that keeps undoing ours, which it forgets after a time."""
        self.route_written = False
        """Whether the controller wrote the route since anything else happened."""
        self.disturbed = 0.0
        """When anything in the cluster last changed."""
        self.started = 0.0
        """When a controller last started or stopped."""
        self.controllers = 0
        """How many controller processes run."""
        self.crowded_until = NEVER
        """Until when what several controllers do at once counts as such."""
        self.starving_since: float | None = None

    def needed(self, scene: Scene, role: Role) -> int:
        """Return how many pods of one side its weight needs."""
        primary = scene.workload("primary")
        size = max(self.size, primary["spec"]["replicas"] if primary and not self.size else 0)
        return math.ceil(scene.weight(role) * size / 100)

    def learn(self, scene: Scene, change: Change) -> None:
        """Take in a change after the rules have judged it."""
        self.disturbed = change.at
        ours = change.writer == MANAGER
        if change.ref == scene.ref:
            self._learn_status(scene, change)
        if change.ref == scene.names.route_ref:
            self.route_written = ours
        elif not ours and change.ref.resource != DEPLOYMENT:
            self.route_written = False
        if change.ref == scene.names.target_ref and change.before:
            self.target_had[version_of(change.before["spec"]["template"])] = change.at
        # A selector without role, written by somebody else, asks for every pod behind it.
        opened = change.ref == scene.names.apex_ref and not ours and not scene.apex_role()
        if scene.weight("canary") > 0 or scene.apex_role() == "canary" or opened:
            self.weighted.add(scene.version("canary"))
        self._learn_primary(scene, change)
        self.look_at_pointers(scene, change.at)

    def _learn_status(self, scene: Scene, change: Change) -> None:
        row = state_of(change.after) if change.after else ("", 0)
        drift = ((change.after or {}).get("status") or {}).get("drift") or ()
        self.contested = any(one.get("count", 0) >= CONTESTED_AFTER for one in drift)
        if row == self.row:
            return
        if row[0] in RUNNING and self.row[0] not in RUNNING:
            primary = scene.workload("primary")
            self.size = primary["spec"]["replicas"] if primary else 0
        if row[0] == "Promoting" and self.row[0] != "Promoting":
            found = scene.workload("canary")
            if found is not None:
                self.candidate = code_of(found["spec"]["template"])
                self.proven.add(self.candidate)
        if row[0] in IDLE or not row[0]:
            self.size = 0
        stable = scene.dataplane.stable
        if row[0] in ("Initialized", "Succeeded"):
            stable.add(scene.version("primary"))
        self.row, self.row_since, self.route_written = row, change.at, False
        self.row_interval = scene.interval

    def _learn_primary(self, scene: Scene, change: Change) -> None:
        if change.ref != scene.names.workload("primary") or change.after is None:
            return
        before = change.before["spec"]["template"] if change.before else None
        after = change.after["spec"]["template"]
        if before != after:
            self.proven.add(code_of(after))
            self.promoted.add(version_of(after))
            if not before:
                # Made from what production runs.
                scene.dataplane.stable.add(version_of(after))

    def look_at_pointers(self, scene: Scene, now: float) -> None:
        """Note since when each Deployment is free of traffic by the routes."""
        for ref in scene.deployments():
            if scene.world.find(ref) is None:
                self.unpointed.pop(ref, None)
            elif scene.is_pointed_at(ref):
                self.unpointed[ref] = None
            elif self.unpointed.get(ref, NEVER) is None:
                self.unpointed[ref] = now

    def has_read(self, ref: Ref, since: float) -> bool:
        """Return whether a controller read an object live from a moment on."""
        return any(call.verb == "get" and call.ref == ref and call.at >= since for call in self.calls)
