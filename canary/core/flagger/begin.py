"""Whether a Canary whose status Flagger wrote may be taken over now."""

from __future__ import annotations

from canary.api.status import CanaryStatus, Phase
from canary.core.flagger.remains import FLAGGER, TAKE_OVER
from canary.core.flagger.take_over import REFUSED, TAKING_OVER
from canary.core.obstacle import Obstacle, find_obstacle
from canary.core.obstacles import BEFORE_INITIALISATION
from canary.core.view import View

LEFT_ALONE = (
    "status is written by another controller, left alone; once that is stopped, annotation "
    f"{TAKE_OVER}: {FLAGGER} lets this one take over what Flagger left"
)
_ENDED = (Phase.INITIALIZED, Phase.SUCCEEDED, Phase.FAILED)


def begun(view: View) -> View:
    """Return the same moment with nothing recorded yet: what Flagger wrote says nothing to us."""
    return view.with_status(CanaryStatus())


def keeps_from_taking_over(view: View) -> Obstacle | None:
    """Find why the take-over that the user asks for may not begin."""
    phase = view.status.phase
    if phase not in _ENDED:
        name = f"{view.kind} {view.snapshot.names.target}"
        told = f"Flagger's release of {name} is in phase {phase}; start Flagger again and let it end"
        return Obstacle(REFUSED, f"nothing of Flagger's is taken over: {told}")
    found = find_obstacle(begun(view), BEFORE_INITIALISATION)
    return None if found is None or found.reason == TAKING_OVER else found
