"""The wanted world: which shares, which selector, how many pods, which template — per phase."""

from __future__ import annotations

from dataclasses import replace

from canary.api.status import Phase
from canary.core.advance.initialise import ready_to_hand_over
from canary.core.advance.recover import canary_serves, going_back, promotion_failed
from canary.core.names import Role
from canary.core.plan import capacity
from canary.core.revisions import Revision
from canary.core.routes.routing import CANARY_ONLY, PRIMARY_ONLY, TO_CANARY, TO_PRIMARY, Routing
from canary.core.view import IDLE, STEPPING, View
from canary.core.workload import enough


def wanted_routing(view: View) -> Routing | None:
    """Return what the routes should do; None leaves them as they are."""
    phase = view.status.phase
    if phase is Phase.INITIALIZING:
        return TO_PRIMARY if ready_to_hand_over(view) else None
    if phase in STEPPING:
        return _shared(view, view.routing)
    if phase is Phase.PROMOTING:
        return _promoting(view)
    if phase is Phase.FINALISING:
        return _finalising(view)
    return _idle(view) if phase in IDLE else None


def _ready(view: View, role: Role) -> int:
    workload = view.primary if role == "primary" else view.candidate
    return workload.ready if workload is not None else 0


def _shared(view: View, wanted: Routing) -> Routing | None:
    if _ready(view, "primary") == 0:
        # Between a dead primary and code that was not judged nothing is moved (I6).
        return None
    return TO_PRIMARY if view.canary_lost else _as_far_as_it_carries(view, wanted)


def _as_far_as_it_carries(view: View, wanted: Routing) -> Routing:
    """Return a routing, with no more for the canary than it has already while it lacks the pods for it."""
    shown = view.weights or PRIMARY_ONLY
    waits = [one for one in wanted.apart if one not in view.told_apart and not view.leads_apart(one, wanted)]
    if view.canary_fresh >= view.enough(wanted) and not waits:
        return wanted
    counted = tuple(one for one in wanted.counted if one not in waits)
    share = min(wanted.canary, shown.canary)
    less = min(wanted.mirror, shown.mirror)
    return replace(wanted, canary=share, mirror=less, cohorts=wanted.cohorts[: shown.cohorts], counted=counted)


def _promoting(view: View) -> Routing | None:
    if view.in_place:
        return _shared(view, view.promotion)
    if view.primary_touched:
        return _on_the_canary(view)
    if view.canary_lost:
        return TO_PRIMARY if _ready(view, "primary") > 0 else None
    if view.weights == CANARY_ONLY or view.canary_fresh >= view.enough_for_all:
        return TO_CANARY
    last = replace(view.plan.last.routing, sessions=view.sessions).weights
    if view.apex_role == "primary" and view.weights in (last, PRIMARY_ONLY):
        # Before the cut-over, or diverted: the shares wait for the canary's capacity.
        return None
    return _while_the_canary_is_short(view)


def _on_the_canary(view: View) -> Routing | None:
    """Return all to the canary while it has pods; once it lost them all, to whatever the primary has."""
    primary, canary = _ready(view, "primary"), _ready(view, "canary")
    keeps = view.weights == CANARY_ONLY or primary == 0 or view.canary_fresh >= view.enough_for_all
    return TO_CANARY if canary > 0 and keeps else _while_the_canary_is_short(view)


def _while_the_canary_is_short(view: View) -> Routing | None:
    """Return what becomes of shares edited by hand that belong on a canary without its whole capacity.

    Putting them back would send it more than it has pods for (I8), so all goes to the primary, the safe
    side, unless that has fewer pods still: then neither gets more until one of them can carry it.
    """
    primary, canary = _ready(view, "primary"), _ready(view, "canary")
    return TO_PRIMARY if primary > 0 and primary >= canary else None


def _finalising(view: View) -> Routing | None:
    if _ready(view, "primary") == 0:
        return TO_CANARY if _ready(view, "canary") > 0 else None
    carries = view.primary_carries or view.weights == PRIMARY_ONLY or _ready(view, "canary") == 0
    # Whole or not, a share on the way back stays where it is while the primary has the pods for it.
    share = capacity(view.size, Routing(100 - view.routing.canary), full=False)
    carries |= view.returning and _ready(view, "primary") >= enough(share, view.primary_threshold)
    if not carries:
        return None if _stays_shared(view) else _on_the_canary(view)
    return TO_PRIMARY if view.canary_lost else view.routing


def _idle(view: View) -> Routing | None:
    if promotion_failed(view) or (canary_serves(view) and not view.primary_carries):
        return None if _stays_shared(view) else _on_the_canary(view)
    if _ready(view, "primary") == 0:
        return None
    if view.weights == CANARY_ONLY and _ready(view, "canary") > 0 and not view.primary_carries:
        # Taken up in the middle of a cut-over.
        return None
    return TO_PRIMARY


def _stays_shared(view: View) -> bool:
    """Return whether a primary that rolled in place keeps its share until the canary can carry all of it."""
    shown = view.weights
    if not view.in_place or shown is None or not shown.exposes or view.canary_fresh >= view.enough_for_all:
        return False
    return _ready(view, "primary") > 0 and not view.canary_lacks(replace(view.promotion, canary=shown.canary))


def wanted_apex_role(view: View, routing: Routing | None) -> Role | None:
    """Return which set the apex Service should select; None leaves it as it is (I6)."""
    phase = view.status.phase
    # Callers without sidecar follow no weights: on the way back they are the last to go.
    going_back = phase is Phase.FINALISING and routing is not None and routing != TO_PRIMARY
    if routing == TO_CANARY or (going_back and not view.in_place):
        return "canary"
    shares = phase in STEPPING or (view.in_place and phase in (Phase.PROMOTING, Phase.FINALISING))
    if routing == TO_PRIMARY or (shares and _ready(view, "primary") > 0):
        return "primary"
    return None


def wanted_primary(view: View) -> Revision | None:
    """Return the revision the primary should hold now; None leaves it as it is."""
    status, primary = view.status, view.primary
    phase = status.phase
    if phase is Phase.PROMOTING:
        off = view.weights == view.promotion.weights if view.in_place else view.drained("primary")
        ready = off and view.bakes is None and not view.paused
        if view.primary_touched or ready:
            return view.candidate_revision
        return view.promoted
    if phase is Phase.FINALISING:
        # Also for a primary made again: the promotion is decided, only its record is still to come.
        return view.candidate_revision
    if primary is not None and promotion_failed(view):
        return view.promoted if going_back(view) and view.drained("primary") else None
    return view.promoted


def wanted_canary_size(view: View) -> int | None:
    """Return how many pods the canary should have; None leaves it as it is."""
    status, candidate = view.status, view.candidate
    present = candidate.replicas if candidate is not None else 0
    if status.phase in STEPPING:
        stays = present if candidate is not None and candidate.revision == status.revisions.candidate else 0
        return max(stays, view.need_next)
    if status.phase is Phase.PROMOTING:
        return max(present, view.need(view.promotion))
    if canary_serves(view):
        return max(present, view.size)
    if status.phase is Phase.FINALISING or status.phase in IDLE:
        return 0 if present > 0 and view.drained("canary") else None
    return None
