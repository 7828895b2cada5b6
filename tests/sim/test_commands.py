"""Commands to a release under way, and the way back after it."""

from __future__ import annotations

from typing import Any

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.history import CANARIES
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise, release
from tests.sim.stories import (
    CANARY,
    PRIMARY,
    TARGET,
    V2,
    V3,
    condition,
    harmed,
    image,
    ours,
    quick,
    replicas,
    route_writes,
    steps,
    weights,
)


def command(sim: Simulation, scenario: Scenario, verb: str, **fields: str) -> None:
    """Ask something of the controller."""
    sim.user.command(scenario.ref, verb, **fields)


def answer(sim: Simulation) -> str:
    """Return the answer to the last command."""
    return str((sim.status().get("lastCommand") or {}).get("result", ""))


async def at_weight(sim: Simulation, weight: int, **analysis: Any) -> Scenario:
    """Bring a release of V2 to a weight."""
    scenario = quick(**analysis)
    await initialise(sim, scenario)
    await release(sim, scenario, V2)
    await sim.until_weight(weight)
    await sim.rest(1)
    return scenario


def test_pause_holds_the_weight_until_resumed() -> None:
    """A paused run takes no step, is told as held, and goes on from where it was."""

    async def story(sim: Simulation) -> None:
        scenario = await at_weight(sim, 25)
        command(sim, scenario, "pause")
        await sim.rest(120)
        assert (sim.state(), weights(sim)) == (("Progressing", 25), (75, 25))
        assert answer(sim) == "Obeyed: the run holds at 25 %"
        assert condition(sim, "Held")["message"] == "Holding at 25 %: paused by ann; the command resume goes on"
        since = sim.now
        command(sim, scenario, "resume")
        await sim.until_phase("Succeeded")
        assert steps(sim, since)[0] == ("Progressing", 50)
        assert condition(sim, "Held") == {}
        assert harmed(sim) == 0

    simulate(story)


def test_pause_while_the_canary_starts_stops_its_deadline() -> None:
    """A canary that was on its way when the run was paused has its whole deadline again after it."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        sim.behaviours.put(Behaviour(ready_after=40.0), image=V2)
        await release(sim, scenario, V2)
        await sim.rest(20)
        command(sim, scenario, "pause")
        await sim.rest(300)
        command(sim, scenario, "resume")
        await sim.until_phase("Succeeded")

    simulate(story)


def test_promote_takes_the_rest_of_the_plan_as_passed() -> None:
    """The canary becomes whole and production follows; nobody is harmed, and no weight in between is written."""

    async def story(sim: Simulation) -> None:
        scenario = await at_weight(sim, 25, maxWeight=75)
        since = sim.now
        command(sim, scenario, "promote")
        await sim.until_phase("Succeeded")
        assert route_writes(sim, since) == [(0, 100), (100, 0)]
        assert image(sim, PRIMARY) == V2
        assert harmed(sim) == 0

    simulate(story)


def test_promote_before_the_first_weight_still_bakes() -> None:
    """The windows of the bake begin with the cut-over, as the canary had no request before."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        scenario.canary["spec"]["promotion"] = {"bake": "25s"}
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        command(sim, scenario, "promote")
        await sim.until_phase("Promoting", 20)
        await sim.until_phase("Succeeded", 120)
        assert harmed(sim) == 0

    simulate(story)


def test_promote_is_not_stopped_by_checks_but_by_missing_pods() -> None:
    """Bad answers do not stop what a person promotes; a canary that never gets whole is rolled back."""

    async def story(sim: Simulation) -> None:
        scenario = await at_weight(sim, 25)
        sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        sim.behaviours.put(Behaviour(ready_after=None), image=V2, deployment=CANARY.name)
        sim.kill_pods(scenario.ref.namespace, CANARY.name)
        command(sim, scenario, "promote")
        await sim.until_phase("Failed")
        assert condition(sim, "Progressing")["reason"] == "CanaryNotReady"
        assert weights(sim) == (100, 0)

    simulate(story)


