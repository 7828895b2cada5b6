"""Pods of the invented cluster: small records that start, get ready, crash and end."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from canary.core.configuration import Find, Source, digest_of, references, renamed
from canary.core.names import PREFIX
from canary.core.objects import Object, Ref, Resource, canonical
from canary.sim.behaviour import Behaviour, Behaviours

GRACE = 0.5
"""Seconds a terminating pod goes on answering."""

RETRY = 1.0
"""Seconds until the kubelet looks again for configuration that is missing."""

RESTART_DELAY = 5.0
"""Seconds a crashed container waits before it starts again, doubled each time up to five minutes."""


@dataclass(slots=True, eq=False)
class Pod:
    """One pod."""

    name: str
    namespace: str
    deployment: str
    owner: str
    hash: str
    labels: Mapping[str, str]
    image: str
    version: str
    mode: str
    """What its configuration says under the key `mode`."""
    created: float
    container: str = ""
    image_id: str = ""
    """What the image's tag pointed to when the pod began."""
    ready_since: float | None = None
    terminating: bool = False
    gone: bool = False
    killed: bool = False
    crashes: int = 0

    @property
    def ready(self) -> bool:
        """Return whether the pod is an endpoint of the Services that select it."""
        return self.ready_since is not None and not self.terminating and not self.gone

    @property
    def answers(self) -> bool:
        """Return whether a request sent to the pod now is answered."""
        return self.ready_since is not None and not self.gone

    @property
    def object(self) -> Object:
        """Return the pod as the API server has it."""
        statuses = [{"name": self.container, "imageID": self.image_id}]
        metadata = {"name": self.name, "namespace": self.namespace, "labels": dict(self.labels)}
        return {"metadata": metadata, "status": {"containerStatuses": statuses}}


def nothing(resource: Resource, name: str) -> Object | None:
    """Find no configuration."""
    return None


def version_of(template: Mapping[str, Any], find: Find = nothing) -> str:
    """Return a short name for what a user's pod template says and reads, the same for the clones made of it.

    What it reads is found by name; without a way to find it, versions of one template with any
    configuration are the same.
    """
    read = references(template)
    if read:
        contents = {one: digest_of(found) if (found := find(one.resource, one.name)) else "-" for one in read}
        template = renamed(deepcopy(dict(template)), contents)
    metadata, pod = template.get("metadata") or {}, template.get("spec") or {}
    user = {
        "containers": list(pod.get("containers") or ()),
        **({"volumes": pod["volumes"]} if pod.get("volumes") else {}),
        "labels": _foreign(metadata.get("labels")),
        "annotations": _foreign(metadata.get("annotations")),
    }
    return hashlib.sha256(canonical(user).encode()).hexdigest()[:10]


def _foreign(values: Mapping[str, str] | None) -> dict[str, str]:
    return {key: value for key, value in (values or {}).items() if not key.startswith(PREFIX)}


def hash_of(template: Mapping[str, Any]) -> str:
    """Return the pod-template-hash of a template."""
    return hashlib.sha256(canonical(template).encode()).hexdigest()[:10]


