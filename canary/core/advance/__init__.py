"""Old status and evidence in, new status out: one function per phase."""

from __future__ import annotations

from collections.abc import Callable

from canary.api.status import CanaryStatus, Phase
from canary.core.advance.afterwards import tell_end
from canary.core.advance.bookkeeping import record, tell
from canary.core.advance.commands import answer_command
from canary.core.advance.finalise import finalising
from canary.core.advance.idle import idle
from canary.core.advance.initialise import initializing
from canary.core.advance.outcome import Advance
from canary.core.advance.promote import promoting
from canary.core.advance.run import progressing
from canary.core.advance.waiting import waiting
from canary.core.view import View

_ENDS_OF_STEPS = (Phase.WAITING, Phase.PROMOTING, Phase.FAILED, Phase.INITIALIZED)
TRANSITIONS: dict[Phase, tuple[Callable[[View], Advance], frozenset[Phase]]] = {
    Phase.NONE: (initializing, frozenset({Phase.INITIALIZING, Phase.INITIALIZED})),
    Phase.INITIALIZING: (initializing, frozenset({Phase.INITIALIZED})),
    Phase.INITIALIZED: (idle, frozenset({Phase.WAITING, Phase.PROGRESSING})),
    Phase.WAITING: (waiting, frozenset({Phase.PROGRESSING, Phase.INITIALIZED, Phase.FAILED})),
    Phase.PROGRESSING: (progressing, frozenset({Phase.WAITING_PROMOTION, *_ENDS_OF_STEPS})),
    Phase.WAITING_PROMOTION: (progressing, frozenset({Phase.PROGRESSING, *_ENDS_OF_STEPS})),
    Phase.PROMOTING: (promoting, frozenset({Phase.FINALISING, Phase.FAILED, Phase.INITIALIZED})),
    Phase.FINALISING: (finalising, frozenset({Phase.SUCCEEDED, Phase.FAILED})),
    Phase.SUCCEEDED: (idle, frozenset({Phase.WAITING, Phase.PROGRESSING})),
    Phase.FAILED: (idle, frozenset({Phase.WAITING, Phase.PROGRESSING, Phase.INITIALIZED, Phase.FINALISING})),
}
"""Per phase the function that decides in it and the phases it may lead to (besides itself)."""


def advance(view: View) -> Advance:
    """Return the new status of a Canary and the events that tell of the change."""
    return tell(view, _recorded(view))


def foresee(view: View) -> CanaryStatus:
    """Return the new status of a Canary as far as actions rest on it: people are told nothing by it."""
    return _recorded(view).status


def _recorded(view: View) -> Advance:
    decide_phase, _ = TRANSITIONS.get(view.status.phase, (initializing, frozenset()))
    answer = answer_command(view)
    advanced = (answer and answer.obeyed) or decide_phase(view)
    return record(view, tell_end(view, answer.recorded(view, advanced) if answer is not None else advanced))
