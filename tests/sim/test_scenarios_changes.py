"""Changes in the middle of a run, and edits by hand (items 7, 12 and 13)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from canary.core.names import ROLE_LABEL
from canary.core.objects import CONTROLLER_REVISION, Ref
from canary.sim.actions import undo
from canary.sim.driver import Simulation, simulate
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise, release
from canary.sim.stage import Stage
from canary.sim.user import User
from tests.sim.stories import (
    APEX,
    CANARY,
    NAMESPACE,
    PRIMARY,
    ROUTE,
    ROUTE_WRITES,
    TARGET,
    V1,
    V2,
    V3,
    apex_role,
    condition,
    found,
    harmed,
    image,
    ours,
    quick,
    ready,
    received,
    replicas,
    route_writes,
    shares,
    steps,
    version,
    weights,
)


@pytest.mark.parametrize("by", ["template", "restart"])
def test_superseded_at_30_percent_restarts_at_0(by: str) -> None:
    """A newer template: 100/0 in one write, the old canary settles, the new one starts at 0; nobody is harmed."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(replicas=3)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(30)
        since = sim.now
        sim.user.apply(scenario.revised(V3)) if by == "template" else sim.user.restart(TARGET)
        await sim.rest(0.2)
        assert weights(sim) == (100, 0)
        assert sim.state() == ("Progressing", 0)
        await sim.until_phase("Succeeded")
        await sim.rest(400)
        # The last write at 30 % may be still on its way when the template changes.
        assert [one for one in route_writes(sim, since) if one != (70, 30)] == [
            (100, 0),
            *[one for one in ROUTE_WRITES if one != (70, 30)],
        ]
        assert harmed(sim) == 0
        assert image(sim, PRIMARY) == (V3 if by == "template" else V2)

    simulate(story, seed=1)


def test_superseded_canary_keeps_its_pods_until_it_settled() -> None:
    """The old canary runs on for its settle time before its pods are replaced (I4)."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(replicas=3)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(30)
        sim.user.apply(scenario.revised(V3))
        await sim.rest(14)
        assert image(sim, CANARY) == V2
        await sim.rest(10)
        assert image(sim, CANARY) == V3

    simulate(story)


def test_superseded_before_its_first_weight() -> None:
    """At 0 % there is nothing to take back; v2 never gets a request."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.rest(5)
        sim.user.apply(scenario.revised(V3))
        await sim.until_phase("Succeeded", 900)
        assert received(sim, version(scenario, V2)) == harmed(sim) == 0
        assert image(sim, PRIMARY) == V3

    simulate(story)


@pytest.mark.parametrize("weight", [0, 30])
def test_reverted_target_ends_the_run(weight: int) -> None:
    """The target goes back to v1: 100/0, the canary settles to 0, Initialized."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_weight(weight)
        await sim.rest(3)
        sim.user.apply(scenario.revised(V1))
        await sim.rest(0.5)
        assert sim.state() == ("Initialized", 0)
        assert weights(sim) == (100, 0)
        await sim.rest(400)
        assert steps(sim, begun)[-1] == ("Initialized", 0)
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == 0

    simulate(story)


def test_new_template_while_promoting_runs_afterwards() -> None:
    """v3 while v2 is promoted: remembered, v2 succeeds, then v3 runs and succeeds."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_phase("Promoting")
        await sim.until(lambda: image(sim, PRIMARY) == V2, 60, "the primary is touched")
        sim.user.apply(scenario.revised(V3))
        await sim.rest(1)
        assert condition(sim, "RevisionPending")["status"] == "True"
        await sim.until_phase("Succeeded")
        assert image(sim, PRIMARY) == V2
        await sim.until_phase("Progressing", 5)
        await sim.until_phase("Succeeded")
        assert image(sim, PRIMARY) == V3
        once = [("Progressing", weight) for weight in (0, 10, 20, 30, 40, 50)]
        once += [("Promoting", 0), ("Finalising", 0), ("Succeeded", 0)]
        assert steps(sim, begun) == once * 2
        assert harmed(sim) == 0

    simulate(story)


def test_revert_before_the_primary_is_touched_goes_back_at_once() -> None:
    """v1 again while the primary still drains: back to it in one write, Initialized."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_phase("Promoting")
        await sim.rest(3)
        assert weights(sim) == (0, 100)
        since = sim.now
        sim.user.apply(scenario.revised(V1))
        await sim.rest(0.5)
        assert (weights(sim), apex_role(sim), sim.state()) == ((100, 0), "primary", ("Initialized", 0))
        await sim.rest(400)
        assert route_writes(sim, since) == [(100, 0)]
        assert image(sim, PRIMARY) == V1
        assert ready(sim, CANARY) == harmed(sim) == 0

    simulate(story)


def test_revert_after_the_primary_is_touched_runs_back() -> None:
    """Once the primary has v2, v1 is a new release of its own."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until(lambda: image(sim, PRIMARY) == V2, 600, "the primary is touched")
        sim.user.apply(scenario.revised(V1))
        await sim.until_phase("Succeeded")
        await sim.until_phase("Progressing", 5)
        await sim.until_phase("Succeeded")
        assert image(sim, PRIMARY) == V1
        assert harmed(sim) == 0

    simulate(story)


