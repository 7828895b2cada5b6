"""The waits of a give-back: for certainty, by its clock on the target, and for what is seen before the clones go."""

from __future__ import annotations

from datetime import datetime

from canary.core.drains import UNANSWERED_DRAINS
from canary.core.measurement import EndpointsAnswer, GoneAnswer
from canary.core.names import DRAINED_FROM
from canary.core.objects import annotations_of
from canary.core.routes.choice import is_marked
from canary.core.view import View
from canary.core.workload import Workload


def is_gone(view: View) -> bool:
    """Return whether the Canary is truly deleted."""
    return any(isinstance(m.answer, GoneAnswer) and m.answer.gone for m in view.measurements)


def settling_since(target: Workload) -> datetime | None:
    """Return since when a set is waited for in a give-back: the clock kept on the target."""
    try:
        return datetime.fromisoformat(annotations_of(target.raw).get(DRAINED_FROM, ""))
    except ValueError:
        return None


def leaves_clones(view: View) -> bool:
    """Return whether nothing leads to the clones by name any more, and the time to wait for callers is over."""
    target, route, apex = view.target, view.snapshot.route, view.snapshot.apex
    since = settling_since(target) if target is not None else None
    left = apex is not None and not view.apex_role and not (route is not None and is_marked(route))
    return left and view.primary is not None and since is not None and view.now - since >= view.shortest_settle


def awaits_target(view: View, target: Workload) -> bool:
    """Return whether the apex Service does not lead to all of the target's pods beside the primary's yet (I7).

    One that selects other pods than those never does.
    """
    since = settling_since(target)
    if view.primary is None or since is None or not leaves_clones(view):
        return False
    reached = sum(m.answer.ready for m in view.measurements if isinstance(m.answer, EndpointsAnswer))
    given_up = view.now - since >= view.shortest_settle + (UNANSWERED_DRAINS - 1) * view.drain
    return reached < target.running + view.primary.running and not given_up
