"""What is wrong with a Canary, a MetricTemplate or an AlertProvider, in the words the API server uses for it too."""

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from canary.api.alert_provider import PROVIDER_RULES, AlertProvider, AlertProviderSpec
from canary.api.canary import Canary, CanarySpec
from canary.api.metric_template import TEMPLATE_RULES, MetricTemplate, MetricTemplateSpec
from canary.api.rules import Node, Refusal, Rule, broken, written
from canary.api.structural import ILL_FORMED, TOO_LARGE, TOO_SMALL
from canary.api.unknown import unknown_fields
from canary.api.unsupported import UNSUPPORTED
from canary.api.wire import without_nulls
from canary.api.wrong import WRONG

__all__ = ["Refusal", "in_words", "provider_refusals", "refusals", "template_refusals"]

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


def refusals(raw: Node) -> tuple[Refusal, ...]:
    """Return what makes the Canary in `raw` unusable, nothing when it can be run."""
    return _found(raw, Canary, CanarySpec, (*WRONG, *UNSUPPORTED))


def template_refusals(raw: Node) -> tuple[Refusal, ...]:
    """Return what makes the MetricTemplate in `raw` unusable, nothing when it can be asked."""
    return _found(raw, MetricTemplate, MetricTemplateSpec, TEMPLATE_RULES)


def provider_refusals(raw: Node) -> tuple[Refusal, ...]:
    """Return what makes the AlertProvider in `raw` unusable, nothing when alerts can be sent by it."""
    return _found(raw, AlertProvider, AlertProviderSpec, PROVIDER_RULES)


def _found(raw: Node, model: type[BaseModel], spec: type[BaseModel], rules: Iterable[Rule]) -> tuple[Refusal, ...]:
    raw = without_nulls(raw)
    errors = _errors(raw, model)
    found = [in_words(error) for error in errors]
    if any(error["type"] not in NOT_BLOCKING for error in errors):
        return tuple(found)
    for rule in rules:
        found.extend(broken(rule, raw))
    for path, value in unknown_fields(raw["spec"], spec, "spec"):
        found.append(Refusal(path, value, f'unknown field "{path}"'))
    return tuple(found)


def _errors(raw: Node, model: type[BaseModel]) -> list[ErrorDetails]:
    try:
        model.model_validate({key: value for key, value in raw.items() if key != "status"})
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


def in_words(error: ErrorDetails) -> Refusal:
    """Return what a model refused in the API server's words."""
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
