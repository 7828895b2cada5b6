"""Pods that are nothing but a status, for measurements with hundreds of them: ready as soon as they are bound."""

from datetime import timedelta

from e2e.testbed.kube import Object
from e2e.testbed.node import status
from e2e.testbed.node.pods import PodRunner

ANNOTATION = "testbed/hollow"


def is_hollow(pod: Object) -> bool:
    """Return whether nothing is to run in a pod."""
    return (pod["metadata"].get("annotations") or {}).get(ANNOTATION) == "true"


class HollowPod(PodRunner):
    """Keep the status of one pod that has neither a network nor a process."""

    async def run(self) -> None:
        """Bind the pod and tell that it is ready."""
        if not self.pod["spec"].get("nodeName"):
            await self._bind()
        await self._patch(status.hollow_status(self.pod, self.address, self._image_ids))

    async def end(self, grace: timedelta) -> None:
        """Have nothing to stop."""
        self.stopping = True
