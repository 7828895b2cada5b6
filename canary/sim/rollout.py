"""The arithmetic of a Deployment's roll-out and the status it reports, as in apps/v1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canary.core.objects import DAEMON_SET, Object
from canary.core.workload import SCALED_AWAY
from canary.sim.pods import Pod, hash_of


def size_of(workload: Object) -> int:
    """Return the size a workload asks for; that of a DaemonSet is as its controller last counted nodes."""
    if workload["kind"] != DAEMON_SET.kind:
        return int(workload["spec"]["replicas"])
    away = SCALED_AWAY in (workload["spec"]["template"]["spec"].get("nodeSelector") or {})
    return 0 if away else int((workload.get("status") or {}).get("desiredNumberScheduled", 0))


@dataclass(frozen=True, slots=True)
class Orders:
    """What the Deployment controller does next."""

    start: int = 0
    end: tuple[Pod, ...] = ()


def bounds(spec: Mapping[str, Any]) -> tuple[int, int]:
    """Return (maxSurge, maxUnavailable) in pods."""
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    surge = _pods(rolling.get("maxSurge", "25%"), spec["replicas"], math.ceil)
    missing = _pods(rolling.get("maxUnavailable", "25%"), spec["replicas"], math.floor)
    return surge, missing if surge or missing else 1


def _pods(value: Any, replicas: int, rounded: Any) -> int:
    if isinstance(value, str):
        return int(rounded(int(value.rstrip("%")) * replicas / 100))
    return int(value)


def orders(deployment: Object, pods: Sequence[Pod], ending: int, now: float) -> Orders:
    """Return the pods to start and to end now."""
    spec = deployment["spec"]
    digest, desired = hash_of(spec["template"]), spec["replicas"]
    new = [pod for pod in pods if pod.hash == digest]
    old = [pod for pod in pods if pod.hash != digest]
    if spec["strategy"]["type"] == "Recreate" and (old or (not new and ending)):
        return Orders(end=tuple(old))
    surplus = tuple(sorted(new, key=lambda pod: (pod.ready, -pod.created))[: max(0, len(new) - desired)])
    if not old:
        return Orders(start=max(0, desired - len(new)), end=surplus)
    surge, missing = bounds(spec)
    start = max(0, min(desired - len(new), desired + surge - len(pods)))
    return Orders(start=start, end=surplus + _replaced(old, pods, desired - missing, spec, now))


def _replaced(
    old: Sequence[Pod], pods: Sequence[Pod], at_least: int, spec: Mapping[str, Any], now: float
) -> tuple[Pod, ...]:
    idle = [pod for pod in old if not is_available(pod, spec, now)]
    busy = [pod for pod in old if is_available(pod, spec, now)]
    spare = sum(is_available(pod, spec, now) for pod in pods) - at_least
    return tuple(idle + busy[: max(0, spare)])


def is_available(pod: Pod, spec: Mapping[str, Any], now: float) -> bool:
    """Return whether a pod has been ready for minReadySeconds."""
    since = pod.ready_since
    # A microsecond of slack: times are sums of floats.
    return pod.ready and since is not None and now - since + 1e-6 >= spec.get("minReadySeconds", 0)


def counts(deployment: Object, pods: Sequence[Pod], now: float) -> dict[str, int]:
    """Return the numbers of a Deployment's status; as on the wire, zeros are left out."""
    spec = deployment["spec"]
    digest = hash_of(spec["template"])
    available = sum(is_available(pod, spec, now) for pod in pods)
    found = {
        "replicas": len(pods),
        "updatedReplicas": sum(pod.hash == digest for pod in pods),
        "readyReplicas": sum(pod.ready for pod in pods),
        "availableReplicas": available,
        "unavailableReplicas": max(0, spec["replicas"] - available),
    }
    return {key: value for key, value in found.items() if value}


def is_complete(deployment: Object, status: Mapping[str, Any]) -> bool:
    """Return whether all replicas are of the new template and available."""
    desired = deployment["spec"]["replicas"]
    names = ("replicas", "updatedReplicas", "availableReplicas")
    return all(status.get(name, 0) == desired for name in names)


def has_progressed(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Return whether a roll-out got on between two statuses."""
    rising = ("updatedReplicas", "readyReplicas", "availableReplicas")
    old = [one.get("replicas", 0) - one.get("updatedReplicas", 0) for one in (before, after)]
    return old[1] < old[0] or any(after.get(name, 0) > before.get(name, 0) for name in rising)
