"""The way back after Succeeded: a run of the revision that production ran before, without a new analysis."""

from __future__ import annotations

from canary.api.status import Phase
from canary.core.actions import Event
from canary.core.advance.idle import start_run
from canary.core.advance.outcome import Advance, revisions, row, with_condition, without_condition
from canary.core.advance.recover import ROLLED_BACK
from canary.core.moment import Change
from canary.core.obstacle import find_obstacle
from canary.core.obstacles import BEFORE_A_RUN, SUSPENDED
from canary.core.routes.routing import PRIMARY_ONLY
from canary.core.view import View


def destination(view: View) -> str | None:
    """Return the revision production goes back to: the one before, or that of a way back that failed."""
    return view.status.revisions.candidate if view.undoes else view.status.revisions.previous


def what_hinders(view: View) -> str | None:
    """Return why production cannot go back now; None when it can."""
    former = destination(view)
    if former is None or view.snapshot.find_revision(former) is None:
        return f"no revision is kept that production ran before {view.status.revisions.primary}"
    if view.change is not Change.SAME:
        return f"the target shows revision {view.shown}, which is released instead"
    if view.suspended:
        return SUSPENDED
    if obstacle := find_obstacle(view, BEFORE_A_RUN):
        return obstacle.message
    if view.weights is not None and view.weights != PRIMARY_ONLY:
        return "not all traffic is back on the primary yet"
    return None


def start(view: View, by: str) -> Advance:
    """Begin the run that takes back what was promoted last: all of the canary, then the primary."""
    former, undone = destination(view), view.status.revisions.primary
    message = f"Going back from revision {undone} to {former}, asked by {by}"
    begun = start_run(view).status
    run = begun.run.model_copy(update={"promoted_by": by, "undoes": undone}) if begun.run else None
    # There is nothing to judge: all traffic moves as soon as the pods are there.
    step = begun.step.model_copy(update={"next_tick_at": view.now}) if begun.step else None
    changed = {"revision": revisions(begun, candidate=former), "run": run, "step": step, "message": message}
    return Advance(begun.model_copy(update=changed), (Event("GoingBack", message),))


def end(view: View) -> Advance:
    """Return to idle with the former revision in production; the one taken back counts as failed."""
    status, undone = view.status, view.undoes
    former = status.revisions.candidate
    message = f"Production is back at revision {former}, revision {undone} counts as failed"
    status = row(
        view,
        status,
        Phase.FAILED,
        0,
        message,
        revision=revisions(status, primary=former, candidate=undone, previous=None, pending=None),
        last_promoted_spec=former,
        last_applied_spec=undone,
        step=None,
        run=None,
        progress=None,
        traffic_since=None,
    )
    status = without_condition(status, "RevisionPending")
    status = with_condition(status, "Progressing", "False", ROLLED_BACK, message, view.now)
    return Advance(status, (Event(ROLLED_BACK, message, "Warning"),))
