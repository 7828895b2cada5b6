"""Which questions are owed now: checks of a due tick, settle questions, dry-runs and deletions."""

from __future__ import annotations

from canary.api.metric import SUCCESS_RATE, Metric
from canary.api.status import Phase, StepStatus
from canary.core.advance.recover import recovers
from canary.core.advance.run import awaited_pods_came, capacity_ready
from canary.core.checks import custom_questions, window
from canary.core.hooks import ask_hooks, gate_before, judging_hook, post_rollout_at, rollback_asked_at
from canary.core.images import images_unknown, pods_query
from canary.core.measurement import (
    CheckQuery,
    CustomQuery,
    DrainQuery,
    EndpointsQuery,
    GoneQuery,
    LabelsQuery,
    Query,
    TemplateQuery,
)
from canary.core.moment import Change
from canary.core.names import Role
from canary.core.objects import DEPLOYMENT
from canary.core.pinning import content_questions
from canary.core.revisions import Revision
from canary.core.routes.routing import CANARY_ONLY
from canary.core.settling import leaves_clones, settling_since
from canary.core.turns import turn
from canary.core.view import STEPPING, View

_DRAINED_WORKLOAD = {"target": "{}", "primary": "{}-primary", "canary": "{}-canary"}


def due(view: View) -> tuple[Query, ...]:
    """Return the questions whose answers the next decision needs; empty when it needs none."""
    if view.snapshot.canary is None:
        return (GoneQuery(view.snapshot.key), *_give_back_question(view))
    of_cluster = (*_template_questions(view), *content_questions(view), *_pods_question(view))
    of_run = (*_tick_questions(view), *_rollback_question(view), *_post_rollout_question(view))
    return (*of_cluster, *_drain_question(view), *of_run)


def _template_questions(view: View) -> tuple[Query, ...]:
    if view.change is not Change.UNKNOWN:
        return ()
    namespace = view.snapshot.key.namespace
    return tuple(TemplateQuery(namespace, r.id, _deployment(view, r)) for r in view.doubtful_revisions)


def images_awaited(view: View) -> bool:
    """Return whether the primary is owed its traffic, and only its images are still to be seen."""
    return bool(_pods_question(view)) and images_unknown(view) is not None


def _pods_question(view: View) -> tuple[Query, ...]:
    """Ask which images run once the promoted primary is whole and nothing else keeps it from its traffic.

    One that rolls in place has traffic from its first new pod on.
    """
    phase, primary = view.status.phase, view.primary
    if primary is None or not view.primary_touched:
        return ()
    rolls = phase is Phase.PROMOTING and view.in_place and primary.updated > 0
    ends = (phase is Phase.PROMOTING and view.tick_is_due) or recovers(view)
    if not rolls and not (ends and view.primary_carries):
        return ()
    return (pods_query(view, primary),)


def _deployment(view: View, revision: Revision) -> dict[str, object]:
    labels = (revision.template.get("metadata") or {}).get("labels") or {}
    return {
        "apiVersion": DEPLOYMENT.api_version,
        "kind": DEPLOYMENT.kind,
        "metadata": {
            "name": f"{view.snapshot.names.target}-dry-run",
            "namespace": view.snapshot.key.namespace,
        },
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": revision.template},
    }


def _drain_question(view: View) -> tuple[Query, ...]:
    drain = view.status.drain
    if drain is None or view.now - drain.since < view.shortest_settle:
        return ()
    workload = _DRAINED_WORKLOAD[drain.role].format(view.snapshot.names.target)
    return (DrainQuery(view.snapshot.key.namespace, workload, drain.since, view.now, view.arrivals, view.server),)


def _give_back_question(view: View) -> tuple[Query, ...]:
    if leaves_clones(view):
        return (EndpointsQuery(view.snapshot.names.apex_ref),)
    since = settling_since(view.target) if view.target is not None else None
    if since is None or not view.canary_has_pods or view.now - since < view.shortest_settle:
        return ()
    names = view.snapshot.names
    workload = names.workload("canary").name
    return (DrainQuery(names.namespace, workload, since, view.now, view.arrivals, view.server),)


def _tick_questions(view: View) -> tuple[Query, ...]:
    status = view.status
    step = status.step
    if step is None or step.next_tick_at is None:
        return ()
    if status.phase is Phase.WAITING:
        return _waiting_questions(view)
    if view.paused:
        return ()
    if status.phase in STEPPING and view.change is Change.SAME and awaited_pods_came(view):
        return ask_hooks(view, gate_before(view))
    if view.now < step.next_tick_at:
        return ()
    if status.phase is Phase.PROMOTING and view.bakes and view.weights == CANARY_ONLY and not view.canary_lost:
        return _check_questions(view)
    if view.returning:
        judged = not view.canary_lost and step.in_force_at is not None and view.weights == view.routing.weights
        return _check_questions(view, "primary") if judged else ()
    if status.phase not in STEPPING or view.change is not Change.SAME:
        return ()
    return _step_questions(view, step)


def _waiting_questions(view: View) -> tuple[Query, ...]:
    if not view.tick_is_due or view.change is not Change.NEW:
        return ()
    if view.status.queued_at is not None and turn(view) is not None:
        # Nothing can begin, whatever they say.
        return ()
    return ask_hooks(view, None if view.suspended else "confirm-rollout", "rollback")


def _step_questions(view: View, step: StepStatus) -> tuple[Query, ...]:
    names = view.snapshot.names
    if view.place == 0 and not capacity_ready(view):
        return ()
    if view.taken_as_passed:
        return ask_hooks(view, gate_before(view))
    hooks = ask_hooks(view, judging_hook(view), gate_before(view))
    if view.place == 0:
        labels = (LabelsQuery(names.namespace, names.workload("primary").name, view.now, view.server),)
        return (*(labels if view.built_in_checks else ()), *_custom_questions(view), *hooks)
    if view.canary_lost or step.in_force_at is None or view.weights != view.routing.weights:
        return ()
    return (*_check_questions(view), *hooks)


def _rollback_question(view: View) -> tuple[Query, ...]:
    asked_at = rollback_asked_at(view)
    return ask_hooks(view, "rollback") if asked_at is not None and view.now >= asked_at else ()


def _post_rollout_question(view: View) -> tuple[Query, ...]:
    asked_at = post_rollout_at(view)
    return ask_hooks(view, "post-rollout") if asked_at is not None and view.now >= asked_at else ()


def _check_questions(view: View, judged: Role = "canary") -> tuple[CheckQuery | CustomQuery, ...]:
    built_in = (_check_question(view, metric, judged) for metric in view.built_in_checks)
    return (*built_in, *_custom_questions(view, judged))


def _custom_questions(view: View, judged: Role = "canary") -> tuple[CustomQuery, ...]:
    """Return what custom checks ask; of those that cannot ask the judgement tells."""
    return tuple(query for _, query in custom_questions(view, judged) if isinstance(query, CustomQuery))


def _check_question(view: View, metric: Metric, judged: Role) -> CheckQuery:
    """Return the question about the side that is new to its traffic; the other one is the baseline."""
    names = view.snapshot.names
    baseline: Role = "primary" if judged == "canary" else "canary"
    requests = metric.name == SUCCESS_RATE
    return CheckQuery(
        check=metric.name,
        metric="istio_requests_total" if requests else "istio_request_duration_milliseconds_bucket",
        namespace=names.namespace,
        canary=names.workload(judged).name,
        primary=names.workload(baseline).name,
        window=window(view, metric),
        at=view.now,
        server=view.server,
    )
