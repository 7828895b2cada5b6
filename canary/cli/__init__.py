"""The command line: which commands there are, and where each is written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType

# Only the command that is asked for is imported: the Kubernetes client alone takes 0.3 s.

_ASK = "canary.cli.ask"
COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("canary.cli.run", "run the controller"),
    "simulate": ("canary.sim.command", "run a release without any cluster"),
    "check": ("canary.cli.check", "ask by hand what a MetricTemplate asks"),
    "get": ("canary.cli.get", "list Canaries"),
    "status": ("canary.cli.status", "show a Canary with its pods, routes, checks and gates"),
    "watch": ("canary.cli.watch", "show Canaries as they change"),
    "history": ("canary.cli.history", "list the events of a Canary"),
    "wait": ("canary.cli.wait", "wait for the end of a release"),
    "pause": (_ASK, "hold a run where it is"),
    "resume": (_ASK, "let a paused run go on"),
    "promote": (_ASK, "take the rest of the plan as passed"),
    "skip": (_ASK, "take the present step as passed"),
    "abort": (_ASK, "roll a run back"),
    "retry": (_ASK, "release a failed revision again"),
    "rollback": (_ASK, "bring back the revision that production ran before"),
    "approve": (_ASK, "open a closed gate"),
    "reject": (_ASK, "roll back at a closed gate"),
    "lint": ("canary.cli.lint", "tell what is wrong with Canaries, MetricTemplates and AlertProviders in files"),
    "plan": ("canary.cli.plan", "tell when each step would begin and what traffic judges it"),
    "convert": ("canary.cli.convert", "print manifests of Flagger and Argo Rollouts as manifests of canary.delivery"),
    "eject": ("canary.cli.eject", "give production back to the target where no controller is left"),
    "completion": ("canary.cli.completion", "print a script that completes commands in a shell"),
}
"""Each command with its module, which has ``add_arguments`` and ``main``, and what it is for."""


def main(argv: Sequence[str] | None = None, prog: str = "canary") -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog=prog, description="Progressive delivery for Istio.")
    told = f"canary {_version()}" if words[:1] == ["--version"] else ""
    parser.add_argument("--version", action="version", version=told)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen: tuple[ModuleType, argparse.ArgumentParser] | None = None
    for name, (module, purpose) in COMMANDS.items():
        one = commands.add_parser(name, help=purpose)
        if words[:1] == [name]:
            chosen = import_module(module), one
            chosen[0].add_arguments(one)
    arguments, unknown = parser.parse_known_args(words)
    if chosen is None:
        parser.error("name the command first")
    if unknown:
        # The usage that is shown is the command's own.
        chosen[1].error(f"unrecognized arguments: {' '.join(unknown)}")
    code: int = chosen[0].main(arguments)
    return code


def _version() -> str:
    from canary.version import version

    return version()


def plugin(argv: Sequence[str] | None = None) -> int:
    """Run one command as ``kubectl canary``."""
    return main(argv, prog="kubectl canary")
