"""A write that the API server or an admission webhook did not take: told until it is taken."""

from __future__ import annotations

from dataclasses import dataclass

from canary.api.status import CanaryStatus
from canary.core.objects import Ref

WRITE_REFUSED = "WriteRefused"
READY = "Ready"


@dataclass(frozen=True, slots=True)
class Refusal:
    """What was to be written, and why it was not, in the words of who refused it."""

    ref: Ref
    words: str

    @property
    def sentence(self) -> str:
        """Return what people are told."""
        return (
            f"{self.ref.resource.kind} {self.ref.name} could not be written: {self.words}; correct what this names, "
            "it is tried again"
        )


def shows_refusal(status: CanaryStatus) -> bool:
    """Return whether people are told of a refusal, maybe by a former process."""
    ready = status.condition(READY)
    return ready is not None and ready.reason == WRITE_REFUSED
