"""A Deployment or a DaemonSet as the core reads it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from canary.core.names import MANAGER, REVISION_LABEL, WISH
from canary.core.objects import (
    DAEMON_SET,
    DEPLOYMENT,
    Object,
    Ref,
    Resource,
    annotations_of,
    canonical,
    labels_of,
    ref_of,
)

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
RECREATE = "Recreate"
SCALED_AWAY = "flagger.app/scale-to-zero"
"""In the nodeSelector of a DaemonSet: no node has it, which is how a DaemonSet gets to have no pods."""
KUBECTL_APPLY = "kubectl-client-side-apply"


def enough(pods: int, threshold: int) -> int:
    """Return how many of some pods a threshold in percent asks for, rounded up; without any pod nothing serves."""
    return max(min(pods, 1), -(-pods * threshold // 100))


@dataclass(frozen=True, slots=True)
class Workload:
    """Read one Deployment or DaemonSet; counts are those of its status."""

    raw: Object
    reached: int | None = None
    """How many ready pods its side's Service leads to; None without a Service of its own."""

    @property
    def resource(self) -> Resource:
        """Return its type."""
        return DAEMON_SET if self.is_daemon else DEPLOYMENT

    @property
    def is_daemon(self) -> bool:
        """Return whether it has a pod on each node it fits on, and no number of its own."""
        return bool(self.raw.get("kind") == DAEMON_SET.kind)

    @property
    def ref(self) -> Ref:
        """Return where it lives."""
        return ref_of(self.resource, self.raw)

    @property
    def uid(self) -> str:
        """Return its uid."""
        return str(self.raw["metadata"]["uid"])

    @property
    def version(self) -> str:
        """Return its resourceVersion."""
        return str(self.raw["metadata"]["resourceVersion"])

    @property
    def generation(self) -> int:
        """Return its generation: moves with every change of the spec."""
        return int(self.raw["metadata"]["generation"])

    @property
    def template(self) -> dict[str, Any]:
        """Return its pod template, without what keeps a DaemonSet off all nodes."""
        template: dict[str, Any] = self.raw["spec"]["template"]
        return on_its_nodes(template) if self.is_daemon else template

    @property
    def pod_labels(self) -> dict[str, str]:
        """Return the labels of its pods."""
        return (self.template.get("metadata") or {}).get("labels") or {}

    @property
    def selector(self) -> dict[str, str]:
        """Return its matchLabels."""
        return self.raw["spec"]["selector"].get("matchLabels") or {}

    @property
    def replicas(self) -> int:
        """Return the size asked for: of a DaemonSet the nodes it fits on, at least one unless it is kept off all."""
        if self.is_daemon:
            return 0 if self._scaled_away else max(1, self._count("desiredNumberScheduled"))
        return int(self.raw["spec"].get("replicas", 1))

    @property
    def _scaled_away(self) -> bool:
        return SCALED_AWAY in (self.raw["spec"]["template"]["spec"].get("nodeSelector") or {})

    def resized(self, size: int) -> dict[str, Any]:
        """Return the fields of its spec that give it a size; empty when it has it.  A DaemonSet is whole or away."""
        if not self.is_daemon:
            return {} if size == self.replicas else {"replicas": size}
        if (size == 0) == self._scaled_away:
            return {}
        selector = {SCALED_AWAY: "true" if size == 0 else None}
        return {"template": {"spec": {"nodeSelector": selector}}}

    def _count(self, name: str) -> int:
        return int((self.raw.get("status") or {}).get(name) or 0)

    @property
    def observed(self) -> bool:
        """Return whether its status speaks of its present spec."""
        return self._count("observedGeneration") >= self.generation

    @property
    def update_type(self) -> str:
        """Return how a DaemonSet replaces its pods."""
        return str((self.raw["spec"].get("updateStrategy") or {}).get("type") or "RollingUpdate")

    @property
    def node_ports(self) -> str | None:
        """Return in words what its pods take of their node that no other pod can have too; None for nothing."""
        spec = self.template["spec"]
        if spec.get("hostNetwork"):
            return "the network"
        ports = (port for one in spec["containers"] for port in one.get("ports") or ())
        taken = next((port["hostPort"] for port in ports if port.get("hostPort")), None)
        return f"port {taken}" if taken else None

    @property
    def pods(self) -> int:
        """Return how many pods exist, ready or not, of any revision."""
        if not self.is_daemon:
            return self._count("replicas")
        # Kept off all nodes, all that it still has are where they should not be.
        ending = self._count("numberMisscheduled") if self._scaled_away else 0
        return self._count("currentNumberScheduled") + ending

    @property
    def running(self) -> int:
        """Return how many pods are ready, whether or not its Service leads to them."""
        return self._count("numberReady" if self.is_daemon else "readyReplicas")

    @property
    def ready(self) -> int:
        """Return how many pods are ready and can be reached."""
        return self._reached(self.running)

    @property
    def available(self) -> int:
        """Return how many pods are available: ready for at least minReadySeconds, and reached."""
        return self._reached(self._standing)

    @property
    def _standing(self) -> int:
        return self._count("numberAvailable" if self.is_daemon else "availableReplicas")

    def _reached(self, count: int) -> int:
        return count if self.reached is None else min(count, self.reached)

    @property
    def unreached(self) -> int:
        """Return how many available pods its Service does not lead to yet."""
        return self._standing - self.available

    @property
    def updated(self) -> int:
        """Return how many pods run the present template; 0 while that is unknown."""
        return self._count("updatedNumberScheduled" if self.is_daemon else "updatedReplicas") if self.observed else 0

    @property
    def fresh(self) -> int:
        """Return how many available pods surely run the present template; 0 while that is unknown."""
        if not self.observed:
            return 0
        return max(0, self.available - (self.pods - self.updated))

    def is_complete(self, threshold: int) -> bool:
        """Return whether its rollout is over: all pods run the present template, and enough of them are available."""
        whole = self.updated == self.pods == self.replicas
        return self.observed and whole and self._standing >= enough(self.replicas, threshold)

    def is_reached(self, threshold: int) -> bool:
        """Return whether its Service leads to enough of its pods."""
        return self.available >= enough(self.replicas, threshold)

    @property
    def empty(self) -> bool:
        """Return whether it is to have no pods and has none."""
        return self.replicas == 0 and self.observed and self.pods == 0

    @property
    def recreates(self) -> bool:
        """Return whether it ends all its pods before it starts new ones."""
        return (self.raw["spec"].get("strategy") or {}).get("type") == RECREATE

    def keeps_serving(self, size: int) -> bool:
        """Return whether some of so many pods would stay available while it rolls."""
        rolling = (self.raw["spec"].get("strategy") or {}).get("rollingUpdate") or {}
        surge = _of(size, rolling.get("maxSurge", "25%"), math.ceil)
        away = _of(size, rolling.get("maxUnavailable", "25%"), math.floor)
        return not self.recreates and (away if away or surge else 1) < size

    @property
    def stuck(self) -> bool:
        """Return whether its rollout made no progress within its deadline; a DaemonSet has none and never says so."""
        if not self.observed:
            return False
        conditions = (self.raw.get("status") or {}).get("conditions") or []
        return any(c.get("type") == "Progressing" and c.get("reason") == "ProgressDeadlineExceeded" for c in conditions)

    @property
    def revision(self) -> str:
        """Return the revision its template was written from; empty for the user's own."""
        labels = (self.template.get("metadata") or {}).get("labels") or {}
        return str(labels.get(REVISION_LABEL, ""))

    @property
    def wish(self) -> int | None:
        """Return the size named in its ``replicas`` annotation; None without a usable one."""
        text = "" if self.is_daemon else annotations_of(self.raw).get(WISH, "")
        return int(text) if text.isdecimal() and int(text) > 0 else None

    @property
    def replicas_named(self) -> bool:
        """Return whether somebody else than us asked for its present size.

        ``kubectl apply`` owns fields that the API server defaulted as if it had named them; the
        configuration it keeps in an annotation tells the two apart.
        """
        owners = [m for m in field_managers(self.raw, "f:spec", "f:replicas") if m != MANAGER]
        if LAST_APPLIED not in annotations_of(self.raw) or owners != [KUBECTL_APPLY]:
            return bool(owners)
        return self.applied is not None

    @property
    def applied(self) -> int | None:
        """Return the size that ``kubectl apply`` asked for last; None when it named none."""
        text = annotations_of(self.raw).get(LAST_APPLIED)
        size = json.loads(applied_replicas(text))["spec"].get("replicas") if text is not None else None
        return size if isinstance(size, int) else None

    @property
    def labels(self) -> dict[str, str]:
        """Return its labels."""
        return labels_of(self.raw)


