"""The shape of the code: what import contracts cannot say."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

from canary.api.status import Phase
from canary.core.advance import TRANSITIONS

ROOT = Path(__file__).parent.parent
LONGEST_FILE = 300
LONGEST_TEST_FILE = 500
LONGEST_FUNCTION = 40
VAGUE_NAMES = {"utils", "helpers", "common", "manager", "base", "misc"}
FLAGGERS_OWN = {Phase.TERMINATING, Phase.TERMINATED}


def tracked(*patterns: str) -> list[Path]:
    """List the project's files that match, whether committed yet or not."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).exists()]


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield every function of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_files_are_short() -> None:
    """No file is longer than a reader keeps in mind."""
    limits = [(p, LONGEST_FILE) for p in tracked("canary/*.py", "e2e/testbed/*.py")]
    limits += [(p, LONGEST_TEST_FILE) for p in tracked("tests/*.py", "e2e/*.py")]
    long = {str(p.relative_to(ROOT)): n for p, limit in limits if (n := len(p.read_text().splitlines())) > limit}
    assert long == {}


def test_functions_are_short() -> None:
    """No function is longer than a screen."""
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for path in tracked("canary/*.py", "e2e/*.py")
        for node in functions(path)
        if node.end_lineno is not None and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []


def test_core_has_no_coroutines() -> None:
    """The decision is plain functions."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in tracked("canary/core/*.py", "canary/api/*.py")
        for node in functions(path)
        if isinstance(node, ast.AsyncFunctionDef)
    ]
    assert found == []


def test_names_say_something() -> None:
    """No file is named for being a heap of things."""
    assert [p for p in tracked("canary/*.py", "e2e/*.py", "tests/*.py") if p.stem in VAGUE_NAMES] == []


def test_every_phase_has_its_function() -> None:
    """The table of transitions is complete, save for phases that Flagger alone has."""
    assert set(Phase) - set(TRANSITIONS) == FLAGGERS_OWN
    reachable = {phase for _, targets in TRANSITIONS.values() for phase in targets}
    assert reachable <= set(TRANSITIONS)
