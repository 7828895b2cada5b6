"""`canary check`: the checks of a MetricTemplate by hand."""

from __future__ import annotations

import argparse
from typing import Literal

from canary import check
from canary.api.groups import FLAGGER, NATIVE
from canary.cli.access import Access, add_cluster_options, ask_cluster
from canary.cli.exits import Exit, Stopped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary check`."""
    parser.description = (
        "Ask what a Canary's checks ask by a MetricTemplate, print query and verdict. "
        "Exit code 0: all passed, 1: one failed, 2: wrong input, 3: one has no answer."
    )
    parser.add_argument("template", metavar="TEMPLATE", help="name of a MetricTemplate, in the namespace of the Canary")
    parser.add_argument("--canary", metavar="NAME", help="the Canary (default: the only one that names the template)")
    parser.add_argument("--primary", action="store_true", help="ask about production: target is the primary")
    parser.add_argument("--flagger-compat", action="store_true", help="both are of flagger.app")
    add_cluster_options(parser)


def main(args: argparse.Namespace) -> int:
    """Ask, print what came of it and return the exit code."""
    group = (FLAGGER if args.flagger_compat else NATIVE).group
    side: Literal["primary", "canary"] = "primary" if args.primary else "canary"

    async def story(access: Access) -> Exit:
        asked = check.Asked(args.template, access.namespace, args.canary, group, side)
        try:
            return Exit(await check.run(access.client, asked))
        except check.CheckError as fault:
            raise Stopped(str(fault), Exit.USAGE) from fault

    return ask_cluster(args, story)
