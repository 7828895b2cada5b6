"""Phase Finalising: traffic back to the primary, at once or in judged steps, and the canary gone."""

from __future__ import annotations

from canary.api.status import Phase, StepStatus
from canary.core.actions import Event
from canary.core.advance.outcome import (
    Advance,
    remember_newer,
    revisions,
    row,
    with_condition,
    without_condition,
)
from canary.core.advance.recover import fail_promotion
from canary.core.advance.run import budget_spent
from canary.core.advance.tick import Verdict, judge_checks
from canary.core.advance.undo import end as end_undone
from canary.core.routes.routing import PRIMARY_ONLY
from canary.core.view import GRID_SLACK, View


def give_back_traffic(view: View) -> Advance:
    """Enter Finalising: the primary runs the revision, whole, and gets its traffic or the first share of it."""
    candidate, weight = view.status.revisions.candidate, view.next_share_back
    primary = f"Primary runs revision {candidate}"
    if weight == 0:
        return _step_back(view, 0, f"{primary}, routing all traffic to it", "Finalising")
    # The windows of the checks begin anew: from here on they are about the primary.
    view = view.with_status(view.status.model_copy(update={"traffic_since": None}))
    return _step_back(view, weight, f"{primary}, routing {100 - weight} % of the traffic to it", "Finalising")


def finalising(view: View) -> Advance:
    """Wait until all traffic is back on the primary and the canary is gone."""
    view = view.with_status(remember_newer(view))
    if view.returning:
        return _give_back_more(view)
    back = view.weights == PRIMARY_ONLY and view.apex_role == "primary"
    promoted = view.primary_complete and view.primary_touched
    if not (view.tick_is_due and back and promoted and not view.canary_has_pods):
        return Advance(view.status)
    if view.undoes is not None:
        return end_undone(view)
    status = view.status
    candidate, former = status.revisions.candidate, status.revisions.primary
    message = f"Promotion of revision {candidate} completed"
    status = row(
        view,
        status,
        Phase.SUCCEEDED,
        0,
        message,
        revision=revisions(status, primary=candidate, previous=former, pending=None),
        last_promoted_spec=candidate,
        step=None,
        run=None,
        progress=None,
        traffic_since=None,
    )
    status = without_condition(status, "RevisionPending")
    status = with_condition(status, "Progressing", "True", "Promoted", message, view.now)
    return Advance(status, (Event("Promoted", message),))


def _give_back_more(view: View) -> Advance:
    """Judge the primary under its present share, and give it more, or all back to the canary."""
    if view.canary_lost:
        message = "The canary lost its pods while traffic went back, routing all of it to the primary"
        return _step_back(view, 0, message, "Diverted")
    in_force = view.status.step is not None and view.status.step.in_force_at is not None
    if not view.tick_is_due or not in_force or view.weights != view.routing.weights or not view.primary_carries:
        return Advance(view.status)
    verdict, advance = judge_checks(view)
    if why := budget_spent(view, verdict, advance):
        ended = fail_promotion(view.with_status(advance.status), f"failed its checks on the way back: {why}")
        return Advance(ended.status, advance.events + ended.events)
    if verdict is not Verdict.PASSED:
        return advance
    weight = view.next_share_back
    message = f"Routing {100 - weight} % of the traffic to the primary"
    taken = _step_back(view.with_status(advance.status), weight, message, "StepPassed")
    return Advance(taken.status, advance.events + taken.events)


def _step_back(view: View, weight: int, message: str, reason: str) -> Advance:
    old, count = view.status.step, view.plan.count
    due = old.next_tick_at if old and old.next_tick_at else view.now
    base = due if view.now - due <= GRID_SLACK else view.now
    step = StepStatus(
        index=count,
        count=count,
        description="traffic back" if weight == 0 else f"traffic back, {weight} % still on the canary",
        started_at=view.now,
        next_tick_at=base + view.step_time,
    )
    status = row(view, view.status, Phase.FINALISING, weight, message, step=step, progress=None)
    return Advance(status, (Event(reason, message),))
