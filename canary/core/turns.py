"""Whose turn it is to run, as one Canary sees it."""

from __future__ import annotations

from canary.api.status import CanaryStatus
from canary.core.runs import Place
from canary.core.view import RUNNING, View


def holds_run(status: CanaryStatus) -> bool:
    """Return whether a Canary has a run that counts: a way back counts for nothing, it must not wait."""
    return status.phase in RUNNING and (status.run is None or status.run.undoes is None)


def turn(view: View) -> Place | None:
    """Return where a Canary stands among those that wait for a run; None when its run may begin."""
    if holds_run(view.status):
        return None
    return view.snapshot.runs.place(view.snapshot.key, view.status.queued_at or view.now)
