"""After the Canary was deleted: the target serves again, and nothing of ours is left (release.md section 9)."""

from __future__ import annotations

from datetime import timedelta

from canary.core.actions import Action, Decision, Delete, Patch
from canary.core.configuration import kind_of
from canary.core.converge.scalers import own_scalers_gone, scalers_given_back
from canary.core.guards import route_guards
from canary.core.lost_primary import handed_over, primary_again, tell_what_comes_back, was_brought_up
from canary.core.mentions import is_delegate
from canary.core.names import (
    ASKED,
    CANARY_LABEL,
    CHANGED,
    DRAINED_FROM,
    NOT_PRUNED,
    OWNER,
    ROLE_LABEL,
    TARGET,
    is_ours,
)
from canary.core.objects import (
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    DESTINATION_RULE,
    SERVICE,
    Object,
    Resource,
    annotations_of,
    canonical,
    combined,
    labels_of,
    merge_patch,
    ref_of,
)
from canary.core.route_obstacles import out_of_sight
from canary.core.routes.choice import is_marked
from canary.core.routes.istio import plain_route, rewrite_route
from canary.core.routes.routing import PRIMARY_ONLY, TO_PRIMARY
from canary.core.settling import awaits_target, is_gone, settling_since
from canary.core.view import View
from canary.core.workload import Workload

RETRY = timedelta(seconds=5)


def give_back(view: View) -> Decision:
    """Return the next writes of the give-back; each stage is read from the world, nothing is remembered.

    Nothing happens before the deletion is certain.
    """
    if not is_gone(view):
        return Decision(status=None, requeue_after=RETRY)
    if not view.snapshot.route_seen:
        # Its requests go to the clones, and nothing but another start of the controller shows it.
        return Decision(status=None, notes=(out_of_sight(view.snapshot),))
    if view.target is None:
        seen = view.snapshot.target_seen  # What nobody may read is not gone.
        return _clear_without_target(view) if seen else Decision(status=None, requeue_after=RETRY)
    for stage in _STAGES:
        actions, waits = stage(view, view.target)
        if actions or waits:
            events = tell_what_comes_back(view) if stage is _target_up and actions else ()
            return Decision(status=None, actions=actions, events=events, requeue_after=RETRY, notes=(stage.__name__,))
    return _clear(view, view.target)


Stage = tuple[tuple[Action, ...], bool]


def _version(obj: Object) -> str:
    return str(obj["metadata"]["resourceVersion"])


def _canary_off_the_routes(view: View, target: Workload) -> Stage:
    """Give all traffic to the primary, when it can carry it; else the canary goes on serving."""
    route, names = view.snapshot.route, view.snapshot.names
    if view.primary is None or view.primary.running == 0:
        return (), False
    carries = view.primary_complete or view.weights is None or view.weights.canary < 100
    if not carries:
        # A promotion that failed: what passed its analysis serves until the target does.
        return (), not view.primary_stuck and not view.snapshot.daemons
    actions: list[Action] = []
    if route is not None and view.weights is not None and view.weights != PRIMARY_ONLY:
        if view.primary.ready == 0 or view.primary.unreached:
            # Its Service is gone or does not lead to all of it: the target takes over from where callers are.
            return (), False
        wanted = rewrite_route(route, None, names, TO_PRIMARY, None)
        present = {"metadata": {"annotations": annotations_of(route)}, "spec": route["spec"]}
        patch = merge_patch(present, wanted)
        actions.append(Patch(view.snapshot.route_ref, patch, _version(route), "give back: route 100/0"))
    # A selector without role matches the canary's pods too, which nobody may have judged (I9).
    strays = view.apex_role == "canary" or (view.apex_role == "" and view.canary_has_pods)
    if strays and view.snapshot.apex is not None:
        body = {"spec": {"selector": {ROLE_LABEL: "primary"}}}
        actions.append(Patch(names.apex_ref, body, _version(view.snapshot.apex), "give back: apex to the primary"))
    if actions and view.canary_has_pods:
        # Also when it ran already: callers came to the canary once more.
        actions += _start_clock(view, target)[0]
    return tuple(actions), False


