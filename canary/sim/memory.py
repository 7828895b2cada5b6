"""What the invariant checker remembers about one Canary between two changes of the world."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from canary.core.names import MANAGER, PREFIX, ROLE_LABEL, Role
from canary.core.objects import CONFIG_MAP, DAEMON_SET, DEPLOYMENT, SECRET, Object, Ref, Resource, canonical
from canary.sim.autoscaler import SCALER
from canary.sim.cluster import Call
from canary.sim.history import state_of
from canary.sim.pods import version_of
from canary.sim.scene import Scene
from canary.sim.world import Change

RUNNING = ("Progressing", "WaitingPromotion", "Promoting", "Finalising")
ROLES: tuple[Role, Role] = ("primary", "canary")
IDLE = ("Initialized", "Waiting", "Succeeded", "Failed")
OUTRUN = 1.0
"""Seconds in which a controller may still write what it decided before another one began a run."""
CONTESTED_AFTER = 3
"""Times the same field is undone until it counts as contested (release.md section 8)."""
NEVER = float("-inf")
PROPAGATED = 0.5
"""Seconds after a write of the routes in which proxies may rightly send as before."""
PUT_BACK_WITHIN = 1.0
"""Seconds in which an edit by hand is put back."""


def lets_in(scene: Scene, ref: Ref, obj: Object | None) -> str:
    """Return how a route or apex Service sends callers to the canary, empty when it does not."""
    if obj is None or ref not in (scene.names.route_ref, scene.names.apex_ref):
        return ""
    if ref == scene.names.route_ref:
        return str(scene.reach_in(obj).get(scene.host("canary"), 0) or "")
    role = (obj["spec"].get("selector") or {}).get(ROLE_LABEL, "any")
    return "" if role == "primary" else role


def code_of(template: Mapping[str, Any]) -> str:
    """Return a text that is equal for the clones of one pinned template, whatever their role."""
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != f"{PREFIX}role"}
    pod = template.get("spec") or {}
    # The role is added to selectors inside these two.
    same = {key: value for key, value in pod.items() if key not in ("affinity", "topologySpreadConstraints")}
    return canonical({"labels": labels, "annotations": metadata.get("annotations") or {}, "pod": same})


@dataclass(slots=True)
class Strays:
    """Callers that somebody else lets in to the canary."""

    since: dict[Ref, float] = field(default_factory=dict)
    """Since when, by route or apex Service."""
    versions: set[str] = field(default_factory=set)
    """What the canary ran since the first of them."""
    ended: float = NEVER
    """When the last was put back, or the proxies were last seen not to be told of that."""
    hindered: float = NEVER
    """Until when the controller could not, or was not to, put anything back."""

    def begin(self, ref: Ref, now: float) -> None:
        """Note that somebody wrote an object so."""
        if not self.since:
            self.versions.clear()
        self.since.setdefault(ref, now)

    def end(self, ref: Ref, now: float) -> None:
        """Note that an object is as the controller has it."""
        if self.since.pop(ref, None) is not None:
            self.ended = now

    def excuse(self, version: str, now: float) -> bool:
        """Return whether requests at a version are the doing of who let them in.

        They are for as long as a controller may take to put it back (section 8), and the proxies to hear of it.
        """
        until = self.ended
        if self.since:
            until = max(self.hindered, *self.since.values()) + PUT_BACK_WITHIN
        return version in self.versions and now <= until + PROPAGATED


@dataclass(slots=True)
class Commands:
    """What people asked of the controller."""

    answered: float = NEVER
    """When the last was answered."""
    edited: float = NEVER
    """When the spec of the Canary last changed."""
    requests_ignored: bool = False
    """Whether one says that requests seen at a set off the routes do not matter."""

    def learn(self, before: Mapping[str, Any], after: Mapping[str, Any], now: float) -> None:
        """Take in a status that was written."""
        if after.get("lastCommand") != before.get("lastCommand"):
            self.answered = now
        self.requests_ignored = bool((after.get("drain") or {}).get("skipped"))


@dataclass(slots=True)
class Heard:
    """Whom a run has heard of."""

    before: dict[str, int] = field(default_factory=dict)
    """How many requests had been sent to each Service when it began."""


class Memory:
    """Remember times, versions and calls that the rules need."""

    def __init__(self) -> None:
        self.calls: deque[Call] = deque(maxlen=500)
        self.unpointed: dict[Ref, float | None] = {}
        self.unnamed: dict[Ref, float | None] = {}
        """Since when nothing points at a Deployment, and no weight or role names it; None while one does."""
        self.weighted: set[str] = set()
        """Versions that the controller or its plan gave a weight."""
        self.strays = Strays()
        self.proven: set[str] = set()
        """Templates that may enter the primary, as `code_of`."""
        self.promoted: set[str] = set()
        """Versions the primary was given."""
        self.shapes: set[str] = set()
        """The same whatever configuration they read."""
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
        self.step, self.commands, self.heard = 0, Commands(), Heard()
        self.disturbed = 0.0
        """When anything in the cluster last changed."""
        self.started = 0.0
        """When a controller last started or stopped."""
        self.controllers = 0
        """How many controller processes run."""
        self.crowded_until = NEVER
        """Until when what several controllers do at once counts as such."""
        self.starving_since: float | None = None
        self.scaler_edited = NEVER
        """When somebody else last wrote the autoscaler."""

    def needed(self, scene: Scene, role: Role) -> int:
        """Return how many ready pods of one side its weight needs."""
        return self.needed_for(scene, role, scene.weight(role))

    def needed_for(self, scene: Scene, role: Role, share: int) -> int:
        """Return how many ready pods of one side a share of the requests needs."""
        # Nodes come and go: what a DaemonSet needs is counted anew each time.
        size = scene.size("canary") if scene.daemons else self.size or scene.size("primary")
        return scene.enough(role, math.ceil(share * size / 100))

    def learn(self, scene: Scene, change: Change) -> None:
        """Take in a change after the rules have judged it."""
        self.disturbed = change.at
        ours = change.writer == MANAGER
        if change.ref == scene.ref:
            self._learn_status(scene, change)
        if change.ref == scene.scaler and change.writer not in (MANAGER, SCALER):
            self.scaler_edited = change.at
        if change.ref == scene.names.route_ref:
            self.route_written = ours and (self.route_written or not scene.only_labels(change))
        elif not ours and change.ref.resource not in (DAEMON_SET, DEPLOYMENT):
            self.route_written = False
        if change.ref == scene.names.target_ref and change.before:
            self.target_had[scene.version_of(change.before)] = change.at
        self._learn_configuration(scene, change)
        self._learn_pointers(scene, change)
        self._learn_primary(scene, change)
        self.look_at_pointers(scene, change.at)

    def _learn_status(self, scene: Scene, change: Change) -> None:
        row = state_of(change.after) if change.after else ("", 0)
        step = (((change.after or {}).get("status") or {}).get("step") or {}).get("index", 0)
        if step != self.step:
            # Cohorts and copies come with steps of the same weight.
            self.step, self.route_written = step, False
        if (change.after or {}).get("spec") != (change.before or {}).get("spec"):
            self.commands.edited = change.at
        if not step:
            self.heard.before = dict(scene.dataplane.answered)
        status = (change.after or {}).get("status") or {}
        self.commands.learn((change.before or {}).get("status") or {}, status, change.at)
        drift = status.get("drift") or ()
        self.contested = any(one.get("count", 0) >= CONTESTED_AFTER for one in drift)
        if row == self.row:
            return
        if row[0] in RUNNING and self.row[0] not in RUNNING:
            self.size = scene.size("primary")
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

    def _learn_configuration(self, scene: Scene, change: Change) -> None:
        """Note what the target read before an edit, and what it reads when it is given back."""
        target = scene.world.find(scene.names.target_ref)
        if target is None:
            return
        if change.ref.resource in (CONFIG_MAP, SECRET) and change.before:
            found, before = scene.world.configuration(scene.ref.namespace), change.before

            def find(resource: Resource, name: str) -> Object | None:
                return before if (resource, name) == (change.ref.resource, change.ref.name) else found(resource, name)

            self.target_had[version_of(target["spec"]["template"], find)] = change.at
        if scene.canary is None and version_of(target["spec"]["template"]) in self.shapes:
            # The target's references are its user's: they are live again, whatever was promoted.
            scene.dataplane.stable.add(scene.version_of(target))

    def _learn_pointers(self, scene: Scene, change: Change) -> None:
        """Tell the weights that the controller gave from callers that others let in to the canary."""
        under_another = change.ref == scene.ref and change.before is None
        if scene.weight("canary") > 0 and (under_another or scene.weight("canary") == self.row[1]):
            # Under a Canary that is gone, or the plan's, whoever was the first to write it.
            self.weighted.add(scene.version("canary"))
        before, after = (lets_in(scene, change.ref, obj) for obj in (change.before, change.after))
        if before != after:
            ours = change.writer == MANAGER
            if after and ours and change.ref == scene.names.route_ref:
                self.weighted.add(scene.version("canary"))
            if after and not ours:
                self.strays.begin(change.ref, change.at)
            else:
                self.strays.end(change.ref, change.at)
        if self.strays.since:
            self.strays.versions.add(scene.version("canary"))

    def _learn_primary(self, scene: Scene, change: Change) -> None:
        if change.ref != scene.names.workload("primary") or change.after is None:
            return
        before = change.before["spec"]["template"] if change.before else None
        after = change.after["spec"]["template"]
        if before != after:
            self.proven.add(code_of(after))
            self.promoted.add(scene.version_of(change.after))
            self.shapes.add(version_of(after))
            if scene.in_place and scene.phase == "Promoting":
                # Its share comes with the roll, whatever weight the plan ended with.
                self.weighted.add(scene.version_of(change.after))
            if not before:
                # Made from what production runs.
                scene.dataplane.stable.add(scene.version_of(change.after))

    def outrun(self, now: float) -> bool:
        """Return whether another controller may have begun a run that the writer of a change did not know of."""
        return now < self.crowded_until and self.row == ("Progressing", 0) and now - self.row_since <= OUTRUN

    def look_at_pointers(self, scene: Scene, now: float) -> None:
        """Note since when each Deployment is free of traffic by the routes."""
        for role in ROLES:
            ref = scene.names.workload(role)
            if scene.apex_role() == role or scene.reach.get(scene.host(role)):
                self.unnamed[ref] = None
            elif self.unnamed.get(ref, NEVER) is None:
                self.unnamed[ref] = now
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
