"""The HorizontalPodAutoscaler controller: sizes by an invented load, and refuses pods that two of them select."""

from __future__ import annotations

import asyncio
import math
from collections.abc import ItemsView, Mapping

from canary.core.objects import AUTOSCALER, DEPLOYMENT, SERVICE, VIRTUAL_SERVICE, Object, Ref
from canary.sim.pods import Pods
from canary.sim.routing import reach_of
from canary.sim.world import Change, World

SCALER = "horizontal-pod-autoscaler"
PERIOD = 5.0
"""Seconds between two looks of the controller at one autoscaler; it scales down without any hesitation."""

AMBIGUOUS = "AmbiguousSelector"


class Autoscalers:
    """Scale what each HorizontalPodAutoscaler points at.

    ``load`` is how many pods' worth of requests callers make at present; each Deployment gets the share of
    it that routes and Services give its pods.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, world: World, pods: Pods) -> None:
        self._loop = loop
        self._world = world
        self._pods = pods
        self._selectors: dict[Ref, Mapping[str, str]] = {}
        self.load = 2.0
        world.watch(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.ref.resource != AUTOSCALER:
            return
        if change.after is None:
            self._selectors.pop(change.ref, None)
        elif change.before is None:
            self._loop.call_later(PERIOD, self._look, change.ref, change.after["metadata"]["uid"])

    def _look(self, ref: Ref, uid: str) -> None:
        found = self._world.find(ref)
        if found is None or found["metadata"]["uid"] != uid:
            return
        self._tell(ref, found, self._scale(ref, found["spec"]))
        self._loop.call_later(PERIOD, self._look, ref, uid)

    def _scale(self, ref: Ref, spec: Mapping[str, object]) -> str:
        """Scale as one autoscaler asks and return the reason of its condition."""
        pointed = spec["scaleTargetRef"]
        assert isinstance(pointed, Mapping)
        where = Ref(DEPLOYMENT, ref.namespace, str(pointed["name"]))
        deployment = self._world.find(where)
        if deployment is None:
            return "FailedGetScale"
        size = int(deployment["spec"]["replicas"])
        if size == 0:
            return "ScalingDisabled"
        low, high = int(str(spec.get("minReplicas", 1))), int(str(spec["maxReplicas"]))
        wanted = min(max(size, low), high)
        if wanted == size:
            self._selectors[ref] = deployment["spec"]["selector"]["matchLabels"]
            if self._is_ambiguous(ref):
                return AMBIGUOUS
            wanted = min(max(math.ceil(self.load * self._share(deployment)), low), high)
        if wanted != size:
            self._world.patch(where, {"spec": {"replicas": wanted}}, writer=SCALER)
        return "ValidMetricFound"

    def _is_ambiguous(self, ref: Ref) -> bool:
        """Return whether another autoscaler's selector, as last looked at, matches a pod of this one's."""
        known = self._selectors.items()
        others = [s.items() for other, s in known if other != ref and other.namespace == ref.namespace]
        pods = self._pods.selected(ref.namespace, self._selectors[ref])
        return any(selector <= pod.labels.items() for selector in others for pod in pods)

    def _share(self, deployment: Object) -> float:
        """Return which part of the load the pods of a Deployment carry."""
        labels = (deployment["spec"]["template"]["metadata"].get("labels") or {}).items()
        namespace = deployment["metadata"]["namespace"]
        reach = [reach_of(route) for route in self._world.select(VIRTUAL_SERVICE, namespace)]
        if any(one for shares in reach for one in shares.values()):
            hosts = [(host.partition(".")[0], share) for shares in reach for host, share in shares.items()]
            services = ((self._world.find(Ref(SERVICE, namespace, host)), share) for host, share in hosts)
            return max((share for found, share in services if _selects(found, labels)), default=0) / 100
        fronts = self._world.select(SERVICE, namespace)
        everyone = {pod.name: pod for one in fronts for pod in self._pods.endpoints(one)}
        mine = [pod for pod in everyone.values() if pod.owner == deployment["metadata"]["uid"]]
        return len(mine) / len(everyone) if everyone else 0.0

    def _tell(self, ref: Ref, found: Object, reason: str) -> None:
        active = "True" if reason == "ValidMetricFound" else "False"
        status = {"conditions": [{"type": "ScalingActive", "status": active, "reason": reason}]}
        if found.get("status") != status:
            self._world.patch(ref, {"status": status}, writer=SCALER, subresource="status")


def _selects(service: Object | None, labels: ItemsView[str, str]) -> bool:
    selector = ((service or {}).get("spec") or {}).get("selector") or {}
    return bool(selector) and labels >= selector.items()