def test_analysis_edited_in_a_run_never_skips_upwards() -> None:
    """A plan with larger steps: the next step is the first above the present weight (W11)."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        await sim.until_weight(20)
        spec = scenario.canary["spec"]
        analysis = {**spec["analysis"], "stepWeight": 15, "maxWeight": 60}
        sim.user.apply({**scenario.canary, "spec": {**spec, "analysis": analysis}})
        await sim.until_phase("Succeeded")
        shown = [weight for phase, weight in steps(sim, begun) if phase == "Progressing"]
        assert shown == [0, 10, 20, 30, 45, 60]
        rows = sim.rows(begun)
        assert all(new.at - old.at > 44.9 for old, new in pairwise(rows))
        assert harmed(sim) == 0

    simulate(story)


EDITS: list[tuple[Ref, dict[str, Any]]] = [
    (APEX, {"spec": {"selector": {ROLE_LABEL: None}}}),
    (APEX, {"spec": {"selector": {ROLE_LABEL: "canary"}}}),
]


@pytest.mark.parametrize(("ref", "body"), EDITS)
def test_apex_selector_edited_by_hand_is_put_back(ref: Ref, body: dict[str, Any]) -> None:
    """Within a second, with an event."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(30)
        await sim.rest(5)
        since = sim.now
        User(sim.world, "kubectl-edit").edit(ref, body)
        await sim.rest(1)
        assert apex_role(sim) == "primary"
        assert "TrafficDrift" in sim.history.reasons(since)
        await sim.until_phase("Succeeded")

    simulate(story)


@pytest.mark.parametrize("share", [0, 5, 90])
def test_weights_edited_by_hand_are_put_back(share: int) -> None:
    """Lower or higher: within a second, with an event; the run goes on."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(replicas=4)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(30)
        await sim.rest(5)
        since = sim.now
        hand = User(sim.world, "kubectl-edit")
        hand.set_weights(ROUTE, {"catalog-primary": 100 - share, "catalog-canary": share})
        await sim.rest(1)
        assert weights(sim) == (70, 30)
        assert "TrafficDrift" in sim.history.reasons(since)
        await sim.until_phase("Succeeded")
        assert harmed(sim) == 0

    simulate(story)


@pytest.mark.parametrize("when", ["Progressing", "Succeeded"])
def test_mirror_added_by_hand_is_taken_away(when: str) -> None:
    """Copies of requests to code nobody judged: gone within a second."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_phase(when)
        await sim.rest(5)
        since = sim.now
        routes = [{**one, "mirror": {"host": "catalog-canary"}} for one in found(sim, ROUTE)["spec"]["http"]]
        User(sim.world, "kubectl-edit").edit(ROUTE, {"spec": {"http": routes}})
        await sim.rest(1)
        assert "mirror" not in found(sim, ROUTE)["spec"]["http"][0]
        assert "TrafficDrift" in sim.history.reasons(since)

    simulate(story)


def test_foreign_fields_survive_a_whole_release() -> None:
    """An annotation, a label and unknown fields on what we share are as they were (I20)."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario()
        await initialise(sim, scenario)
        hand = User(sim.world, "kubectl-edit")
        routes = [
            {**one, "corsPolicy": {"allowOrigins": [{"exact": "x"}]}} for one in found(sim, ROUTE)["spec"]["http"]
        ]
        hand.edit(ROUTE, {"metadata": {"annotations": {"a/b": "c"}}, "spec": {"exportTo": ["*"], "http": routes}})
        hand.edit(APEX, {"metadata": {"labels": {"team": "shop"}}, "spec": {"sessionAffinity": "ClientIP"}})
        await release(sim, scenario, V2)
        await sim.until_phase("Succeeded")
        route, apex = found(sim, ROUTE), found(sim, APEX)
        assert route["metadata"]["annotations"]["a/b"] == "c"
        assert route["spec"]["exportTo"] == ["*"]
        assert route["spec"]["http"][0]["corsPolicy"] == {"allowOrigins": [{"exact": "x"}]}
        assert (apex["metadata"]["labels"]["team"], apex["spec"]["sessionAffinity"]) == ("shop", "ClientIP")

    simulate(story)


@pytest.mark.parametrize("what", ["route", "apex"])
def test_manager_that_keeps_undoing_us_is_named_and_not_fought(what: str) -> None:
    """Undone for ever in a run: Contested names the manager, writes back off, the run fails to 100/0."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        since = sim.now
        undo(Stage(sim, scenario), what, times=10_000)
        await sim.rest(900)
        assert sim.state() == ("Failed", 0)
        assert (weights(sim), apex_role(sim)) == ((100, 0), "primary")
        assert "Contested" in sim.history.reasons(since)
        assert "argocd-controller" in sim.status()["message"]
        assert len(ours(sim, since, Stage(sim, scenario).named(what))) < 20

    simulate(story)


