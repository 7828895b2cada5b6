"""`canary eject`: give production back to the target by hand, when there is no controller any more to do it."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator

from canary.adapters.asking import Asker
from canary.adapters.checks import CheckMeasurer
from canary.adapters.clock import SystemClock
from canary.adapters.kube.cluster import KubeCluster
from canary.adapters.kube.events import KubeNotifier
from canary.adapters.webhooks import WebhookCaller
from canary.api.duration import format_duration
from canary.cli.access import Access, add_cluster_options, ask_cluster
from canary.cli.ask import answer_to, write_command
from canary.cli.canaries import GROUPS, list_canaries, resource_of
from canary.cli.exits import Exit, Stopped
from canary.cli.values import duration
from canary.core.decide import kept_by_another
from canary.core.names import named_route
from canary.core.objects import CanaryKey, Object, ref_of
from canary.engine.observe import observe
from canary.engine.owned import find_owner
from canary.engine.reconcile import Reconciler
from canary.ports import Cluster, Conflict, Retryable
from canary.version import version

NO_REVISION = "none"
"""The revision of a command that no run is meant by: a controller refuses it, and so is known to be there."""
LOOK_AGAIN = 5.0
"""Seconds after which one looks again when nothing changes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary eject`."""
    parser.description = (
        "Delete a Canary whose controller is gone, and do what the controller would: the target takes production "
        "over, and nothing of ours is left. What was begun is gone on with. Where a controller answers, nothing is "
        "done: delete the Canary, and it gives back. "
        "Exit code 0: given back; 1: there is a controller; 3: not in time, type it again to go on."
    )
    parser.add_argument("name", metavar="NAME", help="name of the Canary")
    patience = "how long to wait for a controller to answer before it counts as gone (30s)"
    parser.add_argument("--answer-within", type=duration, default="30s", metavar="30s", help=patience)
    parser.add_argument("--timeout", type=duration, default="10m", metavar="10m", help="how long it may take (10m)")
    server = "Prometheus that tells when requests have ended; without one four settle times are waited"
    parser.add_argument("--metrics-server", default="", metavar="URL", help=server)
    parser.add_argument("--pin-secrets", action="store_true", help="the controller ran with it: remove copies too")
    add_cluster_options(parser)


def main(args: argparse.Namespace) -> int:
    """Give back and return the exit code."""

    async def story(access: Access) -> Exit:
        found = await list_canaries(access.client, access.namespace, args.name)
        if len(found) > 1:
            groups = " and ".join(resource_of(one).group for one in found)
            raise Stopped(f"there are Canaries {args.name} of {groups}; delete the one that is not to go")
        for canary in found:
            await _require_alone(access, canary, args)
        try:
            async with asyncio.timeout(args.timeout.total_seconds()), _caches(access, found, args) as cluster:
                key = _key(access, found, cluster, args.name)
                for canary in found:
                    await _delete(cluster, canary)
                    print(f"Canary {args.name} is deleted, the target takes production over", flush=True)
                await _give_back(access, cluster, key, args.metrics_server)
        except TimeoutError:
            told = f"not given back within {format_duration(args.timeout)}"
            raise Stopped(f"{told}; what serves goes on serving, type it again to go on", Exit.LATE) from None
        print("given back: the target serves, and nothing else is left")
        return Exit.YES

    return ask_cluster(args, story)


async def _require_alone(access: Access, canary: Object, args: argparse.Namespace) -> None:
    """Stop where a controller serves the Canary: it answers a command that changes nothing."""
    if kept_by_another(canary):
        raise Stopped(f"the status of Canary {args.name} is written by another controller; it is not ours to give back")
    asked, written = await write_command(access.client, canary, "pause", revision=NO_REVISION)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(args.answer_within.total_seconds()):
            await answer_to(access.client, written, asked)
            raise Stopped(f"a controller serves Canary {args.name}; delete the Canary, and it gives back", Exit.NO)


@contextlib.asynccontextmanager
async def _caches(access: Access, found: list[Object], args: argparse.Namespace) -> AsyncIterator[KubeCluster]:
    """Follow what a controller follows, in the namespaces that matter."""
    named = (named_route(one) for one in found)
    namespaces = {access.namespace, *(ref.namespace for ref in named if ref is not None)}
    groups = tuple(one.group for one in GROUPS)
    cluster = KubeCluster(access.client, groups=groups, namespaces=sorted(namespaces), secrets=args.pin_secrets)
    following = asyncio.create_task(cluster.run())
    try:
        await cluster.wait_synced()
        yield cluster
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


def _key(access: Access, found: list[Object], cluster: Cluster, name: str) -> CanaryKey:
    """Return the Canary, which may be deleted already while objects still bear its mark."""
    if found:
        return CanaryKey(resource_of(found[0]).group, access.namespace, name)
    keys = (CanaryKey(one.group, access.namespace, name) for one in GROUPS)
    for key in keys:
        if find_owner(cluster, key) is not None:
            return key
    raise Stopped(f"there is no Canary {name} in namespace {access.namespace}, and nothing bears its mark")


async def _delete(cluster: Cluster, canary: Object) -> None:
    ref = ref_of(resource_of(canary), canary)
    fresh = await cluster.read(ref)
    if fresh is not None:
        metadata = fresh["metadata"]
        await cluster.delete(ref, uid=metadata["uid"], resource_version=metadata["resourceVersion"])
    changed = asyncio.Event()
    cluster.subscribe(lambda resource, before, after: changed.set())
    while cluster.get(ref) is not None:
        changed.clear()
        await changed.wait()


async def _give_back(access: Access, cluster: Cluster, key: CanaryKey, server: str) -> None:
    """Do what the controller does, until there is nothing left of the Canary."""
    agent = f"canary-eject/{version()}"
    measurer, hooks = CheckMeasurer(server, cluster.read, Asker(agent)), WebhookCaller(agent)
    changed = asyncio.Event()
    cluster.subscribe(lambda resource, before, after: changed.set())

    async def interrupted(of: CanaryKey) -> None:
        await changed.wait()

    clock = SystemClock()
    notifier = KubeNotifier(access.client, clock)
    reconciler = Reconciler(cluster, measurer, hooks, notifier, clock, (key.group,), interrupted)
    try:
        while observe(cluster, key) is not None:
            if cluster.get(key.ref) is not None:
                raise Stopped(f"Canary {key.name} was made again; stop who applies it, and type this again")
            changed.clear()
            await _once(reconciler, key, changed)
    finally:
        await measurer.close()
        await hooks.close()


async def _once(reconciler: Reconciler, key: CanaryKey, changed: asyncio.Event) -> None:
    """Decide and act once, and wait until something changed or the time has come to look again."""
    delay = LOOK_AGAIN
    with contextlib.suppress(Conflict, Retryable):
        asked = await reconciler.reconcile(key)
        delay = min(LOOK_AGAIN, asked.total_seconds()) if asked is not None else LOOK_AGAIN
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay):
            await changed.wait()
