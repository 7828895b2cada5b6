"""What is wrong with a Canary, in the words the API server uses for it too."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from canary.api.canary import Canary, CanarySpec
from canary.api.duration import parse_duration
from canary.api.rules import Node, Refusal, broken, nodes, written
from canary.api.structural import ILL_FORMED, TOO_LARGE, TOO_SMALL, Schema, structural
from canary.api.unsupported import UNSUPPORTED
from canary.api.wire import PRESERVE
from canary.api.wrong import WRONG

__all__ = ["Refusal", "refusals", "warnings"]

TYPES = {
    "int": "integer",
    "float": "number",
    "finite_number": "finite number",
    "bool": "boolean",
    "string": "string",
    "tuple": "array",
    "list": "array",
    "dict": "object",
    "model": "object",
    "model_attributes": "object",
}
# As in the API server: with one of these nothing else is looked at.
NOT_BLOCKING = frozenset({"greater_than_equal", "less_than_equal", "form", "literal_error"})
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


def refusals(raw: Node) -> tuple[Refusal, ...]:
    """Return what makes the Canary in `raw` unusable, nothing when it can be run."""
    errors = _errors(raw)
    found = [_translated(error) for error in errors]
    if any(error["type"] not in NOT_BLOCKING for error in errors):
        return tuple(found)
    for rule in (*WRONG, *UNSUPPORTED):
        found.extend(broken(rule, raw))
    found.extend(_unknown(raw["spec"], _spec_schema(), "spec"))
    return tuple(found)


def warnings(raw: Node) -> tuple[str, ...]:
    """Return what a Canary that can be run asks for in vain."""
    if refusals(raw):
        return ()
    return tuple(sentence for finder in WARNINGS for sentence in finder(raw))


def ceiling_beside_weights(raw: Node) -> Iterator[str]:
    """Find a maxWeight that stepWeights overrule."""
    analysis = raw["spec"]["analysis"]
    if analysis.get("stepWeights") and analysis.get("maxWeight"):
        yield (
            f"spec.analysis.maxWeight is {analysis['maxWeight']} and is ignored: "
            "the last entry of stepWeights is the maximum"
        )


def mirror_unused(raw: Node) -> Iterator[str]:
    """Find a mirror that the plan does not use."""
    analysis = raw["spec"]["analysis"]
    if analysis.get("steps"):
        for field in ("mirror", "mirrorWeight"):
            if analysis.get(field):
                yield f"spec.analysis.{field} is {written(analysis[field])} and is ignored: steps says when to mirror"
    elif analysis.get("mirrorWeight") and not analysis.get("mirror"):
        yield f"spec.analysis.mirrorWeight is {analysis['mirrorWeight']} and is ignored: mirror is not true"


def revert_asked(raw: Node) -> Iterator[str]:
    """Find the wish to revert on deletion."""
    if raw["spec"].get("revertOnDeletion"):
        yield "spec.revertOnDeletion is true and is ignored: deletion is always safe"


def window_too_short(raw: Node) -> Iterator[str]:
    """Find a window in which Prometheus may see no two samples."""
    for path, metric in nodes(raw, "spec.analysis.metrics[]"):
        inside = (metric.get("thresholdRange") or {}).get("interval")
        window = metric.get("interval") or inside
        if window and parse_duration(window).total_seconds() < SHORTEST_WINDOW_SECONDS:
            yield (f'{path}.interval is "{window}": a window shorter than twice the scrape interval has no rate')


def check_without_limits(raw: Node) -> Iterator[str]:
    """Find a check that no value can fail."""
    for path, metric in nodes(raw, "spec.analysis.metrics[]"):
        bounds = metric.get("thresholdRange") or {}
        if bounds.get("min") is None and bounds.get("max") is None and not metric.get("threshold"):
            yield f"{path} ({metric['name']}) has neither min nor max: every value passes"


def meant_for_others(raw: Node) -> Iterator[str]:
    """Find fields of other providers than Istio."""
    for at, field in FOREIGN:
        for path, node in nodes(raw, at):
            if node.get(field):
                yield f"{path}.{field} is ignored: it has no effect with Istio"


def sessions_unused(raw: Node) -> Iterator[str]:
    """Find cookies in a plan that gives the canary no weight."""
    analysis = raw["spec"]["analysis"]
    weighs = any(step.get("setWeight") for step in analysis.get("steps") or ())
    if analysis.get("sessionAffinity") and not (analysis.get("stepWeight") or analysis.get("stepWeights") or weighs):
        yield "spec.analysis.sessionAffinity is ignored: the plan gives the canary no weight"


def cookie_browsers_refuse(raw: Node) -> Iterator[str]:
    """Find cookies that browsers do not keep, so that their callers would be drawn at each request."""
    for path, affinity in nodes(raw, "spec.analysis.sessionAffinity"):
        for field, asked in (("sameSite", affinity.get("sameSite") == "None"), ("partitioned", True)):
            given = affinity.get(field) if asked else None
            if given and not affinity.get("secure"):
                yield f"{path}.{field} is {written(given)} without secure: browsers keep no such cookie; set secure"


WARNINGS: tuple[Callable[[Node], Iterator[str]], ...] = (
    ceiling_beside_weights,
    mirror_unused,
    revert_asked,
    window_too_short,
    check_without_limits,
    sessions_unused,
    cookie_browsers_refuse,
    meant_for_others,
)


def _errors(raw: Node) -> list[ErrorDetails]:
    try:
        Canary.model_validate({key: value for key, value in raw.items() if key != "status"})
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def _translated(error: ErrorDetails) -> Refusal:
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).removeprefix(".")
    path = re.sub(r"\[\d+\]", "[]", field)
    given = error["input"]
    return Refusal(field, given, _sentence(error, path).replace("{value}", written(given)))


def _sentence(error: ErrorDetails, path: str) -> str:
    limits: dict[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "missing":
            return f"{path} is required"
        case "greater_than_equal":
            return _filled(TOO_SMALL, path=path, limit=limits["ge"])
        case "less_than_equal":
            return _filled(TOO_LARGE, path=path, limit=limits["le"])
        case "form":
            return _filled(ILL_FORMED, path=path, words=error["msg"])
        case "literal_error":
            wanted = limits["expected"].replace("'", '"').replace(" or ", ", ")
            return f"{path} is {{value}}; supported values: {wanted}"
        case "string_too_short":
            return f"{path} is empty; it must be given"
        case "string_too_long" | "too_long":
            return f"{path} is too long; it may hold at most {limits['max_length']}"
        case kind:
            wanted = TYPES.get(kind.removesuffix("_type").removesuffix("_from_float"), "")
            return f"{path} is {{value}}; it must be of type {wanted}" if wanted else error["msg"]


def _filled(template: str, **words: object) -> str:
    return template.format(**words)


@cache
def _spec_schema() -> Schema:
    return structural(CanarySpec, "spec")


def _unknown(raw: object, schema: Schema, path: str) -> Iterator[Refusal]:
    if isinstance(raw, Mapping) and "properties" in schema and not schema.get(PRESERVE):
        for name, value in raw.items():
            if name in schema["properties"]:
                yield from _unknown(value, schema["properties"][name], f"{path}.{name}")
            else:
                yield Refusal(f"{path}.{name}", value, f'unknown field "{path}.{name}"')
    elif isinstance(raw, Mapping) and "additionalProperties" in schema:
        for name, value in raw.items():
            yield from _unknown(value, schema["additionalProperties"], f"{path}.{name}")
    elif isinstance(raw, list | tuple) and "items" in schema:
        for index, entry in enumerate(raw):
            yield from _unknown(entry, schema["items"], f"{path}[{index}]")
