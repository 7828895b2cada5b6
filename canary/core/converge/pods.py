"""Actions on the workloads: primary, canary and target."""

from __future__ import annotations

from canary.api.status import Phase
from canary.core.actions import Action, Create, Patch
from canary.core.advance.initialise import hand_over_begun
from canary.core.converge.objects import clone_patch, make_clone
from canary.core.converge.wanted import wanted_canary_size, wanted_primary
from canary.core.guards import route_guards
from canary.core.names import WISH
from canary.core.revisions import Revision
from canary.core.service_obstacles import foreign_service
from canary.core.view import IDLE, RUNNING, View
from canary.core.workload import Workload


def primary_actions(view: View) -> tuple[Action, ...]:
    """Return the writes on the primary: made, kept at the wished size, and rolled when its turn has come."""
    revision = wanted_primary(view)
    if revision is not None and not view.is_pinned(revision):
        # Its pods could not start.
        revision = None
    ref = view.snapshot.names.workload("primary")
    wish = _wished_size(view)
    if view.primary is None:
        if revision is None or wish < 1:
            return ()
        return (Create(ref, make_clone(view, "primary", revision, wish), f"primary with revision {revision.id}"),)
    if view.status.phase is Phase.INITIALIZING and hand_over_begun(view):
        return ()
    # Before the hand-over nobody is served by it, and short of the wish it could never take over.
    short = view.status.phase is Phase.INITIALIZING and view.primary.replicas < wish
    numbered = not view.snapshot.daemons and not view.autoscaled
    resized = wish >= 1 and numbered and (view.primary.wish != wish or short)
    grown = wish if resized else None
    if grown is not None and (view.status.phase in RUNNING or view.snapshot.scaler is not None):
        # Whatever is too much the autoscaler takes away later.
        grown = max(grown, view.primary.replicas)
    patch = clone_patch(view, view.primary, revision, grown)
    if grown is not None:
        patch.setdefault("metadata", {}).setdefault("annotations", {})[WISH] = str(wish)
    if not patch:
        return ()
    rolls = "template" in patch.get("spec", {}) or (grown is not None and grown < view.primary.replicas)
    guards = route_guards(view) if rolls else ()
    why = f"primary to revision {revision.id}" if revision and "template" in patch.get("spec", {}) else "primary"
    return (Patch(ref, patch, view.primary.version, why, guards),)


def _wished_size(view: View) -> int:
    """Return production's size: in a run a wish only raises it (I8)."""
    desired = view.status.replicas.desired if view.status.replicas else 0
    if view.status.phase in (*IDLE, Phase.INITIALIZING):
        return desired
    return max(desired, view.wish, view.primary.wish or 0 if view.primary else 0)


def canary_actions(view: View) -> tuple[Action, ...]:
    """Return the writes on the canary: made, scaled ahead of its weight, replaced or taken to 0 once settled."""
    size = wanted_canary_size(view)
    candidate, revision = view.candidate, view.candidate_revision
    ref = view.snapshot.names.workload("canary")
    if size is None:
        return ()
    if size == 0:
        if candidate is None:
            return ()
        body = {"spec": candidate.resized(0)}
        return (Patch(ref, body, candidate.version, "canary to 0", route_guards(view)),)
    if revision is None or (not view.canary_has_pods and foreign_service(view) is not None):
        return ()
    if (candidate is None or candidate.revision != revision.id) and not view.is_pinned(revision):
        return ()
    if candidate is None:
        return (Create(ref, make_clone(view, "canary", revision, size), f"canary with revision {revision.id}"),)
    return _grow_canary(view, candidate, revision, size)


def _grow_canary(view: View, candidate: Workload, revision: Revision, size: int) -> tuple[Action, ...]:
    replaced = candidate.revision != revision.id
    if replaced and view.canary_has_pods and not view.drained("canary"):
        return ()
    patch = clone_patch(view, candidate, revision, size)
    if not patch:
        return ()
    guards = route_guards(view) if replaced and view.canary_has_pods else ()
    return (Patch(candidate.ref, patch, candidate.version, f"canary to {size} pods of {revision.id}", guards),)


def target_actions(view: View) -> tuple[Action, ...]:
    """Return the write that takes the target to 0, once production does not rest on its pods."""
    target = view.target
    if target is None or target.replicas == 0 or not view.drained("target") or view.puts_off("replicas"):
        return ()
    body = {"spec": target.resized(0)}
    return (Patch(target.ref, body, target.version, "target to 0", route_guards(view)),)
