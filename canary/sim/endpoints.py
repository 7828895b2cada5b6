"""Which pods the invented Services lead to: EndpointSlices, which follow the pods late."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from canary.core.endpoints import SERVICE_NAME
from canary.core.objects import ENDPOINT_SLICE, SERVICE, Object, Ref, labels_of
from canary.sim.controllers import REACTION, WRITER
from canary.sim.pods import Pod, Pods
from canary.sim.world import Change, World

LATE = (1.0, 8.0)
"""Seconds by which pods are told late when they are."""


class Endpoints:
    """Keep one EndpointSlice for each Service with a selector."""

    def __init__(self, loop: asyncio.AbstractEventLoop, world: World, pods: Pods, random: Random) -> None:
        self._loop = loop
        self._world = world
        self._pods = pods
        self._random = random
        self._told: set[str] = set()
        self._due: set[Ref] = set()
        self.lag = 0.0
        """Seconds by which every pod that gets ready is told late."""
        self.late_ones = 0.0
        """The share of pods that are told late, those of a rolling update aside: it would do harm of its own."""
        self.moved = float("-inf")
        """When a Service last came to lead to other pods."""
        world.watch(self._on_change)
        pods.after.append(self._on_pod)

    def of(self, service: Ref) -> tuple[Pod, ...]:
        """Return the pods that a Service leads to."""
        found = self._world.find(_slice_of(service))
        if found is None:
            return ()
        names = {endpoint["targetRef"]["name"] for endpoint in found["endpoints"]}
        return tuple(pod for pod in self._pods.all() if pod.name in names and pod.namespace == service.namespace)

    def _on_change(self, change: Change) -> None:
        if change.ref.resource == SERVICE:
            self._soon(change.ref)
        elif change.ref.resource == ENDPOINT_SLICE:
            self.moved = change.at

    def _on_pod(self, pod: Pod) -> None:
        if pod.ready and pod.name not in self._told:
            self._loop.call_later(self._delay(pod), self._tell, pod)
            return
        if not pod.ready:
            self._told.discard(pod.name)
        self._sync_around(pod)

    def _delay(self, pod: Pod) -> float:
        rolling = any(one.name in self._told and one.hash != pod.hash for one in self._pods.of(pod.owner))
        late = not rolling and self._random.random() < self.late_ones
        return REACTION + self.lag + (self._random.uniform(*LATE) if late else 0.0)

    def _tell(self, pod: Pod) -> None:
        if pod.ready:
            self._told.add(pod.name)
            self._sync_around(pod)

    def _sync_around(self, pod: Pod) -> None:
        for ref, service in self._world.items(SERVICE, pod.namespace):
            selector = service["spec"].get("selector")
            if selector and selector.items() <= pod.labels.items():
                self._soon(ref)

    def _soon(self, ref: Ref) -> None:
        if ref not in self._due:
            self._due.add(ref)
            self._loop.call_later(REACTION, self._sync, ref)

    def _sync(self, ref: Ref) -> None:
        self._due.discard(ref)
        service, known = self._world.find(ref), self._world.find(_slice_of(ref))
        if service is None or not service["spec"].get("selector"):
            if known is not None:
                self._world.delete(_slice_of(ref), writer=WRITER)
            return
        wanted = self._wanted(ref, service)
        if known is None:
            self._world.create(_slice_of(ref), wanted, writer=WRITER)
        elif (known["endpoints"], labels_of(known)) != (wanted["endpoints"], wanted["metadata"]["labels"]):
            gone = dict.fromkeys(labels_of(known).keys() - wanted["metadata"]["labels"].keys())
            labels = {**wanted["metadata"]["labels"], **gone}
            body = {"metadata": {"labels": labels}, "endpoints": wanted["endpoints"]}
            self._world.patch(_slice_of(ref), body, writer=WRITER)

    def _wanted(self, ref: Ref, service: Object) -> dict[str, Any]:
        reached = [pod for pod in self._pods.endpoints(service) if pod.name in self._told]
        return {
            "apiVersion": ENDPOINT_SLICE.api_version,
            "kind": ENDPOINT_SLICE.kind,
            # It bears the labels of its Service.
            "metadata": {"name": ref.name, "labels": {**labels_of(service), SERVICE_NAME: ref.name}},
            "addressType": "IPv4",
            "endpoints": [
                {
                    "addresses": [pod.name],
                    "conditions": {"ready": True},
                    "targetRef": {"name": pod.name, "uid": pod.name},
                }
                for pod in reached
            ],
        }


def _slice_of(service: Ref) -> Ref:
    return Ref(ENDPOINT_SLICE, service.namespace, service.name)
