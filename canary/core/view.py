"""A snapshot with what can be read from it: the facts that advance and converge decide on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cached_property

from canary.api.status import CanaryStatus, Phase
from canary.core.counting import quiet
from canary.core.measurement import (
    DrainQuery,
    GoneAnswer,
    GoneQuery,
    Measurement,
    SeriesAnswer,
    TemplateAnswer,
    TemplateQuery,
)
from canary.core.names import ROLE_LABEL
from canary.core.objects import canonical
from canary.core.plan import Plan, capacity, plan_of
from canary.core.revisions import Revision, may_be_defaulted, pin, reconstruct, revision_id
from canary.core.routes.istio import Weights, read_weights
from canary.core.snapshot import Snapshot
from canary.core.workload import Workload

IDLE = (Phase.INITIALIZED, Phase.SUCCEEDED, Phase.FAILED)
RUNNING = (Phase.PROGRESSING, Phase.WAITING_PROMOTION, Phase.PROMOTING, Phase.FINALISING)
GRID_SLACK = timedelta(seconds=2)
"""A weight read back later than this after its tick moves the grid of ticks (release.md section 4)."""
UNANSWERED_DRAINS = 4
"""How many drain times to wait when metrics cannot tell whether a set still gets requests (I3)."""


class Change(Enum):
    """What the target's template is, compared with the pinned ones."""

    SAME = "same"
    REVERTED = "reverted"
    NEW = "new"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class View:
    """One moment of one Canary: snapshot, measurements and time."""

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

    @cached_property
    def plan(self) -> Plan:
        """Return the plan of the release; empty without a usable spec."""
        return plan_of(self.snapshot.spec.analysis) if self.snapshot.spec else Plan(())

    @property
    def interval(self) -> timedelta:
        """Return the time between ticks."""
        return self.snapshot.spec.analysis.period if self.snapshot.spec else timedelta(minutes=1)

    @property
    def drain(self) -> timedelta:
        """Return the settle time."""
        return timedelta(seconds=self.snapshot.owner.drain_seconds)

    @property
    def deadline(self) -> timedelta:
        """Return the time without progress after which a set is given up."""
        return self.snapshot.spec.progress_deadline if self.snapshot.spec else timedelta(seconds=600)

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

    @cached_property
    def size(self) -> int:
        """Return how many pods carry the whole of production in the present run (I8)."""
        run = self.status.run.size if self.status.run else 0
        return max(run, self.wish, self.primary.replicas if self.primary else 0, 1)

    def need(self, weight: int) -> int:
        """Return how many canary pods a weight needs."""
        spec = self.snapshot.spec
        return capacity(self.size, weight, spec is not None and spec.analysis.canary_scale == "Full")

    @property
    def canary_fresh(self) -> int:
        """Return how many available canary pods run the candidate revision."""
        candidate = self.candidate
        if candidate is None or candidate.revision != self.status.revisions.candidate:
            return 0
        return candidate.fresh

    @property
    def canary_lost(self) -> bool:
        """Return whether the canary has too few ready pods for the weight it carries (I13)."""
        weight = 100 if self.status.phase is Phase.PROMOTING else self.status.canary_weight
        if weight == 0:
            return False
        ready = self.candidate.ready if self.candidate else 0
        return ready == 0 or ready * 2 < self.need(weight)

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

    def drained(self, role: str) -> bool:
        """Return whether a set may shrink or roll: off the routes, waited for, and without requests (I3)."""
        drain = self.status.drain
        return drain is not None and drain.role == role and self.settled(drain.since)

    def settled(self, since: datetime) -> bool:
        """Return whether a set off the routes since then was waited for and seen without requests."""
        if self.now - since < self.drain:
            return False
        asked = self._drain_measurement(since)
        heard = None
        if asked is not None and isinstance(asked.answer, SeriesAnswer):
            # Up to the question: what came after it is not in the answer.
            at = asked.query.at if isinstance(asked.query, DrainQuery) else self.now
            span = self.drain.total_seconds()
            heard = quiet(asked.answer.canary, since.timestamp(), at.timestamp(), span)
        return self.now - since >= UNANSWERED_DRAINS * self.drain if heard is None else heard

    def _drain_measurement(self, since: datetime) -> Measurement | None:
        for m in self.measurements:
            if isinstance(m.query, DrainQuery) and m.query.since == since:
                return m
        return None

    @property
    def gone(self) -> bool:
        """Return whether the Canary is truly deleted."""
        return any(
            isinstance(m.query, GoneQuery) and isinstance(m.answer, GoneAnswer) and m.answer.gone
            for m in self.measurements
        )
