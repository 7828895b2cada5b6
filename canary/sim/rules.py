"""Rules on what a controller may write, each a small function that says what is wrong or None."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

from canary.core.objects import SERVICE
from canary.sim.copies import clone_without_copy, used_copy_deleted
from canary.sim.evidence import (
    STALE,
    anyone_ready,
    blurred,
    legs_written,
    pods_before,
    pods_of_deployment,
    rolls,
    rolls_in_place,
    takes_pods_away,
)
from canary.sim.foreign import foreign_field_lost
from canary.sim.history import state_of
from canary.sim.matching import sections
from canary.sim.memory import IDLE, NEVER, PROPAGATED, ROLES, RUNNING, Memory, code_of
from canary.sim.rollout import size_of
from canary.sim.routing import reach_of, service_at, weights_of
from canary.sim.scene import Scene
from canary.sim.world import Change

READ_BEFORE = 2.0
"""Seconds a live read may lie before the write it protects."""

LATE = 2.1
"""Seconds by which a weight may come into force late without moving the grid of steps."""

Rule = Callable[[Scene, Memory, Change], str | None]


def missing_host(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find a route to a Service that does not exist."""
    before = reach_of(change.before) if change.before and legs_written(change) else {}
    for host, weight in legs_written(change):
        service = service_at(host, change.ref.namespace)
        # Its traffic is taken away: that waits for no Service that somebody deleted (I22).
        if weight == 0 and host in before:
            continue
        if scene.world.find(service) is None:
            return f"the route names {host}, which does not exist"
    return None


