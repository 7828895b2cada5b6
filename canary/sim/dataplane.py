"""Invented traffic: proxies that learn routes late, requests, their outcomes and who is to blame."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from canary.core.objects import ENDPOINT_SLICE, SERVICE, VIRTUAL_SERVICE
from canary.sim.behaviour import Behaviour
from canary.sim.chance import latency, poisson
from canary.sim.clock import EPOCH
from canary.sim.endpoints import Endpoints
from canary.sim.metrics import Counter, Metrics
from canary.sim.pods import Pod, Pods
from canary.sim.routing import Caller, Leg, legs_of
from canary.sim.world import Change, World

PROPAGATION = 0.15
"""Seconds until the proxies know a change of routes or endpoints."""

UNKNOWN = "unknown"
BLAMELESS_FOR = 10.0
"""Seconds after the death of a pod in which missing endpoints are put down to the death."""

TIMEOUT = 1000.0


@dataclass(slots=True)
class Proxies:
    """A share of all proxies that learns of changes after `delay`; None: not at all, for now."""

    share: float = 1.0
    delay: float | None = PROPAGATION
    legs: dict[Caller, tuple[Leg, ...]] = field(default_factory=dict)
    pushed: int = 0


@dataclass(slots=True)
class Requests:
    """Requests as their clients saw them."""

    sent: int = 0
    failed: int = 0
    harmed: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the numbers as the report has them."""
        return {"sent": self.sent, "failed": self.failed, "harmed": self.harmed}


