"""The rule about what others wrote on objects that are shared with them."""

from __future__ import annotations

from canary.core.routes.sections import shared_sections
from canary.core.workload import on_its_nodes
from canary.sim.evidence import foreign_entries
from canary.sim.memory import Memory
from canary.sim.scene import Scene
from canary.sim.world import Change


def foreign_field_lost(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find labels, annotations or fields of others that a write changed (I20)."""
    if change.before is None or change.after is None:
        return None
    for kind in ("labels", "annotations"):
        asked = scene.asked_for(change, kind)
        seen = (foreign_entries(one, kind) for one in (change.before, change.after))
        before, after = ({key: value for key, value in one.items() if key not in asked} for one in seen)
        if before != after:
            return f"{kind} of {change.ref} were {before} and are {after}"
    return _lost_field(scene, change)


def _lost_field(scene: Scene, change: Change) -> str | None:
    before, after = ((one or {}).get("spec") or {} for one in (change.before, change.after))
    if change.ref == scene.names.target_ref:
        ours = {"replicas", "template"} if scene.canary is None else {"replicas"}
        if scene.daemons:
            before, after = ({**one, "template": on_its_nodes(one["template"])} for one in (before, after))
    elif change.ref == scene.names.route_ref:
        seen = (change.before or {}, change.after or {})
        ours = {"hosts", "gateways", *(name for one in seen if one for name in shared_sections(one).names)}
    else:
        return None
    lost = [key for key in before if key not in ours and before[key] != after.get(key)]
    return f"spec.{lost[0]} of {change.ref} was changed" if lost else None
