"""`canary run`: the controller."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from canary.settings import Settings, SettingsError, flag, load, variable

_REPLICAS = (
    "Without --leader-election run one replica: two controllers on the same Canaries would work against each other. "
    "With it one of them leads, and the others stand by."
)

HELP = {
    "metrics_server": "base URL of Prometheus, required; may have a path",
    "kubeconfig": "kubeconfig file (default: the pod's own account, outside a cluster KUBECONFIG or ~/.kube/config)",
    "context": "context of the kubeconfig (default: its current one)",
    "namespaces": "namespaces to watch, separated by commas (default: all)",
    "flagger_compat": "serve Canaries of flagger.app as well",
    "hook_hosts": "hosts that webhooks, MetricTemplates, AlertProviders and metricsServer of Canaries may name, "
    "separated by commas; *.example.com holds all below it (default: all)",
    "pin_secrets": "pin Secrets as ConfigMaps are; needs the right to read and write them (default: they stay live)",
    "max_concurrent_runs": "most releases at once, the others wait for their turn; 0 for any number (default: 0)",
    "max_concurrent_runs_per_namespace": "the same for those of one namespace (default: 0)",
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
"""What each setting is."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the settings of `canary run`."""
    parser.description = _REPLICAS
    for name, text in HELP.items():
        help_text = f"{text} [{variable(name)}]"
        if Settings.model_fields[name].annotation is bool:
            parser.add_argument(flag(name), action=argparse.BooleanOptionalAction, help=help_text)
        else:
            parser.add_argument(flag(name), metavar="VALUE", help=help_text)


def main(arguments: argparse.Namespace) -> int:
    """Run the controller until it is told to stop, and return its exit code."""
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
