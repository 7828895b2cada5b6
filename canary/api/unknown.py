"""Which fields a manifest gives that its model does not have.

Read off the types of the model: its JSON schema says the same, but takes a third of the time `canary lint` has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel


def unknown_fields(raw: object, model: object, path: str) -> Iterator[tuple[str, object]]:
    """Yield each field with its path and value that `model`, a model or the type of a field, does not have."""
    kind, part = _form(model)
    if kind is BaseModel and isinstance(raw, Mapping):
        known = _fields(part)
        for name, value in raw.items():
            if name in known:
                yield from unknown_fields(value, known[name], f"{path}.{name}")
            else:
                yield f"{path}.{name}", value
    elif kind is dict and isinstance(raw, Mapping):
        for name, value in raw.items():
            yield from unknown_fields(value, part, f"{path}.{name}")
    elif kind is tuple and isinstance(raw, list | tuple):
        for number, value in enumerate(raw):
            yield from unknown_fields(value, part, f"{path}[{number}]")


def _form(model: Any) -> tuple[type | None, Any]:
    """Return what a type holds: BaseModel, dict or tuple with what is inside, None when nothing is told of that."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        return (None, None) if model.model_config.get("extra") == "allow" else (BaseModel, model)
    origin, inside = get_origin(model), get_args(model)
    if origin is Annotated:
        return _form(inside[0])
    if origin is tuple:
        return tuple, inside[0]
    if origin is dict:
        return dict, inside[1]
    written = [one for one in inside if one is not NoneType]
    return _form(written[0]) if NoneType in inside and len(written) == 1 else (None, None)


@cache
def _fields(model: type[BaseModel]) -> Mapping[str, Any]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}
