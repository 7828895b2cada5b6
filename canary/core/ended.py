"""Which run came to an end between two statuses."""

from __future__ import annotations

from canary.api.status import CanaryStatus, Phase, Run

ENDS = (Phase.SUCCEEDED, Phase.FAILED)


def ended_run(before: CanaryStatus, after: CanaryStatus) -> Run | None:
    """Return the run that has ended with the phase of ``after``; None when none has."""
    return before.run if after.phase in ENDS and after.phase is not before.phase else None
