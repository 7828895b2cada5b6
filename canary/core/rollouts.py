"""The roll-outs of the sides: whole as far as the user asks for it, or stuck short of that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from canary.core.moment import Moment
from canary.core.names import owner_of
from canary.core.workload import Workload


@dataclass(frozen=True)
class Rollouts(Moment):
    """One moment of one Canary with what its roll-outs have come to."""

    @property
    def kind(self) -> str:
        """Return the kind of the target and its clones, for messages."""
        return self.snapshot.names.kind

    @property
    def deadline(self) -> timedelta:
        """Return the time without progress after which a set is given up."""
        return self.snapshot.spec.progress_deadline if self.snapshot.spec else timedelta(seconds=600)

    @property
    def primary_threshold(self) -> int:
        """Return which percentage of production's pods is enough; of a deleted Canary the primary still tells."""
        if self.snapshot.spec is not None:
            return self.snapshot.spec.analysis.primary_ready_threshold
        mark = owner_of(self.primary.raw) if self.primary is not None else None
        return (mark or self.snapshot.owner).primary_threshold

    @property
    def canary_threshold(self) -> int:
        """Return which percentage of the canary's pods is enough."""
        return self.snapshot.spec.analysis.canary_ready_threshold if self.snapshot.spec else 100

    def is_complete(self, production: Workload) -> bool:
        """Return whether the rollout of a set that is or becomes production is over, as far as the user asks."""
        return production.is_complete(self.primary_threshold)

    @property
    def primary_complete(self) -> bool:
        """Return whether the primary runs what it should, with enough of its pods available."""
        return self.primary is not None and self.primary.replicas > 0 and self.is_complete(self.primary)

    @property
    def primary_stuck(self) -> bool:
        """Return whether the primary made no progress within its deadline and lacks pods it needs.

        One that was enough without all of its pods bears that verdict until its next rollout gets under way.
        """
        if self.primary is None or self.primary_complete:
            return False
        if self.snapshot.daemons:
            return self._overdue("primary", self.primary_progress)
        if not self.primary.stuck:
            return False
        return self.primary_threshold == 100 or self.primary.updated > 0

    @property
    def canary_stuck(self) -> bool:
        """Return whether the canary made no progress within its deadline; scaled since then, it has a new one."""
        if self._overdue("canary", self.canary_progress):
            return True
        if self.candidate is None or not self.candidate.stuck:
            return False
        return self.canary_threshold == 100 or self.candidate.updated >= self.candidate.replicas

    @property
    def primary_progress(self) -> int:
        """Return how far the primary has come, as `canary_progress` does for the canary."""
        return self.primary.updated + self.primary.fresh if self.primary is not None else 0

    def _overdue(self, role: str, come: int) -> bool:
        """Return whether a set came no further than was recorded for as long as its deadline."""
        progress = self.status.progress
        waits = progress is not None and progress.role == role and come <= progress.available
        return progress is not None and waits and self.now - progress.since >= self.deadline
