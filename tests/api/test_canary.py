"""The Canary as the controller reads it."""

from datetime import timedelta
from typing import Any

import pytest

from canary.api.canary import Canary
from canary.api.metric import Bounds
from canary.api.service import Service

from .manifests import ABSENT, COHORT, EVERY_CONDITION, A, M, S, iterations, listing, steps


def test_canary_reads_the_book() -> None:
    """Read listing 5.1 with every value where the decision looks for it."""
    canary = Canary.parse(listing())
    analysis = canary.spec.analysis
    assert (canary.metadata.namespace, canary.metadata.name) == ("istioinaction", "catalog-release")
    assert (analysis.period, analysis.threshold) == (timedelta(seconds=45), 5)
    assert (analysis.step_weight, analysis.top_weight, analysis.step_weights) == (10, 50, ())
    assert canary.spec.progress_deadline == timedelta(seconds=60)
    assert (canary.spec.apex, canary.spec.hosts) == ("catalog", ("catalog",))
    assert (canary.spec.service.port, canary.spec.service.pod_port) == (80, 3000)
    assert [(one.name, one.window, one.bounds) for one in analysis.metrics] == [
        ("request-success-rate", timedelta(minutes=1), Bounds(99, None)),
        ("request-duration", timedelta(seconds=30), Bounds(None, 500)),
    ]


def test_canary_has_flaggers_defaults() -> None:
    """Fill in what a short manifest leaves out."""
    changes: dict[str, Any] = {
        f"{A}": {"stepWeight": 20, "metrics": [{"name": "request-duration"}]},
        f"{S}": {"port": 80},
        "spec.progressDeadlineSeconds": ABSENT,
    }
    spec = Canary.parse(listing(changes)).spec
    assert (spec.analysis.period, spec.analysis.threshold) == (timedelta(minutes=1), 1)
    assert (spec.analysis.top_weight, spec.analysis.drain) == (100, timedelta(seconds=15))
    assert (spec.analysis.on_no_data, spec.analysis.canary_scale) == ("Hold", "Proportional")
    assert spec.progress_deadline == timedelta(seconds=600)
    assert (spec.apex, spec.hosts, spec.service.route_gateways) == ("catalog", ("catalog",), ("mesh",))
    assert (spec.service.pod_port, spec.service.port_name) == (80, "http")
    (metric,) = spec.analysis.metrics
    assert (metric.window, metric.min_samples, metric.reporter) == (timedelta(minutes=1), 1, "auto")
    assert spec.analysis.on_no_data_for(metric) == "Hold"


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ((), ("shop",)),
        (("shop",), ("shop",)),
        (("*",), ("*",)),
        (("shop.example.com",), ("shop.example.com", "shop")),
    ],
)
def test_service_adds_the_apex_to_its_hosts(hosts: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Add the apex name unless it or every host is listed."""
    assert Service(port=80, hosts=hosts).route_hosts("shop") == expected


def test_metric_translates_the_old_threshold() -> None:
    """Read `threshold` as the minimum of a success rate and the maximum of a duration."""
    changes: dict[str, Any] = {
        f"{M}.0": {"name": "request-success-rate", "threshold": 95, "interval": "2m"},
        f"{M}.1": {"name": "request-duration", "threshold": 300},
    }
    rate, duration = Canary.parse(listing(changes)).spec.analysis.metrics
    assert (rate.bounds, rate.window) == (Bounds(95, None), timedelta(minutes=2))
    assert duration.bounds == Bounds(None, 300)


def test_step_weights_rule_the_top_weight() -> None:
    """Take the last step weight as the maximum, whatever maxWeight says."""
    changes = {f"{A}.stepWeight": ABSENT, f"{A}.stepWeights": [5, 80]}
    assert Canary.parse(listing(changes)).spec.analysis.top_weight == 80


def test_cohorts_are_as_istio_writes_them() -> None:
    """Give back the conditions of an A/B release and of a step as they were written, every field."""
    analysis = Canary.parse(listing(iterations(match=[EVERY_CONDITION, *COHORT]))).spec.analysis
    assert analysis.cohort == (EVERY_CONDITION, *COHORT)
    (step,) = Canary.parse(listing(steps({"match": [EVERY_CONDITION]}))).spec.analysis.steps
    assert step.cohort == (EVERY_CONDITION,)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ({}, {}),
        ({"name": "", "gateways": [], "headers": {}, "sourceLabels": {}, "ignoreUriCase": False}, {}),
        ({"uri": None, "port": None, "sourceNamespace": "", "withoutHeaders": {}, "queryParams": {}}, {}),
        ({"headers": {"x-user": {}}}, {"headers": {"x-user": {}}}),
        ({"method": {}, "queryParams": {"q": {"exact": ""}}}, {"method": {}, "queryParams": {"q": {"exact": ""}}}),
    ],
)
def test_cohorts_leave_out_what_asks_for_nothing(written: dict[str, Any], expected: dict[str, Any]) -> None:
    """Leave out empty lists and texts, which Istio takes as absent, and keep `{}`, which asks for presence."""
    assert Canary.parse(listing(iterations(match=[written]))).spec.analysis.cohort == (expected,)


def test_analysis_without_cohort_has_none() -> None:
    """Have no cohort in listing 5.1, nor in a step that sets a weight."""
    assert Canary.parse(listing()).spec.analysis.cohort == ()
    (step,) = Canary.parse(listing(steps({"setWeight": 5}))).spec.analysis.steps
    assert (step.cohort, step.set_weight) == ((), 5)


def test_canary_ignores_unknown_fields() -> None:
    """Read a Canary written by a newer version."""
    changes = {"spec.future": 1, f"{A}.future": {"x": 1}, "status": {"phase": "Succeeded", "future": 1}}
    assert Canary.parse(listing(changes)).status.phase == "Succeeded"
