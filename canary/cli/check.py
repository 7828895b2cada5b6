"""`canary check`: the checks of a MetricTemplate by hand."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Literal

from canary.api.groups import FLAGGER, NATIVE
from canary.cli.run import HELP
from canary.settings import Access, SettingsError, flag, load_access, variable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary check`."""
    parser.description = (
        "Ask what a Canary's checks ask by a MetricTemplate, print query and verdict. "
        "Exit code 0: all passed, 1: one failed, 2: wrong input, 3: one has no answer."
    )
    parser.add_argument("template", metavar="TEMPLATE", help="name of a MetricTemplate")
    parser.add_argument("-n", "--namespace", default="default", metavar="NAME", help="where both live (default)")
    parser.add_argument("--canary", metavar="NAME", help="the Canary (default: the only one that names the template)")
    parser.add_argument("--primary", action="store_true", help="ask about production: target is the primary")
    for name in Access.model_fields:
        parser.add_argument(flag(name), metavar="VALUE", help=f"{HELP[name]} [{variable(name)}]")
    name = "flagger_compat"
    parser.add_argument(flag(name), action="store_true", help="both are of flagger.app")


def main(arguments: argparse.Namespace) -> int:
    """Ask, print what came of it and return the exit code."""
    from canary import check

    try:
        access = load_access({name: getattr(arguments, name) for name in Access.model_fields}, os.environ)
        group = (FLAGGER if arguments.flagger_compat else NATIVE).group
        side: Literal["primary", "canary"] = "primary" if arguments.primary else "canary"
        return check.run(access, check.Asked(arguments.template, arguments.namespace, arguments.canary, group, side))
    except (SettingsError, check.CheckError) as fault:
        print(f"canary check: {fault}", file=sys.stderr)
        return check.WRONG
