"""The plan of a release: ``spec.analysis`` turned into one list of steps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from canary.api.analysis import Analysis


@dataclass(frozen=True, slots=True)
class Plan:
    """The weights of a release in rising order; step 0 is the canary at 0 %."""

    weights: tuple[int, ...]

    @property
    def count(self) -> int:
        """Return the number of steps after step 0."""
        return len(self.weights)

    def next_weight(self, weight: int) -> int | None:
        """Return the first weight above this one, None at the end.

        A plan edited in mid-run is entered here, so that a present weight is never skipped upwards.
        """
        return next((w for w in self.weights if w > weight), None)

    def index(self, weight: int) -> int:
        """Return how many steps are taken at this weight."""
        return sum(1 for w in self.weights if w <= weight)


def plan_of(analysis: Analysis) -> Plan:
    """Return the plan; a ``stepWeight`` that does not divide ``maxWeight`` has its last step capped."""
    if analysis.step_weights:
        return Plan(tuple(analysis.step_weights))
    step, top = analysis.step_weight or 0, analysis.top_weight
    if step <= 0:
        return Plan(())
    return Plan((*range(step, top, step), top))


def capacity(size: int, weight: int, full: bool) -> int:
    """Return how many canary pods a weight needs beside a primary of ``size`` pods: its share, at least 1."""
    return size if full else max(1, math.ceil(size * weight / 100))
