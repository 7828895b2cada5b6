"""Ask the API server as the person who types: options, login, and errors in one line."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import logging
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from canary.adapters.kube.answers import Forbidden
from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.credentials import Credentials
from canary.adapters.kube.login import log_in
from canary.cli.exits import Exit, Stopped
from canary.ports import ClusterError, NotFound, Refused, Retryable
from canary.settings import IN_CLUSTER, kubeconfig_files
from canary.version import version

WHO_AM_I = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Access:
    """Hold a logged-in client, and the namespace that is meant when none is named."""

    client: KubeClient
    namespace: str


Story = Callable[[Access], Awaitable[Exit]]


def add_cluster_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which cluster and namespace are meant."""
    parser.add_argument("-n", "--namespace", metavar="NAME", help="namespace (default: that of the context)")
    parser.add_argument("--context", metavar="NAME", help="context of the kubeconfig (default: its current one)")
    files = "kubeconfig file (default: KUBECONFIG, ~/.kube/config, or the pod's own account)"
    parser.add_argument("--kubeconfig", metavar="FILE", help=files)


def ask_cluster(args: argparse.Namespace, story: Story) -> int:
    """Tell a story on a connection to the cluster; what stops it is one line on stderr and an exit code."""
    # The client logs for a controller; a person is told in one line.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        return asyncio.run(_told(args, story))
    except Stopped as fault:
        print(f"canary {args.command}: {fault}", file=sys.stderr)
        return fault.code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who read has what they wanted, as `head` does; nothing may be written at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.YES


async def _told(args: argparse.Namespace, story: Story) -> Exit:
    async with connected(args) as access:
        try:
            return await story(access)
        except Forbidden as fault:
            raise Stopped(f"you have no right to do this: {fault}") from fault
        except Retryable as fault:
            raise Stopped(f"the API server did not answer: {fault}") from fault
        except ClusterError as fault:
            raise Stopped(f"the API server refused this: {fault}") from fault


@contextlib.asynccontextmanager
async def connected(args: argparse.Namespace) -> AsyncIterator[Access]:
    """Log in as kubectl does."""
    files = _kubeconfig(args.kubeconfig, os.environ)
    try:
        login = await log_in(files, args.context)
    except Exception as fault:
        # The library answers a wrong kubeconfig with whatever its code ran into.
        place = f"kubeconfig {files}" if files else "the pod's own account"
        context = f", context {args.context}" if args.context else ""
        raise Stopped(f"{place}{context}: {' '.join(str(fault).split()) or type(fault).__name__}") from fault
    client = KubeClient(Credentials(login), f"canary/{version()}")
    renewal = asyncio.create_task(client.stay_logged_in())
    try:
        yield Access(client, args.namespace or login.namespace or "default")
    finally:
        renewal.cancel()
        await client.close()


def _kubeconfig(given: str | None, environ: Mapping[str, str]) -> str | None:
    """Return the files to read, None for the pod's own account."""
    home = Path("~/.kube/config").expanduser()
    source, files = ("--kubeconfig", given) if given else ("KUBECONFIG", environ.get("KUBECONFIG"))
    if not files:
        if IN_CLUSTER in environ and not home.is_file():
            return None
        source, files = "--kubeconfig (default)", str(home)
    try:
        return kubeconfig_files(files)
    except ValueError as fault:
        raise Stopped(f"{source} {files}: {fault}") from None


async def who_am_i(client: KubeClient) -> str:
    """Return the caller's name as the API server knows it; that of the login shell where it does not say."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    try:
        answer = await client.write("POST", WHO_AM_I, body, resource="selfsubjectreviews", verb="create")
    except (NotFound, Refused):
        return getpass.getuser()
    return str(answer["status"]["userInfo"]["username"])[:253]
