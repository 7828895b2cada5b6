"""Read YAML files and stdin: each document with the node it was made of, which knows its lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class UnreadableError(ValueError):
    """A file cannot be read; the text is one line for the person who named it."""


@dataclass(frozen=True, slots=True)
class YamlFile:
    """What a file holds: its text, and its documents that are not empty."""

    text: str
    documents: tuple[tuple[yaml.Node, Any], ...]


def read_yaml(file: str) -> YamlFile:
    """Return what a file holds, ``-`` being stdin."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        return YamlFile(text, tuple(_documents(text)))
    except OSError as fault:
        raise UnreadableError(f"{file}: {fault.strerror or fault}") from None
    except (yaml.YAMLError, ValueError) as fault:
        raise UnreadableError(f"{file} is not YAML: {' '.join(str(fault).split())}") from None


def _documents(text: str) -> Iterator[tuple[yaml.Node, Any]]:
    loader = yaml.SafeLoader(text)
    try:
        while loader.check_node():
            if (node := loader.get_node()) is not None:
                yield node, loader.construct_document(node)
    finally:
        loader.dispose()
