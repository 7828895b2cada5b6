"""The take-over of what Flagger left: its primary serves until the target does, and nothing of it is left.

Then the Canary is initialised as any other.  Each stage is read from the world, nothing is remembered but
when the take-over began.  At every moment plain Deployments, Services and routes serve.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from canary.api.status import Phase
from canary.core.actions import Action, Delete, Patch
from canary.core.flagger.derived import find_difference, find_edited
from canary.core.flagger.remains import (
    TAKEN,
    former_primary,
    is_asked,
    kept,
    other_references,
    refers_to,
    replaced,
)
from canary.core.flagger.routes import exposes_canary, names_sides
from canary.core.guards import route_guards
from canary.core.names import CANARY_LABEL, MANAGER
from canary.core.objects import SCALED_OBJECT, Object, annotations_of, merge_patch
from canary.core.obstacle import Obstacle
from canary.core.routes.istio import unshared_spec
from canary.core.view import View
from canary.core.workload import Workload, enough, field_managers

TAKING_OVER, REFUSED = "TakingOver", "TakeOverRefused"
SLOWEST_TICK, LATE = timedelta(seconds=10), timedelta(seconds=10)
"""Flagger looks at a Canary at each interval of its analysis, in none shorter than this, and takes a moment for it."""
_FINALIZER = "finalizer.flagger.app"
_PAUSED = "autoscaling.keda.sh/paused-replicas"


def taking_over(view: View) -> Obstacle | None:
    """Find that what Flagger left is still to be taken over, and say how far that has come, or what forbids it."""
    snapshot = view.snapshot
    if not is_asked(snapshot) or not any(replaced(snapshot)):
        return None
    primary, target = former_primary(snapshot), view.target
    if target is None:
        return None
    if primary is None:
        return None if snapshot.primary is not None else Obstacle(TAKING_OVER, _told("what Flagger left is removed"))
    if why := _refusal(view, target, primary):
        return Obstacle(REFUSED, f"nothing of Flagger's is taken over: {why}")
    return Obstacle(TAKING_OVER, _told(_stage(view, target, primary)))


def _told(what: str) -> str:
    return f"Taking over from Flagger: {what}"


def _stage(view: View, target: Workload, primary: Workload) -> str:
    if not _carries(view, target, primary):
        return f"{view.kind} {primary.ref.name} serves until {view.kind} {target.ref.name} is ready"
    if view.now < quiet_at(view):
        return f"waiting to see that Flagger is stopped before {view.kind} {target.ref.name} serves"
    return f"waiting for requests at {view.kind} {primary.ref.name} to end"


def without_flagger(view: View) -> bool:
    """Return whether all callers reach the target, so that what is left settles and goes."""
    target, primary, route = view.target, former_primary(view.snapshot), view.snapshot.route
    if target is None or primary is None or not is_asked(view.snapshot):
        return False
    led = route is None or not names_sides(route, view.snapshot.names)
    return led and _leads_to(view.snapshot.apex, target)


def quiet_at(view: View) -> datetime:
    """Return when it is certain that no Flagger is at work: it would have put the route back by then."""
    began = view.status.last_transition_time or view.now
    return began + max(view.interval, SLOWEST_TICK) + LATE


def take_over_waits(view: View) -> datetime | None:
    """Return when the take-over goes on without a change in the cluster."""
    owed = is_asked(view.snapshot) and view.status.phase is Phase.INITIALIZING and any(replaced(view.snapshot))
    return quiet_at(view) if owed and view.now < quiet_at(view) else None


def put_back_by(view: View) -> str | None:
    """Return who led the route to the sides again after it was led to the apex: Flagger is still at work."""
    route, primary = view.snapshot.route, former_primary(view.snapshot)
    if route is None or primary is None or view.status.phase is not Phase.INITIALIZING or not is_asked(view.snapshot):
        return None
    if refers_to(view.snapshot, primary.raw) or not names_sides(route, view.snapshot.names):
        return None
    others = [one for one in field_managers(route, "f:spec", "f:http") if one != MANAGER]
    return others[-1] if others else "somebody"


def take_over_actions(view: View) -> tuple[Action, ...]:
    """Return the next writes of the take-over."""
    target, primary = view.target, former_primary(view.snapshot)
    if target is None:
        return ()
    if primary is None:
        return _removed(view)
    if first := (*_on_the_apex(view), *_released(view)):
        return first
    if not _carries(view, target, primary):
        size = max(primary.replicas, target.replicas)
        spec = target.resized(size)
        return (Patch(target.ref, {"spec": spec}, target.version, "take over: target up"),) if spec else ()
    if view.now < quiet_at(view):
        return ()
    if not without_flagger(view):
        return _apex_to_the_target(view, target)
    return _removed(view) if view.drained("primary") else ()


def _carries(view: View, target: Workload, primary: Workload) -> bool:
    """Return whether the target has as many ready pods as the primary serves with."""
    enough_pods = target.available >= enough(primary.available, view.primary_threshold)
    return target.replicas > 0 and view.is_complete(target) and enough_pods


def _on_the_apex(view: View) -> tuple[Action, ...]:
    """Lead the routes to the apex Service, which selects the same pods, and none that is to go.

    Flagger would put them back at its next look: that they stay shows that it is stopped.
    """
    route, names, spec = view.snapshot.route, view.snapshot.names, view.snapshot.spec
    if route is None or spec is None or not (names_sides(route, names) or refers_to(view.snapshot, route)):
        return ()
    patch = merge_patch({"spec": route.get("spec") or {}}, {"spec": unshared_spec(route, spec, names)})
    if refers_to(view.snapshot, route):
        # Flagger made it from the spec, which it is to follow as one that we made.
        owners = other_references(view.snapshot, route) or None
        patch["metadata"] = {"ownerReferences": owners, "labels": {CANARY_LABEL: view.snapshot.key.name}}
    return (Patch(view.snapshot.route_ref, patch, _version(route), "take over: route to the apex"),)


def _released(view: View) -> tuple[Action, ...]:
    """Take the owner references off what serves: from then on it does not go when the Canary goes (W10)."""
    snapshot = view.snapshot
    found = [(ref, obj, {"annotations": {TAKEN: snapshot.key.name}}) for ref, obj in replaced(snapshot)]
    found += [(ref, obj, {}) for ref, obj in kept(snapshot) if ref != snapshot.route_ref]
    return tuple(
        Patch(
            ref,
            {"metadata": {"ownerReferences": other_references(snapshot, obj) or None, **notes}},
            _version(obj),
            "take over: stays without the Canary",
        )
        for ref, obj, notes in found
        if refers_to(snapshot, obj)
    )


def _apex_to_the_target(view: View, target: Workload) -> tuple[Action, ...]:
    apex = view.snapshot.apex
    if apex is None:
        return ()
    selector = merge_patch(apex["spec"].get("selector") or {}, target.selector)
    body = {"spec": {"selector": selector}}
    return (Patch(view.snapshot.names.apex_ref, body, _version(apex), "take over: apex Service to the target"),)


def _removed(view: View) -> tuple[Action, ...]:
    return tuple(
        Delete(ref, obj["metadata"]["uid"], _version(obj), "take over: no longer needed", route_guards(view))
        for ref, obj in replaced(view.snapshot)
    )


def _refusal(view: View, target: Workload, primary: Workload) -> str | None:
    """Return why the take-over would not be safe, with what makes it so."""
    finders = (_held_by_finalizer, _paused_by_keda, _apex_elsewhere, _shared_out, _not_the_same)
    return next((why for find in finders if (why := find(view, target, primary))), None)


def _held_by_finalizer(view: View, target: Workload, primary: Workload) -> str | None:
    metadata = (view.snapshot.canary or {})["metadata"]
    if _FINALIZER not in (metadata.get("finalizers") or ()):
        return None
    return (
        f"finalizer {_FINALIZER} is on the Canary, which could never be deleted without Flagger; remove it: kubectl "
        f"-n {metadata['namespace']} patch canaries.flagger.app {metadata['name']} --type=merge "
        """-p '{"metadata":{"finalizers":null}}'"""
    )


def _paused_by_keda(view: View, target: Workload, primary: Workload) -> str | None:
    scaler = view.snapshot.scaler
    if scaler is None or scaler.kind != SCALED_OBJECT.kind or _PAUSED not in annotations_of(scaler.raw):
        return None
    return f"{scaler} is kept at 0 by annotation {_PAUSED}; remove the annotation"


def _apex_elsewhere(view: View, target: Workload, primary: Workload) -> str | None:
    apex = view.snapshot.apex
    if _leads_to(apex, primary) or _leads_to(apex, target):
        return None
    told = f"does not select the pods of {view.kind} {primary.ref.name}" if apex is not None else "not found"
    selector = ", ".join(f"{key}: {value}" for key, value in sorted(primary.selector.items()))
    return f"Service {view.snapshot.names.apex} {told}; give it selector {selector}"


def _shared_out(view: View, target: Workload, primary: Workload) -> str | None:
    route = view.snapshot.route
    if route is None or not exposes_canary(route, view.snapshot.names):
        return None
    told = f"VirtualService {view.snapshot.route_label} leads to Service {view.snapshot.names.service('canary').name}"
    return f"{told}; start Flagger again and let its release end, or give all weight to the primary"


def _not_the_same(view: View, target: Workload, primary: Workload) -> str | None:
    if _leads_to(view.snapshot.apex, target):
        # It serves already: what its user rolls out is production, as without a Canary.
        return None
    cure = "apply what runs in production, or let Flagger release it first"
    if field := find_difference(target, primary):
        runs = f"{view.kind} {primary.ref.name} does not run what {view.kind} {target.ref.name} says"
        return f"{runs}, they differ in {field}; {cure}"
    if source := find_edited(view.snapshot.configuration, view.snapshot.served_configuration):
        return f"{source} was changed since {view.kind} {primary.ref.name} got its copy; {cure}"
    return None


def _leads_to(service: Object | None, workload: Workload) -> bool:
    selector = ((service or {}).get("spec") or {}).get("selector") or {}
    return bool(selector) and selector.items() <= workload.pod_labels.items()


def _version(obj: Object) -> str:
    return str(obj["metadata"]["resourceVersion"])
