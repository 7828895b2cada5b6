"""What a Canary that can be run asks for in vain."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from canary.api.duration import parse_duration
from canary.api.rules import Node, nodes, written
from canary.api.wrong import SCALED_OBJECT

SHORTEST_WINDOW_SECONDS = 30
FOREIGN = (
    ("spec", "ingressRef"),
    ("spec", "routeRef"),
    ("spec", "upstreamRef"),
    ("spec.service", "backendTimeout"),
    ("spec.service", "gatewayRefs"),
    ("spec.service", "mirror"),
    ("spec.service", "meshName"),
    ("spec.service", "backends"),
)
MATCHES = ("spec.service.match[]", "spec.analysis.match[]", "spec.analysis.steps[].match[]")
_FORMS = {"uri": "begin it with /", "method": "write it in upper case"}
_NOT_KEPT = "browsers keep no such cookie"
_WITHOUT_CEILING = {
    "stepWeights": "the last entry of stepWeights is the maximum; remove it",
    "iterations": "iterations have no weights; remove it",
    "steps": "steps say their weights themselves; remove it",
}


@dataclass(frozen=True, slots=True)
class Caution:
    """One warning: a CamelCase reason, and a sentence that names the object, the value and the cure."""

    reason: str
    message: str


def warnings(raw: Node) -> tuple[Caution, ...]:
    """Return what the Canary in `raw`, of which nothing is refused, asks for in vain."""
    return tuple(Caution(reason, sentence) for reason, finder in WARNINGS for sentence in finder(raw))


def ceiling_unused(raw: Node) -> Iterator[str]:
    """Find a maxWeight in a plan that has no use for one."""
    analysis = raw["spec"]["analysis"]
    for field, why in _WITHOUT_CEILING.items():
        if analysis.get(field) and analysis.get("maxWeight"):
            yield f"spec.analysis.maxWeight is {analysis['maxWeight']} and is ignored: {why}"


def mirror_unused(raw: Node) -> Iterator[str]:
    """Find a mirror that the plan does not use."""
    analysis = raw["spec"]["analysis"]
    if analysis.get("steps"):
        for field in ("mirror", "mirrorWeight"):
            if analysis.get(field):
                yield f"spec.analysis.{field} is {written(analysis[field])} and is ignored: steps says when to mirror"
    elif analysis.get("mirrorWeight") and not analysis.get("mirror"):
        yield f"spec.analysis.mirrorWeight is {analysis['mirrorWeight']} and is ignored: mirror is not true"


def queries_without_triggers(raw: Node) -> Iterator[str]:
    """Find queries of triggers for an autoscaler that has none."""
    scaler = raw["spec"].get("autoscalerRef") or {}
    if scaler.get("primaryScalerQueries") and scaler["kind"] != SCALED_OBJECT:
        yield f"spec.autoscalerRef.primaryScalerQueries is ignored: a {scaler['kind']} has no triggers; remove it"


def callers_unheeded(raw: Node) -> Iterator[str]:
    """Find conditions on who calls that Istio passes over: more requests meet them than they say."""
    for path, condition in (found for at in MATCHES for found in nodes(raw, at)):
        for field in ("sourceLabels", "sourceNamespace"):
            if condition.get("gateways") and condition.get(field):
                yield f"{path}.{field} is ignored: Istio heeds none beside gateways; remove one of the two"


def conditions_never_met(raw: Node) -> Iterator[str]:
    """Find conditions on texts that no request has: paths begin with a slash, methods are in upper case."""
    for path, condition in (found for at in MATCHES for found in nodes(raw, at)):
        for field, cure in _FORMS.items():
            texts = condition.get(field)
            for key in ("exact", "prefix"):
                text = texts.get(key) if isinstance(texts, Mapping) else None
                if isinstance(text, str) and not _can_begin(field, text):
                    yield f"{path}.{field}.{key} is {written(text)}, which no request meets: {cure}"


def _can_begin(field: str, text: str) -> bool:
    """Tell whether the path or method of some request can be a text, or begin with it."""
    return text == text.upper() if field == "method" else text == "*" or text.startswith("/")


def revert_asked(raw: Node) -> Iterator[str]:
    """Find the wish to revert on deletion."""
    if raw["spec"].get("revertOnDeletion"):
        yield "spec.revertOnDeletion is true and is ignored: deletion is always safe; remove it"


def window_too_short(raw: Node) -> Iterator[str]:
    """Find a window in which Prometheus may see no two samples."""
    for path, metric in nodes(raw, "spec.analysis.metrics[]"):
        inside = (metric.get("thresholdRange") or {}).get("interval")
        window = metric.get("interval") or inside
        if window and parse_duration(window).total_seconds() < SHORTEST_WINDOW_SECONDS:
            short = "a window shorter than twice the scrape interval has no rate; use 30s or more"
            yield f'{path}.interval is "{window}": {short}'


def check_without_limits(raw: Node) -> Iterator[str]:
    """Find a check that no value can fail."""
    for path, metric in nodes(raw, "spec.analysis.metrics[]"):
        bounds = metric.get("thresholdRange") or {}
        if bounds.get("min") is None and bounds.get("max") is None and not metric.get("threshold"):
            yield f"{path} ({metric['name']}) has neither min nor max: every value passes; give it a thresholdRange"


def check_fields_unused(raw: Node) -> Iterator[str]:
    """Find fields of checks that what the check asks has no use for."""
    for path, metric in nodes(raw, "spec.analysis.metrics[]"):
        if metric.get("templateRef") and metric.get("query"):
            yield f"{path}.query is ignored: the MetricTemplate of templateRef says what to ask; remove one of them"
        if not (metric.get("templateRef") or metric.get("query")):
            continue
        if metric.get("minSamples", 1) > 1:
            yield f"{path}.minSamples is {metric['minSamples']} and is ignored: a custom check has no count; remove it"
        if metric.get("reporter", "auto") != "auto":
            yield f'{path}.reporter is "{metric["reporter"]}" and is ignored: the query names its own; remove it'


def meant_for_others(raw: Node) -> Iterator[str]:
    """Find fields of other providers than Istio."""
    for at, field in FOREIGN:
        for path, node in nodes(raw, at):
            if node.get(field):
                yield f"{path}.{field} is ignored: it has no effect with Istio; remove it"


def sessions_unused(raw: Node) -> Iterator[str]:
    """Find cookies in a plan that gives the canary no weight."""
    analysis = raw["spec"]["analysis"]
    weighs = any(step.get("setWeight") for step in analysis.get("steps") or ())
    if analysis.get("sessionAffinity") and not (analysis.get("stepWeight") or analysis.get("stepWeights") or weighs):
        yield "spec.analysis.sessionAffinity is ignored: the plan gives the canary no weight; remove it"


def cookie_browsers_refuse(raw: Node) -> Iterator[str]:
    """Find cookies that browsers do not keep, so that their callers would be drawn at each request."""
    for path, affinity in nodes(raw, "spec.analysis.sessionAffinity"):
        for field, asked in (("sameSite", affinity.get("sameSite") == "None"), ("partitioned", True)):
            given = affinity.get(field) if asked else None
            if given and not affinity.get("secure"):
                yield f"{path}.{field} is {written(given)} without secure: {_NOT_KEPT}; set secure"
        yield from _prefixed_cookies(path, affinity)


def _prefixed_cookies(path: str, affinity: Node) -> Iterator[str]:
    """Find cookies whose names promise what their attributes do not keep."""
    for field in ("cookieName", "primaryCookieName"):
        name = (affinity.get(field) or "").lower()
        said = f"{path}.{field} is {written(affinity.get(field))}"
        if name.startswith(("__secure-", "__host-")) and not affinity.get("secure"):
            yield f"{said} without secure: {_NOT_KEPT}; set secure"
        for other, harmless in (("domain", ""), ("path", "/")):
            if name.startswith("__host-") and affinity.get(other) not in (None, "", harmless):
                yield f"{said} beside {other} {written(affinity[other])}: {_NOT_KEPT}; remove {other}"


WARNINGS: tuple[tuple[str, Callable[[Node], Iterator[str]]], ...] = (
    ("FieldIgnored", ceiling_unused),
    ("FieldIgnored", mirror_unused),
    ("FieldIgnored", queries_without_triggers),
    ("FieldIgnored", callers_unheeded),
    ("ConditionNeverMet", conditions_never_met),
    ("FieldIgnored", revert_asked),
    ("FieldIgnored", sessions_unused),
    ("FieldIgnored", check_fields_unused),
    ("FieldIgnored", meant_for_others),
    ("CookieNotKept", cookie_browsers_refuse),
    ("WindowTooShort", window_too_short),
    ("CheckWithoutLimits", check_without_limits),
)
"""Each finder with the reason it is told under."""
