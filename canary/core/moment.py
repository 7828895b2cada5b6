"""One moment of one Canary: the world as observed, and what can be read from it without a plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cached_property

from canary.api.status import CanaryStatus, Phase
from canary.core.configuration import Copy, copies_of, digest_of
from canary.core.measurement import (
    ContentAnswer,
    ContentQuery,
    Measurement,
    TemplateAnswer,
    TemplateQuery,
)
from canary.core.names import ROLE_LABEL
from canary.core.objects import Object, Ref, canonical
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
        """Return the user's workload."""
        return self.snapshot.target

    @property
    def primary(self) -> Workload | None:
        """Return the workload that runs production."""
        return self.snapshot.primary

    @property
    def candidate(self) -> Workload | None:
        """Return the workload that runs the candidate."""
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
        if self.target is not None:
            for pins in (self.snapshot.configuration.pins, {}):
                if revision_id(self.target.template, pins) == identity:
                    return pin(self.target, number, pins)
        if self.primary is not None and self.primary.revision == identity:
            return reconstruct(self.primary, number, self.snapshot.copies)
        return None

    @cached_property
    def shown(self) -> str:
        """Return the name of what the target shows now: its template with the configuration it refers to."""
        return revision_id(self.target.template, self.snapshot.configuration.pins) if self.target is not None else ""

    @cached_property
    def tracked_kinds(self) -> tuple[str, ...]:
        """Return the kinds of configuration that matter: those the latest revision pins, of a new one all."""
        known = self.judged if self.change is Change.SAME else None
        return tuple(known.pins if known is not None else self.snapshot.configuration.pins)

    def lacking(self, revision: Revision) -> tuple[Copy, ...]:
        """Return the copies of a revision that are not there, of the kinds that are followed."""
        followed = self.snapshot.configuration.pins
        found = (one for one in copies_of(revision.pins, revision.id) if one.source.resource.kind in followed)
        return tuple(one for one in found if not self.snapshot.holds(one))

    def content(self, copy: Copy) -> Object | None:
        """Return what a copy is to hold, as just read; None when it was not, or holds something else by now."""
        ref = Ref(copy.source.resource, self.snapshot.key.namespace, copy.source.name)
        for m in self.measurements:
            if isinstance(m.query, ContentQuery) and m.query.ref == ref and isinstance(m.answer, ContentAnswer):
                return m.answer.content if digest_of(m.answer.content) == copy.digest else None
        return None

    def is_incomplete(self, revision: Revision) -> bool:
        """Return whether a revision is what the target shows while something it refers to is missing."""
        missing = bool(self.snapshot.configuration.missing)
        return missing and revision.raw is None and revision.id == self.shown

    def is_pinned(self, revision: Revision) -> bool:
        """Return whether all that pods of a revision read is there, or about to be."""
        lacking = self.lacking(revision)
        return not self.is_incomplete(revision) and all(self.content(one) is not None for one in lacking)

    @cached_property
    def promoted(self) -> Revision | None:
        """Return the revision production is meant to run."""
        return self.revision(self.status.revisions.primary)

    @cached_property
    def candidate_revision(self) -> Revision | None:
        """Return the revision of the present or last run."""
        return self.revision(self.status.revisions.candidate)

    @cached_property
    def judged(self) -> Revision | None:
        """Return the revision the target was last judged by: the candidate's, or the one that a run takes back."""
        return self.revision(self._judged)

    @property
    def _judged(self) -> str | None:
        undone = self.status.run.undoes if self.status.run is not None else None
        return undone or self.status.revisions.candidate

    @property
    def autoscaled(self) -> bool:
        """Return whether the autoscaler the Canary names decides on the primary's size."""
        scaler = self.snapshot.scaler
        return scaler is not None and scaler.target == self.snapshot.names.workload("primary").name

    @cached_property
    def wish(self) -> int:
        """Return how many replicas the user wants in production; 0 when nothing says so."""
        if self.snapshot.daemons:
            return self.snapshot.nodes
        if self.autoscaled and self.primary is not None and self.primary.replicas > 0:
            return self.primary.replicas
        target, known = self.target, (self.status.replicas.desired if self.status.replicas else 0)
        if target is not None:
            if target.wish:
                return target.wish
            if known and self._autoscaled_aside:
                return known
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
    def _autoscaled_aside(self) -> bool:
        """Return whether an autoscaler on the target, which may run no pods, is what gave it its size."""
        target = self.snapshot.names.target
        owned = self.status.phase not in (Phase.NONE, Phase.INITIALIZING)
        return owned and any(scaler.target == target for scaler in self.snapshot.scalers)

    @property
    def canary_fresh(self) -> int:
        """Return how many available canary pods run the candidate revision.

        None while pods of a superseded one are still there: their Service leads to both (I9).
        """
        candidate = self.candidate
        if candidate is None or candidate.revision != self.status.revisions.candidate:
            return 0
        return candidate.fresh if candidate.pods == candidate.updated else 0

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
    def canary_has_pods(self) -> bool:
        """Return whether there are canary pods, or some are asked for."""
        return self.candidate is not None and not self.candidate.empty

    @cached_property
    def change(self) -> Change:
        """Return what the target's template is; a failed read is never a change."""
        target, revisions = self.target, self.status.revisions
        if target is None or revisions.primary is None:
            return Change.SAME
        if revisions.pending and self.shown == revisions.pending:
            # After a failed promotion the former revision may be what waits: production runs it again.
            return Change.REVERTED if revisions.pending == revisions.primary else Change.NEW
        seen = self.status.target
        if seen and (seen.uid, seen.generation) == (target.uid, target.generation) and self._still_configured:
            return Change.SAME
        return self._compare(target)

    @cached_property
    def doubtful_revisions(self) -> tuple[Revision, ...]:
        """Return the pinned revisions that may equal the target's template but for newer defaults."""
        known = (self.judged, self.promoted)
        return tuple(
            {
                r.id: r
                for r in known
                if r is not None
                and self.target
                and self._configured(r)
                and may_be_defaulted(r.template, self.target.template)
            }.values()
        )

    @property
    def _still_configured(self) -> bool:
        """Return whether a template that was judged before refers to what it did then."""
        latest = self.judged
        if latest is None:
            # Never pinned as it was judged: its configuration was another before a copy could be made.
            return not self.snapshot.configuration.tracked(self.snapshot.configuration.pins)
        return self._configured(latest)

    def _configured(self, revision: Revision) -> bool:
        """Return whether the target's references come to what a revision pinned."""
        return self.snapshot.configuration.matches(revision.pins)

    def shows(self, revision: Revision | None) -> bool:
        """Return whether the target shows a revision, template and configuration."""
        return (
            revision is not None
            and self.target is not None
            and self._configured(revision)
            and canonical(revision.template) == canonical(self.target.template)
        )

    def _compare(self, target: Workload) -> Change:
        for revision in (self.judged, self.promoted):
            if revision is not None and self.shows(revision):
                return self._known(revision)
        for revision in self.doubtful_revisions:
            template = self._defaulted(revision.id)
            if template is None:
                return Change.UNKNOWN
            if canonical(template) == canonical(target.template):
                return self._known(revision)
        return Change.NEW

    def _known(self, revision: Revision) -> Change:
        latest = self._judged or self.status.revisions.primary
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
