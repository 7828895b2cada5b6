"""A good release: its rows, its routes, its order and what counts as a new template (items 1, 3, 4, 8 and 16)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from canary.core.names import MANAGER
from canary.core.objects import NATIVE_CANARY
from canary.sim.driver import Simulation, simulate
from canary.sim.manifests import deployment
from canary.sim.memory import code_of
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise, listing_5_1, release
from tests.sim.stories import (
    APEX,
    CANARY,
    PRIMARY,
    ROUTE,
    ROUTE_WRITES,
    TARGET,
    V1,
    V2,
    V3,
    found,
    harmed,
    ours,
    quick,
    ready,
    route_writes,
    shares,
    steps,
    version,
    weights,
)
from tests.sim.test_release import TIMELINE, rounded


def test_native_group_has_the_same_rows() -> None:
    """The same spec under canary.delivery/v1beta1 goes the same way."""
    canary = {**listing_5_1(), "apiVersion": NATIVE_CANARY.api_version}

    async def story(sim: Simulation) -> None:
        scenario = Scenario(canary)
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 600)
        await sim.rest(400)
        assert rounded(sim, begun) == TIMELINE
        assert harmed(sim) == 0

    simulate(story, seed=1)


@pytest.mark.parametrize(
    ("interval", "analysis", "shown"),
    [
        (20, {"stepWeight": 25, "drainSeconds": 5}, [25, 50]),
        (30, {"stepWeight": 20}, [20, 40, 50]),
        (60, {"stepWeight": None, "stepWeights": [1, 5, 30], "maxWeight": None}, [1, 5, 30]),
        (90, {"stepWeight": 100, "maxWeight": 100}, [100]),
    ],
)
def test_scaled_rows_are_one_interval_apart(interval: int, analysis: dict[str, Any], shown: list[int]) -> None:
    """Other plans and intervals have one row per interval, the last step capped."""

    async def story(sim: Simulation) -> None:
        canary = listing_5_1(interval=f"{interval}s", **analysis)
        fields = canary["spec"]["analysis"]
        canary["spec"]["analysis"] = {key: value for key, value in fields.items() if value is not None}
        scenario = Scenario(canary, replicas=3)
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 1200)
        rows = sim.rows(begun)
        late = [("Promoting", 0), ("Finalising", 0), ("Succeeded", 0)]
        assert steps(sim, begun) == [("Progressing", weight) for weight in (0, *shown)] + late
        assert all(abs(row.at - index * interval) < 0.2 for index, row in enumerate(rows)), rows
        assert harmed(sim) == 0

    simulate(story, seed=2)


def test_routes_at_each_row_are_the_books() -> None:
    """Hosts, gateways and destinations stay; integer weights sum to 100; one write for each step."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 600)
        for change in ours(sim, begun, ROUTE):
            spec = (change.after or {})["spec"]
            assert (spec["hosts"], spec["gateways"]) == (["catalog"], ["mesh"])
            hosts = [leg["destination"]["host"] for leg in spec["http"][0]["route"]]
            assert hosts == ["catalog-primary", "catalog-canary"]
        assert route_writes(sim, begun) == ROUTE_WRITES

    simulate(story)


def test_share_of_the_canary_is_what_its_row_shows() -> None:
    """At each weight the share of requests at v2 lies within the 99 % bounds of a binomial draw."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(rps=100)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        name = version(scenario, V2)
        # Callers without sidecar know no weights: only the others count.
        sim.dataplane.callers = [one for one in sim.dataplane.callers if one.mesh]
        for weight in (10, 20, 30, 40, 50):
            await sim.until_weight(weight, 600)
            await sim.rest(1)
            before, sent = count(sim, name)
            await sim.rest(40)
            after, total = count(sim, name)
            share, drawn = weight / 100, total - sent
            bound = 2.576 * (drawn * share * (1 - share)) ** 0.5
            assert abs(after - before - drawn * share) <= bound

    def count(sim: Simulation, name: str) -> tuple[int, int]:
        sim.dataplane.settle()
        at_v2 = sum(number for (_, one), number in sim.dataplane.received.items() if one == name)
        return at_v2, sim.dataplane.requests.sent

    simulate(story, seed=4)


@pytest.mark.parametrize("by", ["template alone", "whole manifest"])
def test_release_is_sparing_with_requests(by: str) -> None:
    """At most one route write and two status writes per row, below 60 requests in all (limits of section 3)."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        before, since = len(sim.calls), sim.now
        if by == "template alone":
            sim.user.edit(TARGET, {"spec": {"template": scenario.revised(V2)["spec"]["template"]}})
        else:
            # Names the size again, as most pipelines do.
            sim.user.apply(scenario.revised(V2))
        await sim.until_phase("Progressing", 5)
        begun = sim.now
        await sim.until_phase("Succeeded", 600)
        await sim.rest(300)
        assert len(sim.calls) - before < 60
        moments = [row.at for row in sim.history.rows(scenario.ref, begun)] + [float("inf")]
        for start, end in pairwise(moments):
            written = [one for one in ours(sim, start) if one.at < end]
            assert sum(one.ref == ROUTE for one in written) <= 1
            assert sum(one.ref == scenario.ref for one in written) <= 2, written
        assert len(ours(sim, since, scenario.ref)) <= (16 if by == "template alone" else 17)

    simulate(story)


