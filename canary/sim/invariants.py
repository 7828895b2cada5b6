"""The invariant checker: it sees the true world after every event and notes what breaks a rule."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from canary.core.names import MANAGER
from canary.core.objects import LEASE
from canary.sim import cohort_rules, mirror_rules, scaler_rules
from canary.sim.cluster import Call
from canary.sim.dataplane import PROPAGATION, DataPlane
from canary.sim.faults import WRITES, Faults
from canary.sim.history import CANARIES
from canary.sim.lease import LeaseBook
from canary.sim.memory import IDLE, NEVER, PROPAGATED, Memory
from canary.sim.pods import Pod, Pods
from canary.sim.rules import WRITE_RULES, Rule
from canary.sim.scene import Scene
from canary.sim.world import Change, World

OUR_WRITES = (*cohort_rules.WRITE_RULES, *mirror_rules.WRITE_RULES, *WRITE_RULES, *scaler_rules.WRITE_RULES)

DIVERTED_WITHIN = 1.5
"""Seconds in which traffic must leave a canary that cannot carry it."""

SETTLED_AFTER = 120.0
"""Seconds without any change after which a system counts as settled."""

SETTLING_IN = 5.0
"""Seconds after a start in which a controller may read."""


BACKED_OFF = 60.0
"""Seconds after API errors in which a controller may still wait for its next try."""

CROWDED = 1.0
"""Seconds after the end of a second controller in which the first may still answer what it did."""


class InvariantError(AssertionError):
    """A rule of the design was broken."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One broken rule."""

    at: float
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule} at {self.at:.3f} s: {self.text}"


