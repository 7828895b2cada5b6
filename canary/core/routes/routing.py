"""Where live traffic should go, and where the routes were seen to send it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from canary.core.routes.sessions import Sessions

Condition = Mapping[str, Any]
"""One Istio HTTPMatchRequest; a list of them matches when any of them does."""

Cohort = tuple[Condition, ...]
"""The callers that are sent to the canary whatever the weights say."""


@dataclass(frozen=True, slots=True)
class Weights:
    """What the routes show: shares of live traffic in percent, mirrored percent, cohorts on the canary.

    ``even`` is False when the routes of one VirtualService disagree: somebody edited one of them.
    ``sticky`` tells that callers stay on their side.
    """

    primary: int
    canary: int
    mirror: int = 0
    cohorts: int = 0
    even: bool = True
    sticky: bool = False

    @staticmethod
    def of(canary: int) -> Weights:
        """Return the weights that give the canary this share, without mirror or cohorts."""
        return Weights(100 - canary, canary)

    @property
    def label(self) -> str:
        """Return the weights in words, e.g. ``90/10, 50 % mirrored``."""
        parts = [f"{self.primary}/{self.canary}"]
        if self.mirror:
            parts.append(f"{self.mirror} % mirrored")
        if self.cohorts:
            parts.append("1 cohort" if self.cohorts == 1 else f"{self.cohorts} cohorts")
        if self.sticky:
            parts.append("sticky")
        if not self.even:
            parts.append("not the same on every route")
        return ", ".join(parts)

    @property
    def exposes(self) -> bool:
        """Return whether any request, or a copy of one, reaches the canary."""
        return bool(self.canary or self.mirror or self.cohorts or self.sticky)


@dataclass(frozen=True, slots=True)
class Routing:
    """What the routes should do: the canary's share and mirrored share in percent, its cohorts, and sessions.

    Sessions matter while both sides have a share; then at 100 % callers are rid of their cookies.
    """

    canary: int = 0
    mirror: int = 0
    cohorts: tuple[Cohort, ...] = ()
    sessions: Sessions | None = None
    counted: tuple[int, ...] = ()
    """Numbers of the cohorts of a plan whose requests are counted apart, each at a Service of its own."""

    @property
    def apart(self) -> tuple[int, ...]:
        """Return the numbers of those of its cohorts that are led to a Service of their own."""
        return tuple(number for number in self.counted if number <= len(self.cohorts))

    @property
    def sticky(self) -> bool:
        """Return whether callers stay on their side."""
        return self.sessions is not None and 0 < self.canary < 100

    @property
    def weights(self) -> Weights:
        """Return what routes that do this show."""
        return Weights(100 - self.canary, self.canary, self.mirror, len(self.cohorts), sticky=self.sticky)


TO_PRIMARY = Routing()
TO_CANARY = Routing(100)
PRIMARY_ONLY = Weights(100, 0)
CANARY_ONLY = Weights(0, 100)
"""What routes to one side alone show."""
