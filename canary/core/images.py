"""Whether the primary runs the very images that were judged: what a tag points to may have moved during the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from canary.core.measurement import PodsAnswer, PodsQuery, Unavailable
from canary.core.names import REVISION_LABEL, ROLE_LABEL, Role
from canary.core.objects import Object
from canary.core.view import View
from canary.core.workload import Workload

Images = Mapping[str, frozenset[str]]
"""The image ids that run under a container's name."""


def pods_query(view: View, primary: Workload) -> PodsQuery:
    """Return the question for the pods of both sides that run the candidate revision."""
    return PodsQuery(view.snapshot.key.namespace, _labels(view, primary, "primary"), _labels(view, primary, "canary"))


def images_unknown(view: View) -> str | None:
    """Return why it is not known which images run; None when it is."""
    for m in view.measurements:
        if isinstance(m.query, PodsQuery):
            return m.answer.reason if isinstance(m.answer, Unavailable) else None
    return "the API server was not asked yet"


def moved_image(view: View) -> str | None:
    """Return which container of the primary runs an image that no judged pod runs, in words; None when none does.

    Without any pod of the canary left there is nothing to compare with, and traffic is on the primary already.
    """
    answer = next((m.answer for m in view.measurements if isinstance(m.answer, PodsAnswer)), None)
    if answer is None:
        return None
    judged, promoted = _images(view, answer.canary), _images(view, answer.primary)
    for container, running in promoted.items():
        if strange := sorted(running - judged.get(container, running)):
            known = ", ".join(sorted(judged[container]))
            return f"runs image {strange[0]} in container {container}, which was not judged: the canary runs {known}"
    return None


def _labels(view: View, primary: Workload, role: Role) -> tuple[tuple[str, str], ...]:
    revision = view.status.revisions.candidate or ""
    return tuple(sorted({**primary.selector, ROLE_LABEL: role, REVISION_LABEL: revision}.items()))


def _images(view: View, pods: Sequence[Object]) -> Images:
    """Return what runs in the containers that the user named; those injected by others may differ."""
    revision = view.candidate_revision
    named = {one["name"] for one in revision.template["spec"]["containers"]} if revision else set()
    found: dict[str, set[str]] = {}
    for pod in pods:
        for one in (pod.get("status") or {}).get("containerStatuses") or ():
            if one["name"] in named and one.get("imageID"):
                found.setdefault(one["name"], set()).add(one["imageID"])
    return {name: frozenset(ids) for name, ids in found.items()}
