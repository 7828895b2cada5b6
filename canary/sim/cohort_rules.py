"""Rules about cohorts."""

from __future__ import annotations

from canary.api.canary import Canary
from canary.core.plan import plan_of
from canary.sim.history import state_of
from canary.sim.memory import Memory
from canary.sim.rules import Rule
from canary.sim.scene import Scene
from canary.sim.world import Change


def cohort_unheard(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find a step for a cohort taken as passed though none of its requests came in this run (I17)."""
    if change.ref != scene.ref or change.after is None:
        return None
    index = ((change.after.get("status") or {}).get("step") or {}).get("index", 0)
    before, now = (state_of(one)[0] if one else "" for one in (change.before, change.after))
    promoted = before in ("Progressing", "WaitingPromotion") and now == "Promoting"
    if not promoted and (index != memory.step + 1 or now != "Progressing"):
        return None
    began = memory.row_since
    if not memory.step or max(memory.commands.answered, memory.commands.edited) >= began:
        return None  # People may end a step, or change what it was.
    spec = Canary.parse(change.after).spec
    steps = plan_of(spec).steps
    step = steps[memory.step - 1] if memory.step <= len(steps) else None
    judged = any(not one.custom and spec.analysis.on_no_data_for(one) == "Hold" for one in spec.analysis.metrics)
    if step is None or step.cohort not in step.routing.apart or not judged:
        return None
    service = scene.names.cohort_service(step.cohort).name
    if scene.dataplane.answered[service] > memory.heard.before.get(service, 0):
        return None
    return f"step {memory.step} passed though no request came to {service}"


WRITE_RULES: tuple[tuple[str, Rule], ...] = (("I17", cohort_unheard),)
"""Judged at each write of ours, before it is remembered."""
