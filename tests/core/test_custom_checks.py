"""Custom checks: what is asked when, and what the answers come to."""

from __future__ import annotations

from typing import Any

import pytest

from canary.api.metric import Metric
from canary.api.metric_template import MetricTemplate
from canary.core.checks import custom_questions
from canary.core.decide import decide, questions
from canary.core.judge import judge_custom
from canary.core.measurement import (
    Answer,
    CustomQuery,
    Measurement,
    NumbersAnswer,
    SeriesAnswer,
    Unavailable,
)
from canary.core.objects import FLAGGER_TEMPLATE, Ref
from canary.core.snapshot import Snapshot, Template
from canary.core.view import View
from tests.answers import good
from tests.api.templates import template
from tests.builders import NOW, NS, at, finalising, idle, promoting, running

METRICS = "spec.analysis.metrics"
REF = Ref(FLAGGER_TEMPLATE, NS, "not-found-percentage")
BY_TEMPLATE = {
    "name": "404s",
    "templateRef": {"name": REF.name},
    "templateVariables": {"direction": "source"},
    "thresholdRange": {"max": 5},
}
BY_QUERY = {"name": "orders", "query": "orders{a='{{ name }}', b='{{ service }}'}[{{ interval }}]", "interval": "2m"}
FOUND = {REF: Template(MetricTemplate.parse(template()).spec)}
RANGE = {"name": "x", "query": "up", "thresholdRange": {"min": 2, "max": 5}}


