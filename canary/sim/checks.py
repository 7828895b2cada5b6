"""Custom checks in the invented world: templates for them, and what they find while all is well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from canary.api.metric import Metric
from canary.core.mentions import named_templates
from canary.core.objects import FLAGGER_CANARY, FLAGGER_TEMPLATE, NATIVE_CANARY, NATIVE_TEMPLATE, Object, Ref

ERRORS, ORDERS = "error-percentage", "orders"
"""A check by a MetricTemplate and one by an inline query."""
_GROUPS = {one.api_version: one for one in (NATIVE_CANARY, FLAGGER_CANARY)}
QUERY = 'sum(rate(errors_total{workload="{{ target }}", code=~"{{ variables.code }}"}[{{ interval }}]))'


def metric_template(canary: Object, name: str = ERRORS, query: str = QUERY) -> dict[str, Any]:
    """Return a MetricTemplate beside a Canary, of its group."""
    resource = NATIVE_TEMPLATE if canary["apiVersion"] == NATIVE_CANARY.api_version else FLAGGER_TEMPLATE
    provider = {"type": "prometheus", "address": "http://prometheus.test:9090"}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": name, "namespace": canary["metadata"]["namespace"]},
        "spec": {"provider": provider, "query": query},
    }


def custom_metrics() -> list[dict[str, Any]]:
    """Return a check by a MetricTemplate, and one by a query of its own."""
    errors = {"templateRef": {"name": ERRORS}, "templateVariables": {"code": "5.."}, "interval": "1m"}
    orders = {"query": 'sum(increase(orders_total{service="{{ service }}"}[{{ interval }}]))'}
    return [
        {"name": ERRORS, "thresholdRange": {"max": 5}, **errors},
        {"name": ORDERS, "thresholdRange": {"min": 10}, **orders},
    ]


def templates_named(canary: Object) -> list[Ref]:
    """Return the MetricTemplates that a Canary names."""
    metadata = {"namespace": "default", **canary["metadata"]}
    return list(named_templates(_GROUPS[canary["apiVersion"]], {**canary, "metadata": metadata}))


def healthy(canary: Object) -> dict[str, tuple[float, ...]]:
    """Return a number within its limits for each custom check of a Canary."""
    raw: Sequence[Any] = (canary["spec"].get("analysis") or {}).get("metrics") or ()
    metrics = (Metric.model_validate(one) for one in raw)
    return {one.name: (_within(one),) for one in metrics if one.custom}


def _within(metric: Metric) -> float:
    bounds = metric.bounds
    limits = [one for one in (bounds.low, bounds.high) if one is not None]
    return sum(limits) / len(limits) if limits else 1.0
