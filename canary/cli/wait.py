"""`canary wait`: wait until a release is over, for scripts."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from canary.adapters.kube.paths import single
from canary.api.duration import format_duration
from canary.api.status import CanaryStatus, Phase, parse
from canary.cli.access import Access, add_cluster_options, ask_cluster
from canary.cli.canaries import follow_canary, get_canary
from canary.cli.exits import Exit, Stopped
from canary.cli.values import duration
from canary.core.names import workloads_of
from canary.core.objects import Object, Ref
from canary.ports import ClusterError

PHASES = tuple(phase.value for phase in Phase if phase is not Phase.NONE)
OVER = (Phase.SUCCEEDED, Phase.FAILED)
PROMOTED = (Phase.SUCCEEDED, Phase.INITIALIZED)
"""Production runs what the target shows: what was released, or what was there when the Canary came."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary wait`."""
    parser.description = (
        "Wait for a phase of the release of what the target shows now, or of one revision. "
        "Exit code 0: it has come; 1: it cannot come any more; 3: not in time."
    )
    parser.add_argument("name", metavar="NAME", help="name of the Canary")
    phase = "phase to wait for (Succeeded; Initialized counts as that)"
    parser.add_argument("--for", dest="phase", choices=PHASES, default="Succeeded", metavar="PHASE", help=phase)
    parser.add_argument("--revision", default="", metavar="ID", help="of this revision, as status.revision names it")
    parser.add_argument("--timeout", type=duration, default="1h", metavar="1h", help="how long to wait (1h)")
    add_cluster_options(parser)


def main(args: argparse.Namespace) -> int:
    """Wait, telling each change, and return the exit code."""

    async def story(access: Access) -> Exit:
        canary = await get_canary(access.client, access.namespace, args.name)
        generations = Generations(canary["metadata"]["generation"], await _target_generation(access, canary))
        wish = Wish(Phase(args.phase), args.revision, generations)
        try:
            async with asyncio.timeout(args.timeout.total_seconds()):
                async with contextlib.aclosing(follow_canary(access.client, canary)) as seen:
                    return await _wait(wish, seen)
        except TimeoutError:
            raise Stopped(f"{wish} has not come within {format_duration(args.timeout)}", Exit.LATE) from None

    return ask_cluster(args, story)


@dataclass(frozen=True, slots=True)
class Generations:
    """The Canary and its target as they were when the wait began: an older status says nothing about them."""

    canary: int
    target: int | None

    def are_known_to(self, status: CanaryStatus) -> bool:
        """Return whether a status speaks of both."""
        target = status.target.generation if status.target else -1
        return (status.observed_generation or 0) >= self.canary and (self.target is None or target >= self.target)


@dataclass(slots=True)
class Wish:
    """What is waited for, and whether its revision has been under way."""

    phase: Phase
    revision: str
    generations: Generations
    met: bool = field(default=False, init=False)

    def __str__(self) -> str:
        return f"{self.phase} of revision {self.revision}" if self.revision else str(self.phase)

    def outcome(self, status: CanaryStatus) -> Exit | None:
        """Return whether the wish came true, or cannot any more; None while it may."""
        known, waiting = status.revisions, status.phase is Phase.WAITING
        if self.revision:
            if self.revision != ((known.pending if waiting else known.candidate) or known.primary):
                return self._elsewhere(status)
            self.met = True
        elif not self.generations.are_known_to(status) or (known.pending and not waiting):
            return None
        if status.phase is self.phase or (self.phase is Phase.SUCCEEDED and status.phase in PROMOTED):
            return Exit.YES
        # Without a revision, what is over may be the run before the one that is waited for.
        return Exit.NO if status.phase in OVER and (self.revision or self.phase in OVER) else None

    def _elsewhere(self, status: CanaryStatus) -> Exit | None:
        """Return the outcome while the present run is of another revision."""
        if self.revision == status.revisions.primary and self.phase is Phase.SUCCEEDED:
            return Exit.YES
        return Exit.NO if self.met else None


async def _wait(wish: Wish, seen: AsyncIterator[Object | None]) -> Exit:
    told = ""
    async for canary in seen:
        if canary is None:
            raise Stopped("the Canary was deleted", Exit.NO)
        status = parse(canary.get("status"))
        if (line := described(status)) != told:
            told = line
            print(line, flush=True)
        match wish.outcome(status):
            case Exit.YES:
                return Exit.YES
            case Exit.NO:
                raise Stopped(_missed(wish, status), Exit.NO)
    raise AssertionError("a watch has no end")


def described(status: CanaryStatus) -> str:
    """Return where a release stands as one line."""
    weight = status.traffic.canary if status.traffic else status.canary_weight
    return f"{status.phase or 'no status yet'}, {weight} % to the canary: {status.message or ''}".rstrip(": ")


def _missed(wish: Wish, status: CanaryStatus) -> str:
    reason = next((one.reason for one in status.conditions if one.type == "Progressing"), status.phase)
    revision = status.revisions.candidate or status.revisions.primary
    return f"{wish} does not come: revision {revision} is {status.phase} ({reason}): {status.message}"


async def _target_generation(access: Access, canary: Object) -> int | None:
    """Return the generation of the target as it is now; None when it cannot be read."""
    target = canary["spec"]["targetRef"]
    ref = Ref(workloads_of(target["kind"]), canary["metadata"]["namespace"], target["name"])
    try:
        found = await access.client.read(single(ref), resource=ref.resource.plural)
    except ClusterError:
        return None
    return int(found["metadata"]["generation"])
