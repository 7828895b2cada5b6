"""Rules on autoscalers: on what a controller writes to them, and on what they do meanwhile."""

from __future__ import annotations

import math

from canary.core.objects import AUTOSCALER
from canary.sim.autoscaler import AMBIGUOUS, SCALER
from canary.sim.evidence import STALE, blurred, takes_pods_away
from canary.sim.memory import RUNNING, Memory
from canary.sim.rollout import size_of
from canary.sim.rules import Rule
from canary.sim.scene import Scene
from canary.sim.world import Change

HELD_WITHIN = 2.0
"""Seconds in which a controller that can work raises what somebody lowered."""

BACKED_OFF = 60.0
"""Seconds after API errors in which it may still wait for its next try."""

OURS = ("scaleTargetRef", "minReplicas", "maxReplicas")


def weight_before_the_scaler_holds(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find a weight raised while the autoscaler may shrink the primary below its size (I8)."""
    if change.ref != scene.names.route_ref or change.after is None or change.before is None:
        return None
    before = scene.weight_in(change.before, "canary")
    low = _lowest(scene)
    raised = scene.weight("canary") > before and scene.phase in RUNNING
    if not raised or low is None or low >= memory.size or change.at - memory.scaler_edited < STALE:
        return None
    if blurred(scene, change.at):
        return None
    return f"the canary got weight {scene.weight('canary')} while the primary may shrink to {low} of {memory.size}"


def canary_shrunk_under_its_scaler(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find the canary shrunk while its own autoscaler would undo that."""
    if change.ref != scene.names.workload("canary") or not takes_pods_away(scene, change) or change.after is None:
        return None
    shrunk = size_of(change.after) < size_of(change.before or {})
    return "the canary was shrunk under its own autoscaler" if shrunk and scene.world.find(scene.own_scaler) else None


def foreign_scaler_field_lost(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find fields of the user's autoscaler that are none of ours changed (I20)."""
    if change.ref != scene.scaler or change.before is None or change.after is None:
        return None
    before, after = change.before["spec"], change.after["spec"]
    lost = [key for key in before.keys() | after.keys() if key not in OURS and before.get(key) != after.get(key)]
    return f"spec.{lost[0]} of {change.ref} was changed" if lost else None


WRITE_RULES: tuple[tuple[str, Rule], ...] = (
    ("I8", weight_before_the_scaler_holds),
    ("I8", canary_shrunk_under_its_scaler),
    ("I20", foreign_scaler_field_lost),
)


def primary_scaled_below_its_size(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find the primary shrunk by its autoscaler in a run though the controller could have held it (I8)."""
    shrunk = change.ref == scene.names.workload("primary") and change.writer == SCALER and change.after
    size = size_of(change.after) if shrunk and change.after else memory.size
    if size >= memory.size or scene.phase not in RUNNING or scene.canary is None:
        return None
    last = max(memory.scaler_edited, memory.row_since, memory.started)
    if memory.controllers == 0 or memory.contested or change.at - last < HELD_WITHIN or _broken(scene, change.at):
        return None
    return f"the autoscaler shrank the primary to {size} of {memory.size} during a run"


def ambiguous_selector(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find pods that two autoscalers select, unless somebody else made one of the two."""
    if change.ref.resource != AUTOSCALER or change.subresource != "status" or change.after is None:
        return None
    reasons = {one["reason"] for one in change.after["status"]["conditions"]}
    known = {scene.scaler, scene.own_scaler}
    foreign = any(ref not in known for ref, _ in scene.world.items(AUTOSCALER, scene.ref.namespace))
    edited = change.at - memory.scaler_edited < HELD_WITHIN or _broken(scene, change.at) or memory.contested
    if AMBIGUOUS not in reasons or foreign or edited or memory.controllers == 0:
        return None
    return f"{change.ref} found its pods selected by another autoscaler too"


HAPPENINGS: tuple[tuple[str, Rule], ...] = (
    ("I8", primary_scaled_below_its_size),
    ("HPA", ambiguous_selector),
)
"""Rules on what others do."""


def _lowest(scene: Scene) -> int | None:
    """Return to how few pods the autoscaler may shrink the primary; None when it scales something else."""
    found = scene.world.find(scene.scaler) if scene.scaler else None
    spec = found["spec"] if found else {}
    if (spec.get("scaleTargetRef") or {}).get("name") != scene.names.workload("primary").name:
        return None
    low, high = spec["minReplicas"], spec["maxReplicas"]
    # The user's largest size goes before any other.
    return None if low >= high else int(low)


def _broken(scene: Scene, now: float) -> bool:
    api = any(one.start <= now and (one.end + BACKED_OFF > now or math.isinf(one.end)) for one in scene.faults.api)
    return api or blurred(scene, now)
