"""Lines with `canary` on the pages are ones that it understands."""

from __future__ import annotations

import argparse
import shlex
from importlib import import_module

import pytest

from canary.cli import COMMANDS
from tests.test_docs import PYTHON, commands

CALLS = ("canary ", f"{PYTHON} -m canary ")


def typed() -> list[str]:
    """Return what follows `canary` in the shell blocks of all pages."""
    lines = [line.partition(" | ")[0] for line in commands()]
    return sorted({line.removeprefix(call) for line in lines for call in CALLS if line.startswith(call)})


@pytest.mark.parametrize("line", typed())
def test_line_is_understood(line: str) -> None:
    """The command is one of ours, and so are all of its options."""
    name, *words = shlex.split(line)
    parser = argparse.ArgumentParser(prog=f"canary {name}", exit_on_error=False)
    import_module(COMMANDS[name][0]).add_arguments(parser)
    parser.parse_args(words)


def test_pages_have_lines_of_every_kind() -> None:
    """The runbook's are among them."""
    assert {"abort", "status", "skip", "wait", "lint"} <= {line.split()[0] for line in typed()}
