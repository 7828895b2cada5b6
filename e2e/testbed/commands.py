"""Run commands to their end."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from e2e.testbed.errors import TestbedError

COMMAND_SECONDS = 180


class CommandError(TestbedError):
    """Report a command that failed, with what it said."""


def run_command(command: Sequence[str], *, stdin: str | None = None, check: bool = True) -> str:
    """Run a command and return its output; raise CommandError when it fails and `check` is set."""
    answer = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=COMMAND_SECONDS)
    if check and answer.returncode != 0:
        said = (answer.stderr.strip() or answer.stdout.strip())[-2000:]
        shown = " ".join([Path(command[0]).name, *command[1:]])
        raise CommandError(f"{shown}: exit {answer.returncode}: {said}")
    return answer.stdout
