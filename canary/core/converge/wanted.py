"""The wanted world: which shares, which selector, how many pods, which template — per phase."""

from __future__ import annotations

from canary.api.status import Phase
from canary.core.advance.initialise import ready_to_hand_over
from canary.core.advance.recover import FALLING_BACK, promotion_failed
from canary.core.names import Role
from canary.core.revisions import Revision
from canary.core.routes.istio import CANARY_ONLY, PRIMARY_ONLY, Weights
from canary.core.view import IDLE, View


def wanted_weights(view: View) -> Weights | None:
    """Return the shares the routes should give; None leaves them as they are."""
    phase = view.status.phase
    if phase is Phase.INITIALIZING:
        return PRIMARY_ONLY if ready_to_hand_over(view) else None
    if phase is Phase.PROGRESSING:
        return _progressing_weights(view)
    if phase is Phase.PROMOTING:
        return _promoting_weights(view)
    if phase is Phase.FINALISING:
        return _finalising_weights(view)
    return _idle_weights(view) if phase in IDLE else None


def _ready(view: View, role: Role) -> int:
    workload = view.primary if role == "primary" else view.candidate
    return workload.ready if workload is not None else 0


def _progressing_weights(view: View) -> Weights | None:
    if _ready(view, "primary") == 0:
        # Between a dead primary and code that was not judged nothing is moved (I6).
        return None
    weight, shown = view.status.canary_weight, view.weights.canary if view.weights else 0
    if view.canary_lost:
        return PRIMARY_ONLY
    if weight > shown and view.canary_fresh < view.need(weight):
        return Weights.of(shown)
    return Weights.of(weight)


def _promoting_weights(view: View) -> Weights | None:
    if view.primary_touched:
        return _on_the_canary(view)
    if view.canary_lost:
        return PRIMARY_ONLY if _ready(view, "primary") > 0 else None
    if view.weights == CANARY_ONLY or view.canary_fresh >= view.size:
        return CANARY_ONLY
    return None


def _on_the_canary(view: View) -> Weights | None:
    """Return all to the canary while it has pods; once it lost them all, to whatever the primary has."""
    primary, canary = _ready(view, "primary"), _ready(view, "canary")
    keeps = view.weights == CANARY_ONLY or primary == 0 or view.canary_fresh >= view.size
    if canary > 0 and keeps:
        return CANARY_ONLY
    return PRIMARY_ONLY if primary > 0 else None


def _finalising_weights(view: View) -> Weights | None:
    if _ready(view, "primary") == 0:
        return CANARY_ONLY if _ready(view, "canary") > 0 else None
    carries = view.primary_complete or view.weights == PRIMARY_ONLY or _ready(view, "canary") == 0
    return PRIMARY_ONLY if carries else None


def _idle_weights(view: View) -> Weights | None:
    if promotion_failed(view):
        return _on_the_canary(view)
    if _ready(view, "primary") == 0:
        return None
    canary_carries = view.weights is not None and view.weights.canary == 100 and _ready(view, "canary") > 0
    if canary_carries and not view.primary_complete:
        # After a failed promotion: the primary takes over when it can carry everything.
        return None
    return PRIMARY_ONLY


def wanted_apex_role(view: View, weights: Weights | None) -> Role | None:
    """Return which set the apex Service should select; None leaves it as it is (I6)."""
    if weights == CANARY_ONLY:
        return "canary"
    phase = view.status.phase
    if weights == PRIMARY_ONLY or (phase is Phase.PROGRESSING and _ready(view, "primary") > 0):
        return "primary"
    return None


def wanted_primary(view: View) -> Revision | None:
    """Return the revision the primary should hold now; None leaves it as it is."""
    status, primary = view.status, view.primary
    phase = status.phase
    if phase is Phase.PROMOTING:
        if view.primary_touched or view.drained("primary"):
            return view.candidate_revision
        return view.promoted
    if phase is Phase.FINALISING:
        # Also for a primary made again: the promotion is decided, only its record is still to come.
        return view.candidate_revision
    if primary is not None and promotion_failed(view):
        falling_back = status.progress is not None and status.progress.role == FALLING_BACK
        return view.promoted if falling_back and view.drained("primary") else None
    return view.promoted


def wanted_canary_size(view: View) -> int | None:
    """Return how many pods the canary should have; None leaves it as it is."""
    status, candidate = view.status, view.candidate
    present = candidate.replicas if candidate is not None else 0
    if status.phase is Phase.PROGRESSING:
        following = view.plan.next_weight(status.canary_weight)
        ahead = view.size if following is None else view.need(following)
        stays = present if candidate is not None and candidate.revision == status.revisions.candidate else 0
        return max(stays, ahead)
    if status.phase is Phase.PROMOTING:
        return max(present, view.size)
    if promotion_failed(view):
        return max(present, view.size)
    if status.phase is Phase.FINALISING or status.phase in IDLE:
        return 0 if present > 0 and view.drained("canary") else None
    return None
