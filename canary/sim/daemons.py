"""DaemonSets of the invented cluster: a pod on each node, rolled and reported as in apps/v1."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from canary.core.objects import DAEMON_SET, Object, Ref
from canary.core.workload import SCALED_AWAY
from canary.sim.controllers import WRITER, WorkloadController
from canary.sim.pods import Pod, Pods, hash_of
from canary.sim.rollout import is_available
from canary.sim.world import World


class DaemonSets(WorkloadController):
    """Keep one pod of every DaemonSet on each node and report its status."""

    resource = DAEMON_SET

    def __init__(self, loop: asyncio.AbstractEventLoop, world: World, pods: Pods) -> None:
        super().__init__(loop, world, pods)
        self.nodes = 2
        self._places: dict[Pod, int] = {}

    def resize(self, nodes: int) -> None:
        """Add nodes, or take the last ones away with the pods on them."""
        self.nodes = nodes
        for pod in [pod for pod, place in self._places.items() if place >= nodes and not pod.gone]:
            self._pods.kill(pod)
        for ref, _ in self._world.items(DAEMON_SET):
            self._soon(ref)

    def _sync(self, ref: Ref, found: Object) -> None:
        uid = found["metadata"]["uid"]
        self._places = {pod: place for pod, place in self._places.items() if not pod.gone}
        here = {pod: place for pod, place in self._places.items() if pod.owner == uid}
        away = SCALED_AWAY in (found["spec"]["template"]["spec"].get("nodeSelector") or {})
        self._report(ref, found, here, 0 if away else self.nodes)
        if away:
            self._end_all(uid)
            return
        for pod in self._replaced(found, [pod for pod in here if not pod.terminating]):
            self._pods.end(pod)
        for place in range(self.nodes):
            # A pod on its way out keeps its place.
            if place not in here.values():
                self._places[self._pods.start(found)] = place
        self._wake_for_min_ready(ref, found)

    def _replaced(self, found: Object, pods: Sequence[Pod]) -> list[Pod]:
        """Return the pods of former templates that may go now: at most `maxUnavailable` nodes are without one."""
        now, digest = self._loop.time(), hash_of(found["spec"]["template"])
        available = [pod for pod in pods if is_available(pod, found["spec"], now)]
        old = [pod for pod in pods if pod.hash != digest]
        missing = self.nodes - len(available)
        spare = max(0, int(found["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"]) - missing)
        return [pod for pod in old if pod not in available] + [pod for pod in old if pod in available][:spare]

    def _report(self, ref: Ref, found: Object, here: Mapping[Pod, int], desired: int) -> None:
        now, digest = self._loop.time(), hash_of(found["spec"]["template"])
        meant = [pod for pod in here if here[pod] < desired]
        available = sum(is_available(pod, found["spec"], now) for pod in meant)
        counts = {
            "updatedNumberScheduled": sum(pod.hash == digest for pod in meant),
            "numberAvailable": available,
            "numberUnavailable": desired - available,
        }
        status: dict[str, Any] = {
            "observedGeneration": found["metadata"]["generation"],
            "desiredNumberScheduled": desired,
            "currentNumberScheduled": len(meant),
            "numberMisscheduled": len(here) - len(meant),
            "numberReady": sum(pod.ready for pod in meant),
            **{key: value for key, value in counts.items() if value},
        }
        removed = dict.fromkeys((found.get("status") or {}).keys() - status.keys())
        self._world.patch(ref, {"status": {**removed, **status}}, writer=WRITER, subresource="status")
