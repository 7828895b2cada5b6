"""The Services by which requests of later cohorts are told from those of all others at the canary.

They are there before any route names them, and for as long as proxies that were not told may send to them.
"""

from __future__ import annotations

from collections.abc import Iterator

from canary.core.actions import Action, Delete
from canary.core.converge.policies import follow_policy
from canary.core.converge.ports import wanted_ports
from canary.core.converge.traffic import follow_service
from canary.core.guards import route_guards
from canary.core.names import CANARY_LABEL, is_ours
from canary.core.objects import DESTINATION_RULE, SERVICE, Object, Resource, labels_of, ref_of
from canary.core.view import IDLE, View


def cohort_actions(view: View) -> tuple[Action, ...]:
    """Return the writes that make them and their traffic policies, or take them away after the run."""
    made = tuple(action for number in view.cohorts_told_apart for action in _kept(view, number))
    return (*made, *_unused(view))


def _kept(view: View, number: int) -> Iterator[Action]:
    if view.snapshot.spec is None or not wanted_ports(view):
        return
    names, present = view.snapshot.names, view.snapshot.cohort_services.get(number)
    yield from follow_service(view, names.cohort_service(number), present.raw if present else None, "canary")
    yield from follow_policy(view, names.cohort_rule(number), "canary")


def _unused(view: View) -> Iterator[Action]:
    """Yield the deletes of what no route names any more, once the canary has settled and is gone."""
    snapshot = view.snapshot
    over = view.status.phase in IDLE and not view.canary_has_pods and not view.told_apart
    if not over:
        return
    rules = (one for name, one in sorted(snapshot.rules.items()) if snapshot.names.cohort_of(name) is not None)
    found: list[tuple[Resource, Object]] = [(DESTINATION_RULE, one) for one in rules]
    found += [(SERVICE, snapshot.cohort_services[number].raw) for number in sorted(snapshot.cohort_services)]
    for resource, one in found:
        if is_ours(one) and labels_of(one).get(CANARY_LABEL) == snapshot.key.name:
            metadata = one["metadata"]
            why = f"{resource.kind} {metadata['name']} of a cohort"
            guards = route_guards(view)
            yield Delete(ref_of(resource, one), metadata["uid"], metadata["resourceVersion"], why, guards)
