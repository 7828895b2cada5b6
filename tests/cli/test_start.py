"""Start-up: what a command does not need is not imported, and every command explains itself."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from canary.cli import COMMANDS, main, plugin
from canary.cli.exits import Exit
from canary.cli.reference import PAGE, page
from canary.sim.manifests import LISTING_5_1
from tests.test_docs import table

CLUSTER = {"aiohttp", "kubernetes_asyncio", "fastapi", "requests", "structlog", "prometheus_api_client"}
MODELS = {"pydantic", "yaml", "rich", "asyncio"}
ROOT = Path(__file__).parents[2]


def imported(*words: str) -> set[str]:
    """Return the top-level packages that a command imports, and modules of ours by their whole names."""
    code = (
        "import sys, contextlib\nfrom canary.cli import main\n"
        "with contextlib.suppress(SystemExit): main(sys.argv[1:])\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    names = done.stderr.splitlines()[-1].split()
    return {name if name.startswith("canary.") else name.partition(".")[0] for name in names}


@pytest.mark.parametrize("words", [("--version",), ("--help",)])
def test_nothing_is_imported_to_say_who_one_is(words: tuple[str, ...]) -> None:
    """Help and version need neither models nor clients."""
    assert imported(*words) & (CLUSTER | MODELS) == set()


def test_offline_commands_import_no_client(tmp_path: Path) -> None:
    """What needs no cluster starts without its client."""
    path = tmp_path / "canary.yaml"
    path.write_text(LISTING_5_1)
    assert imported("lint", str(path)) & (CLUSTER | {"rich"}) == set()


def test_files_are_read_without_what_decides(tmp_path: Path) -> None:
    """A third of the time of lint was spent on what a cluster looks like, and on the schema for one."""
    path = tmp_path / "canary.yaml"
    path.write_text(LISTING_5_1)
    for command in ("lint", "convert"):
        found = imported(command, str(path))
        assert "canary.core.plan" in found
        assert found & {"canary.core.view", "canary.core.snapshot", "canary.api.crd"} == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Options and purpose of each command are shown."""
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    assert f"usage: canary {name}" in capsys.readouterr().out


def test_commands_are_served_by_modules_alike() -> None:
    """Each module has what is called of it."""
    for module, _ in COMMANDS.values():
        found = import_module(module)
        assert callable(found.add_arguments)
        assert callable(found.main)


def test_plugin_is_the_same_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`kubectl canary` is found by its name in the path, and speaks of itself so."""
    with pytest.raises(SystemExit):
        plugin(["wait", "--help"])
    assert "usage: kubectl canary wait" in capsys.readouterr().out


def test_no_command_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, as for every wrong command line."""
    for words in ([], ["dance"], ["--", "get"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == Exit.USAGE
    assert "canary: error:" in capsys.readouterr().err


def test_what_a_command_does_not_know_is_told_with_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    """Who mistypes an option is shown those of the command, not the list of commands."""
    for words in (["pause", "catalog", "--gate", "x"], ["get", "one", "two"]):
        with pytest.raises(SystemExit) as caught:
            main(words)
        assert caught.value.code == Exit.USAGE
        said = capsys.readouterr().err
        assert said.startswith(f"usage: canary {words[0]} [-h]")
        assert f"canary {words[0]}: error: unrecognized arguments: {' '.join(words[2:])}" in said


def test_exit_codes_are_those_of_the_page() -> None:
    """docs/cli.md lists each once, and no other."""
    assert [int(row[0]) for row in table(PAGE, "Exit codes")] == sorted(Exit)


def test_reference_on_the_page_is_that_of_the_commands() -> None:
    """`python -m canary.cli.reference` would change nothing."""
    assert PAGE.read_text() == page()
