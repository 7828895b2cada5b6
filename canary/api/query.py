"""Queries of custom checks: Flagger's template forms, which substitute values and run no code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from canary.api.rules import NOTHING, Node, Rule, Unquoted

VALUES = ("name", "namespace", "target", "primary", "canary", "service", "ingress", "route", "interval")
"""What every query may name; beside them `variables.KEY`."""
_BLANK = "[ \\t\\r\\n]"
_OPEN, _CLOSE = f"\\{{\\{{(?:-{_BLANK})?{_BLANK}*", f"{_BLANK}*(?:{_BLANK}-)?\\}}\\}}"
_KEY = "variables\\.[A-Za-z_][A-Za-z0-9_]*"
_FORM = f"{_OPEN}(?:{'|'.join(VALUES)}|{_KEY}){_CLOSE}"
_COMMENT = f"{_OPEN}/\\*(?:[^*]|\\*+[^*/])*\\*+/{_CLOSE}"
_SOUND = f"^(?:[^{{]|\\{{[^{{]|{_FORM}|{_COMMENT})*"
_WHOLE = f"{_SOUND}\\{{?$"
_WRONG = "^\\{\\{[^}]*\\}?\\}?"
_PART = re.compile(
    f"(?P<before>{_BLANK}*(?=\\{{\\{{-))?\\{{\\{{(?:-{_BLANK})?{_BLANK}*"
    f"(?:(?P<form>{'|'.join(VALUES)}|{_KEY})|/\\*(?:[^*]|\\*+[^*/])*\\*+/)"
    f"{_BLANK}*(?:{_BLANK}-\\}}\\}}{_BLANK}*|\\}}\\}})"
)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """Where a query wants a value: one of `VALUES`, or `variables.KEY`."""

    name: str


def parts(text: str) -> Iterator[str | Placeholder]:
    """Yield text and placeholders of a query in order; comments, and blanks at trim marks, are left out."""
    end = 0
    for found in _PART.finditer(text):
        yield text[end : found.start()]
        if found["form"]:
            yield Placeholder(found["form"])
        end = found.end()
    yield text[end:]


def wrong_form(node: Node) -> object:
    """Find the first thing in double braces that stands for no value, and where."""
    text = node.get("query") or ""
    if not isinstance(text, str) or re.fullmatch(_WHOLE, text):
        return NOTHING
    sound = re.match(_SOUND, text)
    before = sound.group() if sound else ""
    wrong = re.match(_WRONG, text[len(before) :])
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return Unquoted(f"{wrong.group() if wrong else ''} at line {line}, column {column}")


def form_rule(at: str) -> Rule:
    """Return the rule for the `query` of the node at a path."""
    sound = f"self.query.find({_cel(_SOUND)})"
    wrong = f"self.query.substring(size({sound})).find({_cel(_WRONG)})"
    line, column = f"size({sound}.split('\\n'))", f"size({sound}) - {sound}.lastIndexOf('\\n')"
    return Rule(
        at,
        "query",
        wrong_form,
        f"{at}.query has {{value}}, which stands for no value; known are {', '.join(VALUES)} and variables.KEY",
        f"!has(self.query) || self.query.matches({_cel(_WHOLE)})",
        f"'%s at line %d, column %d'.format([{wrong}, {line}, {column}])",
    )


def _cel(pattern: str) -> str:
    """Return a regular expression as a CEL string."""
    return "'" + pattern.replace("\\", "\\\\").replace("'", "\\'") + "'"