@pytest.mark.parametrize("what", ["primary", "route", "apex", "primary service", "canary service"])
@pytest.mark.parametrize("at", ["Succeeded", "Progressing"])
def test_deleted_objects_come_back_from_the_promoted_revision(at: str, what: str) -> None:
    """Deleted by hand, idle or in a run: made again, the primary with the promoted revision (W9)."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_phase("Succeeded")
        if at == "Progressing":
            sim.user.apply(scenario.revised(V3))
            await sim.until_weight(25)
        await sim.rest(10 if at == "Succeeded" else 2)
        ref = Stage(sim, scenario).named(what)
        sim.user.delete(ref)
        await sim.rest(1)
        found(sim, ref)
        assert image(sim, PRIMARY) == V2
        await sim.until_phase("Succeeded", 600)
        await sim.rest(400)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


def test_deleted_revisions_are_no_change() -> None:
    """Without its ControllerRevisions an idle system stays as it is, and the next release works."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        for ref, _ in list(sim.world.items(CONTROLLER_REVISION, NAMESPACE)):
            sim.user.delete(ref)
        await sim.rest(60)
        assert sim.state() == ("Initialized", 0)
        await release(sim, scenario, V2)
        await sim.until_phase("Succeeded")
        assert harmed(sim) == 0

    simulate(story)


@pytest.mark.parametrize("size", [1, 3])
def test_replicas_applied_to_the_target_resize_the_primary(size: int) -> None:
    """A wish, no run: the primary gets the size, the target goes back to 0."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await initialise(sim, scenario)
        manifest = scenario.workload
        sim.user.apply({**manifest, "spec": {**manifest["spec"], "replicas": size}})
        await sim.rest(60)
        assert (replicas(sim, PRIMARY), replicas(sim, TARGET)) == (size, 0)
        assert sim.state() == ("Initialized", 0)
        assert harmed(sim) == 0

    simulate(story)


def test_wish_raised_in_a_run_is_followed_and_a_lower_one_waits() -> None:
    """In a run production only grows (I8); the lower wish takes effect when idle."""

    async def story(sim: Simulation) -> None:
        scenario = Scenario(replicas=3)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(20)
        sim.user.scale(TARGET, 4)
        await sim.rest(30)
        assert replicas(sim, PRIMARY) == 4
        sim.user.scale(TARGET, 2)
        await sim.until_weight(40)
        assert replicas(sim, PRIMARY) == 4
        await sim.until_phase("Succeeded")
        await sim.rest(60)
        assert replicas(sim, PRIMARY) == 2
        assert harmed(sim) == 0

    simulate(story)


def test_replicas_left_out_of_the_manifest_keep_the_wish() -> None:
    """A manifest without replicas is no wish for one."""

    async def story(sim: Simulation) -> None:
        scenario = quick(3)
        await initialise(sim, scenario)
        manifest = scenario.workload
        spec = {key: value for key, value in manifest["spec"].items() if key != "replicas"}
        sim.user.apply({**manifest, "spec": spec})
        await sim.rest(60)
        assert (replicas(sim, PRIMARY), replicas(sim, TARGET)) == (3, 0)
        assert sim.state() == ("Initialized", 0)

    simulate(story)


def test_same_manifest_applied_again_changes_nothing() -> None:
    """No run; the target goes back to 0."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await initialise(sim, scenario)
        for manifest in (*scenario.objects, scenario.canary):
            sim.user.apply(manifest)
        await sim.rest(60)
        assert sim.state() == ("Initialized", 0)
        assert (replicas(sim, PRIMARY), replicas(sim, TARGET)) == (2, 0)
        assert harmed(sim) == 0

    simulate(story)


@pytest.mark.parametrize(("applied", "ends"), [(V1, "Initialized"), (V2, "Succeeded")])
def test_deleted_target_serves_on_and_is_taken_up_again(applied: str, ends: str) -> None:
    """Production runs on the primary; the same manifest again is no run, another one is."""

    async def story(sim: Simulation) -> None:
        scenario = quick(2)
        await initialise(sim, scenario)
        sim.user.delete(TARGET)
        await sim.rest(60)
        assert condition(sim, "Ready")["reason"] == "TargetMissing"
        sim.user.apply(scenario.revised(applied))
        await sim.until_phase(ends, 300)
        await sim.rest(60)
        assert sim.state() == (ends, 0)
        assert wrong_at_rest(sim, scenario) is None
        assert harmed(sim) == 0

    simulate(story)


def test_service_edited_in_a_run_keeps_the_weights() -> None:
    """Another host in `spec.service`: the routes follow, the share stays (W4)."""

    async def story(sim: Simulation) -> None:
        scenario = quick(stepWeight=30, maxWeight=60)
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_weight(30)
        await sim.rest(1)
        spec = scenario.canary["spec"]
        service = {**spec["service"], "hosts": ["catalog", "catalog.example.com"]}
        sim.user.apply({**scenario.canary, "spec": {**spec, "service": service}})
        await sim.rest(1)
        route = found(sim, ROUTE)
        assert route["spec"]["hosts"] == ["catalog", "catalog.example.com"]
        assert shares(route) == (70, 30)

    simulate(story)