def test_new_template_is_answered_at_once() -> None:
    """From the write of a template to Progressing: below 0.1 s."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        written = sim.now
        assert await release(sim, scenario, V2) - written < 0.1

    simulate(story)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_cut_over_keeps_its_order(size: int) -> None:
    """Route, apex, primary, and back: apex, route, canary — the primary rolls only while nothing points at it."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(replicas=size)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_phase("Promoting", 600)
        since = sim.now
        await sim.until_phase("Succeeded", 600)
        order = [one.ref for one in ours(sim, since) if one.ref in (ROUTE, APEX, PRIMARY, CANARY)]
        assert order == [ROUTE, APEX, PRIMARY, APEX, ROUTE, CANARY]
        assert harmed(sim) == sim.dataplane.requests.failed == 0

    simulate(story, seed=size)


def test_promoted_template_is_the_analysed_one() -> None:
    """A template applied while promoting does not enter the primary with it (I10)."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_phase("Promoting", 600)
        analysed = code_of(found(sim, CANARY)["spec"]["template"])
        sim.user.apply(scenario.revised(V3))
        await sim.until_phase("Succeeded", 600)
        assert code_of(found(sim, PRIMARY)["spec"]["template"]) == analysed

    simulate(story)


@pytest.mark.parametrize("scale", ["Proportional", "Full"])
def test_capacity_precedes_weight(scale: str) -> None:
    """Whenever the canary's weight rises, the pods it needs are ready already (I8)."""

    async def story(sim: Simulation) -> None:
        scenario = quick(5, canaryScale=scale, stepWeight=20, maxWeight=60)
        await initialise(sim, scenario)
        seen: list[tuple[int, int]] = []

        def note(change: Any) -> None:
            if change.ref == ROUTE and change.writer == MANAGER and change.after:
                seen.append((shares(change.after)[1], ready(sim, CANARY)))

        sim.world.watch(note)
        await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 600)
        risen = [(weight, pods) for weight, pods in seen if weight]
        assert [weight for weight, _ in risen] == [20, 40, 60, 100]
        assert all(pods >= (5 if scale == "Full" else -(-5 * weight // 100)) for weight, pods in risen), risen

    simulate(story)


def test_idle_system_is_silent() -> None:
    """After a release: no call at all for an hour, restarts of the controller included (I5, I19)."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 600)
        await sim.rest(200)
        calls = len(sim.calls)
        await sim.rest(1700)
        await sim.restart_controller(20)
        await sim.rest(1700)
        assert len(sim.calls) == calls

    simulate(story)


def with_env(manifest: Any) -> Any:
    """Change an environment value alone."""
    return deployment(image=V1, replicas=2, env={"MODE": "new"})


def with_label(manifest: Any) -> Any:
    """Change a pod label that no selector names."""
    manifest["spec"]["template"]["metadata"]["labels"] = {"app": "catalog", "colour": "blue"}
    return manifest


@pytest.mark.parametrize("change", [with_env, with_label])
def test_any_change_of_the_template_is_a_run(change: Callable[[Any], Any]) -> None:
    """Only an env value or a label changed, image and `version` label unchanged: a run (R-DR-3, R-DR-4)."""

    async def story(sim: Simulation) -> None:
        given = [deployment(image=V1, replicas=2, env={"MODE": "old"})]
        scenario = Scenario(given=given)
        await initialise(sim, scenario)
        sim.user.apply(change(given[0]))
        await sim.until_phase("Progressing", 5)
        await sim.until_phase("Succeeded", 600)
        assert harmed(sim) == 0

    simulate(story)


def test_restart_with_an_unchanged_latest_tag_is_a_run() -> None:
    """Image `:latest` unchanged and `kubectl rollout restart`: a run."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(given=[deployment(image="catalog:latest")])
        await initialise(sim, scenario)
        sim.user.restart(TARGET)
        await sim.until_phase("Progressing", 5)
        await sim.until_phase("Succeeded", 600)
        await sim.rest(400)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


def test_selectors_of_several_labels_are_kept_whole() -> None:
    """Clones select by all matchLabels of the target plus the role; a `version` label may stay the same."""
    labels = {"app": "catalog", "version": "stable", "team": "shop"}

    async def story(sim: Simulation) -> None:
        scenario = Scenario(given=[deployment(labels=labels, replicas=2)])
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(30, 600)
        for role, ref in (("primary", PRIMARY), ("canary", CANARY)):
            assert found(sim, ref)["spec"]["selector"]["matchLabels"] == {**labels, "canary.delivery/role": role}
        await sim.until_phase("Succeeded", 600)
        assert weights(sim) == (100, 0)
        assert harmed(sim) == 0

    simulate(story)


def test_annotation_on_the_target_is_no_run() -> None:
    """Metadata of the target outside its template changes nothing (I5)."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        sim.user.annotate(TARGET, "example.com/note", "hello")
        await sim.rest(100)
        assert sim.state() == ("Initialized", 0)

    simulate(story)