def test_skip_takes_one_step_as_passed() -> None:
    """The next weight comes at once, though the checks have no data; the one after it is judged again."""

    async def story(sim: Simulation) -> None:
        scenario = await at_weight(sim, 25)
        sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        command(sim, scenario, "skip")
        await sim.until_weight(50, 3)
        await sim.until_phase("Failed")
        assert condition(sim, "Progressing")["reason"] == "ChecksFailed"

    simulate(story)


@pytest.mark.parametrize("phase", ["Progressing", "Promoting"])
def test_abort_rolls_back_before_the_primary_is_touched(phase: str) -> None:
    """All traffic goes to the primary in one write, the canary goes once settled, and nothing starts it again."""

    async def story(sim: Simulation) -> None:
        scenario = await at_weight(sim, 50)
        await sim.until_phase(phase)
        since = sim.now
        command(sim, scenario, "abort")
        await sim.rest(60)
        assert sim.state() == ("Failed", 0)
        assert route_writes(sim, since)[-1] == (100, 0)
        assert condition(sim, "Progressing")["message"].endswith("aborted by ann")
        assert replicas(sim, CANARY) == 0
        assert image(sim, PRIMARY) != V2
        assert (harmed(sim), wrong_at_rest(sim, scenario)) == (0, None)

    simulate(story)


def test_abort_while_the_primary_rolls_gives_it_its_former_revision() -> None:
    """All traffic stays on the canary that passed until the primary is whole again, then goes back to it."""

    async def story(sim: Simulation) -> None:
        scenario = await at_weight(sim, 50)
        before = image(sim, PRIMARY)
        await sim.until(lambda: image(sim, PRIMARY) == V2, 120, "the primary is touched")
        command(sim, scenario, "abort")
        await sim.rest(120)
        assert sim.state() == ("Failed", 0)
        assert (image(sim, PRIMARY), weights(sim), replicas(sim, CANARY)) == (before, (100, 0), 0)
        assert (harmed(sim), wrong_at_rest(sim, scenario)) == (0, None)

    simulate(story)


@pytest.mark.parametrize("cause", ["abort", "checks"])
def test_retry_starts_the_failed_revision_again(cause: str) -> None:
    """The same template gets another run from 0, counted anew, and can succeed."""

    async def story(sim: Simulation) -> None:
        scenario = await at_weight(sim, 25)
        if cause == "abort":
            command(sim, scenario, "abort")
        else:
            sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        await sim.until_phase("Failed")
        sim.behaviours.heal()
        await sim.rest(60)
        since = sim.now
        command(sim, scenario, "retry")
        await sim.until_phase("Succeeded")
        assert steps(sim, since)[:2] == [("Progressing", 0), ("Progressing", 25)]
        assert image(sim, PRIMARY) == V2

    simulate(story)


async def succeeded(sim: Simulation, scenario: Scenario) -> str:
    """Release V2 and return what production ran before."""
    before = image(sim, PRIMARY)
    await release(sim, scenario, V2)
    await sim.until_phase("Succeeded")
    await sim.rest(30)
    return before


def test_rollback_brings_the_revision_before_back() -> None:
    """All traffic goes to the former revision as soon as its pods are whole; the newer one counts as failed."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        before = await succeeded(sim, scenario)
        since = sim.now
        command(sim, scenario, "rollback")
        await sim.until_phase("Promoting", 20)
        await sim.until_phase("Failed")
        assert route_writes(sim, since) == [(0, 100), (100, 0)]
        await sim.rest(60)
        assert image(sim, PRIMARY) == before
        assert condition(sim, "Progressing")["reason"] == "RolledBack"
        assert (harmed(sim), wrong_at_rest(sim, scenario)) == (0, None)

    simulate(story)


def test_rollback_waits_for_pods_alone() -> None:
    """All traffic goes back as soon as the former revision is whole, however long the interval is."""

    async def story(sim: Simulation) -> None:
        scenario = quick(interval="120s")
        await initialise(sim, scenario)
        await succeeded(sim, scenario)
        command(sim, scenario, "rollback")
        await sim.until_phase("Promoting", 20)
        await sim.until_phase("Failed")
        assert (harmed(sim), wrong_at_rest(sim, scenario)) == (0, None)

    simulate(story)


def test_rollback_is_not_undone_by_the_target() -> None:
    """The target still shows what was taken back: neither edits of its size nor a restart of ours releases it."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        before = await succeeded(sim, scenario)
        command(sim, scenario, "rollback")
        await sim.until_phase("Promoting", 20)
        sim.user.annotate(TARGET, "example.com/note", "one")
        sim.user.edit(TARGET, {"spec": {"minReadySeconds": 1}})
        await sim.until_phase("Failed")
        since = sim.now
        sim.user.edit(TARGET, {"spec": {"minReadySeconds": 2}})
        sim.kill_controller()
        sim.start_controller()
        await sim.rest(120)
        assert steps(sim, since + 0.1) == []
        assert image(sim, PRIMARY) == before

    simulate(story)


