"""Custom checks: whom they ask, what they ask with the values of this moment, and why one cannot be asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from math import floor

from canary.api.metric import Metric
from canary.api.metric_template import PROMETHEUS, MetricProvider
from canary.core.measurement import CustomQuery, Unavailable
from canary.core.names import Role
from canary.core.objects import Ref, template_ref
from canary.core.rendering import RenderError, rendered
from canary.core.snapshot import Template
from canary.core.view import View

SHORTEST_WINDOW = timedelta(seconds=1)


def custom_question(view: View, number: int, judged: Role = "canary") -> CustomQuery | Unavailable:
    """Return what the check of a number asks about one side, or why it cannot ask."""
    metric = view.checks[number]
    found = _source(view, metric)
    if isinstance(found, Unavailable):
        return found
    provider, query, namespace = found
    try:
        text = rendered(query, _values(view, metric, judged), provider.language)
    except RenderError as fault:
        return Unavailable(f"{template_of(view, metric) or 'its query'} cannot be asked: {fault}")
    return CustomQuery(metric.name, number, provider, text, namespace, view.now)


def custom_questions(view: View, judged: Role = "canary") -> Iterator[tuple[Metric, CustomQuery | Unavailable]]:
    """Yield each custom check with what it asks."""
    for number, metric in enumerate(view.checks):
        if metric.custom:
            yield metric, custom_question(view, number, judged)


def template_of(view: View, metric: Metric) -> Ref | None:
    """Return the MetricTemplate that a check names."""
    named = metric.template_ref
    return None if named is None else template_ref(view.snapshot.key, named.namespace, named.name)


def window(view: View, metric: Metric) -> timedelta:
    """Return how far back a check looks: not past the time since which this run's canary has traffic.

    A custom check may count what is sent past the routes, by tests; it looks back to the start of the run.
    """
    since, run = view.status.traffic_since, view.status.run
    if since is None and metric.custom:
        since = run.started_at if run is not None else view.now - metric.window
    return max(SHORTEST_WINDOW, min(metric.window, view.now - (since or view.now)))


def _source(view: View, metric: Metric) -> tuple[MetricProvider, str, str] | Unavailable:
    """Return provider, query and namespace of a check."""
    ref = template_of(view, metric)
    if ref is None:
        provider = MetricProvider(type=PROMETHEUS, address=view.server or None)
        return provider, metric.query or "", view.snapshot.names.namespace
    found = view.snapshot.templates.get(ref, Template())
    if found.spec is not None:
        return found.spec.provider, found.spec.query, ref.namespace
    if found.refusals:
        return Unavailable(f"{ref} cannot be asked: {'; '.join(found.refusals)}")
    if not found.seen:
        cure = "let the controller watch that namespace, and allow it to get, list and watch metrictemplates"
        crd = f"apply the CustomResourceDefinition metrictemplates.{ref.resource.group}"
        return Unavailable(f"{ref} cannot be seen; {crd}, {cure} of that group")
    return Unavailable(f"{ref} not found; create it, or correct templateRef")


def _values(view: View, metric: Metric, judged: Role) -> dict[str, str]:
    """Return what a query may name; Flagger's `target` is the workload that is judged."""
    names, spec = view.snapshot.names, view.snapshot.spec
    baseline: Role = "primary" if judged == "canary" else "canary"
    back = window(view, metric)
    whole = back == metric.window and metric.written_window
    variables = {f"variables.{key}": value for key, value in (metric.template_variables or {}).items()}
    return {
        "name": view.snapshot.key.name,
        "namespace": names.namespace,
        "target": names.workload(judged).name,
        "canary": names.workload(judged).name,
        "primary": names.workload(baseline).name,
        "target-primary": names.workload("primary").name,
        "service": names.apex,
        "ingress": spec.ingress_ref.name if spec is not None and spec.ingress_ref is not None else "",
        "route": spec.route_ref.name if spec is not None and spec.route_ref is not None else "",
        "interval": metric.written_window if whole else f"{floor(back.total_seconds())}s",
        **variables,
    }
