"""Copies of configuration: which are owed, what they are made of, and why one cannot be made."""

from __future__ import annotations

from collections.abc import Iterator

from canary.core.configuration import Copy
from canary.core.measurement import ContentQuery, Unavailable
from canary.core.objects import Ref
from canary.core.revisions import Revision
from canary.core.view import RUNNING, View


def owed_copies(view: View) -> tuple[tuple[Revision, Copy], ...]:
    """Return the copies that pods of production or of the canary need and that are not there."""
    return tuple((r, one) for r in _revisions_in_use(view) for one in view.lacking(r))


def _revisions_in_use(view: View) -> Iterator[Revision]:
    promoted, candidate = view.promoted, view.candidate_revision
    if promoted is not None and not view.is_incomplete(promoted):
        yield promoted
    runs = view.status.phase in RUNNING or view.canary_has_pods
    if runs and candidate is not None and candidate != promoted and not view.is_incomplete(candidate):
        yield candidate


def content_questions(view: View) -> tuple[ContentQuery, ...]:
    """Return the reads that owed copies need; what changed meanwhile is not asked for."""
    namespace = view.snapshot.key.namespace
    sources = {one.source for _, one in owed_copies(view) if _still_there(view, one)}
    return tuple(ContentQuery(Ref(one.resource, namespace, one.name)) for one in sorted(sources))


def content_awaited(view: View) -> bool:
    """Return whether an owed copy could be made but for the answer to a read."""
    return any(_still_there(view, one) and view.content(one) is None for _, one in owed_copies(view))


def _still_there(view: View, copy: Copy) -> bool:
    shown = view.snapshot.configuration.pins.get(copy.source.resource.kind, {})
    return shown.get(copy.source.name) == copy.digest


def what_is_missing(view: View) -> str | None:
    """Return which object the target refers to does not exist, with the cure."""
    kinds = view.tracked_kinds
    missing = next((one for one in view.snapshot.configuration.missing if one.resource.kind in kinds), None)
    if missing is None:
        return None
    name = view.snapshot.names.target
    return f"{missing}, which {view.kind} {name} refers to, does not exist; create it or make the reference optional"


def what_cannot_be_copied(view: View) -> str | None:
    """Return why pods of a revision in use would not find what they read; None when they do."""
    for revision, copy in owed_copies(view):
        what = f"{copy.source.resource.kind} {copy.name}, which pods of revision {revision.id} read,"
        if not _still_there(view, copy):
            if revision.raw is None or revision != view.promoted:
                # Superseded before it was copied.
                continue
            return f"{what} is gone and {copy.source} holds something else by now; roll out a new revision"
        refused = [
            m.answer.reason
            for m in view.measurements
            if isinstance(m.query, ContentQuery)
            and m.query.ref.resource == copy.source.resource
            and m.query.ref.name == copy.source.name
            and isinstance(m.answer, Unavailable)
        ]
        if refused:
            return f"{what} cannot be made: {refused[0]}"
    return None


def what_was_not_promoted(view: View, promoted: Revision) -> str | None:
    """Return which configuration the target reads live that differs from what the promoted revision pins."""
    shown = view.snapshot.configuration
    changed = [
        f"{kind} {name}"
        for kind, names in sorted(promoted.pins.items())
        for name, digest in sorted(names.items())
        if kind in shown.pins and shown.pins[kind].get(name) != digest
    ]
    if not changed:
        return None
    kinds = "it" if len(changed) == 1 else "them"
    return f"{', '.join(changed)} changed since revision {promoted.id} was promoted: the target reads {kinds} as now"