class Checker:
    """Watch world, pods, traffic and calls for every Canary there is."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        world: World,
        pods: Pods,
        dataplane: DataPlane,
        faults: Faults,
    ) -> None:
        self._loop = loop
        self._world = world
        self._pods = pods
        self._dataplane = dataplane
        self._faults = faults
        self._scenes: dict[object, tuple[Scene, Memory]] = {}
        self._controllers = 0
        self._received: dict[tuple[str, str], int] = {}
        self.violations: list[Violation] = []
        self.on_violation: Callable[[Violation], None] = lambda violation: None
        self.writers: Callable[[], list[str]] = list
        """Who may write now, where several electing controllers run."""
        self.lease = LeaseBook()
        world.watch(self._on_change)
        pods.after.append(self._on_pod)
        dataplane.observers.append(self._on_traffic)

    def _blame(self, rule: str, text: str) -> None:
        violation = Violation(self._loop.time(), rule, text)
        self.violations.append(violation)
        self.on_violation(violation)

    def _on_change(self, change: Change) -> None:
        if change.ref.resource in CANARIES:
            self._meet(change)
        for scene, memory in self._scenes.values():
            ours = change.writer == MANAGER
            if ours:
                self._judge_quiet(memory, f"{change.verb} {change.ref}", reading=False)
            if ours and scene.concerns(change.ref):
                self._judge(OUR_WRITES, scene, memory, change)
            self._judge(scaler_rules.HAPPENINGS, scene, memory, change)
            self._watch_hindrance(scene, memory)
            memory.learn(scene, change)
            self._watch_capacity(scene, memory)

    def _judge(self, rules: tuple[tuple[str, Rule], ...], scene: Scene, memory: Memory, change: Change) -> None:
        for rule, judge in rules:
            if text := judge(scene, memory, change):
                self._blame(rule, text)

    def _meet(self, change: Change) -> None:
        try:
            if change.verb == "create":
                scene = Scene(self._world, self._pods, self._dataplane, self._faults, change.ref)
                _, memory = self._scenes.get(change.ref, (None, Memory()))
                memory.controllers = self._controllers
                self._scenes[change.ref] = (scene, memory)
            elif change.ref in self._scenes and change.after is not None:
                self._scenes[change.ref][0].learn(change.after)
        except (KeyError, TypeError, ValueError):
            return  # A spec nobody can run has nothing to be judged by.

    def _on_pod(self, pod: Pod) -> None:
        for scene, memory in self._scenes.values():
            if pod.namespace == scene.ref.namespace:
                memory.disturbed = self._loop.time()
                memory.route_written = False
                self._watch_capacity(scene, memory)

    def on_call(self, call: Call) -> None:
        """Judge one call of a controller."""
        self._judge_writer(call)
        if call.ref.resource == LEASE:
            return
        reading = call.verb in ("get", "get-crd", "dry-run")
        for memory in self.memories():
            # A write that changed something was judged when it did.
            self._judge_quiet(memory, f"{call.verb} {call.ref}", reading=reading)
            memory.calls.append(call)

    def _judge_writer(self, call: Call) -> None:
        """Find a write that arrives from a controller that does not lead, and two that may write at a time."""
        writers, lease = self.writers(), self.lease.lease
        written = call.by and call.verb in WRITES and call.outcome == "ok" and call.ref.resource != LEASE
        # One that somebody deleted nobody takes before its holder knows of it.
        if written and lease is not None and lease.holder != call.by:
            self._blame("one writer", f"{call.by} wrote {call.ref} under a lease that {lease.holder or 'nobody'} holds")
        if len(writers) > 1:
            self._blame("one writer", f"{' and '.join(writers)} may write at once")

    def _judge_quiet(self, memory: Memory, what: str, *, reading: bool) -> None:
        """Find calls of a settled system (I19) and writes after a mere restart (I5)."""
        now = self._loop.time()
        quiet, starting = now - memory.disturbed, now - memory.started < SETTLING_IN
        settled = memory.row[0] in IDLE and quiet > SETTLED_AFTER and not memory.contested
        if settled and not (reading and starting):
            rule = "I5" if starting else "I19"
            self._blame(rule, f"{what} though nothing changed for {quiet:.0f} s")

    def memories(self) -> list[Memory]:
        """Return what is remembered about each Canary."""
        return [memory for _, memory in self._scenes.values()]

    def on_controllers(self, running: int) -> None:
        """Note that a controller process started or ended, and how many run now."""
        now = self._loop.time()
        self._controllers = running
        for _, memory in self._scenes.values():
            crowded = running > 1 or memory.controllers > 1
            memory.crowded_until = float("inf") if running > 1 else now + CROWDED if crowded else NEVER
            memory.started, memory.controllers = now, running

    def disturb(self) -> None:
        """Note that something outside the cluster changed, such as the metrics server."""
        for _, memory in self._scenes.values():
            memory.disturbed = self._loop.time()

    def _on_traffic(self) -> None:
        """Find requests to code that was given no traffic (I9)."""
        for scene, memory in self._scenes.values():
            self._watch_hindrance(scene, memory)
        for (deployment, version), count in self._dataplane.received.items():
            if self._received.get((deployment, version)) == count:
                continue
            self._received[deployment, version] = count
            for scene, memory in self._scenes.values():
                names = {ref.name for ref in scene.deployments()}
                giving_back = scene.canary is None and scene.workload("primary") is not None
                served = giving_back or memory.row[0] not in ("", "Initializing")
                known = version in self._dataplane.stable or version in memory.weighted
                excused = known or memory.strays.excuse(version, self._loop.time())
                if deployment in names and served and not excused:
                    self._blame("I9", f"{deployment} got requests at version {version} before any weight")

    def _watch_hindrance(self, scene: Scene, memory: Memory) -> None:
        """Note until when the controller cannot put back what others do, or the proxies do not hear of it."""
        now, strays = self._loop.time(), memory.strays
        told_by = strays.ended + PROPAGATED + self._dataplane.scrape_interval
        if not strays.since and now > told_by:
            return
        ends = [strays.hindered, memory.started + SETTLING_IN]
        ends += [one.end + one.delay for one in self._faults.watch if one.start <= now]
        ends += [one.end + BACKED_OFF for one in self._faults.api if one.start <= now and math.isfinite(one.end)]
        if memory.controllers == 0 or memory.contested or scene.ready("primary") == 0:
            ends.append(now)
        strays.hindered = max(ends)
        deaf = any(group.delay is None or group.delay > PROPAGATION for group in self._dataplane.proxies)
        if deaf and now <= told_by:
            strays.ended = now

    def _watch_capacity(self, scene: Scene, memory: Memory) -> None:
        """Start or stop the time in which a starving canary must lose its traffic (I13)."""
        weight = scene.weight("canary")
        needed = max(1, math.ceil(memory.needed(scene, "canary") / 2))
        rolled = ("Promoting", "Failed") if scene.in_place and weight < 100 else ()
        shared = memory.row[0] in ("Progressing", "WaitingPromotion", *rolled)
        starving = shared and weight > 0 and scene.ready("canary") < needed
        if not starving:
            memory.starving_since = None
        elif memory.starving_since is None:
            memory.starving_since = self._loop.time()
            self._loop.call_later(DIVERTED_WITHIN, self._judge_capacity, scene, memory, self._loop.time())

    def _judge_capacity(self, scene: Scene, memory: Memory, since: float) -> None:
        now = self._loop.time()
        excused = (
            memory.starving_since != since
            or memory.controllers == 0
            or now - memory.started < 3.0
            or scene.ready("primary") == 0
            or any(one.start <= now < one.end + one.delay for one in self._faults.watch)
            or any(one.start <= now < one.end for one in self._faults.api)
        )
        if not excused:
            self._blame("I13", f"the canary kept weight {scene.weight('canary')} with too few ready pods")
