"""A primary deleted by hand after its Canary was: production comes back from what is kept of it."""

from __future__ import annotations

from canary.core.actions import Action, Create, Event
from canary.core.converge.objects import make_clone
from canary.core.names import MANAGER, OWNER
from canary.core.objects import annotations_of, canonical
from canary.core.pinning import what_was_not_promoted
from canary.core.revisions import Revision
from canary.core.routes.choice import is_marked
from canary.core.view import View
from canary.core.workload import Workload, field_managers


def handed_over(view: View) -> bool:
    """Return whether the apex Service or a route is still as we wrote it, past the target."""
    route, apex = view.snapshot.route, view.snapshot.apex
    return (route is not None and is_marked(route)) or (apex is not None and OWNER in annotations_of(apex))


def was_brought_up(view: View, target: Workload) -> bool:
    """Return whether the target was scaled up by us, or shows what production ran anyway.

    What its user scaled up or applied while there was a Canary may hold a revision that nobody has judged.
    """
    oldest = oldest_revision(view)
    known = oldest is None or canonical(oldest.template) == canonical(target.template)
    ours = MANAGER in field_managers(target.raw, "f:spec", "f:replicas")
    return target.replicas > 0 and (ours or known)


def oldest_revision(view: View) -> Revision | None:
    """Return the one kept revision that surely was production once; which was last, the primary knew.

    Of promoted, previous and candidate the oldest cannot be the one that nobody has judged.
    """
    runs = view.candidate.revision if view.candidate is not None else None
    return min(view.snapshot.revisions, key=lambda one: (one.number, one.id == runs), default=None)


def primary_again(view: View, target: Workload) -> tuple[Action, ...]:
    """Return the write that makes the primary again, at the size that is known; none without its copies."""
    revision = oldest_revision(view)
    if revision is None or not view.is_pinned(revision):
        return ()
    size = max(view.wish, target.applied or 0, view.candidate.replicas if view.candidate is not None else 0, 1)
    body = make_clone(view, "primary", revision, size)
    return (Create(view.snapshot.names.workload("primary"), body, "give back: primary again"),)


def tell_what_comes_back(view: View) -> tuple[Event, ...]:
    """Say that production came from a record, or which configuration the target reads live that it did not have."""
    if view.primary is None and (oldest := oldest_revision(view)) is not None:
        name = view.snapshot.names.workload("primary").name
        message = f"{view.kind} {name} is gone, production comes back with the oldest revision kept, {oldest.id}"
        return (Event("PrimaryMadeAgain", message, "Warning"),)
    promoted = view.revision(view.primary.revision) if view.primary is not None else None
    unlike = what_was_not_promoted(view, promoted) if promoted is not None else None
    return (Event("ConfigNotPromoted", unlike, "Warning"),) if unlike else ()
