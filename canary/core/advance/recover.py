"""After a failed promotion: production runs on the canary until the primary is whole again."""

from __future__ import annotations

from canary.api.status import Phase, Progress
from canary.core.actions import Event
from canary.core.advance.outcome import Advance, pending, remember_newer, row, with_condition
from canary.core.images import images_unknown, moved_image
from canary.core.moment import Change
from canary.core.routes.routing import CANARY_ONLY, PRIMARY_ONLY
from canary.core.view import View

RETRYING = "primary-retrying"
FALLING_BACK = "primary-falling-back"
REFUSED = "primary-refused"
"""Whole, but not fit for traffic: it failed its checks on the way back, or runs what was not judged."""
PROMOTION_FAILED, IMAGE_MOVED, ROLLED_BACK = "PromotionFailed", "ImageMoved", "RolledBack"


def promotion_failed(view: View) -> bool:
    """Return whether the primary holds a revision that was analysed but never became ready."""
    primary = view.primary
    return (
        view.status.phase is Phase.FAILED and primary is not None and primary.revision != view.status.revisions.primary
    )


def fail_promotion(view: View, why: str, reason: str = PROMOTION_FAILED) -> Advance:
    """End the run with all traffic on the canary, which passed its analysis: the primary did not get there."""
    primary = view.snapshot.names.workload("primary").name
    candidate = view.status.revisions.candidate
    goes = view.returning or view.in_place
    carries = "all traffic goes to the canary" if goes else "the canary cannot carry the traffic either"
    stays = "all traffic stays on the canary" if view.weights == CANARY_ONLY else carries
    message = f"Promotion of revision {candidate} failed: {view.kind} {primary} {why}; {stays}"
    whole = view.returning or reason == IMAGE_MOVED
    progress = Progress(role=REFUSED, since=view.now, available=0) if whole else None
    status = row(view, remember_newer(view), Phase.FAILED, 0, message, progress=progress)
    status = with_condition(status, "Progressing", "False", reason, message, view.now)
    return Advance(status, (Event(reason, message, "Warning"),))


def fall_back(view: View, why: str) -> Advance:
    """End the promotion on a person's word: the primary gets its former revision again, without traffic."""
    failed = fail_promotion(view, why) if view.status.phase is not Phase.FAILED else Advance(view.status)
    progress = Progress(role=FALLING_BACK, since=view.now, available=0)
    message = f"Giving the primary its former revision {view.status.revisions.primary} again"
    status = failed.status.model_copy(update={"progress": progress})
    return Advance(status, (*failed.events, Event("Recovering", message, "Warning")))


def going_back(view: View) -> bool:
    """Return whether the primary is to have its former revision again after a failed promotion."""
    progress = view.status.progress
    return view.status.phase is Phase.FAILED and progress is not None and progress.role == FALLING_BACK


def is_back(view: View) -> bool:
    """Return whether the primary has its former revision and all traffic again after a failed promotion."""
    back = going_back(view) and not promotion_failed(view) and view.primary_carries
    return back and view.weights == PRIMARY_ONLY and view.apex_role == "primary"


def tell_back(view: View) -> Advance:
    """Record that production is where it was before the promotion, and that nothing waits."""
    candidate, former = view.status.revisions.candidate, view.status.revisions.primary
    message = f"Production is back at revision {former}, revision {candidate} counts as failed"
    status = row(view, view.status, Phase.FAILED, 0, message, progress=None)
    status = with_condition(status, "Progressing", "False", ROLLED_BACK, message, view.now)
    return Advance(status, (Event(ROLLED_BACK, message, "Warning"),))


def canary_serves(view: View) -> bool:
    """Return whether production runs on the canary because its promotion failed."""
    return promotion_failed(view) or (going_back(view) and view.weights != PRIMARY_ONLY)


def recovers(view: View) -> bool:
    """Return whether the primary gets its traffic once it is whole: somebody asked, and it is not given up."""
    return promotion_failed(view) and _asked(view) and not _refused(view) and not going_back(view)


def _asked(view: View) -> bool:
    return view.change in (Change.NEW, Change.REVERTED) or view.status.revisions.pending is not None


def _refused(view: View) -> bool:
    progress = view.status.progress
    return progress is not None and progress.role == REFUSED


def recover(view: View) -> Advance:
    """Once a newer template is there: give the primary the serving revision, else the one before it.

    Until one of them is whole, traffic stays on the canary that passed its analysis (section 7).
    """
    status, target = view.status, view.target
    if not _asked(view) or target is None:
        return Advance(status)
    refused = _refused(view)
    if view.primary_carries and recovers(view) and images_unknown(view) is None:
        why = moved_image(view)
        return fail_promotion(view, why, IMAGE_MOVED) if why else _serving_revision_is_ready(view)
    candidate, former = status.revisions.candidate, status.revisions.primary
    doing = f"goes back to revision {former}" if going_back(view) or refused else f"tries revision {candidate} again"
    why = f"the primary {doing} after its failed promotion, all traffic stays on the canary until it is ready"
    status = pending(view, view.shown, why)
    progress = status.progress
    if progress is None or progress.role not in (RETRYING, FALLING_BACK, REFUSED):
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
