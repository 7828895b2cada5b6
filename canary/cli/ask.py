"""`canary pause`, `abort` and the other commands: write the annotation, and wait for the answer."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import uuid

from canary.adapters.kube.client import MERGE_PATCH, KubeClient
from canary.adapters.kube.paths import single
from canary.api.command import ANNOTATION
from canary.api.duration import format_duration
from canary.api.status import LastCommand, parse
from canary.cli.access import Access, add_cluster_options, ask_cluster, who_am_i
from canary.cli.canaries import follow_canary, get_canary, resource_of
from canary.cli.exits import Exit, Stopped
from canary.cli.values import duration
from canary.core.objects import Object, annotations_of, ref_of

FIELD_MANAGER = "canary-cli"
OBEYED = "Obeyed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a command to a release."""
    parser.description = (
        "Ask this of a release, and wait for the controller's answer. "
        "Exit code 0: it was obeyed; 1: it was refused; 3: there was no answer in time."
    )
    parser.add_argument("name", metavar="NAME", help="name of the Canary")
    parser.add_argument("--revision", default="", metavar="ID", help="refuse unless this is the revision under way")
    if parser.prog.split()[-1] in ("approve", "reject"):
        parser.add_argument("--gate", default="", metavar="NAME", help="name or type of the gate that is meant")
    patience = "how long to wait for the answer (30s)"
    parser.add_argument("--timeout", type=duration, default="30s", metavar="30s", help=patience)
    add_cluster_options(parser)


def main(args: argparse.Namespace) -> int:
    """Ask, print the answer and return the exit code."""

    async def story(access: Access) -> Exit:
        canary = await get_canary(access.client, access.namespace, args.name)
        fields = {key: value for key in ("revision", "gate") if (value := getattr(args, key, ""))}
        asked, written = await write_command(access.client, canary, args.command, **fields)
        try:
            async with asyncio.timeout(args.timeout.total_seconds()):
                answer = await answer_to(access.client, written, asked)
        except TimeoutError:
            raise Stopped(_unanswered(args, access.namespace), Exit.LATE) from None
        if not answer.result.startswith(OBEYED):
            raise Stopped(answer.result, Exit.NO)
        print(answer.result)
        return Exit.YES

    return ask_cluster(args, story)


async def write_command(client: KubeClient, canary: Object, verb: str, **fields: str) -> tuple[str, Object]:
    """Write a command; return its id and the Canary with it."""
    command = {"id": str(uuid.uuid4()), "verb": verb, "by": await who_am_i(client), **fields}
    ref = ref_of(resource_of(canary), canary)
    written = await client.write(
        "PATCH",
        single(ref),
        {"metadata": {"annotations": {ANNOTATION: json.dumps(command)}}},
        resource=ref.resource.plural,
        verb="patch",
        params={"fieldManager": FIELD_MANAGER},
        content_type=MERGE_PATCH,
    )
    return command["id"], written


async def answer_to(client: KubeClient, canary: Object, asked: str) -> LastCommand:
    """Return what the controller answers to the command of an id, once it does."""
    async with contextlib.aclosing(follow_canary(client, canary)) as seen:
        async for one in seen:
            if one is None:
                raise Stopped(f"Canary {canary['metadata']['name']} was deleted before it answered")
            answered = parse(one.get("status")).last_command
            if answered is not None and answered.id == asked:
                return answered
            if (text := annotations_of(one).get(ANNOTATION, "")) and asked not in text:
                raise Stopped(f"its answer was not seen: another command took its place, {text}", Exit.LATE)
    raise AssertionError("a watch has no end")


def _unanswered(args: argparse.Namespace, namespace: str) -> str:
    return (
        f"no answer within {format_duration(args.timeout)}; is there a controller that serves Canary {args.name}? "
        "It will answer once there is; to take the command back: "
        f"kubectl -n {namespace} annotate canary/{args.name} {ANNOTATION}-"
    )
