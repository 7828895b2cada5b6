"""A whole simulation: invented cluster and traffic, the real engine, a story of what happens when."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY, POD, Object, Ref
from canary.core.runs import Limits
from canary.engine.configured import PINNED
from canary.sim.alerter import SimAlerter
from canary.sim.autoscaler import Autoscalers
from canary.sim.behaviour import Behaviours
from canary.sim.clock import EPOCH, VirtualClock, VirtualLoop, run
from canary.sim.cluster import Call, SimCluster
from canary.sim.controllers import Collector, Deployments
from canary.sim.daemons import DaemonSets
from canary.sim.dataplane import DataPlane
from canary.sim.endpoints import Endpoints
from canary.sim.faults import Faults
from canary.sim.history import CANARIES, History, Recorder, Row, state_of
from canary.sim.hooks import SimHooks
from canary.sim.invariants import Checker, InvariantError
from canary.sim.measurer import SimMeasurer
from canary.sim.pods import Pods
from canary.sim.process import Process
from canary.sim.replicas import Replica, Replicas
from canary.sim.user import User
from canary.sim.world import Change, World

GROUPS = (NATIVE_CANARY.group, FLAGGER_CANARY.group)


class NotReachedError(AssertionError):
    """What was waited for did not come in time."""


class Simulation:
    """Hold one invented world and the controllers in it; made inside a running virtual loop."""

    def __init__(
        self,
        *,
        seed: int = 0,
        groups: tuple[str, ...] = GROUPS,
        scrape_interval: float = 5.0,
        judge: bool = True,
        electing: int = 0,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.groups = groups
        self.namespaces: frozenset[str] | None = None
        """What the next controller watches; None: all namespaces."""
        self.pinned = PINNED
        """The kinds of configuration that the next controller pins."""
        self.limits = Limits()
        """How many runs the next controller lets be under way."""
        self._random = Random(seed)
        self.faults, self.behaviours, self.history = Faults(), Behaviours(), History()
        self.world = World(self.loop.time, EPOCH)
        self.pods = Pods(self.loop, self.behaviours, self.world.find)
        self.world.shown[POD] = self.pods.objects
        self.endpoints = Endpoints(self.loop, self.world, self.pods, Random(f"endpoints/{seed}"))
        parts = (self.loop, self.world, self.pods, self.endpoints, self._stream("traffic"))
        self.dataplane = DataPlane(*parts, scrape_interval=scrape_interval)
        self.checker = Checker(self.loop, self.world, self.pods, self.dataplane, self.faults)
        Deployments(self.loop, self.world, self.pods)
        self.daemon_sets = DaemonSets(self.loop, self.world, self.pods)
        self.autoscalers = Autoscalers(self.loop, self.world, self.pods)
        Collector(self.loop, self.world)
        self.measurer = SimMeasurer(self.dataplane, self.faults)
        self.hooks, self.user = SimHooks(), User(self.world)
        self.alerter = SimAlerter(self.loop)
        self._expect_controllers(electing)
        self._waiting: dict[asyncio.Future[None], Callable[[], object]] = {}
        self._failure: BaseException | None = None
        if judge:
            self.checker.on_violation = lambda violation: self._fail(InvariantError(str(violation)))
        self.world.watch(self._on_change)
        self.pods.after.append(lambda pod: self._look())

    def _expect_controllers(self, electing: int) -> None:
        self.electing = electing
        """How many controllers share a lease; none: one runs alone."""
        self.replicas = Replicas(self.checker.on_controllers)
        self.checker.writers, self.checker.lease = self.replicas.writers, self.replicas.book
        self.process: Process | None = None
        self._running: list[Process] = []
        self.back_after: float | None = None
        """Seconds after which a controller that crashed by a fault is started again; None: it stays away."""
        self.calls: list[Call] = []

    def _stream(self, name: str) -> Random:
        """Return a source of chance of its own, so that one part's draws do not move another's."""
        return Random(f"{name}/{self._random.random()}")

    @property
    def now(self) -> float:
        """Return the virtual time in seconds."""
        return self.loop.time()

    def start_controller(self) -> Process:
        """Start a controller process with an empty memory, unless one is running; as many as elect a leader."""
        if self.process is None:
            self.process = self.start_another_controller()
        while len(self._running) < self.electing:
            self.start_another_controller()
        return self.process

    def start_another_controller(self) -> Process:
        """Start a controller process beside whatever is running."""
        cluster = SimCluster(
            self.world,
            self._stream("controller"),
            self.faults,
            unserved=frozenset(one for one in CANARIES if one.group not in self.groups),
            namespaces=self.namespaces,
            identity=self.replicas.name() if self.electing else "",
        )
        cluster.observers += [self.calls.append, self.checker.on_call]
        told = self.hooks, self.alerter, Recorder(self.history, lambda: self.now)
        elector = self.replicas.add(cluster).elector if self.electing else None
        parts = (*told, VirtualClock(self.loop), self.groups, self._fail, self.pinned, elector, self.limits)
        process = Process(cluster, self.measurer, *parts)
        cluster.on_crash = lambda: self._crashed(process)
        self._running.append(process)
        self._count()
        return process

    def _count(self) -> None:
        """Let the rules know how many controllers may write."""
        if self.electing:
            self.replicas.count()
        else:
            self.checker.on_controllers(len(self._running))

    def kill_controller(self) -> None:
        """End the controller process as SIGKILL does."""
        if self.process is not None:
            self.end(self.process)

    def end(self, process: Process) -> None:
        """End a controller process as SIGKILL does; nothing happens when it has ended."""
        process.kill()
        if process in self._running:
            self._running.remove(process)
            if process is self.process:
                self.process = self._running[0] if self.electing and self._running else None
            self._count()

    def stop(self, process: Process) -> None:
        """End a controller process as SIGTERM does."""
        stopping = asyncio.ensure_future(process.stop())
        stopping.add_done_callback(lambda _: self.end(process))

    def of(self, replica: Replica) -> Process:
        """Return the process of a replica that runs."""
        return next(one for one in self._running if one.cluster is replica.cluster)

    async def restart_controller(self, after: float = 0.0) -> None:
        """Kill the controller process and start another one later."""
        self.kill_controller()
        await asyncio.sleep(after)
        self.start_controller()

    def _crashed(self, process: Process) -> None:
        if self.back_after is not None and (self.electing or process is self.process):
            self.loop.call_later(self.back_after, self.start_controller)
        self.end(process)

    def kill_pods(self, namespace: str, deployment: str, count: int | None = None) -> None:
        """Take pods of a Deployment away at once, the oldest first; all of them if no count is given."""
        found = [
            pod
            for pod in self.pods.all()
            if (pod.namespace, pod.deployment) == (namespace, deployment) and not pod.terminating
        ]
        for pod in found[:count]:
            self.pods.kill(pod)

    def at(self, delay: float, act: Callable[[], object]) -> None:
        """Do something `delay` seconds from now."""
        self.loop.call_later(delay, self._do, act)

    def _do(self, act: Callable[[], object]) -> None:
        try:
            act()
        except Exception as fault:
            self._fail(fault)

    async def until(self, condition: Callable[[], object], within: float, what: str = "") -> None:
        """Wait until a condition on the true world holds; fail at the deadline, saying what is."""
        self._raise()
        if condition():
            return
        woken: asyncio.Future[None] = self.loop.create_future()
        self._waiting[woken] = condition
        try:
            async with asyncio.timeout(within):
                await woken
        except TimeoutError:
            raise NotReachedError(f"not within {within:.0f} s: {what}\n{self.picture()}") from None
        finally:
            self._waiting.pop(woken, None)
        self._raise()

    async def until_phase(self, phase: str, within: float = 3600.0, *, ref: Ref | None = None) -> None:
        """Wait until a Canary (the only one if none is named) is in a phase."""
        await self.until(lambda: self.state(ref)[0] == phase, within, f"phase {phase}")

    async def until_weight(self, weight: int, within: float = 3600.0, *, ref: Ref | None = None) -> None:
        """Wait until a Canary's status shows a weight."""
        await self.until(lambda: self.state(ref)[1] == weight, within, f"weight {weight}")

    async def rest(self, seconds: float) -> None:
        """Let time pass; fail when a rule is broken meanwhile."""
        end = self.now + seconds
        self.loop.call_later(seconds, self._look)
        await self.until(lambda: self.now >= end, seconds + 1, "time to pass")

    def canary(self, ref: Ref | None = None) -> Ref:
        """Return the reference of the only Canary, or the one given."""
        if ref is not None:
            return ref
        known = [one for resource in CANARIES for one, _ in self.world.items(resource)]
        assert len(known) == 1, f"{len(known)} Canaries: say which"
        return known[0]

    def state(self, ref: Ref | None = None) -> tuple[str, int]:
        """Return phase and weight in the status of a Canary."""
        found = self.world.find(self.canary(ref))
        return state_of(found) if found else ("", 0)

    def status(self, ref: Ref | None = None) -> Object:
        """Return the status of a Canary."""
        found = self.world.find(self.canary(ref)) or {}
        status: Object = found.get("status") or {}
        return status

    def rows(self, since: float = 0.0, ref: Ref | None = None) -> list[Row]:
        """Return the rows from a moment on, times counted from the first of them."""
        return self.history.run_rows(self.canary(ref), since)

    def picture(self) -> str:
        """Return what is, in a few lines, for the message of a failure."""
        lines = [f"at {self.now:.3f} s"]
        for resource in CANARIES:
            for ref, canary in self.world.items(resource):
                status = canary.get("status") or {}
                lines.append(f"{ref}: {state_of(canary)} {status.get('message', '')}")
                lines += [f"  {row.at:9.3f} {row.phase} {row.weight}" for row in self.history.rows(ref)][-8:]
        for pod in self.pods.all():
            lines.append(f"{pod.name} {pod.image} ready={pod.ready} terminating={pod.terminating}")
        lines += [f"  {told.at:9.3f} {told.event.reason}: {told.event.message}" for told in self.history.events[-5:]]
        return "\n".join(lines)

    def _on_change(self, change: Change) -> None:
        self.history.see(change)
        self._look()

    def _look(self) -> None:
        for woken, condition in list(self._waiting.items()):
            if not woken.done() and condition():
                woken.set_result(None)

    def _fail(self, failure: BaseException) -> None:
        if self._failure is None:
            self._failure = failure
        for woken in self._waiting:
            if not woken.done():
                woken.set_result(None)

    def _raise(self) -> None:
        if self._failure is not None:
            self._failure.add_note(self.picture())
            raise self._failure


Story = Callable[[Simulation], Awaitable[None]]


def simulate(story: Story, **settings: Any) -> Simulation:
    """Play a story in a fresh simulation and return it; raise what went wrong, broken rules first."""

    async def play() -> Simulation:
        simulation = Simulation(**settings)
        await story(simulation)
        simulation.kill_controller()
        simulation._raise()
        return simulation

    return run(VirtualLoop(), play())
