"""The command line."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from typing import Literal

from canary.api.groups import FLAGGER, NATIVE
from canary.settings import Access, Settings, SettingsError, flag, load, load_access, variable
from canary.version import version

# Each command imports what it needs when it runs: the Kubernetes client alone takes 0.3 s.

_REPLICAS = (
    "Without --leader-election run one replica: two controllers on the same Canaries would work against each other. "
    "With it one of them leads, and the others stand by."
)

_HELP = {
    "metrics_server": "base URL of Prometheus, required; may have a path",
    "kubeconfig": "kubeconfig file (default: the pod's own account, outside a cluster KUBECONFIG or ~/.kube/config)",
    "context": "context of the kubeconfig (default: its current one)",
    "namespaces": "namespaces to watch, separated by commas (default: all)",
    "flagger_compat": "serve Canaries of flagger.app as well",
    "pin_secrets": "pin Secrets as ConfigMaps are; needs the right to read and write them (default: they stay live)",
    "log_level": "debug, info, warning or error (default: info)",
    "log_format": "json or console (default: json)",
    "api": "serve the HTTP API and gates too; needs rights of its own, see docs/api.md (default: no)",
    "api_audience": "audience that tokens of callers of the API must be for (default: that of the Kubernetes API)",
    "http_host": "address of /healthz, /readyz and /metrics (default: 0.0.0.0)",
    "http_port": "port of /healthz, /readyz and /metrics, 0 for none (default: 8080)",
    "leader_election": "let several replicas share a Lease, whose holder leads (default: one replica, no Lease)",
    "lease_namespace": "namespace of the Lease (default: the pod's own)",
    "lease_name": "name of the Lease, another one for each set of Canaries (default: canary-controller)",
    "lease_identity": "name of this replica, to which something random is added (default: the host's)",
    "lease_duration": "for how long others leave a Lease alone that is not renewed (default: 10s)",
    "renew_deadline": "for how long the leader writes without having renewed it (default: 7s)",
    "retry_period": "how often the Lease is renewed, or looked at (default: 2s)",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="canary", description="Progressive delivery for Istio.")
    parser.add_argument("--version", action="version", version=f"canary {version()}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="run the controller", description=_REPLICAS))
    simulate = commands.add_parser("simulate", help="run a release without any cluster")
    _add_check(commands.add_parser("check", help="ask by hand what a MetricTemplate asks"))
    if words[:1] == ["check"]:
        return _check(parser.parse_args(words))
    if words[:1] == ["simulate"]:
        from canary.sim import command

        command.add_arguments(simulate)
        return command.main(parser.parse_args(words))
    return _run(parser.parse_args(words))


def _add_run(parser: argparse.ArgumentParser) -> None:
    for name, text in _HELP.items():
        help_text = f"{text} [{variable(name)}]"
        if Settings.model_fields[name].annotation is bool:
            parser.add_argument(flag(name), action=argparse.BooleanOptionalAction, help=help_text)
        else:
            parser.add_argument(flag(name), metavar="VALUE", help=help_text)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Ask what a Canary's checks ask by a MetricTemplate, print query and verdict. "
        "Exit code 0: all passed, 1: one failed, 2: wrong input, 3: one has no answer."
    )
    parser.add_argument("template", metavar="TEMPLATE", help="name of a MetricTemplate")
    parser.add_argument("-n", "--namespace", default="default", metavar="NAME", help="where both live (default)")
    parser.add_argument("--canary", metavar="NAME", help="the Canary (default: the only one that names the template)")
    parser.add_argument("--primary", action="store_true", help="ask about production: target is the primary")
    for name in Access.model_fields:
        parser.add_argument(flag(name), metavar="VALUE", help=f"{_HELP[name]} [{variable(name)}]")
    name = "flagger_compat"
    parser.add_argument(flag(name), action="store_true", help="both are of flagger.app")


def _check(arguments: argparse.Namespace) -> int:
    from canary import check

    try:
        access = load_access({name: getattr(arguments, name) for name in Access.model_fields}, os.environ)
        group = (FLAGGER if arguments.flagger_compat else NATIVE).group
        side: Literal["primary", "canary"] = "primary" if arguments.primary else "canary"
        return check.run(access, check.Asked(arguments.template, arguments.namespace, arguments.canary, group, side))
    except (SettingsError, check.CheckError) as fault:
        print(f"canary check: {fault}", file=sys.stderr)
        return check.WRONG


def _run(arguments: argparse.Namespace) -> int:
    flags = {name: _text(getattr(arguments, name)) for name in Settings.model_fields}
    try:
        settings = load(flags, os.environ)
        from canary import wiring

        return asyncio.run(wiring.run(settings))
    except SettingsError as fault:
        print(f"canary run: {fault}", file=sys.stderr)
        return 2


def _text(value: str | bool | None) -> str | None:
    return str(value).lower() if isinstance(value, bool) else value
