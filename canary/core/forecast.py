"""What a plan comes to when nothing fails: when each step begins, and what traffic judges it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from canary.api.canary import CanarySpec
from canary.core.plan import Plan, Step, capacity, plan_of
from canary.core.routes.routing import CANARY_ONLY, PRIMARY_ONLY, Weights

PERCENT = 100


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of a release: when it begins, where its requests go, and how many pods serve the canary.

    ``after`` counts from the start of the run, without the time that somebody pauses it for, which ``paused`` tells
    of.  ``pods`` is a percentage of production's.  ``needed`` is how many requests a second the service (``of_cohort``:
    the cohort alone) must get for every check to have its samples; None where nothing is judged, or never can be.
    """

    after: timedelta
    name: str
    weights: Weights
    pods: int
    needed: float | None = None
    of_cohort: bool = False
    paused: bool = False


def stages(spec: CanarySpec) -> tuple[Stage, ...]:
    """Return the rows of a release in which every step passes at its first judgement and pods are ready at once."""
    plan, interval = plan_of(spec), timedelta(0) if spec.skip_analysis else spec.analysis.period
    found = [Stage(timedelta(0), f"0 of {plan.count}: canary at 0 %", PRIMARY_ONLY, _pods(spec, plan, 0))]
    after = interval
    for index, step in enumerate(plan.steps, 1):
        found.append(_stage(spec, plan, index, after))
        after += step.lasts if step.lasts is not None else interval
    return (*found, *_ending(spec, after, interval))


def _stage(spec: CanarySpec, plan: Plan, index: int, after: timedelta) -> Stage:
    step = plan.step(index)
    share = max(step.routing.canary, step.routing.mirror)
    cohort = step.cohort > 0
    needed = _needed(spec, PERCENT if cohort else share)
    name = f"{index} of {plan.count}: {step.label}"
    return Stage(after, name, step.routing.weights, _pods(spec, plan, index), needed, cohort, step.paused)


def _ending(spec: CanarySpec, after: timedelta, interval: timedelta) -> Iterator[Stage]:
    """Yield what comes after the plan; with a primary that rolls in place traffic stays as the last step left it."""
    if spec.promotion.strategy == "InPlace":
        yield Stage(after, "promotion in place", plan_of(spec).last.routing.weights, PERCENT)
        return
    bake = spec.promotion.bake_time
    yield Stage(after, "promotion", CANARY_ONLY, PERCENT, _needed(spec, PERCENT) if bake else None)
    after += max(interval, bake)
    back = 0 if spec.skip_analysis else spec.analysis.step_weight_promotion or 0
    for weight in range(PERCENT - back, 0, -back) if back else ():
        yield Stage(after, f"traffic back, {weight} % still on the canary", Weights.of(weight), PERCENT)
        after += interval
    yield Stage(after, "traffic back", PRIMARY_ONLY, PERCENT)
    yield Stage(after + interval, "done", PRIMARY_ONLY, 0)


def _pods(spec: CanarySpec, plan: Plan, index: int) -> int:
    """Return the canary's size in percent: of step 0 and of the last one what comes next."""
    full = spec.analysis.canary_scale == "Full" or plan.count == 0
    step: Step = plan.step(max(index, 1)) if plan.count else plan.step(0)
    return capacity(PERCENT, step.routing, full)


def _needed(spec: CanarySpec, share: int) -> float | None:
    metrics = () if spec.skip_analysis or not share else spec.analysis.metrics
    counting = (one for one in metrics if not one.custom)
    rates = (one.min_samples / one.window.total_seconds() * PERCENT / share for one in counting)
    return max(rates, default=None)
