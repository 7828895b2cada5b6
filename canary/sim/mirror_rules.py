"""Rules about copies of requests."""

from __future__ import annotations

from canary.sim.evidence import blurred, legs_written
from canary.sim.memory import Memory
from canary.sim.routing import mirrored_to
from canary.sim.rules import Rule
from canary.sim.scene import Scene
from canary.sim.world import Change


def copies_before_capacity(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find copies raised above what the ready pods of the canary can carry (I8)."""
    if not legs_written(change) or change.after is None or blurred(scene, change.at):
        return None
    host = scene.host("canary")
    share = mirrored_to(change.after, host)
    if share <= (mirrored_to(change.before, host) if change.before else 0):
        return None
    reached = len(scene.endpoints(scene.names.service("canary")))
    needed, ready = memory.needed_for(scene, "canary", share), min(scene.ready("canary"), reached)
    return (
        f"{share} % of requests are copied to the canary with {ready} of {needed} ready pods"
        if ready < needed
        else None
    )


WRITE_RULES: tuple[tuple[str, Rule], ...] = (("I8", copies_before_capacity),)
"""Judged at each write of ours, before it is remembered."""
