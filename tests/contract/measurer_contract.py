"""What every ``ports.Measurer`` promises, as tests; run on the simulator's metrics and on a real Prometheus.

A test module of a world subclasses ``MeasurerContract`` (``class TestX(MeasurerContract)``) and gives one
fixture: ``play``, which runs a story on a ``Stage`` to its end.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from canary.api.metric_template import MetricProvider
from canary.core.counting import REPORTERS, Outcomes, Window, latency
from canary.core.judge import BUCKET_LABELS, REQUEST_LABELS, missing_labels
from canary.core.measurement import (
    LOOKBACK,
    CheckQuery,
    CustomQuery,
    DrainQuery,
    GoneQuery,
    LabelsQuery,
    NumbersAnswer,
    SeriesAnswer,
    TemplateQuery,
    Unavailable,
)
from canary.core.objects import CanaryKey
from tests.contract.measurer_stage import (
    DURATIONS,
    LAST_MINUTE,
    MILLISECOND,
    REQUESTS,
    Counts,
    Play,
    Stage,
    answered,
    ask,
    check,
    count,
    durations_caught_up,
    eventually,
    is_quiet,
    label_sets,
    totals,
)


class MeasurerContract:
    """Promises of ``ports.Measurer`` over Istio's metrics."""

    def test_every_request_is_counted_per_side_and_reporter(self, play: Play) -> None:
        """Count what callers sent, neither more nor less, at the caller and at the callee."""

        async def story(stage: Stage) -> None:
            begun = stage.now()
            async with stage.calling("mesh") as sent:
                await stage.rest(3 * stage.scrape)
            answers = {"canary": sent()[stage.canary], "primary": sent()[stage.primary]}
            assert min(answers.values()) > 0
            wanted: Counts = {(side, r): answered(number) for side, number in answers.items() for r in REPORTERS}
            found = await count(stage, begun, wanted)
            assert found == wanted, f"{found} instead of {wanted}"
            await stage.rest(2 * stage.scrape)
            query = check(stage, stage.now() - begun)
            assert totals(await ask(stage, query), begun, query.at) == wanted

        play(story)

    def test_callers_without_sidecar_are_counted_at_the_callee_alone(self, play: Play) -> None:
        """Tell the two reporters apart: who has no proxy reports nothing."""

        async def story(stage: Stage) -> None:
            begun = stage.now()
            async with stage.calling("plain") as sent:
                await stage.rest(3 * stage.scrape)
            number = sent()[stage.primary]
            assert number > 0
            still: Counts = {(side, r): answered(0) for side in ("canary", "primary") for r in REPORTERS}
            wanted: Counts = still | {("primary", "destination"): answered(number)}
            found = await count(stage, begun, wanted)
            assert found == wanted, f"{found} instead of {wanted}"

        play(story)

    def test_failures_are_counted_where_they_happen(self, play: Play) -> None:
        """Count each 500 of the canary as failed, by both reporters, and none of the primary's answers."""

        async def story(stage: Stage) -> None:
            begun = stage.now()
            async with stage.failing(), stage.calling("mesh") as sent:
                await stage.rest(3 * stage.scrape)
            bad, good = float(sent()[stage.canary]), sent()[stage.primary]
            assert bad > 0
            wanted: Counts = {("canary", r): Outcomes(bad, bad, 0.0) for r in REPORTERS}
            wanted |= {("primary", r): answered(good) for r in REPORTERS}
            found = await count(stage, begun, wanted)
            assert found == wanted, f"{found} instead of {wanted}"

        play(story)

    def test_durations_count_every_request_in_buckets(self, play: Play) -> None:
        """Tell durations of as many requests as there were, with a percentile, per reporter."""

        async def story(stage: Stage) -> None:
            await eventually(stage, lambda: durations_caught_up(stage))
            begun = stage.now()
            async with stage.calling("mesh") as sent:
                await stage.rest(3 * stage.scrape)
            number = float(sent()[stage.canary])
            found: dict[str, float] = {}

            async def counted() -> bool:
                query = check(stage, stage.now() - begun, DURATIONS)
                answer = await ask(stage, query)
                assert missing_labels(answer.canary, BUCKET_LABELS) == ()
                window = Window.over(answer, begun.timestamp(), query.at.timestamp())
                tallies = {r: latency(answer.canary, r, window) for r in REPORTERS}
                found.update({r: one.total for r, one in tallies.items() if one and one.p99 and one.p99 > 0})
                return set(found.values()) == {number}

            await eventually(stage, counted)
            assert found == dict.fromkeys(REPORTERS, number), f"{found} of {number}"

        play(story)

    def test_series_carry_the_labels_a_verdict_needs(self, play: Play) -> None:
        """Name workload, namespace and reporter on the series of each side, and no metric among the labels."""

        async def story(stage: Stage) -> None:
            answer = await ask(stage, check(stage))
            assert missing_labels((*answer.canary, *answer.primary), REQUEST_LABELS) == ()
            assert label_sets((*answer.canary, *answer.primary), "__name__") == {(None,)}
            for side, workload in ((answer.canary, stage.canary), (answer.primary, stage.primary)):
                found = label_sets(side, "destination_workload", "destination_workload_namespace", "reporter")
                assert found == {(workload, stage.namespace, r) for r in REPORTERS}

        play(story)

    def test_samples_reach_back_beyond_the_window_and_end_at_the_question(self, play: Play) -> None:
        """Give samples from before the window, to tell newborn series, and none from after the question."""

        async def story(stage: Stage) -> None:
            async with stage.calling("mesh"):
                await stage.rest(3 * stage.scrape)
                at = stage.now()
                await stage.rest(3 * stage.scrape)
            window = timedelta(seconds=stage.scrape)
            query = CheckQuery("check", REQUESTS, stage.namespace, stage.canary, stage.primary, window, at)
            answer = await ask(stage, query)
            for side in (answer.canary, answer.primary):
                moments = sorted(moment for one in side for moment, _ in one.samples)
                assert moments[0] <= (at - window).timestamp() < moments[-1] <= at.timestamp() + MILLISECOND
                assert moments[0] >= (at - window - LOOKBACK).timestamp() - 1
                assert all(list(one.samples) == sorted(one.samples) for one in side)

        play(story)

    def test_workload_without_series_has_none(self, play: Play) -> None:
        """Answer with nothing for a name, or a namespace, that has no requests, however alike another is."""

        async def story(stage: Stage) -> None:
            now, since = stage.now(), stage.now() - LAST_MINUTE
            other, space = stage.primary[:-1], stage.namespace
            for query in (
                CheckQuery("check", REQUESTS, space, stage.canary + "x", other, LAST_MINUTE, now),
                CheckQuery("check", DURATIONS, space + "x", stage.canary, stage.primary, LAST_MINUTE, now),
                DrainQuery(space, other, since, now),
                LabelsQuery(space, other, now),
            ):
                assert await ask(stage, query) == SeriesAnswer((), ()), query
            assert await is_quiet(stage, other, since) is None

        play(story)

    def test_drain_is_quiet_after_the_last_request_and_not_before(self, play: Play) -> None:
        """Tell requests under way from silence on both sides."""

        async def story(stage: Stage) -> None:
            heard: list[bool | None] = []

            async def known(wanted: bool, since: datetime) -> bool:
                heard[:] = [await is_quiet(stage, workload, since) for workload in (stage.canary, stage.primary)]
                return heard == [wanted, wanted]

            async with stage.calling("mesh"):
                since = stage.now()
                await eventually(stage, lambda: known(False, since))
                assert heard == [False, False], heard
            await eventually(stage, lambda: known(True, since))
            assert heard == [True, True], heard

        play(story)

    def test_drain_answer_has_a_count_to_compare_with(self, play: Play) -> None:
        """Give for a series that was there a sample from before traffic was taken off."""

        async def story(stage: Stage) -> None:
            since = stage.now()
            await stage.rest(2 * stage.scrape)
            answer = await ask(stage, DrainQuery(stage.namespace, stage.canary, since, stage.now()))
            assert answer.canary
            assert all(one.samples[0][0] <= since.timestamp() for one in answer.canary)

        play(story)

    def test_labels_are_those_of_the_present_series(self, play: Play) -> None:
        """Show what the primary's counters carry now, by both reporters."""

        async def story(stage: Stage) -> None:
            now = stage.now()
            answer = await ask(stage, LabelsQuery(stage.namespace, stage.primary, now))
            assert answer.primary == ()
            assert missing_labels(answer.canary) == ()
            found = label_sets(answer.canary, "destination_workload", "reporter")
            assert found == {(stage.primary, r) for r in REPORTERS}
            for one in answer.canary:
                assert (now - LOOKBACK).timestamp() <= one.samples[-1][0] <= now.timestamp() + MILLISECOND

        play(story)

    def test_metrics_that_are_down_are_a_value_and_come_back(self, play: Play) -> None:
        """Answer every question with Unavailable and a reason while the server is down, and with series after."""

        async def story(stage: Stage) -> None:
            now = stage.now()
            queries = (
                check(stage),
                DrainQuery(stage.namespace, stage.primary, now - LAST_MINUTE, now),
                LabelsQuery(stage.namespace, stage.primary, now),
            )
            async with stage.outage():
                for query in queries:
                    measurement = await stage.measurer.measure(query)
                    assert measurement.query == query
                    assert isinstance(measurement.answer, Unavailable), measurement
                    assert measurement.answer.reason
            for query in queries:
                assert (await ask(stage, query)).canary

        play(story)

    def test_custom_check_without_series_finds_nothing(self, play: Play) -> None:
        """A query that matches nothing is an answer without a number, and so is what is asked next."""

        async def story(stage: Stage) -> None:
            text = 'sum(rate(nobody_counts_this_total{a="b"}[1m]))'
            query = CustomQuery("nothing", 0, MetricProvider(type="prometheus"), text, stage.namespace, stage.now())
            measurement = await stage.measurer.measure(query)
            assert (measurement.query, measurement.answer) == (query, NumbersAnswer(()))
            async with stage.outage():
                measurement = await stage.measurer.measure(query)
                assert measurement.query == query
                assert isinstance(measurement.answer, Unavailable), measurement
                assert measurement.answer.reason

        play(story)

    def test_questions_about_the_cluster_are_not_answered(self, play: Play) -> None:
        """Leave templates and deletions to the cluster, as a value."""

        async def story(stage: Stage) -> None:
            for query in (
                TemplateQuery(stage.namespace, "abc", {"kind": "Deployment"}),
                GoneQuery(CanaryKey("canary.delivery", stage.namespace, "web")),
            ):
                measurement = await stage.measurer.measure(query)
                assert isinstance(measurement.answer, Unavailable), measurement

        play(story)