def routed_service_deleted(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find the deletion of a Service that the route names."""
    if change.ref.resource != SERVICE or change.after is not None:
        return None
    if change.ref.name in scene.reach:
        return f"{change.ref.name} was deleted while the route names it"
    return None


def weight_without_ready_pods(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find a weight raised on a side without ready pods."""
    before = reach_of(change.before) if change.before and legs_written(change) else {}
    for host, weight in legs_written(change):
        service = service_at(host, change.ref.namespace)
        # A new route beside a set that does not serve either changes nothing for anyone.
        if change.before is None and not anyone_ready(scene):
            continue
        if weight > before.get(host, 0) and not scene.endpoints(service) and not blurred(scene, change.at):
            return f"{host} got weight {weight} without a ready pod that it leads to"
    return None


def selector_without_ready_pods(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find the apex Service turned to a set without ready pods."""
    if change.ref != scene.names.apex_ref or change.after is None:
        return None
    if change.before and change.before["spec"].get("selector") == change.after["spec"].get("selector"):
        return None
    if change.before is None and not anyone_ready(scene):
        return None
    if scene.pods.endpoints(change.after) or blurred(scene, change.at):
        return None
    return f"the apex Service selects {change.after['spec'].get('selector')}, where no pod is ready"


def weight_before_capacity(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find a weight raised above what the ready pods of its side can carry (I1, I8)."""
    before = dict(weights_of(change.before)) if change.before and legs_written(change) else {}
    if not before or blurred(scene, change.at):
        return None
    host = scene.host("canary")
    if scene.weight("canary") > before.get(host, 0):
        reached = len(scene.endpoints(scene.names.service("canary")))
        needed, ready = memory.needed(scene, "canary"), min(scene.ready("canary"), reached)
        if ready < needed:
            return f"the canary got weight {scene.weight('canary')} with {ready} of {needed} ready pods"
    return None


def shrunk_with_traffic(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find a set that shrinks, rolls or goes away while the routes point at it or point away too short."""
    if not takes_pods_away(scene, change) or rolls_in_place(scene, change):
        return None
    since = memory.unpointed.get(change.ref, float("-inf"))
    if scene.canary is None and scene.world.find(scene.names.target_ref) is None:
        return None  # Taken away whole: the apex Service goes with what it selects.
    if _in_target_hands(scene, change):
        # Bare labels that go, as with an apex Service deleted by hand, take no callers from where they are.
        since = memory.unnamed.get(change.ref, NEVER)
    if since is None:
        resized = not rolls(change) and change.after is not None and change.ref == scene.names.workload("primary")
        if resized and (scene.phase in IDLE or memory.outrun(change.at)):
            return None  # Idle: the wish was lowered.
        return f"{change.ref.name} lost pods while routes point at it"
    if change.at - since < scene.drain - 1e-6:
        return f"{change.ref.name} lost pods {change.at - since:.3f} s after its traffic went"
    return None


def _in_target_hands(scene: Scene, change: Change) -> bool:
    """Return whether the user's own Deployment carries production, or nothing does any more.

    Before the hand-over and after the give-back the apex Service selects target and clones alike.
    """
    if scene.apex_role() or (scene.canary is not None and scene.phase not in ("", "Initializing")):
        return False
    if change.ref == scene.names.target_ref:
        return scene.canary is None and scene.ready("primary") > 0
    target = scene.world.find(scene.names.target_ref)
    shared_out = any(scene.host(role) in scene.reach for role in ROLES)
    if target is None or shared_out:
        return scene.canary is None and not shared_out
    ready = sum(pod.ready for pod in pods_of_deployment(scene, target))
    return ready >= max(1, scene.enough("primary", size_of(target)))


def shrunk_while_requested(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find a set that loses pods while proxies still send to it."""
    since = memory.unpointed.get(change.ref)
    if not takes_pods_away(scene, change) or since is None:
        return None
    # Without an answer from metrics the controller may go on after four times the drain time.
    if memory.commands.requests_ignored:
        return None
    unanswered = scene.faults.metrics or scene.dataplane.scraped_at <= change.at - scene.drain
    if unanswered and change.at - since >= 4 * scene.drain - 1e-6:
        return None
    # What came after the last sample nobody can know.
    known = scene.dataplane.scraped_request
    last = max((known.get(pod.name, -1e9) for pod in pods_before(scene, change)), default=-1e9)
    if last > since + PROPAGATED and scene.dataplane.scraped_at - last < scene.dataplane.scrape_interval:
        return f"{change.ref.name} lost pods {change.at - last:.3f} s after a request to it"
    return None


def primary_below_its_size(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find the primary shrunk below its size at the start of the run (I8)."""
    if change.ref != scene.names.workload("primary") or scene.phase not in RUNNING or scene.canary is None:
        return None
    replicas = size_of(change.after) if change.after else 0
    shrinks = change.before is not None and size_of(change.before) > replicas
    if shrinks and replicas < memory.size and not memory.outrun(change.at):
        return f"the primary was shrunk to {replicas} of {memory.size} during a run"
    return None


def unproven_template(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find a template in the primary that was neither production nor analysed (I10)."""
    if change.ref != scene.names.workload("primary") or change.after is None:
        return None
    template = change.after["spec"]["template"]
    if change.before and change.before["spec"]["template"] == template:
        return None
    handed_over = scene.apex_role() == "primary" and memory.proven
    if scene.phase in ("", "Initializing") and not handed_over and _was_production(scene, memory, change):
        return None
    if code_of(template) not in memory.proven:
        return f"the primary got version {scene.version('primary')}, which nobody analysed"
    return None


def _was_production(scene: Scene, memory: Memory, change: Change) -> bool:
    """Return whether a clone gets what the target held when the controller last could see it."""
    written = scene.version_of(change.after or {})
    target = scene.world.find(scene.names.target_ref)
    had = memory.target_had.get(written, float("-inf"))
    now = target is not None and scene.version_of(target) == written
    return now or change.at - had <= STALE or blurred(scene, had)


def weights_off_100(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find weights that are no integers of 0..100 that sum to 100 (I12)."""
    if change.ref != scene.names.route_ref or change.after is None:
        return None
    for route in chain(*sections(change.after).values()):
        weights = [leg.get("weight") for leg in route.get("route") or ()]
        whole = all(isinstance(one, int) and 0 <= one <= 100 for one in weights)
        if len(weights) > 1 and (not whole or sum(weights) != 100):
            return f"weights {weights}"
    return None


def route_written_twice(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find two writes of the route in one step (I12); taking traffic off the canary is never one too many."""
    if change.ref != scene.names.route_ref or scene.canary is None or change.before is None:
        return None
    if scene.only_labels(change):
        return None
    host = scene.host("canary")
    before = scene.reach_in(change.before).get(host, 0)
    # A second controller that has not yet seen the status takes a step back, which harms nobody.
    if change.at < memory.crowded_until:
        return None
    # What a controller knows of endpoints lags behind: it may turn back on hearing of those that came meanwhile.
    unclear = blurred(scene, change.at) or change.at - scene.dataplane.endpoints.moved <= STALE
    if memory.route_written and scene.reach.get(host, 0) >= before and not unclear:
        return "the route was written twice though nothing happened in between"
    return None


def premature_success(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find Succeeded before the primary runs everything (I14)."""
    if change.ref != scene.ref or change.after is None or state_of(change.after)[0] != "Succeeded":
        return None
    primary = scene.workload("primary")
    if memory.row[0] == "Succeeded" or primary is None:
        return None
    if memory.candidate and code_of(primary["spec"]["template"]) != memory.candidate:
        return "Succeeded while the primary does not hold what was promoted"
    wanted = scene.enough("primary", size_of(primary))
    ready = sum(pod.ready and pod.version == scene.version("primary") for pod in pods_of_deployment(scene, primary))
    if ready < wanted and not blurred(scene, change.at):
        return f"Succeeded with {ready} of {wanted} replicas of the primary"
    unseen = any(change.at - since <= STALE for since in memory.strays.since.values())
    if not unseen and (scene.weight("primary") != 100 or scene.apex_role() != "primary"):
        return f"Succeeded with weights {scene.weights} and the apex Service on {scene.apex_role()!r}"
    return None


def early_step(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find a step taken before its interval was over (I18)."""
    if change.ref != scene.ref or change.after is None:
        return None
    (phase, weight), (before, old) = state_of(change.after), memory.row
    risen = phase == before == "Progressing" and weight > old
    promoted = phase == "Promoting" and before in ("Progressing", "WaitingPromotion")
    if memory.commands.answered >= memory.row_since:
        return None  # A person may shorten a step, and nobody else.
    interval = min(scene.interval, memory.row_interval)
    if (risen or promoted) and change.at - memory.row_since < interval - LATE:
        return f"{before} {old} lasted {change.at - memory.row_since:.3f} s of {interval:.0f} s"
    return None


def unguarded_write(scene: Scene, memory: Memory, change: Change) -> str | None:
    """Find writes without resourceVersion or uid, or loss of pods without a live read of the routes (I21)."""
    if change.verb != "create" and change.sent_version is None:
        return f"{change.verb} of {change.ref} carried no resourceVersion"
    if change.verb == "delete" and change.sent_uid is None:
        return f"delete of {change.ref} carried no uid"
    if not takes_pods_away(scene, change):
        return None
    for ref in (scene.names.route_ref, scene.names.apex_ref):
        if not memory.has_read(ref, change.at - READ_BEFORE):
            return f"{change.ref.name} lost pods without a live read of {ref}"
    return None


WRITE_RULES: tuple[tuple[str, Rule], ...] = (
    ("I2", missing_host),
    ("I2", routed_service_deleted),
    ("I6", weight_without_ready_pods),
    ("I6", selector_without_ready_pods),
    ("I8", weight_before_capacity),
    ("I3", shrunk_with_traffic),
    ("I3", shrunk_while_requested),
    ("I8", primary_below_its_size),
    ("I10", unproven_template),
    ("I10", clone_without_copy),
    ("I10", used_copy_deleted),
    ("I12", weights_off_100),
    ("I12", route_written_twice),
    ("I14", premature_success),
    ("I18", early_step),
    ("I20", foreign_field_lost),
    ("I21", unguarded_write),
)
