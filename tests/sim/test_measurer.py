"""The invented metrics server."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest

from canary.core.measurement import CheckQuery, DrainQuery, LabelsQuery, Series, SeriesAnswer, Unavailable
from canary.sim.behaviour import Behaviour
from canary.sim.clock import VirtualClock
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import MetricsFault
from tests.sim.test_dataplane import MESH, NAMESPACE, PLAIN, shop


def check(sim: Simulation, window: float = 30.0, metric: str = "istio_requests_total") -> CheckQuery:
    """Return a question about shop-new beside shop-old."""
    return CheckQuery(
        check="any",
        metric=metric,  # type: ignore[arg-type]
        namespace=NAMESPACE,
        canary="shop-new",
        primary="shop-old",
        window=timedelta(seconds=window),
        at=VirtualClock(sim.loop).now(),
    )


async def ask(sim: Simulation, query: CheckQuery | DrainQuery | LabelsQuery) -> SeriesAnswer:
    """Return the answer to a question that must have one."""
    answer = (await sim.measurer.measure(query)).answer
    assert isinstance(answer, SeriesAnswer), answer
    return answer


def growth(series: tuple[Series, ...], **labels: str) -> float:
    """Return by how much the counters with these labels grew, newborn ones from 0."""
    found = [one for one in series if labels.items() <= dict(one.labels).items()]
    return sum(one.samples[-1][1] for one in found)


def test_both_reporters_count_the_requests_of_each_side() -> None:
    """Source series live in the caller, destination series in each pod."""

    async def story(sim: Simulation) -> None:
        await shop(sim, 50, 50)
        sim.dataplane.call(MESH)
        await sim.rest(30)
        answer = await ask(sim, check(sim))
        sent = growth(answer.canary, reporter="source")
        assert sent == pytest.approx(1500, abs=200)
        assert growth(answer.canary, reporter="destination") == sent
        instances = {one.label("instance") for one in answer.canary if one.label("reporter") == "destination"}
        assert len(instances) == 2
        assert growth(answer.primary, reporter="source", response_code="200") > 1000

    simulate(story)


def test_timeouts_differ_between_reporters() -> None:
    """A time-out of the caller is 504 UT at the source and 0 at the destination."""

    async def story(sim: Simulation) -> None:
        await shop(sim, 50, 50)
        sim.behaviours.put(Behaviour(timeouts=100), image="shop:new")
        sim.dataplane.call(MESH)
        await sim.rest(30)
        answer = await ask(sim, check(sim))
        assert {
            (one.label("reporter"), one.label("response_code"), one.label("response_flags")) for one in answer.canary
        } == {("source", "504", "UT"), ("destination", "0", "-")}

    simulate(story)


def test_plain_callers_are_seen_at_the_destination_only() -> None:
    """A caller without sidecar reports nothing itself."""

    async def story(sim: Simulation) -> None:
        await shop(sim)
        sim.dataplane.call(PLAIN)
        await sim.rest(30)
        answer = await ask(sim, check(sim))
        assert {one.label("reporter") for one in answer.primary} == {"destination"}
        assert answer.canary == ()

    simulate(story)


def test_buckets_are_cumulative_up_to_the_total() -> None:
    """Histogram buckets rise with `le` and end at the number of requests."""

    async def story(sim: Simulation) -> None:
        await shop(sim)
        sim.dataplane.call(MESH)
        await sim.rest(30)
        answer = await ask(sim, check(sim, metric="istio_request_duration_milliseconds_bucket"))
        source = [one for one in answer.primary if one.label("reporter") == "source"]
        counts = {float(one.label("le") or "nan"): one.samples[-1][1] for one in source}
        ordered = [counts[le] for le in sorted(counts)]
        assert ordered == sorted(ordered)
        totals = await ask(sim, check(sim))
        assert counts[math.inf] == growth(totals.primary, reporter="source")
        assert 0 < counts[25.0] < counts[math.inf]

    simulate(story)


def test_drain_answer_begins_before_the_drain() -> None:
    """There is a sample to compare with, and none that is newer than the question."""

    async def story(sim: Simulation) -> None:
        await shop(sim)
        sim.dataplane.call(MESH)
        await sim.rest(33)
        now = VirtualClock(sim.loop).now()
        since = now - timedelta(seconds=12)
        answer = await ask(sim, DrainQuery(NAMESPACE, "shop-old", since, now))
        times = [at for at, _ in answer.canary[0].samples]
        assert times[0] <= since.timestamp() < times[1]
        assert times[-1] <= now.timestamp()

    simulate(story)


def test_faults_of_the_metrics_server() -> None:
    """Down and slow are Unavailable, NaN and empty are answers."""

    async def story(sim: Simulation) -> None:
        await shop(sim)
        sim.dataplane.call(MESH)
        await sim.rest(30)
        for kind in ("down", "slow"):
            sim.faults.metrics = [MetricsFault(kind)]  # type: ignore[arg-type]
            assert isinstance((await sim.measurer.measure(check(sim))).answer, Unavailable)
        sim.faults.metrics = [MetricsFault("nan")]
        answer = await ask(sim, check(sim))
        assert all(math.isnan(value) for one in answer.primary for _, value in one.samples)
        sim.faults.metrics = [MetricsFault("empty")]
        assert await ask(sim, check(sim)) == SeriesAnswer(())

    simulate(story)
