"""After a failed promotion: production runs on the canary until the primary is whole again."""

from __future__ import annotations

from canary.api.status import Phase, Progress
from canary.core.actions import Event
from canary.core.advance.outcome import Advance, pending, remember_newer, row, with_condition
from canary.core.moment import Change
from canary.core.routes.routing import CANARY_ONLY, PRIMARY_ONLY
from canary.core.view import View

RETRYING = "primary-retrying"
FALLING_BACK = "primary-falling-back"
FAILED_CHECKS = "primary-failed-checks"


def promotion_failed(view: View) -> bool:
    """Return whether the primary holds a revision that was analysed but never became ready."""
    primary = view.primary
    return (
        view.status.phase is Phase.FAILED and primary is not None and primary.revision != view.status.revisions.primary
    )


def fail_promotion(view: View, why: str) -> Advance:
    """End the run with all traffic on the canary, which passed its analysis: the primary did not get there."""
    primary = view.snapshot.names.workload("primary").name
    candidate = view.status.revisions.candidate
    carries = "all traffic goes to the canary" if view.returning else "the canary cannot carry the traffic either"
    stays = "all traffic stays on the canary" if view.weights == CANARY_ONLY else carries
    message = f"Promotion of revision {candidate} failed: Deployment {primary} {why}; {stays}"
    judged = Progress(role=FAILED_CHECKS, since=view.now, available=0) if view.returning else None
    status = row(view, remember_newer(view), Phase.FAILED, 0, message, progress=judged)
    status = with_condition(status, "Progressing", "False", "PromotionFailed", message, view.now)
    return Advance(status, (Event("PromotionFailed", message, "Warning"),))


def going_back(view: View) -> bool:
    """Return whether the primary is to have its former revision again after a failed promotion."""
    progress = view.status.progress
    return view.status.phase is Phase.FAILED and progress is not None and progress.role == FALLING_BACK


def canary_serves(view: View) -> bool:
    """Return whether production runs on the canary because its promotion failed."""
    return promotion_failed(view) or (going_back(view) and view.weights != PRIMARY_ONLY)


def recover(view: View) -> Advance:
    """Once a newer template is there: give the primary the serving revision, else the one before it.

    Until one of them is whole, traffic stays on the canary that passed its analysis (section 7).
    """
    status, target = view.status, view.target
    asked = view.change in (Change.NEW, Change.REVERTED) or status.revisions.pending is not None
    if not asked or target is None:
        return Advance(status)
    refused = status.progress is not None and status.progress.role == FAILED_CHECKS
    if view.primary_complete and not refused and not going_back(view):
        return _serving_revision_is_ready(view)
    candidate, former = status.revisions.candidate, status.revisions.primary
    doing = f"goes back to revision {former}" if going_back(view) or refused else f"tries revision {candidate} again"
    why = f"the primary {doing} after its failed promotion, all traffic stays on the canary until it is ready"
    status = pending(view, view.shown, why)
    progress = status.progress
    if progress is None or progress.role not in (RETRYING, FALLING_BACK, FAILED_CHECKS):
        progress = Progress(role=RETRYING, since=view.now, available=0)
        message = f"Trying revision {candidate} on the primary again"
        return Advance(status.model_copy(update={"progress": progress}), (Event("Recovering", message),))
    if refused or (progress.role == RETRYING and view.now - progress.since >= view.deadline):
        progress = Progress(role=FALLING_BACK, since=view.now, available=0)
        message = f"Giving the primary its former revision {former} again"
        return Advance(status.model_copy(update={"progress": progress}), (Event("Recovering", message, "Warning"),))
    return Advance(status)


def _serving_revision_is_ready(view: View) -> Advance:
    candidate = view.status.revisions.candidate
    message = f"Primary recovered with analysed revision {candidate}"
    step = view.status.step
    if step is not None:
        step = step.model_copy(update={"started_at": view.now, "next_tick_at": view.now + view.interval})
    status = row(view, view.status, Phase.FINALISING, 0, message, step=step, progress=None)
    return Advance(status, (Event("Recovered", message),))