def with_checks(*metrics: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return the changes that give the Canary these checks alone."""
    return {METRICS: list(metrics), **more}


def asked(world: Snapshot, seconds: float = 45) -> list[CustomQuery]:
    """Return what custom checks ask at a moment."""
    return [query for query in questions(world, at(seconds)) if isinstance(query, CustomQuery)]


def after(world: Snapshot, answers: dict[str, Answer], seconds: float = 45) -> Any:
    """Return the status after a tick with these answers to custom checks."""
    queries = questions(world, at(seconds))
    others = good(tuple(query for query in queries if not isinstance(query, CustomQuery)))
    custom = tuple(Measurement(query, answers[query.check]) for query in asked(world, seconds))
    status = decide(world, (*others, *custom), at(seconds)).status
    assert status is not None
    return status


class TestQuestions:
    """What is asked, of whom, and when."""

    def test_check_asks_what_its_template_says_with_the_values_of_this_canary(self) -> None:
        """Of the provider of the template, whose Secret is in the template's namespace."""
        (query,) = asked(running(10, changes=with_checks(BY_TEMPLATE), templates=FOUND))
        assert (query.check, query.number, query.namespace) == ("404s", 0, NS)
        assert query.provider.address == "http://prometheus.istio-system:9090"
        assert 'destination_workload="catalog-canary"' in query.text
        assert 'reporter="source"' in query.text
        assert "[45s]" in query.text

    def test_template_of_another_namespace_is_asked_with_its_secret(self) -> None:
        """Who may read the Secret of a template is decided where the template is."""
        elsewhere = Ref(FLAGGER_TEMPLATE, "shared", REF.name)
        named = {**BY_TEMPLATE, "templateRef": {"name": REF.name, "namespace": "shared"}}
        (query,) = asked(running(10, changes=with_checks(named), templates={elsewhere: FOUND[REF]}))
        assert query.namespace == "shared"
        assert f'destination_workload_namespace="{NS}"' in query.text

    def test_inline_query_asks_the_server_of_the_canary(self) -> None:
        """The controller's, unless the spec names another."""
        (query,) = asked(running(10, changes=with_checks(BY_QUERY)))
        assert (query.provider.type, query.provider.address) == ("prometheus", None)
        assert query.text == "orders{a='catalog-release', b='catalog'}[45s]"
        server = {"spec.metricsServer": "http://own:9090"}
        world = running(10, changes={**with_checks(BY_QUERY), **server})
        assert asked(world)[0].provider.address == "http://own:9090"

    def test_built_in_checks_ask_the_server_of_the_canary(self) -> None:
        """All questions about Istio's metrics go where the spec says."""
        world = running(10, changes={"spec.metricsServer": "http://own:9090"})
        assert {query.server for query in questions(world, at(45))} == {"http://own:9090"}  # type: ignore[union-attr]

    def test_window_is_the_users_own_words_once_it_is_whole(self) -> None:
        """Until then it is cut to the time with traffic, in whole seconds, never longer."""
        world = running(10, changes=with_checks(BY_QUERY))
        assert [asked(world, seconds)[0].text[-6:] for seconds in (45.9, 90, 120, 600)] == [
            "}[45s]",
            "}[90s]",
            "'}[2m]",
            "'}[2m]",
        ]

    def test_several_checks_of_one_name_are_told_apart(self) -> None:
        """Flagger allows it: each has its own question and its own verdict."""
        two = ({**RANGE, "query": "a"}, {**RANGE, "query": "b"})
        world = running(10, changes=with_checks(*two))
        one, other = asked(world)
        assert (one.text, other.text) == ("a", "b")
        measured = (Measurement(one, NumbersAnswer((3.0,))), Measurement(other, NumbersAnswer((9.0,))))
        status = decide(world, measured, at(45)).status
        assert status is not None
        assert [(check.verdict, check.value) for check in status.checks] == [("Pass", 3.0), ("Fail", 9.0)]

    @pytest.mark.parametrize(
        ("world", "expected"),
        [
            pytest.param(idle(changes=with_checks(BY_QUERY)), 0, id="idle"),
            pytest.param(running(0, changes=with_checks(BY_QUERY)), 1, id="before the first weight"),
            pytest.param(running(0, ready=0, changes=with_checks(BY_QUERY)), 0, id="no capacity yet"),
            pytest.param(running(10, shown=0, changes=with_checks(BY_QUERY)), 0, id="weight not in force"),
            pytest.param(running(10, changes=with_checks(BY_TEMPLATE)), 0, id="template missing"),
            pytest.param(promoting(changes=with_checks(BY_QUERY)), 0, id="promoting"),
            pytest.param(finalising(changes=with_checks(BY_QUERY)), 0, id="finalising"),
            pytest.param(running(10, changes={**with_checks(BY_QUERY), "spec.skipAnalysis": True}), 0, id="skipped"),
        ],
    )
    def test_questions_are_owed_at_ticks_alone(self, world: Snapshot, expected: int) -> None:
        """As those of the built-in checks are, and once before anybody is exposed."""
        assert len(asked(world)) == expected

    def test_labels_are_asked_for_built_in_checks_alone(self) -> None:
        """Who judges by queries of their own need not have Istio's labels."""
        world = running(0, changes=with_checks(BY_QUERY))
        assert [type(query).__name__ for query in questions(world, at(45))] == ["CustomQuery"]


class TestUnanswerable:
    """Why a check cannot ask: never a verdict about the canary."""

    @pytest.mark.parametrize(
        ("metric", "templates", "words"),
        [
            (
                BY_TEMPLATE,
                {},
                f"MetricTemplate {NS}/not-found-percentage not found; create it, or correct templateRef",
            ),
            (BY_TEMPLATE, {REF: Template(seen=False)}, "let the controller watch that namespace, and allow it to get"),
            (BY_TEMPLATE, {REF: Template(refusals=("spec.query is required",))}, "cannot be asked: spec.query is req"),
            (
                {**BY_TEMPLATE, "templateVariables": {}},
                FOUND,
                f"MetricTemplate {NS}/not-found-percentage cannot be asked: its query names variables.direction, which "
                "nobody gave; add direction to templateVariables",
            ),
            (
                {**BY_QUERY, "query": "up[{{ variables.x }}]", "templateVariables": {"x": "1m]) or up(["}},
                {},
                "its query cannot be asked: variables.x is",
            ),
        ],
    )
    @pytest.mark.parametrize("share", [0, 10])
    def test_run_holds_and_says_why(
        self, share: int, metric: dict[str, Any], templates: dict[Ref, Template], words: str
    ) -> None:
        """Before the first weight and at any other: nothing counts, the cause and its cure are told."""
        world = running(share, changes=with_checks(metric), templates=templates)
        status = after(world, {})
        assert (status.phase, status.canary_weight, status.failed_checks) == ("Progressing", share, 0)
        held = status.condition("MetricsAvailable")
        assert (held.status, held.reason) == ("False", "MetricsMissing")
        assert words in held.message
        ready = status.condition("Ready")
        assert (ready.status, ready.reason) == ("True", "CheckUnanswerable")
        assert words in ready.message

    @pytest.mark.parametrize(("rule", "weight", "failed"), [("Fail", 10, 1), ("Pass", 20, 0)])
    def test_user_may_say_what_it_does(self, rule: str, weight: int, failed: int) -> None:
        """`onNoData` of the check holds for what cannot be asked, too."""
        status = after(running(10, changes=with_checks({**BY_TEMPLATE, "onNoData": rule})), {})
        assert (status.canary_weight, status.failed_checks) == (weight, failed)

    @pytest.mark.parametrize(("rule", "weight"), [("Hold", 0), ("Pass", 10), ("Fail", 10)])
    def test_server_is_tried_before_the_first_weight(self, rule: str, weight: int) -> None:
        """A query that the server refuses exposes nobody, unless the user says that it does not matter."""
        world = running(0, changes=with_checks({**BY_QUERY, "onNoData": rule}))
        status = after(world, {"orders": Unavailable("Prometheus answered 400 Bad Request: 1:9: parse error")})
        assert status.canary_weight == weight

    def test_nothing_found_before_the_first_weight_is_no_hold(self) -> None:
        """The canary has had no request by then."""
        status = after(running(0, changes=with_checks(BY_QUERY)), {"orders": NumbersAnswer(())})
        assert status.canary_weight == 10

    def test_every_check_that_can_ask_does(self) -> None:
        """One that cannot keeps none of the others from being asked."""
        world = running(10, changes=with_checks(BY_TEMPLATE, BY_QUERY))
        found = [(metric.name, type(query).__name__) for metric, query in custom_questions(View(world, (), at(45)))]
        assert found == [("404s", "Unavailable"), ("orders", "CustomQuery")]
        status = after(world, {"orders": NumbersAnswer((1.0,))})
        assert [check.verdict for check in status.checks] == ["Error", "Pass"]


class TestVerdicts:
    """One answer against the limits of one check."""

    @pytest.mark.parametrize(
        ("answer", "verdict", "value", "message"),
        [
            (NumbersAnswer((3.0,)), "Pass", 3.0, "x 3 (min 2, max 5)"),
            (NumbersAnswer((2.0,)), "Pass", 2.0, "x 2 (min 2, max 5)"),
            (NumbersAnswer((5.0,)), "Pass", 5.0, "x 5 (min 2, max 5)"),
            (NumbersAnswer((5.25,)), "Fail", 5.25, "x 5.25 > 5"),
            (NumbersAnswer((1.0,)), "Fail", 1.0, "x 1 < 2"),
            (NumbersAnswer((3.0, 7.0, 1.5)), "Fail", 7.0, "x 7 > 5, the worst of 3"),
            (NumbersAnswer((3.0, float("nan"))), "Pass", 3.0, "x 3 (min 2, max 5)"),
            (NumbersAnswer(()), "NoData", None, "x has no data: its query found nothing"),
            (NumbersAnswer((float("nan"),)), "NoData", None, "x has no data: what its query found is not a number"),
            (NumbersAnswer((float("inf"),)), "NoData", None, "x has no data: what its query found is not a number"),
            (Unavailable("down"), "Error", None, "x could not be measured: down"),
            (SeriesAnswer(()), "Error", None, "x could not be measured: the answer is of another kind"),
        ],
    )
    def test_number_is_judged_by_the_range(
        self, answer: Answer, verdict: str, value: float | None, message: str
    ) -> None:
        """Bounds are inclusive, the worst series counts, and what is no number is no verdict."""
        check = judge_custom(Metric.model_validate(RANGE), answer, NOW)
        assert (check.verdict, check.value, check.message, check.samples) == (verdict, value, message, None)
        assert check.threshold == "min 2, max 5"

    def test_old_threshold_is_a_maximum(self) -> None:
        """As in Flagger, for all but the success rate."""
        metric = Metric.model_validate({"name": "x", "query": "up", "threshold": 5})
        assert judge_custom(metric, NumbersAnswer((6.0,)), NOW).verdict == "Fail"
        assert judge_custom(metric, NumbersAnswer((4.0,)), NOW).verdict == "Pass"

    def test_built_in_name_with_a_query_asks_the_query(self) -> None:
        """Who gives a query replaces the built-in check of that name (R-DIM-3)."""
        world = running(10, changes=with_checks({**BY_QUERY, "name": "request-success-rate"}))
        (query,) = questions(world, at(45))
        assert isinstance(query, CustomQuery)
