"""Read Canaries, MetricTemplates and AlertProviders from YAML, with the line that each field is written at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from canary.api.groups import FLAGGER, FLAGGER_PROVIDER, FLAGGER_TEMPLATE, NATIVE, NATIVE_PROVIDER, NATIVE_TEMPLATE
from canary.cli.exits import Exit, Stopped
from canary.yaml_files import UnreadableError, read_yaml

CANARIES = {(group.api_version, group.kind) for group in (NATIVE, FLAGGER)}
TEMPLATES = {(group.api_version, group.kind) for group in (NATIVE_TEMPLATE, FLAGGER_TEMPLATE)}
PROVIDERS = {(group.api_version, group.kind) for group in (NATIVE_PROVIDER, FLAGGER_PROVIDER)}
_PART = re.compile(r"[^.\[\]]+")


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file."""

    file: str
    content: dict[str, Any]
    node: yaml.Node

    @property
    def is_canary(self) -> bool:
        """Return whether it is a Canary of either group."""
        return self._type in CANARIES

    @property
    def is_template(self) -> bool:
        """Return whether it is a MetricTemplate of either group."""
        return self._type in TEMPLATES

    @property
    def is_provider(self) -> bool:
        """Return whether it is an AlertProvider of either group."""
        return self._type in PROVIDERS

    @property
    def is_served(self) -> bool:
        """Return whether it is of a kind that the controller reads."""
        return self.is_canary or self.is_template or self.is_provider

    @property
    def _type(self) -> tuple[str, str]:
        return str(self.content.get("apiVersion")), str(self.content.get("kind"))

    def line_of(self, field: str) -> int:
        """Return the line of a field such as ``spec.analysis.metrics[0].name``; of what holds it when it is missing."""
        node, line = self.node, self.node.start_mark.line
        for part in _PART.findall(field):
            found = _below(node, part)
            if found is None:
                break
            line, node = found
        return line + 1


@dataclass(frozen=True, slots=True)
class Manifest:
    """One file: its text, and the objects in it in their order."""

    text: str
    documents: tuple[Document, ...]

    @property
    def served(self) -> tuple[Document, ...]:
        """Return the Canaries, MetricTemplates and AlertProviders."""
        return tuple(one for one in self.documents if one.is_served)

    @property
    def others(self) -> tuple[Document, ...]:
        """Return all other objects."""
        return tuple(one for one in self.documents if not one.is_served)


def read_served(files: Sequence[str]) -> list[Document]:
    """Return the Canaries, MetricTemplates and AlertProviders in files; it is wrong usage when there is none in any."""
    return _some(files, [one for file in files for one in read_manifest(file).served])


def read_canaries(files: Sequence[str]) -> list[Document]:
    """Return the Canaries in files; it is wrong usage when there is none in any."""
    return _some(files, [one for file in files for one in read_manifest(file).served if one.is_canary])


def _some(files: Sequence[str], found: list[Document]) -> list[Document]:
    if not found:
        known = " or ".join(sorted(api for api, _ in CANARIES))
        raise Stopped(f"{', '.join(files)}: no Canary found, needed is one of {known}", Exit.USAGE)
    return found


def read_manifest(file: str) -> Manifest:
    """Return what a file holds, ``-`` being stdin."""
    try:
        found = read_yaml(file)
    except UnreadableError as fault:
        raise Stopped(str(fault), Exit.USAGE) from None
    return Manifest(found.text, tuple(one for pair in found.documents for one in _objects(file, *pair)))


def value_of(node: yaml.Node, key: str) -> yaml.Node | None:
    """Return the value of a key as it is written, None when it is not there."""
    found = _below(node, key)
    return found[1] if found is not None else None


def _objects(file: str, node: yaml.Node, content: Any) -> Iterator[Document]:
    """Yield the objects of a document, those of a List one by one."""
    if not isinstance(content, dict):
        return
    items = value_of(node, "items") if content.get("kind") == "List" else None
    if not isinstance(items, yaml.SequenceNode):
        yield Document(file, content, node)
        return
    for entry, one in zip(items.value, content["items"], strict=True):
        yield from _objects(file, entry, one)


def _below(node: yaml.Node, part: str) -> tuple[int, yaml.Node] | None:
    """Return the line and the value of a key or an index, None when it is not there."""
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark.line, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        entry = node.value[int(part)]
        return entry.start_mark.line, entry
    return None
