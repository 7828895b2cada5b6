"""The analysis of a Rollout as checks of a Canary, which are judged at every step."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from canary.cli.rollouts.checks import Check, Template, variable
from canary.cli.rollouts.reading import Reading

INTERVAL = 10
"""Seconds between ticks where no check says how often it is asked: a Rollout goes on as soon as its pods are ready."""
_TOLD = {
    "measurementRetention": "measurements are told by events and metrics of the controller",
    "analysisRunMetadata": "there are no AnalysisRuns",
    "startingStep": "checks are judged from the first step",
}


@dataclass(slots=True)
class Judging:
    """The checks of one Rollout as they are found."""

    reading: Reading
    templates: Mapping[tuple[str, str, str], Template]
    metrics: list[dict[str, Any]] = field(default_factory=list)
    limits: set[int] = field(default_factory=set)
    intervals: set[int] = field(default_factory=set)

    @property
    def interval(self) -> int:
        """Return the seconds between ticks."""
        return min((one for one in self.intervals if one), default=INTERVAL)

    @property
    def threshold(self) -> int:
        """Return how many failures end a release."""
        return min(self.limits, default=1)

    def asked_of(self, services: Collection[object]) -> Iterator[tuple[str, str]]:
        """Yield the checks that name one of some Services, with what they write of it."""
        for one in self.metrics:
            for value in one.get("templateVariables", {}).values():
                if value.partition(".")[0] in services:
                    yield one["name"], value

    def add(self, path: str, given: object) -> int | None:
        """Take the checks of an analysis; return how many seconds it lasts, None when something of it is lost."""
        analysis = self.reading.mapping(path, given)
        self.reading.tell_rest(path, analysis, ("templates", "args", "dryRun"), _TOLD)
        arguments, whole = self._arguments(path, analysis)
        dry = self.reading.entries(f"{path}.dryRun", analysis.get("dryRun"))
        for at, one in dry:
            self.reading.tell_rest(at, one, ("metricName",), {})
            self.reading.warn(at, f"is {one.get('metricName')}: there are no trials, so this metric is judged")
        lasts = 0
        for at, one in self.reading.entries(f"{path}.templates", analysis.get("templates")):
            self.reading.tell_rest(at, one, ("templateName", "clusterScope"), {})
            template = self._template(at, one)
            whole = whole and template is not None and template.complete
            for check in template.checks if template else ():
                values = {**(template.defaults if template else {}), **arguments}
                whole = self._take(at, check, values) and whole
                lasts = max(lasts, check.lasts)
        return lasts if whole else None

    def _arguments(self, path: str, analysis: Mapping[str, Any]) -> tuple[dict[str, str], bool]:
        found: dict[str, str] = {}
        whole = True
        for at, one in self.reading.entries(f"{path}.args", analysis.get("args")):
            self.reading.tell_rest(at, one, ("name", "value"), {})
            whole = whole and set(one) == {"name", "value"}
            if one.get("value") is not None:
                found[str(one.get("name"))] = str(one["value"])
        return found, whole

    def _template(self, path: str, reference: Mapping[str, Any]) -> Template | None:
        kind = "ClusterAnalysisTemplate" if reference.get("clusterScope") else "AnalysisTemplate"
        metadata = self.reading.document.content["metadata"]
        namespace = "" if reference.get("clusterScope") else str(metadata.get("namespace", ""))
        name = str(reference.get("templateName"))
        found = self.templates.get((kind, namespace, name))
        if found is None:
            self.reading.refuse(f"{path}.templateName", f"is {name}: {kind} {name} is in none of the files; add it")
        elif not found.complete:
            at = f"{found.reading.document.file}:{found.reading.document.line_of('kind')}"
            self.reading.refuse(f"{path}.templateName", f"is {name}, of which not all can be asked here ({at})")
        return found

    def _take(self, path: str, check: Check, values: Mapping[str, str]) -> bool:
        """Add a check unless it is there already; return whether all its arguments have a value."""
        if missing := [one for one in check.arguments if one not in values]:
            told = f"needs a value for {', '.join(missing)}, and is left out"
            self.reading.refuse(path, f"names {check.name}, which {told}")
            return False
        variables = {variable(one): values[one] for one in check.arguments}
        named = {"name": check.name, "templateRef": {"name": check.name}, "thresholdRange": dict(check.bounds)}
        metric = named | ({"templateVariables": variables} if variables else {})
        same = [one for one in self.metrics if one["templateRef"]["name"] == check.name]
        if not any(one.get("templateVariables", {}) == variables for one in same):
            name = f"{check.name}-{len(same) + 1}" if same else check.name
            self.metrics.append({**metric, "name": name})
        self.limits.add(check.failures)
        self.intervals.add(check.interval)
        return True
