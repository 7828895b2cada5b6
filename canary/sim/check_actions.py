"""What may happen in a schedule to whom checks hear, what custom ones find, their MetricTemplates and alerts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from canary.sim.alerter import ON_CALL
from canary.sim.checks import healthy
from canary.sim.stage import Stage
from canary.sim.user import ref_of_manifest


def find(stage: Stage, check: str, numbers: Sequence[float] | None, lasts: float = 60.0) -> None:
    """Let a custom check find other numbers, none, or nobody who answers, for a time."""
    found = stage.sim.measurer.numbers
    found[check] = None if numbers is None else tuple(numbers)
    stage.sim.at(lasts, lambda: found.update(healthy(stage.scenario.canary)))


def misplace_template(stage: Stage, lasts: float) -> None:
    """Delete the MetricTemplates and apply them again later."""
    for manifest in stage.scenario.templates:
        stage.sim.user.delete(ref_of_manifest(manifest))
        stage.sim.at(lasts, partial(stage.sim.user.apply, manifest))


def rewrite_template(stage: Stage, query: str, lasts: float) -> None:
    """Edit the query of the MetricTemplates for a time."""
    for manifest in stage.scenario.templates:
        stage.sim.user.apply({**manifest, "spec": {**manifest["spec"], "query": query}})
        stage.sim.at(lasts, partial(stage.sim.user.apply, manifest))


def hush(stage: Stage, cohort: int, lasts: float) -> None:
    """Let the callers of a cohort send nothing for a time."""
    dataplane, caller = stage.sim.dataplane, f"cohort-{cohort}"
    dataplane.settle()
    dataplane.silent.add(caller)
    stage.sim.at(lasts, partial(dataplane.silent.discard, caller))


def silence(stage: Stage, lasts: float) -> None:
    """Let no alert arrive for a time."""
    faults = stage.sim.alerter.faults
    faults[ON_CALL] = "nobody answers"
    stage.sim.at(lasts, lambda: faults.pop(ON_CALL, None))


def misplace_provider(stage: Stage, lasts: float) -> None:
    """Delete the AlertProviders and apply them again later."""
    for manifest in stage.scenario.providers:
        stage.sim.user.delete(ref_of_manifest(manifest))
        stage.sim.at(lasts, partial(stage.sim.user.apply, manifest))


CHECK_ACTIONS: tuple[Callable[..., None], ...] = (
    find,
    hush,
    misplace_template,
    rewrite_template,
    silence,
    misplace_provider,
)
