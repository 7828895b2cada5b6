"""AnalysisTemplates as MetricTemplates: queries of Prometheus with a lower and an upper limit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from canary.api.admission import template_refusals
from canary.api.groups import NATIVE_TEMPLATE
from canary.cli.manifests import Document
from canary.cli.rollouts.reading import Reading, read_seconds

KINDS = ("AnalysisTemplate", "ClusterAnalysisTemplate")
_ARGUMENT = re.compile(r"\{\{\s*args\.([A-Za-z0-9_-]+)\s*\}\}")
_CLAUSE = re.compile(r"\s*result\[0\]\s*(>=|<=|>|<)\s*(-?[0-9]+(?:\.[0-9]+)?)\s*")
_TOLD = {
    "initialDelay": "a check begins with the first step",
    "inconclusiveLimit": "a check passes, fails or has no data, see analysis.onNoData",
    "consecutiveErrorLimit": "a server that gives no answer is no data, see analysis.onNoData",
    "consecutiveSuccessLimit": "a check is asked for as long as the release lasts",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One metric of an AnalysisTemplate that can be asked here."""

    name: str
    bounds: Mapping[str, float]
    arguments: tuple[str, ...]
    failures: int
    interval: int
    lasts: int
    template: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Template:
    """An AnalysisTemplate: the metrics that can be asked, and whether these are all."""

    reading: Reading
    checks: tuple[Check, ...]
    complete: bool
    defaults: Mapping[str, str]
    """The arguments that have a value without anybody giving one."""


def variable(argument: str) -> str:
    """Return the name of an argument as queries of ours can write it."""
    return argument.replace("-", "_")


def read_template(document: Document) -> Template:
    """Return what of an AnalysisTemplate can be asked here; the rest is told."""
    reading = Reading(document)
    spec = reading.mapping("spec", document.content.get("spec"))
    reading.tell_rest("spec", spec, ("metrics", "args"), {})
    arguments = reading.entries("spec.args", spec.get("args"))
    for path, one in arguments:
        reading.tell_rest(path, one, ("name", "value"), {})
    defaults = {str(one.get("name")): str(one["value"]) for _, one in arguments if one.get("value") is not None}
    metrics = reading.entries("spec.metrics", spec.get("metrics"))
    found = [_check(reading, path, one, len(metrics) > 1) for path, one in metrics]
    checks = tuple(one for one in found if one is not None)
    return Template(reading, checks, len(checks) == len(found) and set(spec) <= {"metrics", "args"}, defaults)


def _check(reading: Reading, path: str, metric: Mapping[str, Any], several: bool) -> Check | None:
    provider = reading.mapping(f"{path}.provider", metric.get("provider"))
    bounds = _bounds(reading, path, metric)
    query = _asked(reading, f"{path}.provider", provider)
    if bounds is None or query is None:
        return None
    name = str(metric.get("name"))
    limit = read_seconds(metric.get("failureLimit", 0))
    if limit is None:
        reading.refuse(f"{path}.failureLimit", f"is {metric['failureLimit']}; the first failure ends a release here")
    read = ("name", "provider", "successCondition", "failureLimit", "interval", "count")
    reading.tell_rest(path, metric, read, _TOLD)
    interval, count = read_seconds(metric.get("interval", 0)) or 0, read_seconds(metric.get("count", 1)) or 1
    arguments = tuple(dict.fromkeys(_ARGUMENT.findall(str(provider["prometheus"]["query"]))))
    template = _template(reading, name, several, query)
    if refused := template_refusals(template):
        reading.refuse(f"{path}.provider", f"cannot be asked here: {'; '.join(map(str, refused))}")
        return None
    own = template["metadata"]["name"]
    return Check(own, bounds, arguments, (limit or 0) + 1, interval, (count - 1) * interval, template)


def _template(reading: Reading, name: str, several: bool, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the MetricTemplate of one metric, under the AnalysisTemplate's name when it has no other."""
    metadata = reading.document.content["metadata"]
    kept = {key: metadata[key] for key in ("namespace", "labels") if key in metadata}
    whole = f"{metadata['name']}-{name}" if several else metadata["name"]
    return {
        "apiVersion": NATIVE_TEMPLATE.api_version,
        "kind": NATIVE_TEMPLATE.kind,
        "metadata": {"name": whole, **kept},
        "spec": dict(spec),
    }


def _bounds(reading: Reading, path: str, metric: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the limits that a condition of success writes; None when it writes something else."""
    written = metric.get("successCondition")
    clauses = [_CLAUSE.fullmatch(one) for one in str(written).split("&&")]
    bounds: dict[str, float] = {}
    for clause in clauses:
        if clause is None or metric.get("failureCondition") is not None:
            field = "successCondition" if metric.get("failureCondition") is None else "failureCondition"
            wanted = "thresholdRange says a minimum and a maximum, such as successCondition: result[0] >= 0.95 alone"
            reading.refuse(f"{path}.{field}", f"is {metric.get(field)!r}, which is not carried over: {wanted}")
            return None
        compared, number = clause.groups()
        bounds["min" if ">" in compared else "max"] = float(number)
        if compared in "<>":
            reading.warn(f"{path}.successCondition", f"is {written!r}; here {number} itself is healthy too")
    return bounds


def _asked(reading: Reading, path: str, provider: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return who is asked and what; None when we cannot."""
    if set(provider) != {"prometheus"}:
        reading.refuse(path, f"is {', '.join(provider) or 'none'}, which cannot be asked here; only prometheus can")
        return None
    asked = reading.mapping(f"{path}.prometheus", provider["prometheus"])
    read = ("address", "query", "headers", "insecure")
    others = [name for name in asked if name not in (*read, "timeout")]
    query = _ARGUMENT.sub(lambda one: f"{{{{ variables.{variable(one[1])} }}}}", str(asked.get("query")))
    reading.tell_rest(f"{path}.prometheus", asked, read, {"timeout": "a query has the time-out of the controller"})
    if others or not asked.get("query") or "{{" in _without_variables(query) or "{{" in str(asked.get("address")):
        reading.refuse(f"{path}.prometheus", "cannot be asked here; write a MetricTemplate by hand")
        return None
    headers: dict[str, list[str]] = {}
    for at, one in reading.entries(f"{path}.prometheus.headers", asked.get("headers")):
        reading.tell_rest(at, one, ("key", "value"), {})
        headers.setdefault(str(one.get("key")), []).append(str(one.get("value")))
    who = {"type": "prometheus", "address": asked.get("address")} | ({"headers": headers} if headers else {})
    return {"provider": who | ({"insecureSkipVerify": True} if asked.get("insecure") else {}), "query": query}


def _without_variables(query: str) -> str:
    return re.sub(r"\{\{ variables\.[A-Za-z_][A-Za-z0-9_]* \}\}", "", query)
