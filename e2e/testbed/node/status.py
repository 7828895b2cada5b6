"""Build the pod status that a kubelet would write."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from e2e.testbed import addresses
from e2e.testbed.kube import Object
from e2e.testbed.node.containers import Container

PULL_FAILED = "ImagePullBackOff"
UNCONFIGURED = "CreateContainerConfigError"
CRASHED = "CrashLoopBackOff"


def timestamp(moment: datetime | None = None) -> str:
    """Return a moment, by default now, in the API's form."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def pull_failed_status(pod: Object) -> Object:
    """Return the status of a pod with an image that nothing stands in for."""
    messages = [f'Back-off pulling image "{container["image"]}"' for container in pod["spec"]["containers"]]
    return _waiting_status(pod, PULL_FAILED, messages)


def unconfigured_status(pod: Object, message: str) -> Object:
    """Return the status of a pod that refers to configuration which is not there."""
    return _waiting_status(pod, UNCONFIGURED, [message] * len(pod["spec"]["containers"]))


def _waiting_status(pod: Object, reason: str, messages: Sequence[str]) -> Object:
    statuses = []
    for container, message in zip(pod["spec"]["containers"], messages, strict=True):
        waiting = {"waiting": {"reason": reason, "message": message}}
        statuses.append({**_container(container), "state": waiting, "ready": False, "restartCount": 0})
    return {
        "phase": "Pending",
        "hostIP": addresses.NODE_ADDRESS,
        "conditions": _conditions(ready=False),
        "containerStatuses": statuses,
    }


def running_status(
    pod: Object,
    address: str,
    containers: Sequence[Container],
    image_ids: Mapping[str, str],
    *,
    ready: bool,
    since: datetime,
) -> Object:
    """Return the status of a pod that has been started."""
    by_name = {container.name: container for container in containers}
    statuses = [
        {**_container(item), "imageID": image_ids[item["name"]], **_container_state(by_name[item["name"]], ready=ready)}
        for item in pod["spec"]["containers"]
    ]
    return {
        "phase": "Running",
        "hostIP": addresses.NODE_ADDRESS,
        "podIP": address,
        # A merge by key would keep an older address beside this one, and the API server allows one.
        "podIPs": [{"$patch": "replace"}, {"ip": address}],
        "startTime": timestamp(since),
        "conditions": _conditions(ready=ready),
        "containerStatuses": statuses,
    }


def hollow_status(pod: Object, address: str, image_ids: Mapping[str, str]) -> Object:
    """Return the status of a pod that is ready though nothing runs in it."""
    state = {"running": {"startedAt": timestamp()}}
    up = {"state": state, "ready": True, "started": True, "restartCount": 0}
    statuses = [{**_container(item), "imageID": image_ids[item["name"]], **up} for item in pod["spec"]["containers"]]
    return {
        "phase": "Running",
        "hostIP": addresses.NODE_ADDRESS,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": timestamp(),
        "conditions": _conditions(ready=True),
        "containerStatuses": statuses,
    }


def _container(container: Object) -> Object:
    return {"name": container["name"], "image": container["image"], "imageID": ""}


def _container_state(container: Container, *, ready: bool) -> Object:
    up = container.running
    state: Object = {"running": {"startedAt": timestamp(container.started_at)}}
    if not up:
        state = {"waiting": {"reason": CRASHED, "message": "back-off restarting failed container"}}
    status: Object = {
        "state": state,
        "ready": ready and up,
        "started": up,
        "restartCount": container.restarts,
    }
    if container.last_exit is not None:
        ended = {"exitCode": container.last_exit.code % 256, "finishedAt": timestamp(container.last_exit.at)}
        status["lastState"] = {"terminated": ended}
    return status


def _conditions(*, ready: bool) -> list[Object]:
    now = timestamp()
    states = {"PodScheduled": True, "Initialized": True, "ContainersReady": ready, "Ready": ready}
    return [{"type": kind, "status": str(state), "lastTransitionTime": now} for kind, state in states.items()]
