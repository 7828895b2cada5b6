"""Read Canaries from YAML, with the line that each field is written at."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from canary.api.groups import FLAGGER, NATIVE
from canary.cli.exits import Exit, Stopped

KNOWN = {(group.api_version, group.kind) for group in (NATIVE, FLAGGER)}
_PART = re.compile(r"[^.\[\]]+")


@dataclass(frozen=True, slots=True)
class Document:
    """One Canary of a file."""

    file: str
    content: dict[str, Any]
    node: yaml.Node

    def line_of(self, field: str) -> int:
        """Return the line of a field such as ``spec.analysis.metrics[0].name``; of what holds it when it is missing."""
        node, line = self.node, self.node.start_mark.line
        for part in _PART.findall(field):
            found = _below(node, part)
            if found is None:
                break
            line, node = found
        return line + 1


def read_canaries(files: Sequence[str]) -> Iterator[Document]:
    """Yield the Canaries in files; it is wrong usage when there is none in any."""
    some = False
    for file in files:
        for one in _read(file):
            some = True
            yield one
    if not some:
        known = " or ".join(sorted(api for api, _ in KNOWN))
        raise Stopped(f"{', '.join(files)}: no Canary found, needed is one of {known}", Exit.USAGE)


def _read(file: str) -> Iterator[Document]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        documents = list(_documents(text))
    except OSError as fault:
        raise Stopped(f"{file}: {fault.strerror or fault}", Exit.USAGE) from None
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise Stopped(f"{file} is not YAML: {' '.join(str(fault).split())}", Exit.USAGE) from None
    for node, content in documents:
        yield from _canaries(file, node, content)


def _documents(text: str) -> Iterator[tuple[yaml.Node, Any]]:
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_node():
            if (node := loader.get_node()) is not None:
                yield node, loader.construct_document(node)
    finally:
        loader.dispose()


def _canaries(file: str, node: yaml.Node, content: Any) -> Iterator[Document]:
    """Yield what is a Canary, inside Lists too."""
    if not isinstance(content, dict):
        return
    if (content.get("apiVersion"), content.get("kind")) in KNOWN:
        yield Document(file, content, node)
    elif content.get("kind") == "List" and isinstance(content.get("items"), list):
        items = _below(node, "items")
        if items is not None and isinstance(items[1], yaml.SequenceNode):
            for entry, one in zip(items[1].value, content["items"], strict=True):
                yield from _canaries(file, entry, one)


def _below(node: yaml.Node, part: str) -> tuple[int, yaml.Node] | None:
    """Return the line and the value of a key or an index, None when it is not there."""
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark.line, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        entry = node.value[int(part)]
        return entry.start_mark.line, entry
    return None
