"""Turn a pydantic JSON schema into a structural schema as CustomResourceDefinitions want it."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from canary.api.rules import cel_message, quoted, written
from canary.api.wire import FORM_RULE, INT_OR_STRING, PRESERVE

Schema = dict[str, Any]

VALIDATIONS = "x-kubernetes-validations"
DROPPED = frozenset({"title", "default", "examples", "deprecated", "readOnly", "const", FORM_RULE})
KEPT = frozenset(
    {
        "description",
        "enum",
        "format",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minLength",
        "minimum",
        "pattern",
        "required",
        "type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-list-type",
        INT_OR_STRING,
        PRESERVE,
        VALIDATIONS,
    }
)
TOO_SMALL = "{path} is {{value}}; it must be at least {limit}"
TOO_LARGE = "{path} is {{value}}; it must be at most {limit}"
ILL_FORMED = "{path} is {{value}}; it must be {words}"


def structural(model: type[BaseModel], path: str) -> Schema:
    """Return the structural schema of `model`, whose sentences call it `path`."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _converted(schema, schema.get("$defs", {}), path, ())


def _converted(schema: Schema, models: Schema, path: str, parents: tuple[str, ...]) -> Schema:
    schema, parents = _inlined(schema, models, parents)
    made: Schema = {}
    for key, value in schema.items():
        if key in KEPT:
            made[key] = value
        elif key == "properties":
            made[key] = {
                name: _converted(part, models, f"{path}.{name}".removeprefix("."), parents)
                for name, part in value.items()
            }
        elif key == "items":
            made[key] = _converted(value, models, f"{path}[]", parents)
        elif key == "additionalProperties":
            if isinstance(value, Mapping):
                made[key] = _converted(dict(value), models, f"{path}.*", parents)
            elif "properties" not in schema:
                made[PRESERVE] = True
        elif key not in DROPPED | {"$defs"}:
            raise ValueError(f"{path}: {key} has no place in a structural schema")
    default = schema.get("default")
    if isinstance(default, str | int | float) and default:
        made["description"] = f"{made['description']} Default: {written(default)}."
    return _with_sentences(made, schema, path)


def _inlined(schema: Schema, models: Schema, parents: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
    """Return `schema` without null and references; ValueError when a model contains itself."""
    while "$ref" in schema or "anyOf" in schema:
        if "anyOf" in schema:
            kinds = [kind for kind in schema["anyOf"] if kind != {"type": "null"}]
            if len(kinds) != 1:
                raise ValueError(f"a union of {kinds} has no structural schema")
            rest = {key: value for key, value in schema.items() if key != "anyOf"}
            schema = kinds[0] | rest
        else:
            name = schema["$ref"].rsplit("/", 1)[1]
            if name in parents:
                raise ValueError(f"{name} contains itself")
            parents = (*parents, name)
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            schema = models[name] | rest
    return schema, parents


def _with_sentences(made: Schema, schema: Schema, path: str) -> Schema:
    """Say limits and forms of spec fields in CEL, so that the API server answers with our words."""
    if not path.startswith("spec"):
        return made
    found = []
    if "minimum" in made:
        limit = made.pop("minimum")
        words = TOO_SMALL.format(path=path, limit=limit)
        found.append({"rule": f"self >= {limit}", **cel_message(words, "self")})
    if "maximum" in made:
        limit = made.pop("maximum")
        words = TOO_LARGE.format(path=path, limit=limit)
        found.append({"rule": f"self <= {limit}", **cel_message(words, "self")})
    if FORM_RULE in schema:
        form = schema[FORM_RULE]
        words = ILL_FORMED.format(path=path, words=form["words"])
        shown = _SHOWN_PORT if INT_OR_STRING in made else quoted("self")
        found.append({"rule": form["rule"], **cel_message(words, shown)})
    return made | {VALIDATIONS: found} if found else made


_SHOWN_PORT = f"(type(self) == int ? string(self) : {quoted('self')})"
