"""Phase Initializing: production moves from the target to the primary."""

from __future__ import annotations

from canary.api.status import CanaryStatus, Phase, Replicas, Revisions, TargetSeen
from canary.core.actions import Event
from canary.core.advance.outcome import Advance, row, saying
from canary.core.advance.waits import unreached
from canary.core.flagger.take_over import put_back_by
from canary.core.names import owner_of
from canary.core.obstacle import find_obstacle
from canary.core.obstacles import BEFORE_INITIALISATION
from canary.core.routes.choice import is_marked
from canary.core.routes.routing import PRIMARY_ONLY
from canary.core.view import View
from canary.core.workload import Workload, enough


def initializing(view: View) -> Advance:
    """Wait for the target, build the primary, hand over, and scale the target to 0."""
    if view.status.revisions.primary is None and view.primary is not None and _is_mine(view, view.primary):
        return _take_up(view, view.primary)
    if by := put_back_by(view):
        return _fought(view, by)
    if find_obstacle(view, BEFORE_INITIALISATION) or view.target is None:
        return Advance(_begun(view))
    if view.status.revisions.primary is None:
        return _pin_first(view, view.target)
    if handed_over(view):
        return _finish(view, view.target)
    return _build(view, view.target)


def _fought(view: View, by: str) -> Advance:
    """Begin the wait anew that shows whether Flagger is stopped."""
    message = (
        f"VirtualService {view.snapshot.route_label} was led back to {view.snapshot.names.service('primary').name} by "
        f"{by}: Flagger is still at work; scale its Deployment to 0"
    )
    status = row(view, view.status, Phase.INITIALIZING, 0, message)
    return Advance(status, (Event("FlaggerActive", message, "Warning"),))


def handed_over(view: View) -> bool:
    """Return whether both routes and apex Service send production to the primary."""
    return view.weights == PRIMARY_ONLY and view.apex_role == "primary"


def hand_over_begun(view: View) -> bool:
    """Return whether any of the two already points at the primary, which may not be written from then on."""
    route = view.snapshot.route
    return (route is not None and is_marked(route)) or view.apex_role == "primary"


def _begun(view: View) -> CanaryStatus:
    if view.status.phase is Phase.INITIALIZING:
        return view.status
    return row(view, view.status, Phase.INITIALIZING, 0, "Initialization started")


def _is_mine(view: View, primary: Workload) -> bool:
    """Return whether a Deployment under the primary's name was made for this Canary, by name as in its labels."""
    owner = owner_of(primary.raw)
    return owner is not None and owner.name == view.snapshot.key.name


def _take_up(view: View, primary: Workload) -> Advance:
    """Take up a world that is already ours: the first record after a restore, a move or an erased status.

    The primary is production; it is never written before its revision is known to be complete.
    """
    status = _begun(view)
    if not view.primary_complete:
        return Advance(saying(status, f"Waiting for {view.kind} {primary.ref.name} to be ready before taking it up"))
    known = Revisions(primary=primary.revision, candidate=primary.revision)
    message = f"Taken up with revision {primary.revision} in production"
    status = row(
        view,
        status,
        Phase.INITIALIZED,
        0,
        message,
        revision=known,
        last_applied_spec=primary.revision,
        last_promoted_spec=primary.revision,
        replicas=Replicas(desired=view.wish if view.autoscaled else primary.wish or primary.replicas),
    )
    return Advance(status, (Event("TakenUp", message),))


def _pin_first(view: View, target: Workload) -> Advance:
    status = _begun(view)
    if not view.is_complete(target):
        return Advance(saying(status, f"Waiting for the rollout of {view.kind} {target.ref.name} to finish"))
    identity = view.shown
    status = status.model_copy(
        update={
            "revision": Revisions(primary=identity, candidate=identity),
            "last_applied_spec": identity,
            "target": TargetSeen(uid=target.uid, generation=target.generation),
            "replicas": Replicas(desired=view.wish),
            "message": f"Making the primary from revision {identity}",
        }
    )
    return Advance(status, (Event("Initializing", f"Making the primary from revision {identity}"),))


def _build(view: View, target: Workload) -> Advance:
    status = view.status
    if not view.shows(view.promoted) and not hand_over_begun(view):
        return _pin_first(view, target)
    primary = view.snapshot.names.workload("primary").name
    if view.primary_stuck:
        message = f"{view.kind} {primary} made no progress for {view.deadline.total_seconds():.0f} s; the target serves"
        return Advance(saying(status, message))
    return Advance(saying(status, f"Waiting for {view.kind} {primary} to be ready{unreached(view, 'primary')}"))


def _finish(view: View, target: Workload) -> Advance:
    if target.replicas > 0:
        return Advance(saying(view.status, f"Waiting for requests at {view.kind} {target.ref.name} to end"))
    promoted = view.status.revisions.primary
    status = row(view, view.status, Phase.INITIALIZED, 0, "Initialization done", last_promoted_spec=promoted)
    return Advance(status, (Event("Initialized", f"Initialization done, production runs revision {promoted}"),))


def ready_to_hand_over(view: View) -> bool:
    """Return whether the primary can take production: whole, as many ready pods as the target, same template."""
    target, promoted = view.target, view.promoted
    if target is None or promoted is None or view.primary is None or not view.primary_complete:
        return False
    if hand_over_begun(view):
        return True
    same = view.primary.revision == promoted.id and view.shows(promoted)
    as_many = view.primary.available >= enough(target.available, view.primary_threshold)
    return same and view.is_complete(target) and as_many