def _of(size: int, share: int | str, rounded: Callable[[float], int]) -> int:
    """Return a number of pods given as such or in percent of a size."""
    return rounded(size * int(share.rstrip("%")) / 100) if isinstance(share, str) else share


def on_its_nodes(template: dict[str, Any]) -> dict[str, Any]:
    """Return a DaemonSet's pod template as its user has it, whether it is kept off all nodes or not."""
    selector = template["spec"].get("nodeSelector")
    if selector is None or (selector and SCALED_AWAY not in selector):
        return template
    spec = {key: value for key, value in template["spec"].items() if key != "nodeSelector"}
    if rest := {key: value for key, value in selector.items() if key != SCALED_AWAY}:
        spec["nodeSelector"] = rest
    return {**template, "spec": spec}


def field_managers(obj: Object, *path: str) -> tuple[str, ...]:
    """Return the names of the managers that own a field, e.g. ``("f:spec", "f:replicas")``."""
    found = []
    for entry in obj["metadata"].get("managedFields") or []:
        node: Any = entry.get("fieldsV1") or {}
        for key in path:
            node = node.get(key) if isinstance(node, dict) else None
        if node is not None:
            found.append(str(entry.get("manager", "")))
    return tuple(found)


def applied_replicas(text: str) -> str:
    """Return kubectl's last-applied configuration with ``spec.replicas`` alone; an unreadable one names none."""
    try:
        spec = json.loads(text).get("spec") or {}
    except (ValueError, AttributeError):
        spec = {}
    return canonical({"spec": {"replicas": spec["replicas"]} if "replicas" in spec else {}})