def test_newer_template_or_retry_after_a_rollback_is_released() -> None:
    """What was taken back can be tried again, and a newer template starts a run as ever."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        await succeeded(sim, scenario)
        command(sim, scenario, "rollback")
        await sim.until_phase("Failed")
        await sim.rest(60)
        command(sim, scenario, "retry")
        await sim.until_phase("Succeeded")
        assert image(sim, PRIMARY) == V2
        await sim.rest(60)
        await release(sim, scenario, V3)
        await sim.until_phase("Succeeded")
        assert image(sim, PRIMARY) == V3

    simulate(story)


def test_abort_of_a_rollback_leaves_production_as_it_was() -> None:
    """A way back that is aborted before the primary is touched ends on the newer revision; it can be begun again."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        before = await succeeded(sim, scenario)
        command(sim, scenario, "rollback")
        await sim.until_phase("Promoting", 20)
        command(sim, scenario, "abort")
        await sim.rest(60)
        assert (sim.state(), image(sim, PRIMARY), weights(sim)) == (("Failed", 0), V2, (100, 0))
        command(sim, scenario, "rollback")
        await sim.rest(120)
        assert (sim.state(), image(sim, PRIMARY)) == (("Failed", 0), before)
        assert (harmed(sim), wrong_at_rest(sim, scenario)) == (0, None)

    simulate(story)


def test_rollback_of_a_failed_promotion_needs_no_second_try() -> None:
    """The primary gets its former revision at once, and all traffic once it is whole."""

    async def story(sim: Simulation) -> None:
        scenario = await at_weight(sim, 50)
        before = image(sim, PRIMARY)
        sim.behaviours.put(Behaviour(ready_after=None), image=V2, deployment=PRIMARY.name)
        await sim.until(lambda: condition(sim, "Progressing").get("reason") == "PromotionFailed", 1200, "failed")
        assert weights(sim) == (0, 100)
        command(sim, scenario, "rollback")
        await sim.rest(120)
        assert (image(sim, PRIMARY), weights(sim), sim.state()) == (before, (100, 0), ("Failed", 0))
        assert (harmed(sim), wrong_at_rest(sim, scenario)) == (0, None)

    simulate(story)


