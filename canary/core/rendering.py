"""Put values into the query of a custom check so that none of them can say more than a value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Protocol
from urllib.parse import quote

from canary.api.metric_template import Language
from canary.api.query import Placeholder, parts

PRIMARY = "-primary"
"""What Flagger's users write behind `{{ target }}` to speak of the primary."""
SHOWN = 80
_BARE = re.compile(r"[A-Za-z0-9_:.,+-]*")
"""What may stand outside of quotes: numbers, durations, names and lists of names."""


class RenderError(Exception):
    """A value cannot be put into a query; the text says which, why, and what would be right."""


class _Language(Protocol):
    """What a query is written in: follows its text, and writes values as their place asks."""

    def follow(self, text: str) -> None: ...

    def write(self, name: str, value: str) -> str: ...


def rendered(text: str, values: Mapping[str, str], language: Language) -> str:
    """Return a query with its values put in, each escaped as its place asks; raise RenderError."""
    writer: _Language = _PromQL() if language == "promql" else _Url()
    return "".join(_pieces(text, values, writer))


def _pieces(text: str, values: Mapping[str, str], writer: _Language) -> Iterator[str]:
    for piece, follower in pairwise((*parts(text), "")):
        if isinstance(piece, Placeholder):
            yield writer.write(piece.name, _value(piece.name, str(follower), values))
        else:
            writer.follow(piece)
            yield piece


def _value(name: str, follower: str, values: Mapping[str, str]) -> str:
    if name == "target" and re.match(f"{PRIMARY}(?![a-z0-9-])", follower):
        return values["target-primary"].removesuffix(PRIMARY)
    if name not in values:
        key = name.removeprefix("variables.")
        raise RenderError(f"its query names {name}, which nobody gave; add {key} to templateVariables")
    return values[name]


class _PromQL:
    """Text between quotes takes any value, escaped; elsewhere only what cannot be mistaken for PromQL."""

    def __init__(self) -> None:
        self._quote = ""

    def follow(self, text: str) -> None:
        """Note in which quotes, or comment, a text ends."""
        rest = iter(text)
        for letter in rest:
            if self._quote == "":
                self._quote = letter if letter in "\"'`#" else ""
            elif letter == "\\" and self._quote in "\"'":
                next(rest, None)
            elif letter in ("\r\n" if self._quote == "#" else self._quote):
                self._quote = ""

    def write(self, name: str, value: str) -> str:
        """Return a value as it must be written here."""
        if self._quote in ('"', "'"):
            escaped = value.replace("\\", "\\\\").replace(self._quote, f"\\{self._quote}")
            return escaped.replace("\n", "\\n")
        if self._quote == "`" and "`" not in value:
            return value
        if self._quote == "`" or not _BARE.fullmatch(value):
            place = "between backticks" if self._quote == "`" else "outside of quotes"
            given = json.dumps(value[:SHOWN], ensure_ascii=False)
            raise RenderError(
                f"{name} is {given}, which its query names {place}, where it would be read as PromQL; "
                "name it between double quotes, or give it a plain value"
            )
        return value


class _Url:
    """Any value is one part of a path or a query."""

    def follow(self, text: str) -> None:
        """Take no notice."""

    def write(self, name: str, value: str) -> str:
        """Return a value percent-encoded."""
        return quote(value, safe="")