def _target_up(view: View, target: Workload) -> Stage:
    """Bring the target up with the promoted template, at the primary's size."""
    primary = view.primary
    if primary is None and handed_over(view) and not was_brought_up(view, target):
        return primary_again(view, target), True
    never_handed_over = view.snapshot.apex is not None and not handed_over(view)
    if primary is None or (never_handed_over and target.replicas > 0):
        return (), target.replicas > 0 and not view.is_complete(target)
    if annotations_of(primary.raw).get(TARGET, target.uid) != target.uid and target.replicas > 0:
        # Made by the user after the Canary was deleted: what it runs, and how much of it, was asked for.
        return (), not view.is_complete(target)
    spec = _production(view, target, primary)
    since = settling_since(target)
    if "template" in spec and not target.empty:
        if since is None:
            # Its pods may have had requests until a moment ago: the wait that was in the status is gone.
            return _start_clock(view, target)
        if view.now - since < view.drain:
            return (), True
    if spec:
        guards = route_guards(view) if "template" in spec and not target.empty else ()
        return (Patch(target.ref, {"spec": spec}, target.version, "give back: target up", guards),), True
    return (), not view.is_complete(target)


def _production(view: View, target: Workload, primary: Workload) -> dict[str, object]:
    """Return the fields in which the target is not yet what production runs, or short of its size."""
    # Its record may be gone, deleted by hand: then the primary itself says what was promoted.
    promoted = view.revision(primary.revision)
    spec: dict[str, object] = {}
    if promoted is not None and canonical(promoted.template) != canonical(target.template):
        spec["template"] = merge_patch(target.template, promoted.template)
    size = max(primary.replicas, 0 if view.snapshot.held_scalers else primary.wish or 0, 1)
    # Given back, the autoscaler decides.
    autoscaled = any(s.target == target.ref.name and not s.is_ours for s in view.snapshot.scalers)
    if target.replicas < size and not (autoscaled and target.replicas > 0):
        return combined(spec, target.resized(size))
    return spec


def _canary_gone(view: View, target: Workload) -> Stage:
    """Take the canary down before the apex selects by the user's labels alone, which match it too."""
    candidate, since = view.candidate, settling_since(target)
    if scalers := own_scalers_gone(view):
        # Before the user's is back: it selects the canary's pods too.
        return scalers, True
    route = view.snapshot.route
    routed = bool(view.apex_role) or (route is not None and is_marked(route))
    serves = not routed or (view.weights is not None and view.weights.canary > 0)
    if candidate is None or candidate.empty or serves:
        # What still serves, for want of a primary to take it over, goes one settle after the route.
        # The same clock runs again then.
        return _stop_clock(target) if since is not None and routed else ((), False)
    if since is None:
        return _start_clock(view, target)
    if not view.settled(since):
        return (), True
    if candidate.replicas > 0:
        body = {"spec": candidate.resized(0)}
        return (Patch(candidate.ref, body, candidate.version, "give back: canary to 0", route_guards(view)),), True
    return (), True


def _start_clock(view: View, target: Workload) -> Stage:
    body = {"metadata": {"annotations": {DRAINED_FROM: view.now.isoformat()}}}
    return (Patch(target.ref, body, target.version, "give back: settle begins"),), True


def _stop_clock(target: Workload) -> Stage:
    body = {"metadata": {"annotations": {DRAINED_FROM: None}}}
    return (Patch(target.ref, body, target.version, "give back: settled"),), True


def _apex_back(view: View, target: Workload) -> Stage:
    """Let the apex Service select by the user's labels alone; it is never deleted while the target lives."""
    apex = view.snapshot.apex
    if apex is None or (not view.apex_role and OWNER not in annotations_of(apex)):
        return (), False
    metadata: dict[str, object] = {"annotations": dict.fromkeys((OWNER, CHANGED))}
    if is_ours(apex):
        marks = dict.fromkeys((OWNER, CHANGED, ASKED, *NOT_PRUNED))
        metadata = {"annotations": marks, "labels": {CANARY_LABEL: None, ROLE_LABEL: None}}
    body = {"spec": {"selector": {ROLE_LABEL: None}}, "metadata": metadata}
    return (Patch(view.snapshot.names.apex_ref, body, _version(apex), "give back: apex Service"),), True


def _scaler_back(view: View, target: Workload) -> Stage:
    """Let the user's autoscaler scale the target again, within the user's own bounds."""
    actions = scalers_given_back(view)
    return actions, bool(actions)


def _route_gone(view: View, target: Workload) -> Stage:
    """Take ours out of the VirtualService, then wait one settle: callers reach the apex Service.

    While that is missing, an adopted one still leads to the clones: its user's own leg has nowhere to go (I2).
    """
    if leaves := _leave_route(view):
        return (leaves if view.snapshot.apex is not None or isinstance(leaves[0], Delete) else ()), True
    since = settling_since(target)
    if since is None and (view.primary is not None or view.candidate is not None):
        return _start_clock(view, target)
    return (), since is not None and view.now - since < view.shortest_settle


