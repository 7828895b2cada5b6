"""`canary get`: a line for each Canary."""

from __future__ import annotations

import argparse
import json
import sys

from canary.api.status import parse
from canary.cli.access import Access, add_cluster_options, ask_cluster
from canary.cli.canaries import get_canary, list_canaries
from canary.cli.exits import Exit
from canary.cli.portrait import place
from canary.cli.terminal import show_table
from canary.core.objects import Object

HEAD = ("NAMESPACE", "NAME", "STATUS", "WEIGHT", "STEP", "FAILED", "REVISION", "MESSAGE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary get`."""
    parser.description = "List Canaries, of canary.delivery and of flagger.app."
    parser.add_argument("name", nargs="?", metavar="NAME", help="this one alone")
    parser.add_argument("-A", "--all-namespaces", action="store_true", help="those of all namespaces")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    add_cluster_options(parser)


def main(args: argparse.Namespace) -> int:
    """Print what there is and return the exit code."""

    async def story(access: Access) -> Exit:
        namespace = "" if args.all_namespaces else access.namespace
        if args.name and namespace:
            found = [await get_canary(access.client, namespace, args.name)]
        else:
            found = await list_canaries(access.client, namespace, args.name or "")
        if args.output == "json":
            print(json.dumps({"apiVersion": "v1", "kind": "List", "items": found}, indent=2))
        elif found:
            hidden = 0 if args.all_namespaces else 1
            show_table(HEAD[hidden:], [row(one)[hidden:] for one in found])
        else:
            print(f"no Canary {f'in namespace {namespace}' if namespace else 'in any namespace'}", file=sys.stderr)
        return Exit.YES

    return ask_cluster(args, story)


def row(canary: Object) -> tuple[object, ...]:
    """Return the cells of a Canary's line, its namespace first."""
    status, metadata = parse(canary.get("status")), canary["metadata"]
    weight = status.traffic.canary if status.traffic else status.canary_weight
    return (
        metadata["namespace"],
        metadata["name"],
        status.phase.value,
        weight,
        place(status),
        status.failed_checks,
        status.revisions.candidate or status.revisions.primary,
        status.message,
    )
