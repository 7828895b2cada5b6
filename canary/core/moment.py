"""One moment of one Canary: the world as observed, and what can be read from it without a plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cached_property

from canary.api.status import CanaryStatus
from canary.core.measurement import (
    GoneAnswer,
    GoneQuery,
    Measurement,
    TemplateAnswer,
    TemplateQuery,
)
from canary.core.names import ROLE_LABEL
from canary.core.objects import canonical
from canary.core.revisions import Revision, may_be_defaulted, pin, reconstruct, revision_id
from canary.core.routes.istio import read_weights
from canary.core.routes.routing import Weights
from canary.core.snapshot import Snapshot
from canary.core.workload import Workload


class Change(Enum):
    """What the target's template is, compared with the pinned ones."""

    SAME = "same"
    REVERTED = "reverted"
    NEW = "new"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Moment:
    """Snapshot, measurements and time, with the facts about the world in them."""

    snapshot: Snapshot
    measurements: tuple[Measurement, ...]
    now: datetime

    @property
    def status(self) -> CanaryStatus:
        """Return the status as read."""
        return self.snapshot.status

    @property
    def target(self) -> Workload | None:
        """Return the user's Deployment."""
        return self.snapshot.target

    @property
    def primary(self) -> Workload | None:
        """Return the Deployment that runs production."""
        return self.snapshot.primary

    @property
    def candidate(self) -> Workload | None:
        """Return the Deployment that runs the candidate."""
        return self.snapshot.candidate

    @cached_property
    def weights(self) -> Weights | None:
        """Return the shares read from the route; None without a weighted route."""
        route = self.snapshot.route
        return None if route is None else read_weights(route, self.snapshot.names)

    @cached_property
    def apex_role(self) -> str | None:
        """Return which role the apex Service selects: ``""`` for any, None without an apex Service."""
        apex = self.snapshot.apex
        if apex is None:
            return None
        return str(((apex.get("spec") or {}).get("selector") or {}).get(ROLE_LABEL, ""))

    def revision(self, identity: str | None) -> Revision | None:
        """Return a revision by id: as kept, else as the target or the primary shows it."""
        kept = self.snapshot.find_revision(identity)
        if kept is not None or identity is None:
            return kept
        number = 1 + max((r.number for r in self.snapshot.revisions), default=0)
        if self.target is not None and revision_id(self.target.template) == identity:
            return pin(self.target, number)
        if self.primary is not None and self.primary.revision == identity:
            return reconstruct(self.primary, number)
        return None

    @cached_property
    def promoted(self) -> Revision | None:
        """Return the revision production is meant to run."""
        return self.revision(self.status.revisions.primary)

    @cached_property
    def candidate_revision(self) -> Revision | None:
        """Return the revision of the present or last run."""
        return self.revision(self.status.revisions.candidate)

    @cached_property
    def wish(self) -> int:
        """Return how many replicas the user wants in production; 0 when nothing says so."""
        target, known = self.target, (self.status.replicas.desired if self.status.replicas else 0)
        if target is not None:
            if target.wish:
                return target.wish
            seen = self.status.target
            made_again = seen is not None and seen.uid != target.uid and target.replicas == 1
            # A target made again with one replica may just have left the field out.
            if target.replicas > 0 and target.replicas_named and not (made_again and known):
                return target.replicas
        if known:
            return known
        if self.primary is not None:
            return self.primary.wish or self.primary.replicas
        return target.replicas if target is not None else 0

    @property
    def canary_fresh(self) -> int:
        """Return how many available canary pods run the candidate revision."""
        candidate = self.candidate
        if candidate is None or candidate.revision != self.status.revisions.candidate:
            return 0
        return candidate.fresh

    @property
    def canary_progress(self) -> int:
        """Return how far the canary has come: its pods of the candidate revision, available ones counted twice.

        It rises when updated or available pods do, which is what counts as progress (section 5).
        """
        candidate = self.candidate
        if candidate is None or candidate.revision != self.status.revisions.candidate:
            return 0
        return candidate.updated + candidate.fresh

    @property
    def primary_touched(self) -> bool:
        """Return whether the primary was already given the candidate of this run."""
        candidate = self.status.revisions.candidate
        return (
            self.primary is not None
            and self.primary.revision == candidate
            and candidate != self.status.revisions.primary
        )

    @property
    def primary_complete(self) -> bool:
        """Return whether the primary runs what it should, whole and available."""
        return self.primary is not None and self.primary.complete and self.primary.replicas > 0

    @property
    def canary_has_pods(self) -> bool:
        """Return whether there are canary pods, or some are asked for."""
        return self.candidate is not None and not self.candidate.empty

    @cached_property
    def change(self) -> Change:
        """Return what the target's template is; a failed read is never a change."""
        target, revisions = self.target, self.status.revisions
        if target is None or revisions.primary is None:
            return Change.SAME
        seen = self.status.target
        if seen and (seen.uid, seen.generation) == (target.uid, target.generation):
            return Change.SAME
        if revisions.pending and revision_id(target.template) == revisions.pending:
            # After a failed promotion the former revision may be what waits: production runs it again.
            return Change.REVERTED if revisions.pending == revisions.primary else Change.NEW
        return self._compare(target)

    @cached_property
    def doubtful_revisions(self) -> tuple[Revision, ...]:
        """Return the pinned revisions that may equal the target's template but for newer defaults."""
        known = (self.candidate_revision, self.promoted)
        return tuple(
            {
                r.id: r
                for r in known
                if r is not None and self.target and may_be_defaulted(r.template, self.target.template)
            }.values()
        )

    def _compare(self, target: Workload) -> Change:
        for revision in (self.candidate_revision, self.promoted):
            if revision is not None and canonical(revision.template) == canonical(target.template):
                return self._known(revision)
        for revision in self.doubtful_revisions:
            template = self._defaulted(revision.id)
            if template is None:
                return Change.UNKNOWN
            if canonical(template) == canonical(target.template):
                return self._known(revision)
        return Change.NEW

    def _known(self, revision: Revision) -> Change:
        latest = self.status.revisions.candidate or self.status.revisions.primary
        return Change.SAME if revision.id == latest else Change.REVERTED

    def _defaulted(self, revision: str) -> object | None:
        """Return a pinned template as today's API server would store it; None when it did not say."""
        for m in self.measurements:
            if (
                isinstance(m.query, TemplateQuery)
                and m.query.revision == revision
                and isinstance(m.answer, TemplateAnswer)
            ):
                return m.answer.template
        return None

    @property
    def gone(self) -> bool:
        """Return whether the Canary is truly deleted."""
        return any(
            isinstance(m.query, GoneQuery) and isinstance(m.answer, GoneAnswer) and m.answer.gone
            for m in self.measurements
        )