def test_retry_of_a_way_back_whose_promotion_failed_tries_the_primary_again() -> None:
    """The primary gets the former revision once more, and traffic never goes back to what is taken back."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        before = await succeeded(sim, scenario)
        sim.behaviours.put(Behaviour(ready_after=None), image=before, deployment=PRIMARY.name)
        command(sim, scenario, "rollback")
        await sim.until(lambda: condition(sim, "Progressing").get("reason") == "PromotionFailed", 1200, "failed")
        sim.behaviours.heal()
        sim.kill_pods(scenario.ref.namespace, PRIMARY.name)
        command(sim, scenario, "retry")
        await sim.rest(120)
        assert (image(sim, PRIMARY), weights(sim), sim.state()) == (before, (100, 0), ("Failed", 0))
        assert condition(sim, "Progressing")["reason"] == "RolledBack"
        assert (harmed(sim), wrong_at_rest(sim, scenario)) == (0, None)

    simulate(story)


def test_pause_of_the_plan_waits_for_resume() -> None:
    """A step `pause: {}` is judged at each interval and lasts until somebody resumes the run."""

    async def story(sim: Simulation) -> None:
        plan = [{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}]
        scenario = await at_weight(sim, 25, stepWeight=None, maxWeight=None, steps=plan)
        await sim.rest(200)
        assert sim.state() == ("Progressing", 25)
        assert sim.status()["message"] == "Paused at 25 % by the plan; the command resume goes on"
        assert condition(sim, "Held")["reason"] == "Paused"
        command(sim, scenario, "resume")
        await sim.until_weight(50, 5)
        assert condition(sim, "Held") == {}
        await sim.until_phase("Succeeded")

    simulate(story)


def test_canary_that_turns_bad_in_a_pause_of_the_plan_is_rolled_back() -> None:
    """Nobody has to watch a paused plan: its checks go on."""

    async def story(sim: Simulation) -> None:
        plan = [{"setWeight": 25}, {"pause": {}}, {"setWeight": 50}]
        await at_weight(sim, 25, stepWeight=None, maxWeight=None, steps=plan)
        await sim.rest(60)
        sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        await sim.until_phase("Failed")
        assert condition(sim, "Held") == {}

    simulate(story)


def test_skip_ends_the_wait_for_callers_that_never_stop() -> None:
    """A set off the routes that somebody still calls shrinks when a person says that it does not matter (I3)."""

    async def story(sim: Simulation) -> None:
        scenario = await at_weight(sim, 25)
        sim.dataplane.split(*stubborn())
        command(sim, scenario, "abort")
        await sim.rest(120)
        assert replicas(sim, CANARY) > 0
        command(sim, scenario, "skip")
        await sim.rest(30)
        assert answer(sim) == "Obeyed: requests seen at the canary do not matter any more"
        assert replicas(sim, CANARY) == 0

    simulate(story)


def test_skip_ends_the_wait_of_what_was_superseded_while_the_newer_one_waits() -> None:
    """A superseded canary with callers that never stop shrinks on a person's word in Waiting too."""

    async def story(sim: Simulation) -> None:
        gate = {"name": "gate", "type": "confirm-rollout", "url": "http://gate.test/"}
        scenario = await at_weight(sim, 25, webhooks=[gate])
        sim.dataplane.split(*stubborn())
        sim.hooks.states[gate["url"]] = "closed"
        await release(sim, scenario, V3)
        await sim.rest(120)
        assert (sim.state(), replicas(sim, CANARY) > 0) == (("Waiting", 0), True)
        command(sim, scenario, "skip")
        await sim.rest(30)
        assert (sim.state(), replicas(sim, CANARY)) == (("Waiting", 0), 0)

    simulate(story)


def stubborn() -> tuple[Any, ...]:
    """Return proxies of which some learn of nothing."""
    from canary.sim.dataplane import Proxies

    return Proxies(0.8), Proxies(0.2, None)


@pytest.mark.parametrize("verb", ["pause", "promote", "skip", "abort", "rollback"])
def test_command_is_obeyed_once(verb: str) -> None:
    """A restart reads the same annotation and does nothing again."""

    async def story(sim: Simulation) -> None:
        scenario = await at_weight(sim, 25)
        command(sim, scenario, verb)
        await sim.rest(200)
        since = sim.now
        sim.kill_controller()
        sim.start_controller()
        await sim.rest(60)
        assert [one for one in ours(sim, since) if one.ref.resource not in CANARIES] == []
        told = [one for one in sim.history.events if one.event.reason.startswith("Command")]
        assert len(told) == 1

    simulate(story)


def test_abort_while_the_controller_is_away_holds_what_was_done_by_hand() -> None:
    """Who moves traffic by hand, and has sent `abort` before, finds it where it was put."""

    async def story(sim: Simulation) -> None:
        scenario = await at_weight(sim, 25)
        sim.kill_controller()
        command(sim, scenario, "abort")
        sim.user.set_weights(scenario.route, {"catalog-primary": 100, "catalog-canary": 0})
        await sim.rest(60)
        since = sim.now
        sim.start_controller()
        await sim.until_phase("Failed", 60)
        await sim.rest(60)
        assert [shares for shares in route_writes(sim, since) if shares != (100, 0)] == []
        assert (weights(sim), harmed(sim), wrong_at_rest(sim, scenario)) == ((100, 0), 0, None)

    simulate(story)
