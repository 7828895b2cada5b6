"""What one admission rule is: a finder for us, a CEL expression for the API server, one sentence for both."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Node = Mapping[str, Any]


class Nothing:
    """Mark that a finder found nothing wrong."""


NOTHING: Final = Nothing()


class Unquoted(str):
    """Mark text that a sentence shows without quotes."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing wrong with a Canary."""

    field: str
    value: object
    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Rule:
    """Refuse what `find` returns, and what makes `cel` false.

    `at` is the node both look at (`metrics[]`: each entry of a list, `headers.*`: each value of a map),
    `field` the field below it that is blamed, `message` a template whose `{value}` is the value found,
    or `cel_value` in CEL.
    The API server does not look again at fields that did not change; a rule at the root must be
    `create_only`, or it would refuse the status of a stored Canary.
    """

    at: str
    field: str
    find: Callable[[Node], object]
    message: str
    cel: str
    cel_value: str = ""
    forbidden: bool = False
    create_only: bool = False

    @property
    def path(self) -> str:
        """Return the path of the blamed field."""
        return ".".join(part for part in (self.at, self.field) if part)

    @property
    def validation(self) -> dict[str, object]:
        """Return the rule as an entry of x-kubernetes-validations."""
        entry: dict[str, object] = {"rule": self.cel, **cel_message(self.message, self.cel_value)}
        if self.at and self.field:
            entry["fieldPath"] = f".{self.field}"
        if self.forbidden:
            entry["reason"] = "FieldValueForbidden"
        if self.create_only:
            entry["optionalOldSelf"] = True
        return entry


def cel_message(template: str, value: str) -> dict[str, str]:
    """Return `template` as a CEL message, an expression when it speaks of a value."""
    if "{value}" not in template:
        return {"message": template}
    # format() has a bounded cost for the API server, + of an unbounded text has not.
    quotable = template.replace("%", "%%").replace("\\", "\\\\").replace("'", "\\'")
    return {"messageExpression": f"'{quotable.replace('{value}', '%s')}'.format([{value}])"}


def quoted(expression: str) -> str:
    """Return a CEL expression of the text `expression` in double quotes."""
    return f"'\"%s\"'.format([{expression}])"


def written(value: object) -> str:
    """Return `value` as a sentence shows it, strings in double quotes."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Unquoted():
            return str(value)
        case str():
            return f'"{value}"'
        case float():
            return f"{value:g}"
        case list() | tuple():
            return "[" + ", ".join(written(one) for one in value) + "]"
        case _:
            return str(value)


def nodes(raw: Node, at: str) -> Iterator[tuple[str, Node]]:
    """Yield each node of `raw` that the path `at` names, with its exact path."""
    found: list[tuple[str, object]] = [("", raw)]
    for part in filter(None, at.split(".")):
        found = [below for path, node in found for below in _below(path, node, part)]
    yield from ((path, node) for path, node in found if isinstance(node, Mapping))


def _below(path: str, node: object, part: str) -> Iterator[tuple[str, object]]:
    if not isinstance(node, Mapping):
        return
    if part == "*":
        yield from ((f"{path}.{key}", value) for key, value in node.items())
        return
    name = part.removesuffix("[]")
    path, value = f"{path}.{name}".removeprefix("."), node.get(name)
    if name == part:
        yield path, value
    elif isinstance(value, list | tuple):
        yield from ((f"{path}[{index}]", entry) for index, entry in enumerate(value))


def broken(rule: Rule, raw: Node) -> Iterator[Refusal]:
    """Yield a refusal for each node of `raw` that breaks `rule`."""
    for path, node in nodes(raw, rule.at):
        value = rule.find(node)
        if value is not NOTHING:
            field = ".".join(part for part in (path, rule.field) if part)
            yield Refusal(field, value, rule.message.replace("{value}", written(value)))
