"""The plan of a release: ``spec.analysis`` turned into one list of steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

from canary.api.analysis import Analysis
from canary.api.analysis import Step as WrittenStep
from canary.api.canary import CanarySpec
from canary.api.duration import parse_duration
from canary.core.routes.routing import Routing


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the plan: where traffic goes, and for how long it is judged there.

    ``lasts`` None is one interval; else checks go on at each interval until the time is over, or with
    ``paused`` until somebody resumes the run.
    """

    routing: Routing
    lasts: timedelta | None = None
    paused: bool = False
    cohort: int = 0
    """The number of the cohort whose requests are awaited; 0 once a weight follows it, and without one."""

    @property
    def label(self) -> str:
        """Return the step in words, e.g. ``20 %`` or ``0 %, cohort 1, 50 % mirrored``."""
        parts = [f"{self.routing.canary} %"]
        if self.routing.cohorts:
            parts.append(f"cohort {len(self.routing.cohorts)}")
        if self.routing.mirror:
            parts.append(f"{self.routing.mirror} % mirrored")
        return ", ".join(parts)


START = Step(Routing())
"""Step 0 of every plan: the canary is made ready and gets no request."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a release in order; step 0 is the canary without traffic."""

    steps: tuple[Step, ...]

    @property
    def count(self) -> int:
        """Return the number of steps after step 0."""
        return len(self.steps)

    @property
    def last(self) -> Step:
        """Return the last step."""
        return self.step(self.count)

    def step(self, index: int) -> Step:
        """Return the step of this number; 0 is the start."""
        return START if index == 0 else self.steps[index - 1]

    def place(self, index: int, weight: int) -> int:
        """Return the number of the step a run is at that took ``index`` steps and stands at ``weight``.

        They differ when the plan was edited in mid-run: then the run stands right before the first
        step above its weight, so that a present weight is never skipped upwards (W11).
        """
        if 0 <= index <= self.count and self.step(index).routing.canary == weight:
            return index
        above = (i for i, step in enumerate(self.steps) if step.routing.canary > weight)
        return next(above, self.count)


def plan_of(spec: CanarySpec) -> Plan:
    """Return the plan that a spec asks for; every way to write one ends here.

    Without analysis there are no steps: once the canary is ready the promotion follows.
    """
    analysis = spec.analysis
    if spec.skip_analysis:
        return Plan(())
    if analysis.steps:
        return Plan(tuple(_written(analysis.steps)))
    if analysis.iterations:
        return Plan((Step(_tested(analysis), cohort=1 if analysis.match else 0),) * analysis.iterations)
    mirror = (Step(Routing(mirror=_mirrored(analysis))),) if analysis.mirror else ()
    return Plan((*mirror, *(Step(Routing(weight)) for weight in _weights(analysis))))


def _weights(analysis: Analysis) -> tuple[int, ...]:
    """Return the rising weights; a ``stepWeight`` that does not divide ``maxWeight`` has its last step capped."""
    if analysis.step_weights:
        return tuple(analysis.step_weights)
    step, top = analysis.step_weight or 0, analysis.top_weight
    return (*range(step, top, step), top) if step > 0 else ()


def _tested(analysis: Analysis) -> Routing:
    """Return the routing of an A/B release, or of a blue/green one when no cohort is named."""
    cohorts = (analysis.cohort,) if analysis.match else ()
    return Routing(mirror=_mirrored(analysis) if analysis.mirror else 0, cohorts=cohorts)


def _mirrored(analysis: Analysis) -> int:
    return analysis.mirror_weight or 100


def _written(steps: tuple[WrittenStep, ...]) -> Iterator[Step]:
    """Yield the steps of an explicit plan; what a step does not name stays as the one before left it.

    A cohort stays on the canary while weights rise (R-DARK-7); mirroring ends with the next step.  One that
    is not the first to send the canary requests is told from those before it by a Service of its own.
    """
    routing, cohort = Routing(), 0
    for written in steps:
        lasts, paused = None, False
        if written.set_weight is not None:
            routing, cohort = replace(routing, canary=written.set_weight, mirror=0), 0
        elif written.match:
            cohort = len(routing.cohorts) + 1
            counted = routing.counted if cohort == 1 and not routing.canary else (*routing.counted, cohort)
            routing = replace(routing, cohorts=(*routing.cohorts, written.cohort), mirror=0, counted=counted)
        elif written.mirror is not None:
            routing = replace(routing, mirror=written.mirror.percentage)
        elif written.pause is not None and written.pause.duration:
            lasts = parse_duration(written.pause.duration)
        elif written.pause is not None:
            paused = True
        elif written.analysis is not None:
            lasts = parse_duration(written.analysis.duration)
        yield Step(routing, lasts, paused, cohort)


def capacity(size: int, routing: Routing, full: bool) -> int:
    """Return how many canary pods a routing needs beside a primary of ``size`` pods.

    Its share or the mirrored one, rounded up, at least 1; all of them for a cohort, whose share is unknown.
    """
    if full or routing.cohorts:
        return size
    return max(1, math.ceil(size * max(routing.canary, routing.mirror) / 100))
