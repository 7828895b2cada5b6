"""`canary watch`: Canaries as they change, as a table on a terminal and as lines elsewhere."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from canary.cli.access import Access, add_cluster_options, ask_cluster
from canary.cli.canaries import follow_canaries, get_canary, list_canaries
from canary.cli.exits import Exit
from canary.cli.get import HEAD, row
from canary.cli.terminal import live_table
from canary.core.objects import Object

Show = Callable[[Sequence[Object]], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary watch`."""
    parser.description = "Show Canaries as they change, until Ctrl-C: a table on a terminal, lines elsewhere."
    parser.add_argument("name", nargs="?", metavar="NAME", help="this one alone")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="those of all namespaces")
    output = "json: the whole Canary on a line at each change"
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table", help=output)
    add_cluster_options(parser)


def main(args: argparse.Namespace) -> int:
    """Show changes until interrupted, and return the exit code."""

    async def story(access: Access) -> Exit:
        namespace = "" if args.all_namespaces else access.namespace
        if args.name and namespace:
            await get_canary(access.client, namespace, args.name)
        else:
            await list_canaries(access.client, namespace, args.name or "")
        seen = follow_canaries(access.client, namespace, args.name or "")
        with contextlib.ExitStack() as stack:
            show = _shower(args, stack)
            async with contextlib.aclosing(seen):
                async for canaries in seen:
                    show(canaries)
        return Exit.YES

    return ask_cluster(args, story)


def _shower(args: argparse.Namespace, stack: contextlib.ExitStack) -> Show:
    if args.output == "json":
        return Changes(json.dumps, _version).show
    if not sys.stdout.isatty():
        return Changes(_line, lambda one: row(one)).show
    hidden = 0 if args.all_namespaces else 1
    update = stack.enter_context(live_table(HEAD[hidden:]))
    return lambda canaries: update([row(one)[hidden:] for one in canaries])


class Changes:
    """Print a line for each Canary that is new or has changed; ``mark`` says what counts as a change."""

    def __init__(self, line: Callable[[Object], str], mark: Callable[[Object], object]) -> None:
        self._line = line
        self._mark = mark
        self._known: dict[str, object] = {}

    def show(self, canaries: Sequence[Object]) -> None:
        """Print what changed since the last time."""
        present = {one["metadata"]["uid"]: one for one in canaries}
        for uid, one in present.items():
            if self._known.get(uid) != (mark := self._mark(one)):
                self._known[uid] = mark
                print(self._line(one), flush=True)
        for uid in self._known.keys() - present.keys():
            del self._known[uid]


def _version(canary: Object) -> object:
    return canary["metadata"]["resourceVersion"]


def _line(canary: Object) -> str:
    namespace, name, phase, weight, step, _, _, message = row(canary)
    now = datetime.now(UTC)
    parts = (f"{now:%H:%M:%S}", f"{namespace}/{name}", phase or "-", f"{weight} %", step, message)
    return "  ".join(str(part) for part in parts if part)
