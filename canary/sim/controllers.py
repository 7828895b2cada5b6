"""The cluster's own controllers: Deployments that roll pods, and the garbage collector."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from canary.core.names import MANAGER
from canary.core.objects import DEPLOYMENT, Object, Ref, Resource
from canary.sim.pods import Pod, Pods, hash_of
from canary.sim.rollout import bounds, counts, has_progressed, is_available, is_complete, orders
from canary.sim.world import Change, World

REACTION = 0.01
"""Seconds between a change and the reaction of a controller of the cluster."""

COLLECTION = 0.05
"""Seconds between the deletion of an owner and that of its dependants."""

REVISION = "deployment.kubernetes.io/revision"
WRITER = "kube-controller-manager"


class WorkloadController(ABC):
    """React to changes of one type of workload and of its pods."""

    resource: Resource

    def __init__(self, loop: asyncio.AbstractEventLoop, world: World, pods: Pods) -> None:
        self._loop = loop
        self._world = world
        self._pods = pods
        self._due: set[Ref] = set()
        world.watch(self._on_change)
        pods.after.append(self._on_pod)

    def _on_change(self, change: Change) -> None:
        if change.ref.resource != self.resource:
            return
        if change.after is None and change.before is not None:
            end = self._end_all if change.writer == MANAGER else self._pods.lose
            self._loop.call_later(REACTION, end, change.before["metadata"]["uid"])
        elif change.writer != WRITER:
            self._soon(change.ref)

    def _on_pod(self, pod: Pod) -> None:
        self._soon(Ref(self.resource, pod.namespace, pod.deployment))

    def _soon(self, ref: Ref) -> None:
        if ref not in self._due:
            self._due.add(ref)
            self._loop.call_later(REACTION, self._turn, ref)

    def _turn(self, ref: Ref) -> None:
        self._due.discard(ref)
        found = self._world.find(ref)
        if found is not None:
            self._sync(ref, found)

    @abstractmethod
    def _sync(self, ref: Ref, found: Object) -> None:
        """Bring the pods of one object closer to what it asks for, and report its status."""

    def _end_all(self, owner: str) -> None:
        for pod in self._pods.of(owner):
            self._pods.end(pod)

    def _wake_for_min_ready(self, ref: Ref, found: Object) -> None:
        seconds = found["spec"].get("minReadySeconds", 0)
        now = self._loop.time()
        for pod in self._pods.of(found["metadata"]["uid"]):
            if seconds and pod.ready_since is not None and not is_available(pod, found["spec"], now):
                self._loop.call_at(pod.ready_since + seconds, self._soon, ref)


class Deployments(WorkloadController):
    """Keep the pods of every Deployment as its spec asks and report its status."""

    resource = DEPLOYMENT

    def __init__(self, loop: asyncio.AbstractEventLoop, world: World, pods: Pods) -> None:
        super().__init__(loop, world, pods)
        self._rollouts: dict[str, tuple[str, float]] = {}
        """Template and last progress of each Deployment, by uid."""

    def _sync(self, ref: Ref, found: Object) -> None:
        uid = found["metadata"]["uid"]
        found = self._numbered(ref, found)
        wanted = orders(found, self._pods.of(uid), len(self._pods.ending(uid)), self._loop.time())
        # The status lags one turn behind the pods, as that of the ReplicaSets does.
        self._report(ref, found)
        for pod in wanted.end:
            self._pods.end(pod)
        for _ in range(wanted.start):
            self._pods.start(found)
        self._wake_for_min_ready(ref, found)

    def _numbered(self, ref: Ref, found: Object) -> Object:
        """Count the templates of a Deployment in its annotation, as kubectl rollout history shows."""
        annotations = found["metadata"].get("annotations") or {}
        digest = hash_of(found["spec"]["template"])
        uid = found["metadata"]["uid"]
        if uid in self._rollouts and self._rollouts[uid][0] == digest:
            return found
        self._rollouts[uid] = (digest, self._loop.time())
        number = str(int(annotations.get(REVISION, "0")) + 1)
        return self._world.patch(ref, {"metadata": {"annotations": {REVISION: number}}}, writer=WRITER)

    def _report(self, ref: Ref, found: Object) -> None:
        before: Mapping[str, Any] = found.get("status") or {}
        now = self._loop.time()
        status: dict[str, Any] = counts(found, self._pods.of(found["metadata"]["uid"]), now)
        status["observedGeneration"] = found["metadata"]["generation"]
        status["conditions"] = self._conditions(ref, found, before, status)
        removed = dict.fromkeys(before.keys() - status.keys())
        self._world.patch(ref, {"status": {**removed, **status}}, writer=WRITER, subresource="status")

    def _conditions(
        self, ref: Ref, found: Object, before: Mapping[str, Any], status: Mapping[str, Any]
    ) -> list[dict[str, Any]]:
        kept = {one["type"]: one for one in before.get("conditions") or ()}
        _, missing = bounds(found["spec"])
        enough = status.get("availableReplicas", 0) >= found["spec"]["replicas"] - missing
        reason = "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"
        self._set(kept, "Available", str(enough), reason)
        self._progressing(ref, found, kept, before, status)
        return [kept[kind] for kind in sorted(kept)]

    def _progressing(
        self,
        ref: Ref,
        found: Object,
        kept: dict[str, dict[str, Any]],
        before: Mapping[str, Any],
        status: Mapping[str, Any],
    ) -> None:
        now, spec = self._loop.time(), found["spec"]
        digest, since = self._rollouts[found["metadata"]["uid"]]
        reason = kept.get("Progressing", {}).get("reason")
        new = since == now
        updated = status.get("replicas", 0) == status.get("updatedReplicas", 0)
        # As in apps/v1: once complete, scaling or lost pods start no new deadline.
        if reason == "NewReplicaSetAvailable" and not new and updated:
            return
        if is_complete(found, status):
            self._set(kept, "Progressing", "True", "NewReplicaSetAvailable")
        elif new:
            self._set(kept, "Progressing", "True", "NewReplicaSetCreated")
            self._watch_deadline(ref, spec)
        elif has_progressed(before, status):
            self._rollouts[found["metadata"]["uid"]] = (digest, now)
            self._set(kept, "Progressing", "True", "ReplicaSetUpdated")
            self._watch_deadline(ref, spec)
        elif now - since + 1e-6 >= spec["progressDeadlineSeconds"]:
            self._set(kept, "Progressing", "False", "ProgressDeadlineExceeded")

    def _watch_deadline(self, ref: Ref, spec: Mapping[str, Any]) -> None:
        self._loop.call_later(spec["progressDeadlineSeconds"], self._soon, ref)

    def _set(self, kept: dict[str, dict[str, Any]], kind: str, status: str, reason: str) -> None:
        old = kept.get(kind, {})
        if (old.get("status"), old.get("reason")) == (status, reason) and kind == "Available":
            return
        now = self._world.stamp()
        since = old["lastTransitionTime"] if old.get("status") == status else now
        kept[kind] = {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": f"{reason}.",
            "lastUpdateTime": now,
            "lastTransitionTime": since,
        }


class Collector:
    """Delete what the owner references of a deleted object point from, in the background."""

    def __init__(self, loop: asyncio.AbstractEventLoop, world: World) -> None:
        self._loop = loop
        self._world = world
        world.watch(self._on_change)

    def _on_change(self, change: Change) -> None:
        if change.after is None and change.before is not None:
            self._loop.call_later(COLLECTION, self._collect, change.before["metadata"]["uid"])

    def _collect(self, owner: str) -> None:
        for ref, obj in self._world.everything():
            references = obj["metadata"].get("ownerReferences") or ()
            if any(one.get("uid") == owner for one in references):
                self._world.delete(ref, writer="generic-garbage-collector")