class DataPlane:
    """Send requests along what the proxies know and count what comes of them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        world: World,
        pods: Pods,
        endpoints: Endpoints,
        random: Random,
        *,
        scrape_interval: float = 5.0,
    ) -> None:
        self._loop = loop
        self._world = world
        self._pods = pods
        self.endpoints = endpoints
        self._random = random
        self.scrape_interval = scrape_interval
        self.metrics = Metrics()
        self.callers: list[Caller] = []
        self.proxies = [Proxies()]
        self.requests = Requests()
        self.stable: set[str] = set()
        """Versions (pod templates) that are production; failures at others are harm."""
        self.received: Tally[tuple[str, str]] = Tally()
        self.answered: Tally[str] = Tally()
        """Requests since the start by (Deployment, version), and without copies by the Service they were sent to."""
        self.silent: set[str] = set()  # Callers, by their workload, that send nothing for now.
        self.last_request: dict[str, float] = {}
        """When a pod last got a request, by name."""
        self.scraped_request: dict[str, float] = {}
        """The same as it was at the last scrape."""
        self.scraped_at = 0.0
        self.observers: list[Callable[[], None]] = []
        self._settled = loop.time()
        self._push = 0
        self._known: dict[tuple[str | bool, ...], tuple[Counter, ...]] = {}
        """Where answers are counted, by caller, pod and outcome."""
        pods.before.append(self.settle)
        pods.after.append(self._on_pod)
        world.watch(self._on_change)
        loop.call_later(scrape_interval, self._scrape)

    def call(self, caller: Caller) -> None:
        """Let a caller begin to send requests."""
        self.settle()
        self.callers.append(caller)
        for group in self.proxies:
            group.legs[caller] = legs_of(self._world, self.endpoints, caller)

    def split(self, *groups: Proxies) -> None:
        """Replace the proxies by groups with their own shares and delays."""
        self.settle()
        for group in groups:
            group.legs = dict(self.proxies[0].legs)
        self.proxies = list(groups)

    def delay(self, seconds: float | None) -> None:
        """Let all proxies learn of changes after `seconds` from now on; None: istiod is down."""
        for group in self.proxies:
            group.delay = seconds
        self.push()

    def _on_change(self, change: Change) -> None:
        if change.ref.resource in (VIRTUAL_SERVICE, SERVICE, ENDPOINT_SLICE):
            self.push()

    def _on_pod(self, pod: Pod) -> None:
        if pod.gone:
            self._loop.call_later(self.scrape_interval, self.metrics.forget, pod.name)

    def push(self) -> None:
        """Send the present routes and endpoints to the proxies."""
        self._push += 1
        config = {caller: legs_of(self._world, self.endpoints, caller) for caller in self.callers}
        for group in self.proxies:
            if group.delay is not None:
                self._loop.call_later(group.delay, self._adopt, group, self._push, config)

    def _adopt(self, group: Proxies, push: int, config: dict[Caller, tuple[Leg, ...]]) -> None:
        if push <= group.pushed or group.delay is None:
            return
        group.pushed = push
        if any(group.legs.get(caller) != legs for caller, legs in config.items()):
            self.settle()
            group.legs = {**group.legs, **config}

    def _scrape(self) -> None:
        self.settle()
        self.metrics.scrape(EPOCH.timestamp() + self._loop.time())
        self.scraped_request, self.scraped_at = dict(self.last_request), self._loop.time()
        self._loop.call_later(self.scrape_interval, self._scrape)

    def settle(self) -> None:
        """Send the requests of the time since the last call; conditions were constant meanwhile."""
        now = self._loop.time()
        elapsed = now - self._settled
        if elapsed <= 0:
            return
        self._settled = now
        for group in self.proxies:
            for caller in self.callers:
                for leg in group.legs[caller] if caller.workload not in self.silent else ():
                    mean = caller.rps * elapsed * group.share * leg.share
                    self._send(caller, leg, poisson(self._random, mean))
        for observer in self.observers:
            observer()

    def _send(self, caller: Caller, leg: Leg, count: int) -> None:
        if not count:
            return
        if leg.copied:
            self._copy(caller, leg, count)
            return
        self.requests.sent += count
        if leg.problem:
            self._miss(caller, leg, count, UNKNOWN, leg.problem)
            return
        alive = [pod for pod in leg.pods if pod.answers]
        if caller.mesh and not alive:
            self._miss(caller, leg, count, leg.pods[0].deployment, "UF")
            return
        # Sidecars retry a refused connection elsewhere; kube-proxy does not.
        candidates = alive if caller.mesh else list(leg.pods)
        for _ in range(count):
            pod = self._random.choice(candidates)
            if pod.answers:
                self._answer(caller, leg.host, pod)
            else:
                self._miss(caller, leg, 1, pod.deployment, "UF")

    def _copy(self, caller: Caller, leg: Leg, count: int) -> None:
        """Send mirrored copies: only the pods that get them ever know what came of them."""
        alive = [pod for pod in leg.pods if pod.answers]
        for _ in range(count if alive else 0):
            pod = self._random.choice(alive)
            _, code, _, took = self._outcome(self._pods.behaviour_of(pod))
            self._arrived(pod)
            for counter in self._counters(caller, "", pod, "", code, ""):
                counter.add(took)

    def _arrived(self, pod: Pod) -> None:
        self.received[pod.deployment, pod.version] += 1
        self.last_request[pod.name] = self._settled

    def _miss(self, caller: Caller, leg: Leg, count: int, workload: str, flag: str) -> None:
        self.requests.failed += count
        if not self._died_lately(leg):
            self.requests.harmed += count
        if caller.mesh:
            labels = self._labels("source", caller, leg.host, workload, "503", flag)
            counter = self.metrics.counter(caller.workload, labels)
            for _ in range(count):
                counter.add(1.0)

    def _died_lately(self, leg: Leg) -> bool:
        """Return whether stable pods behind a leg were killed or crashed a moment ago."""
        since = self._loop.time() - BLAMELESS_FOR
        names = {pod.deployment for pod in leg.pods}
        return any(
            at >= since
            and (pod.killed or pod.crashes)
            and pod.version in self.stable
            and (not names or pod.deployment in names)
            for at, pod in self._pods.deaths
        )

    def _answer(self, caller: Caller, service: str, pod: Pod) -> None:
        behaviour = self._pods.behaviour_of(pod)
        at_source, at_destination, flag, took = self._outcome(behaviour)
        self._arrived(pod)
        self.answered[service] += 1
        if at_source not in ("200", "0"):
            self.requests.failed += 1
            if pod.version not in self.stable:
                self.requests.harmed += 1
        for counter in self._counters(caller, service, pod, at_source, at_destination, flag):
            counter.add(took)

    def _counters(
        self, caller: Caller, service: str, pod: Pod, at_source: str, at_destination: str, flag: str
    ) -> tuple[Counter, ...]:
        """Return what counts an answered request: at the pod's proxy, and at the caller's if it has one.

        Without a code at the source it is a copy, of which the caller never hears.
        """
        source = (caller.workload, caller.namespace, caller.mesh)
        key = (*source, service, pod.name, at_source, at_destination, flag)
        if key not in self._known:
            # At the pod nobody knows by which of its Services a request came.
            of_pod = self._labels("destination", caller, caller.host, pod.deployment, at_destination, "-")
            pairs = [(pod.name, of_pod)]
            if caller.mesh and at_source:
                of_caller = self._labels("source", caller, service, pod.deployment, at_source, flag)
                pairs.insert(0, (caller.workload, of_caller))
            self._known[key] = tuple(self.metrics.counter(*pair) for pair in pairs)
        return self._known[key]

    def _outcome(self, behaviour: Behaviour) -> tuple[str, str, str, float]:
        """Return code at the source, code at the destination, flag and milliseconds of one request."""
        draw = self._random.random() * 100
        took = latency(self._random, behaviour.latency) + behaviour.extra_latency
        if draw < behaviour.errors:
            return "500", "500", "-", took
        if draw < behaviour.errors + behaviour.timeouts:
            return "504", "0", "UT", TIMEOUT
        if draw < behaviour.errors + behaviour.timeouts + behaviour.cancels:
            return "0", "0", "DC", took
        return "200", "200", "-", took

    def _labels(
        self, reporter: str, caller: Caller, service: str, workload: str, code: str, flag: str
    ) -> tuple[tuple[str, str], ...]:
        return (
            ("reporter", reporter),
            ("request_protocol", caller.protocol),
            ("response_code", code),
            ("response_flags", flag),
            ("source_workload", caller.workload if caller.mesh else UNKNOWN),
            ("destination_service_name", service),
            ("destination_workload", workload),
            ("destination_workload_namespace", caller.namespace if workload != UNKNOWN else UNKNOWN),
        )
