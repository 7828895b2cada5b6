"""`canary history`: what was told of a Canary, as long as the cluster keeps events."""

from __future__ import annotations

import argparse
import json

from canary.adapters.kube.events import EVENT
from canary.adapters.kube.follow import list_objects
from canary.cli.access import Access, add_cluster_options, ask_cluster
from canary.cli.canaries import get_canary
from canary.cli.exits import Exit
from canary.cli.terminal import show_table
from canary.core.objects import Object

HEAD = ("LAST SEEN", "COUNT", "TYPE", "REASON", "MESSAGE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary history`."""
    parser.description = "List the events of a Canary, the latest last, as long as the cluster keeps them."
    parser.add_argument("name", metavar="NAME", help="name of the Canary")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    add_cluster_options(parser)


def main(args: argparse.Namespace) -> int:
    """Print the events and return the exit code."""

    async def story(access: Access) -> Exit:
        canary = await get_canary(access.client, access.namespace, args.name)
        metadata = canary["metadata"]
        # A Canary of the same name that was deleted before has another uid.
        selector = f"involvedObject.kind=Canary,involvedObject.uid={metadata['uid']}"
        events, _ = await list_objects(access.client, EVENT, metadata["namespace"], {"fieldSelector": selector})
        told = sorted(events, key=_moment)
        if args.output == "json":
            print(json.dumps({"apiVersion": "v1", "kind": "List", "items": told}, indent=2))
        else:
            show_table(HEAD, [_row(one) for one in told])
        return Exit.YES

    return ask_cluster(args, story)


def _moment(event: Object) -> tuple[str, str]:
    # Names end in the microsecond they were first told at: the order within a second.
    last = event.get("lastTimestamp") or event.get("eventTime") or event["metadata"].get("creationTimestamp") or ""
    return str(last), str(event["metadata"]["name"])


def _row(event: Object) -> tuple[object, ...]:
    return _moment(event)[0], event.get("count") or 1, event.get("type"), event.get("reason"), event.get("message")
