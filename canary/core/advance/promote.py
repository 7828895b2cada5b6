"""Phase Promoting: cut over to the canary, and roll the primary without traffic."""

from __future__ import annotations

from datetime import datetime, timedelta

from canary.api.status import CanaryStatus, Progress
from canary.core.actions import Event
from canary.core.advance.finalise import give_back_traffic
from canary.core.advance.idle import end_reverted
from canary.core.advance.outcome import Advance, remember_newer, saying
from canary.core.advance.recover import IMAGE_MOVED, fail_promotion
from canary.core.advance.run import paused, roll_back, run_id, spent
from canary.core.advance.tick import Verdict, judge_checks
from canary.core.advance.waits import unreached
from canary.core.hooks import rollback_wanted
from canary.core.images import images_unknown, moved_image
from canary.core.moment import Change
from canary.core.obstacles import contested
from canary.core.routes.marks import read_roll_back
from canary.core.view import View


def promoting(view: View) -> Advance:
    """Wait until the primary runs the revision, whole, without traffic; then give traffic back."""
    if view.change is Change.REVERTED and not view.primary_touched:
        return end_reverted(view)
    mark = read_roll_back(view.snapshot.route, view.status.revisions.candidate, run_id(view.status))
    if mark and not view.primary_touched:
        return roll_back(view, view.status, *mark)
    if view.primary_touched and view.primary_stuck:
        return fail_promotion(view, f"made no progress for {view.deadline.total_seconds():.0f} s")
    if view.primary_touched and view.in_place and (why := moved_image(view)):
        return fail_promotion(view, why, IMAGE_MOVED)
    if not view.primary_touched and (reason := _canary_lost_for_good(view)):
        return roll_back(view, view.status, "CanaryNotReady", reason)
    if not view.primary_touched and view.candidate_revision is None:
        # Deleted by hand, and the target shows a newer one: what was judged is nowhere as it was stored (I10).
        return roll_back(
            view, view.status, "RevisionLost", "its ControllerRevision was deleted before the primary got it"
        )
    fought = contested(view.status, "route", "selector")
    if fought is not None and not view.primary_touched:
        return roll_back(view, view.status, fought.reason, fought.message)
    status = remember_newer(view)
    if not view.primary_touched and (why := rollback_wanted(view)):
        return roll_back(view, view.status, "RollbackHook", why)
    if view.paused and not view.primary_touched:
        return Advance(paused(view, status))
    if view.bakes is not None and _cut_over_at(view) is not None:
        return _bake(view.with_status(status), view.bakes)
    if not (view.primary_touched and view.primary_carries):
        return Advance(_waiting(view, status))
    if not view.tick_is_due:
        return Advance(status)
    if why := images_unknown(view):
        return Advance(saying(status, f"Waiting to see which images the promoted pods run: {why}"))
    if why := moved_image(view):
        return fail_promotion(view, why, IMAGE_MOVED)
    return give_back_traffic(view.with_status(status))


def _cut_over_at(view: View) -> datetime | None:
    """Return since when the routes were read back without the primary; None while they are not."""
    drain = view.status.drain
    return drain.since if drain is not None and drain.role == "primary" else None


def _bake(view: View, bake: timedelta) -> Advance:
    """Judge the canary at 100 %, with the old primary warm, before the primary is touched."""
    step, began = view.status.step, _cut_over_at(view)
    if step is None or began is None or not view.tick_is_due or view.canary_lost:
        return Advance(view.status)
    verdict, advance = judge_checks(view)
    if failed := spent(view, verdict, advance):
        return failed
    if verdict is not Verdict.PASSED:
        # Not asked yet, or to be asked again when the verdict says.
        return advance
    over = began + bake
    if view.now >= over:
        message = f"Revision {view.status.revisions.candidate} passed its bake of {bake.total_seconds():.0f} s at 100 %"
        done = step.model_copy(update={"passed_at": view.now, "next_tick_at": view.now})
        status = saying(advance.status.model_copy(update={"step": done}), message)
        return Advance(status, (*advance.events, Event("Baked", message)))
    step = step.model_copy(update={"next_tick_at": min(view.now + view.interval, over)})
    return Advance(advance.status.model_copy(update={"step": step}), advance.events)


def _waiting(view: View, status: CanaryStatus) -> CanaryStatus:
    """Return the status with what the promotion is waiting for, and since when when that is the canary."""
    need = view.enough(view.promotion)
    if not view.primary_touched and view.weights != view.promotion.weights and view.canary_fresh < need:
        progress = status.progress
        if progress is None or progress.role != "canary" or view.canary_progress > progress.available:
            progress = Progress(role="canary", since=view.now, available=view.canary_progress)
        have = f"{view.canary_fresh} of {need} ready{unreached(view, 'canary')}"
        message = f"Waiting for {view.kind} {view.snapshot.names.workload('canary').name}: {have}"
        return saying(status.model_copy(update={"progress": progress}), message)
    return _watch_daemons(view, status) if view.primary_touched and view.snapshot.daemons else status


def _watch_daemons(view: View, status: CanaryStatus) -> CanaryStatus:
    """Return the status with the last progress of the primary's roll-out, which a DaemonSet does not tell itself."""
    progress, come = status.progress, view.primary_progress
    if progress is None or progress.role != "primary" or come > progress.available:
        progress = Progress(role="primary", since=view.now, available=come)
    return status.model_copy(update={"progress": progress})


def _canary_lost_for_good(view: View) -> str | None:
    progress = view.status.progress
    if progress is None or progress.role != "canary" or view.canary_fresh >= view.enough(view.promotion):
        return None
    if view.canary_progress > progress.available or view.now - progress.since < view.deadline:
        return None
    name = view.snapshot.names.workload("canary").name
    return f"{view.kind} {name} made no progress for {view.deadline.total_seconds():.0f} s during the cut-over"
