"""`canary status`: one Canary with what belongs to it, as a tree."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from canary.adapters.kube.answers import Forbidden
from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.follow import list_objects
from canary.adapters.kube.paths import single
from canary.cli.access import Access, add_cluster_options, ask_cluster
from canary.cli.canaries import get_canary, list_canaries, resource_of
from canary.cli.exits import Exit
from canary.cli.portrait import Absent, Pods, Portrait, Side, tree_of
from canary.cli.terminal import show_tree
from canary.core.names import ROLE_LABEL, Names, key_of, named_route, workloads_of
from canary.core.objects import POD, VIRTUAL_SERVICE, CanaryKey, Object, Ref, labels_of
from canary.core.runs import ordinal
from canary.ports import NotFound


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary status`."""
    parser.description = "Show a Canary with its target, the two sides and their pods, its routes, checks and gates."
    parser.add_argument("name", metavar="NAME", help="name of the Canary")
    parser.add_argument("-o", "--output", choices=("tree", "json"), default="tree")
    add_cluster_options(parser)


def main(args: argparse.Namespace) -> int:
    """Print the tree and return the exit code."""

    async def story(access: Access) -> Exit:
        canary = await get_canary(access.client, access.namespace, args.name)
        if args.output == "json":
            print(json.dumps(canary, indent=2))
        else:
            show_tree(tree_of(await _portrait(access.client, canary)))
        return Exit.YES

    return ask_cluster(args, story)


async def _portrait(client: KubeClient, canary: Object) -> Portrait:
    target, service = canary["spec"]["targetRef"], canary["spec"]["service"]
    namespace = canary["metadata"]["namespace"]
    names = Names(namespace, target["name"], service.get("name") or target["name"], workloads_of(target["kind"]))
    refs = (names.target_ref, names.workload("primary"), names.workload("canary"))
    routes, place, sides = await asyncio.gather(
        _routes(client, canary), _place(client, canary), asyncio.gather(*(_side(client, ref) for ref in refs))
    )
    return Portrait(canary, dict(zip(("target", "primary", "canary"), sides, strict=True)), routes, place)


async def _place(client: KubeClient, canary: Object) -> str:
    """Return where a Canary stands now in the queue, of all that may be listed; nothing for one that is not in it."""
    own = _turn(canary)
    if own is None:
        return ""
    namespace = canary["metadata"]["namespace"]
    try:
        listed, where = await list_canaries(client, ""), "in all namespaces"
    except Forbidden:
        listed, where = await list_canaries(client, namespace), f"in namespace {namespace}"
    waiting = [turn for one in listed if (turn := _turn(one)) is not None]
    ahead = sum(one < own for one in waiting)
    return f"now {ordinal(ahead + 1)} of {max(len(waiting), 1)} that wait {where}"


def _turn(canary: Object) -> tuple[datetime, str] | None:
    """Return since when a Canary is in the queue, and its name to tell it from others; None when it is not in it."""
    metadata, since = canary["metadata"], (canary.get("status") or {}).get("queuedAt")
    return (datetime.fromisoformat(since), f"{metadata['namespace']}/{metadata['name']}") if since else None


async def _side(client: KubeClient, ref: Ref) -> Side:
    """Read a workload and its pods."""
    try:
        workload = await client.read(single(ref), resource=ref.resource.plural)
    except NotFound:
        return Side(ref, Absent("there is none"), ())
    except Forbidden as fault:
        return Side(ref, Absent(str(fault)), ())
    pods: Pods
    try:
        selector = selector_of(workload["spec"].get("selector") or {})
        pods = tuple((await list_objects(client, POD, ref.namespace, {"labelSelector": selector}))[0])
    except Forbidden as fault:
        return Side(ref, workload, Absent(str(fault)))
    # The labels of a target are on the pods of its clones too.
    role = labels_of(workload["spec"]["template"]).get(ROLE_LABEL)
    return Side(ref, workload, tuple(pod for pod in pods if labels_of(pod).get(ROLE_LABEL) == role))


async def _routes(client: KubeClient, canary: Object) -> tuple[Object, ...] | Absent:
    """Return the VirtualServices that bear the Canary's mark."""
    metadata, named = canary["metadata"], named_route(canary)
    key = CanaryKey(resource_of(canary).group, metadata["namespace"], metadata["name"])
    try:
        listed, _ = await list_objects(client, VIRTUAL_SERVICE, named.namespace if named else key.namespace, {})
    except NotFound:
        return Absent("the cluster does not know VirtualServices")
    except Forbidden as fault:
        return Absent(str(fault))
    return tuple(one for one in listed if key_of(one) == key)


def selector_of(selector: Mapping[str, Any]) -> str:
    """Return the label selector of a workload as a query names it."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for one in selector.get("matchExpressions") or ():
        key, values = one["key"], ",".join(one.get("values") or ())
        words = {"Exists": key, "DoesNotExist": f"!{key}", "In": f"{key} in ({values})"}
        parts.append(words.get(one["operator"], f"{key} notin ({values})"))
    return ",".join(parts)
