"""What the documents promise holds: targets, links, manifests, commands and the diagram."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.api.admission import refusals
from canary.api.status import Phase
from canary.core.advance import TRANSITIONS

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PYTHON = ".venv/bin/python"


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return the lines of the shell blocks on all pages."""
    return [line.strip() for page in PAGES for text in blocks(page, "sh") for line in text.splitlines() if line.strip()]


def simulations() -> list[str]:
    """Return the commands that simulate, those in running text among them."""
    inline = [found for page in PAGES for found in re.findall(r"`([^`\n]*canary simulate [^`\n]*)`", page.read_text())]
    return sorted({line for line in (*commands(), *inline) if " simulate " in line and "FILE" not in line})


def canaries() -> list[Any]:
    """Return the Canaries on all pages."""
    found = [obj for page in PAGES for text in blocks(page, "yaml") for obj in yaml.safe_load_all(text)]
    return [obj for obj in found if isinstance(obj, dict) and obj.get("kind") == "Canary"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `canary` as a person does."""
    command = [sys.executable, "-m", "canary", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_named_make_targets_exist(page: Path) -> None:
    """Every `make TARGET` on a page is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()
    lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
    named = {found for line in lines for found in re.findall(r"^make ([a-z][a-z0-9-]*)", line)}
    named |= set(re.findall(r"`make ([a-z][a-z0-9-]*)", text))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Every relative link leads to a file or folder that is there."""
    links = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL))
    relative = [link.split("#")[0] for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in relative if link and not (page.parent / link).exists()] == []


def test_canaries_on_pages_are_admitted() -> None:
    """Every Canary shown is one that works."""
    assert canaries()
    assert [refusals(one) for one in canaries()] == [()] * len(canaries())


@pytest.mark.parametrize("line", simulations())
def test_simulations_on_pages_run(line: str) -> None:
    """Every simulation shown ends well."""
    words = shlex.split(line)
    assert "simulate" in words
    done = run(*words[words.index("simulate") :])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_readme_shows_simulations() -> None:
    """There is at least one to try."""
    assert len(simulations()) >= 3


def test_commands_on_pages_use_the_environment_that_setup_makes() -> None:
    """Python is called from the virtual environment, and modules that are called exist."""
    modules = {found for line in commands() for found in re.findall(rf"{re.escape(PYTHON)} -m ([a-z0-9_.]+)", line)}
    ours = {name for name in modules if name.split(".")[0] in ("canary", "e2e")}
    missing = [name for name in ours if not _is_runnable(ROOT.joinpath(*name.split(".")))]
    assert missing == []


def _is_runnable(path: Path) -> bool:
    return (path / "__main__.py").exists() or path.with_suffix(".py").exists()


def test_run_lists_its_settings() -> None:
    """`canary run --help` works and names the flags of the README."""
    done = run("run", "--help")
    assert done.returncode == 0, done.stderr
    assert "--metrics-server" in done.stdout
    assert "--flagger-compat" in done.stdout


def test_files_named_in_commands_exist() -> None:
    """Manifests and CRDs that commands name are there."""
    named = {word for line in commands() for word in line.split() if re.fullmatch(r"[\w./-]+/[\w.-]+\.(yaml|py)", word)}
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_diagram_shows_the_transitions() -> None:
    """The arrows of docs/concepts.md are those of the code."""
    (diagram,) = blocks(ROOT / "docs/concepts.md", "mermaid")
    arrows = re.findall(r"^\s*(\[\*\]|\w+) --> (\w+)", diagram, re.MULTILINE)
    shown = {("" if start == "[*]" else start, end) for start, end in arrows}
    known = {(phase.value, end.value) for phase, (_, ends) in TRANSITIONS.items() for end in ends}
    # An arrow from a phase to itself tells of steps, not of a transition.
    assert {(start, end) for start, end in shown if start != end} == known
    assert {end for _, end in shown} <= {phase.value for phase in Phase}