def _leave_route(view: View) -> tuple[Action, ...]:
    """Return the write that deletes the VirtualService we made, or leaves one as its user wrote it, or has it now.

    One that others delegate to is theirs from now on: without it their requests would have nowhere to go.
    """
    route, ref = view.snapshot.route, view.snapshot.route_ref
    if route is None or not is_marked(route):
        return ()
    snapshot = view.snapshot
    handed_on = is_delegate(route, None) and (snapshot.roots or not snapshot.all_roots_seen)
    if is_ours(route) and not handed_on:
        return (Delete(ref, route["metadata"]["uid"], _version(route), "give back: route"),)
    present = {"metadata": {"annotations": annotations_of(route)}, "spec": route["spec"]}
    patch = merge_patch(present, plain_route(route, snapshot.names))
    if is_ours(route):
        patch["metadata"]["annotations"] |= dict.fromkeys(NOT_PRUNED)
        patch["metadata"]["labels"] = {CANARY_LABEL: None}
    return (Patch(ref, patch, _version(route), "give back: route as it was"),)


def _target_reached(view: View, target: Workload) -> Stage:
    """Leave the clones while they are all that callers of the apex Service can reach."""
    return (), awaits_target(view, target)


_STAGES = (_canary_off_the_routes, _target_up, _canary_gone, _apex_back, _scaler_back, _route_gone, _target_reached)


def _clear(view: View, target: Workload) -> Decision:
    """Delete what is left of ours, and last the clock kept on the target."""
    actions = _deletes(view)
    if settling_since(target) is not None:
        # Before the last of ours: without it nobody would look at the target again.
        body = {"metadata": {"annotations": {DRAINED_FROM: None}}}
        done = Patch(target.ref, body, target.version, "give back: done")
        actions = (*actions[:-1], done, *actions[-1:])
    return Decision(status=None, actions=actions)


def _deletes(view: View) -> tuple[Action, ...]:
    snapshot = view.snapshot
    found: list[tuple[Resource, Object]] = []
    found += [(w.resource, w.raw) for w in (view.candidate, view.primary) if w is not None]
    found += [(SERVICE, service) for service in snapshot.own_services]
    found += [(DESTINATION_RULE, rule) for rule in snapshot.rules.values()]
    found += [(kind_of(copy), copy) for copy in snapshot.copies]
    found += [(CONTROLLER_REVISION, r.raw) for r in snapshot.revisions if r.raw is not None]
    return tuple(
        Delete(
            ref_of(kind, o),
            o["metadata"]["uid"],
            _version(o),
            "give back",
            route_guards(view) if kind in (DAEMON_SET, DEPLOYMENT, SERVICE) else (),
        )
        for kind, o in found
        if is_ours(o) and labels_of(o).get(CANARY_LABEL) == snapshot.key.name
    )


def _clear_without_target(view: View) -> Decision:
    """Remove ours when the target is gone too: the route first, the rest after one settle.

    A Service that somebody else wrote to stays, without our role.
    """
    if leaves := (*_leave_route(view), *own_scalers_gone(view), *scalers_given_back(view)):
        return Decision(status=None, actions=leaves, requeue_after=view.drain)
    anchor = view.primary or view.candidate
    if anchor is not None:
        since = settling_since(anchor)
        if since is None:
            actions, _ = _start_clock(view, anchor)
            return Decision(status=None, actions=actions, requeue_after=view.shortest_settle)
        if view.now - since < view.shortest_settle:
            return Decision(status=None, requeue_after=since + view.shortest_settle - view.now)
    return Decision(status=None, actions=(*_apex_without_target(view), *_deletes(view)))


def _apex_without_target(view: View) -> tuple[Action, ...]:
    apex = view.snapshot.apex
    if apex is None or (not view.apex_role and OWNER not in annotations_of(apex)):
        return ()
    ref = view.snapshot.names.apex_ref
    managers = {e.get("manager") for e in apex["metadata"].get("managedFields") or []}
    if is_ours(apex) and managers <= {"canary-controller"}:
        return (Delete(ref, apex["metadata"]["uid"], _version(apex), "give back: apex Service"),)
    anchor = view.primary or view.candidate
    return _apex_back(view, anchor)[0] if anchor is not None else ()
