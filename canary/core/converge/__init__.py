"""Wanted world minus observed world: the actions that close the gap, in safe order."""

from __future__ import annotations

from dataclasses import dataclass

from canary.api.status import Phase
from canary.core.actions import Action, Create, Delete
from canary.core.configuration import copy_object, kind_of
from canary.core.converge.cohorts import cohort_actions
from canary.core.converge.keeper import keeper_actions
from canary.core.converge.metadata import metadata_actions
from canary.core.converge.pods import canary_actions, primary_actions, target_actions
from canary.core.converge.policies import policy_actions
from canary.core.converge.scalers import scaler_actions
from canary.core.converge.traffic import service_actions, traffic_actions, urgent_actions
from canary.core.flagger.take_over import TAKING_OVER, take_over_actions
from canary.core.names import REVISION_LABEL
from canary.core.objects import CONTROLLER_REVISION, DESTINATION_RULE, SERVICE, labels_of, ref_of
from canary.core.obstacle import find_obstacle
from canary.core.obstacles import BEFORE_INITIALISATION, taken_names
from canary.core.pinning import owed_copies
from canary.core.revisions import to_object
from canary.core.view import IDLE, View


@dataclass(frozen=True, slots=True)
class Gap:
    """What is to be done: ``urgent`` first and independent of everything, ``actions`` after persisting."""

    urgent: tuple[Action, ...] = ()
    actions: tuple[Action, ...] = ()


def converge(view: View) -> Gap:
    """Return what separates the world from what the status asks for."""
    if _takes_over(view):
        return Gap(actions=take_over_actions(view))
    if _stands_still(view):
        return Gap()
    phase = view.status.phase
    traffic = traffic_actions(view)
    urgent = urgent_actions(view, traffic)
    rest = (
        *_keep_revisions(view),
        *_keep_copies(view),
        *primary_actions(view),
        *service_actions(view),
        *keeper_actions(view),
        *policy_actions(view),
        *cohort_actions(view),
        *scaler_actions(view),
        *(a for a in traffic if a not in urgent),
        *canary_actions(view),
        *target_actions(view),
        *_drop_unused(view),
    )
    if phase is Phase.INITIALIZING and view.primary is None:
        # Services follow once the primary exists; a target that moves meanwhile leaves no trace of them.
        rest = tuple(a for a in rest if not isinstance(a, Create) or a.ref.resource not in (SERVICE, DESTINATION_RULE))
    return Gap(urgent=_ours(view, urgent), actions=_ours(view, (*rest, *metadata_actions(view, (*urgent, *rest)))))


def protections(view: View) -> tuple[Action, ...]:
    """Return the urgent actions alone."""
    return () if _stands_still(view) else _ours(view, urgent_actions(view, traffic_actions(view)))


def _stands_still(view: View) -> bool:
    """Return whether nothing is to be done before an obstacle is gone or production is known."""
    phase = view.status.phase
    blind = view.primary is None and not view.snapshot.target_seen
    if phase is Phase.NONE or view.status.revisions.primary is None or blind:
        return True
    return phase is Phase.INITIALIZING and find_obstacle(view, BEFORE_INITIALISATION) is not None


def _takes_over(view: View) -> bool:
    """Return whether what Flagger left comes first."""
    if view.status.phase is not Phase.INITIALIZING or view.status.revisions.primary is not None:
        return False
    obstacle = find_obstacle(view, BEFORE_INITIALISATION)
    return obstacle is not None and obstacle.reason == TAKING_OVER


def _ours(view: View, actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """Return the actions without those on objects of others that hold our names."""
    taken = taken_names(view.snapshot)
    return tuple(a for a in actions if (a.ref.resource.kind, a.ref.name) not in taken)


def _keep_revisions(view: View) -> tuple[Action, ...]:
    """Return the writes that pin the revisions in use; they come before anything made from them."""
    needed = (view.promoted, view.candidate_revision)
    missing = {r.id: r for r in needed if r is not None and r.raw is None and not view.is_incomplete(r)}
    names, owner = view.snapshot.names, view.snapshot.owner
    return tuple(Create(names.revision(r.id), to_object(r, names, owner), f"revision {r.id}") for r in missing.values())


def _keep_copies(view: View) -> tuple[Action, ...]:
    """Return the writes that pin the configuration of the revisions in use."""
    namespace, owner = view.snapshot.names.namespace, view.snapshot.owner
    return tuple(
        Create(
            one.ref(namespace),
            copy_object(one, content, namespace, owner, revision.id),
            f"{one.source} as of revision {revision.id}",
        )
        for revision, one in owed_copies(view)
        if (content := view.content(one)) is not None
    )


def _drop_unused(view: View) -> tuple[Action, ...]:
    """Return the deletes of revisions, and copies of theirs, that nothing needs any more."""
    if view.status.phase not in IDLE:
        return ()
    known = view.status.revisions
    keep = {known.primary, known.candidate, known.previous, known.pending}
    clones = {w.revision for w in (view.primary, view.candidate) if w is not None}
    found = [(CONTROLLER_REVISION, r.raw) for r in view.snapshot.revisions if r.raw is not None]
    found += [(kind_of(one), one) for one in view.snapshot.copies]
    return tuple(
        Delete(
            ref_of(resource, obj),
            obj["metadata"]["uid"],
            obj["metadata"]["resourceVersion"],
            f"revision {labels_of(obj).get(REVISION_LABEL)} is not needed any more",
        )
        for resource, obj in found
        if labels_of(obj).get(REVISION_LABEL) not in keep | clones
    )
