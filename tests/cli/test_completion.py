"""`canary completion`: what bash makes of the script."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from canary.cli import COMMANDS, main
from canary.cli.completion import script


def completed(folder: Path, *words: str) -> set[str]:
    """Return what bash offers for the last of these words."""
    asked = " ".join(f"'{word}'" for word in words)
    code = f'{script()}\nCOMP_WORDS=({asked}); COMP_CWORD={len(words) - 1}; _canary; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    return set(done.stdout.split())


def test_commands_are_completed(tmp_path: Path) -> None:
    """The first word is a command."""
    assert completed(tmp_path, "canary", "") == set(COMMANDS)
    assert completed(tmp_path, "canary", "re") == {"resume", "retry", "reject"}


def test_options_are_those_of_the_command(tmp_path: Path) -> None:
    """After a dash the options of that command are offered."""
    assert completed(tmp_path, "canary", "approve", "x", "--") >= {"--gate", "--revision", "--timeout", "--context"}
    assert completed(tmp_path, "canary", "pause", "x", "--g") == set()
    assert completed(tmp_path, "canary", "wait", "x", "--f") == {"--for"}


def test_files_are_completed(tmp_path: Path) -> None:
    """What is no option may be a file."""
    (tmp_path / "canary.yaml").touch()
    assert completed(tmp_path, "canary", "lint", "can") == {"canary.yaml"}


def test_zsh_reads_the_same_script(capsys: pytest.CaptureFixture[str]) -> None:
    """Its own way to read scripts for bash comes first."""
    assert main(["completion", "zsh"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("autoload -U +X bashcompinit && bashcompinit\n")
    assert out.endswith(script())
