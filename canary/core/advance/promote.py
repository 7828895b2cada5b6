"""Phases Promoting and Finalising: cut over to the canary, roll the primary without traffic, and back."""

from __future__ import annotations

from datetime import datetime, timedelta

from canary.api.status import CanaryStatus, Phase, Progress, StepStatus
from canary.core.actions import Event
from canary.core.advance.idle import end_reverted
from canary.core.advance.outcome import (
    Advance,
    pending,
    revisions,
    row,
    saying,
    with_condition,
    without_condition,
)
from canary.core.advance.run import roll_back, run_id, spent, suspended
from canary.core.advance.tick import Verdict, judge_checks
from canary.core.moment import Change
from canary.core.obstacles import contested
from canary.core.revisions import revision_id
from canary.core.routes.marks import read_roll_back
from canary.core.routes.routing import CANARY_ONLY, PRIMARY_ONLY
from canary.core.view import GRID_SLACK, View


def promoting(view: View) -> Advance:
    """Wait until the primary runs the revision, whole, without traffic; then give traffic back."""
    if view.change is Change.REVERTED and not view.primary_touched:
        return end_reverted(view)
    mark = read_roll_back(view.snapshot.route, view.status.revisions.candidate, run_id(view.status))
    if mark and not view.primary_touched:
        return roll_back(view, view.status, *mark)
    if view.primary_touched and view.primary is not None and view.primary.stuck:
        return _promotion_failed(view)
    if not view.primary_touched and (reason := _canary_lost_for_good(view)):
        return roll_back(view, view.status, "CanaryNotReady", reason)
    fought = contested(view.status, "route", "selector")
    if fought is not None and not view.primary_touched:
        return roll_back(view, view.status, fought.reason, fought.message)
    status = _remember_newer(view)
    if view.suspended and not view.primary_touched:
        return Advance(suspended(view, status))
    if view.bakes is not None and _cut_over_at(view) is not None:
        return _bake(view.with_status(status), view.bakes)
    if not (view.primary_touched and view.primary_complete):
        return Advance(_waiting(view, status))
    if not _due(view):
        return Advance(status)
    message = f"Primary runs revision {status.revisions.candidate}, routing all traffic to it"
    status = row(view, status, Phase.FINALISING, 0, message, step=_next_step(view, "traffic back"), progress=None)
    return Advance(status, (Event("Finalising", message),))


def finalising(view: View) -> Advance:
    """Wait until all traffic is back on the primary and the canary is gone."""
    status = _remember_newer(view)
    back = view.weights == PRIMARY_ONLY and view.apex_role == "primary"
    promoted = view.primary_complete and view.primary_touched
    if not (_due(view) and back and promoted and not view.canary_has_pods):
        return Advance(status)
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


def _cut_over_at(view: View) -> datetime | None:
    """Return since when the routes were read back without the primary; None while they are not."""
    drain = view.status.drain
    return drain.since if drain is not None and drain.role == "primary" else None


def _bake(view: View, bake: timedelta) -> Advance:
    """Judge the canary at 100 %, with the old primary warm, before the primary is touched."""
    step, began = view.status.step, _cut_over_at(view)
    if step is None or began is None or not _due(view) or view.canary_lost:
        return Advance(view.status)
    verdict, advance = judge_checks(view)
    if failed := spent(view, verdict, advance):
        return failed
    over = began + bake
    if verdict is Verdict.PASSED and view.now >= over:
        message = f"Revision {view.status.revisions.candidate} passed its bake of {bake.total_seconds():.0f} s at 100 %"
        done = step.model_copy(update={"passed_at": view.now, "next_tick_at": view.now})
        status = saying(advance.status.model_copy(update={"step": done}), message)
        return Advance(status, (*advance.events, Event("Baked", message)))
    later = min(view.now + view.interval, over) if over > view.now else view.now + view.interval
    step = step.model_copy(update={"next_tick_at": later})
    return Advance(advance.status.model_copy(update={"step": step}), advance.events)


def _due(view: View) -> bool:
    step = view.status.step
    return step is None or step.next_tick_at is None or view.now >= step.next_tick_at


def _next_step(view: View, description: str) -> StepStatus:
    old, count = view.status.step, view.plan.count
    due = old.next_tick_at if old and old.next_tick_at else view.now
    base = due if view.now - due <= GRID_SLACK else view.now
    return StepStatus(
        index=count,
        count=count,
        description=description,
        started_at=view.now,
        next_tick_at=base + view.step_time,
    )


def _remember_newer(view: View) -> CanaryStatus:
    """Return the status that remembers a template which must wait for the end of this run."""
    if view.change not in (Change.NEW, Change.REVERTED) or view.target is None:
        return view.status
    identity = revision_id(view.target.template)
    if view.status.revisions.pending == identity:
        return view.status
    return pending(view, identity, f"revision {view.status.revisions.candidate} is being promoted")


def _waiting(view: View, status: CanaryStatus) -> CanaryStatus:
    """Return the status with what the promotion is waiting for, and since when when that is the canary."""
    names = view.snapshot.names
    if not view.primary_touched and view.weights != CANARY_ONLY and view.canary_fresh < view.size:
        progress = status.progress
        if progress is None or progress.role != "canary" or view.canary_progress > progress.available:
            progress = Progress(role="canary", since=view.now, available=view.canary_progress)
        message = f"Waiting for Deployment {names.workload('canary').name}: {view.canary_fresh} of {view.size} ready"
        return saying(status.model_copy(update={"progress": progress}), message)
    return status


def _canary_lost_for_good(view: View) -> str | None:
    progress = view.status.progress
    if progress is None or progress.role != "canary" or view.canary_fresh >= view.size:
        return None
    if view.canary_progress > progress.available or view.now - progress.since < view.deadline:
        return None
    name = view.snapshot.names.workload("canary").name
    return f"Deployment {name} made no progress for {view.deadline.total_seconds():.0f} s during the cut-over"


def _promotion_failed(view: View) -> Advance:
    primary = view.snapshot.names.workload("primary").name
    candidate, stays = view.status.revisions.candidate, view.weights == CANARY_ONLY
    message = (
        f"Promotion of revision {candidate} failed: Deployment {primary} made no progress for "
        f"{view.deadline.total_seconds():.0f} s; "
        + ("all traffic stays on the canary" if stays else "the canary cannot carry the traffic either")
    )
    status = row(view, _remember_newer(view), Phase.FAILED, 0, message, progress=None)
    status = with_condition(status, "Progressing", "False", "PromotionFailed", message, view.now)
    return Advance(status, (Event("PromotionFailed", message, "Warning"),))
