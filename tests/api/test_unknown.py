"""Fields that a model does not have: found by its types wherever its schema finds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from canary.api.alert_provider import AlertProviderSpec
from canary.api.canary import CanarySpec
from canary.api.metric_template import MetricTemplateSpec
from canary.api.structural import Schema, structural
from canary.api.unknown import unknown_fields
from canary.api.wire import PRESERVE

ODD = "noSuchField"


def filled(schema: Schema) -> Any:
    """Return a value with every field of a schema, and an odd one in each object."""
    if "properties" in schema:
        return {name: filled(part) for name, part in schema["properties"].items()} | {ODD: 1}
    if "additionalProperties" in schema:
        return {"key": filled(schema["additionalProperties"])}
    if schema.get(PRESERVE):
        return {ODD: {ODD: 1}}
    return [filled(schema["items"])] if "items" in schema else 1


def odd(schema: Schema, path: str) -> Iterator[str]:
    """Yield where the API server would find the odd field unknown."""
    if schema.get(PRESERVE):
        return
    for name, part in schema.get("properties", {}).items():
        yield from odd(part, f"{path}.{name}")
    if "properties" in schema:
        yield f"{path}.{ODD}"
    if "additionalProperties" in schema:
        yield from odd(schema["additionalProperties"], f"{path}.key")
    if "items" in schema:
        yield from odd(schema["items"], f"{path}[0]")


@pytest.mark.parametrize("model", [CanarySpec, MetricTemplateSpec, AlertProviderSpec])
def test_unknown_fields_are_those_of_the_schema(model: type[BaseModel]) -> None:
    """What the types tell is what the API server says by the definition."""
    schema = structural(model, "spec")
    found = [path for path, _ in unknown_fields(filled(schema), model, "spec")]
    assert found == list(odd(schema, "spec"))
    assert len(found) > 1