class Pods:
    """Keep all pods, tell observers before and after each change."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        behaviours: Behaviours,
        find: Callable[[Ref], Object | None] = lambda ref: None,
    ) -> None:
        self._loop = loop
        self._find = find
        self.behaviours = behaviours
        self._pods: list[Pod] = []
        self._count = 0
        self._builds: dict[str, int] = {}
        self._sick: list[Pod] = []
        behaviours.healed.append(self._recover)
        self.before: list[Callable[[], None]] = []
        self.after: list[Callable[[Pod], None]] = []
        self.deaths: list[tuple[float, Pod]] = []
        """Pods that nobody who rolls or scales has ended, and when: killed, crashed or lost with their Deployment."""

    def objects(self) -> list[Object]:
        """Return the pods as the API server has them."""
        return [pod.object for pod in self._pods]

    def move_tag(self, image: str) -> None:
        """Let an image's tag point to another build from now on."""
        self._builds[image] = self._builds.get(image, 0) + 1

    def all(self) -> list[Pod]:
        """Return the pods that exist, terminating ones included, oldest first."""
        return list(self._pods)

    def of(self, owner: str) -> list[Pod]:
        """Return the pods of a Deployment (by uid) that are not on their way out."""
        return [pod for pod in self._pods if pod.owner == owner and not pod.terminating]

    def ending(self, owner: str) -> list[Pod]:
        """Return the pods of a Deployment (by uid) that are on their way out."""
        return [pod for pod in self._pods if pod.owner == owner and pod.terminating]

    def selected(self, namespace: str, selector: Mapping[str, str]) -> list[Pod]:
        """Return the pods of a namespace whose labels contain all of a selector."""
        wanted = selector.items()
        return [pod for pod in self._pods if pod.namespace == namespace and wanted <= pod.labels.items()]

    def endpoints(self, service: Object) -> list[Pod]:
        """Return the ready pods a Service selects; a Service without selector has none."""
        selector = service["spec"].get("selector") or {}
        found = self.selected(service["metadata"]["namespace"], selector) if selector else []
        return [pod for pod in found if pod.ready]

    def start(self, deployment: Object) -> Pod:
        """Start a pod from the template of a Deployment."""
        meta, template = deployment["metadata"], deployment["spec"]["template"]
        self._count += 1
        digest = hash_of(template)
        container = template["spec"]["containers"][0]
        image = container.get("image", "")

        def find(resource: Resource, name: str) -> Object | None:
            return self._find(Ref(resource, meta["namespace"], name))

        read = [found for one in references(template) if (found := find(one.resource, one.name))]
        modes = [str((found.get("data") or {}).get("mode", "")) for found in read]
        pod = Pod(
            name=f"{meta['name']}-{digest}-{self._count:05d}",
            namespace=meta["namespace"],
            deployment=meta["name"],
            owner=meta["uid"],
            hash=digest,
            labels={**(template["metadata"].get("labels") or {}), "pod-template-hash": digest},
            image=image,
            version=version_of(template, find),
            mode=next((mode for mode in modes if mode), ""),
            created=self._loop.time(),
            container=container["name"],
            image_id=f"{image}@build-{self._builds.get(image, 0)}",
        )
        self._change(pod, lambda: self._pods.append(pod))
        self._await_configuration(pod, [one for one, needed in references(template).items() if needed])
        return pod

    def behaviour_of(self, pod: Pod) -> Behaviour:
        """Return how a pod behaves."""
        return self.behaviours.of(pod.deployment, pod.image, pod.mode)

    def _await_configuration(self, pod: Pod, needed: list[Source]) -> None:
        """Start the containers once all they need is there, as the kubelet does."""
        if pod.gone:
            return
        if all(self._find(Ref(one.resource, pod.namespace, one.name)) for one in needed):
            self._await_ready(pod)
        else:
            self._loop.call_later(RETRY, self._await_configuration, pod, needed)

    def end(self, pod: Pod) -> None:
        """Terminate a pod gracefully: out of the endpoints now, gone after its grace time."""
        if not pod.terminating:
            self._change(pod, lambda: setattr(pod, "terminating", True))
            self._loop.call_later(GRACE, self._remove, pod)

    def lose(self, owner: str) -> None:
        """Terminate the pods of a Deployment (by uid) that somebody deleted."""
        for pod in self.of(owner):
            self.deaths.append((self._loop.time(), pod))
            self.end(pod)

    def kill(self, pod: Pod) -> None:
        """Take a pod away at once, as a lost node does."""
        pod.killed = True
        self.deaths.append((self._loop.time(), pod))
        self._remove(pod)

    def _await_ready(self, pod: Pod) -> None:
        behaviour = self.behaviour_of(pod)
        delay = behaviour.ready_after
        sick = sum(one.owner == pod.owner and not one.terminating and not one.gone for one in self._sick)
        if delay is None or sick < behaviour.sick_pods:
            self._sick.append(pod)
        else:
            self._loop.call_later(delay, self._get_ready, pod)

    def _recover(self) -> None:
        sick, self._sick = self._sick, []
        for pod in sick:
            self._await_ready(pod)

    def _get_ready(self, pod: Pod) -> None:
        if pod.gone:
            return
        self._change(pod, lambda: setattr(pod, "ready_since", self._loop.time()))
        crash = self.behaviour_of(pod).crash_after
        if crash is not None:
            self._loop.call_later(crash, self._crash, pod)

    def _crash(self, pod: Pod) -> None:
        if pod.gone or pod.ready_since is None:
            return
        pod.crashes += 1
        self.deaths.append((self._loop.time(), pod))
        self._change(pod, lambda: setattr(pod, "ready_since", None))
        delay = min(300.0, RESTART_DELAY * 2 ** (pod.crashes - 1))
        self._loop.call_later(delay, self._await_ready, pod)

    def _remove(self, pod: Pod) -> None:
        if pod.gone:
            return

        def leave() -> None:
            pod.gone = True
            self._pods.remove(pod)

        self._change(pod, leave)

    def _change(self, pod: Pod, act: Callable[[], None]) -> None:
        for observer in self.before:
            observer()
        act()
        for after in self.after:
            after(pod)
