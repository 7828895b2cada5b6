"""After a failed promotion: production runs on the canary until the primary is whole again."""

from __future__ import annotations

from canary.api.status import Phase, Progress
from canary.core.actions import Event
from canary.core.advance.outcome import Advance, pending, row
from canary.core.moment import Change
from canary.core.revisions import revision_id
from canary.core.routes.routing import PRIMARY_ONLY
from canary.core.view import View

RETRYING = "primary-retrying"
FALLING_BACK = "primary-falling-back"


def promotion_failed(view: View) -> bool:
    """Return whether the primary holds a revision that was analysed but never became ready."""
    primary = view.primary
    return (
        view.status.phase is Phase.FAILED and primary is not None and primary.revision != view.status.revisions.primary
    )


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
    if view.primary_complete:
        return _serving_revision_is_ready(view)
    candidate, former = status.revisions.candidate, status.revisions.primary
    doing = f"goes back to revision {former}" if going_back(view) else f"tries revision {candidate} again"
    why = f"the primary {doing} after its failed promotion, all traffic stays on the canary until it is ready"
    status = pending(view, revision_id(target.template), why)
    progress = status.progress
    if progress is None or progress.role not in (RETRYING, FALLING_BACK):
        progress = Progress(role=RETRYING, since=view.now, available=0)
        message = f"Trying revision {candidate} on the primary again"
        return Advance(status.model_copy(update={"progress": progress}), (Event("Recovering", message),))
    if progress.role == RETRYING and view.now - progress.since >= view.deadline:
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
