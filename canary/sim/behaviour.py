"""How each version of the invented application behaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behaviour:
    """Describe what pods of one version do; shares are percent of requests."""

    ready_after: float | None = 2.0
    crash_after: float | None = None
    sick_pods: int = 0
    """So many pods of each Deployment never get ready."""
    errors: float = 0.0
    timeouts: float = 0.0
    cancels: float = 0.0
    latency: float = 20.0
    """Median milliseconds; one request in a hundred takes about three times as long."""
    extra_latency: float = 0.0
    """Milliseconds every request takes longer."""


GOOD = Behaviour()


class Behaviours:
    """Find the behaviour of a pod by its Deployment, image and configured mode, the most particular entry first."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str], Behaviour] = {}
        self.healed: list[Callable[[], None]] = []
        """Called when all behave well again."""

    def put(self, behaviour: Behaviour, *, image: str = "", deployment: str = "", mode: str = "") -> None:
        """Let pods of an image, of a Deployment, in a mode or of all these behave so from now on."""
        self._known[deployment, image, mode] = behaviour

    def heal(self) -> None:
        """Let all pods behave as a good application does from now on."""
        self._known.clear()
        for observer in self.healed:
            observer()

    def of(self, deployment: str, image: str, mode: str = "") -> Behaviour:
        """Return the behaviour of pods of a Deployment running an image in a mode."""
        if not self._known:
            return GOOD
        for configured in (mode, "") if mode else ("",):
            for where, what in ((deployment, image), ("", image), (deployment, ""), ("", "")):
                if (where, what, configured) in self._known:
                    return self._known[where, what, configured]
        return GOOD
