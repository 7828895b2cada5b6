"""Hooks that are told what happened, and gates that may not stay shut for ever."""

from __future__ import annotations

from typing import Any

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.clock import EPOCH
from canary.sim.driver import Simulation, simulate
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import initialise
from tests.sim.stories import V2, V3, condition, harmed, quick, steps
from tests.sim.test_hooks import URL, begun, hook, told

END = "http://end.test/"
TALK = "http://talk.test/"


def ends(sim: Simulation) -> list[Any]:
    """Return the phases that the post-rollout hooks were told."""
    return [query.calls[0].payload["phase"] for query in sim.hooks.asked if query.type == "post-rollout"]


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
@pytest.mark.parametrize("analysis", [{}, {"skipAnalysis": True}], ids=["analysed", "skipped"])
def test_end_of_a_run_is_told_once(phase: str, analysis: dict[str, Any]) -> None:
    """With the phase that it ended in and the revision that ran, in order; then nothing is asked any more."""

    async def story(sim: Simulation) -> None:
        ready = 1.0 if phase == "Succeeded" else None
        sim.behaviours.put(Behaviour(ready_after=ready, errors=0.0), image=V2)
        scenario = quick(webhooks=[hook("post-rollout", END), hook("post-rollout", URL)])
        scenario.canary["spec"].update({**analysis, "progressDeadlineSeconds": 30})
        await initialise(sim, scenario)
        sim.user.apply(scenario.revised(V2))
        await sim.until_phase(phase, 400)
        await sim.rest(600)
        assert ends(sim) == [phase]
        (query,) = [one for one in sim.hooks.asked if one.type == "post-rollout"]
        assert [call.url for call in query.calls] == [END, URL]
        assert query.calls[0].payload["revision"] == sim.status()["lastAppliedSpec"]
        assert "postRollout" not in sim.status()
        assert told(sim, "PostRolloutRefused") == []

    simulate(story)


def test_end_that_nobody_hears_is_told_again() -> None:
    """Each interval until somebody answers; one event tells of the wait, and a restart forgets nothing."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("post-rollout", END))
        sim.hooks.states[END] = "down"
        await sim.until_phase("Succeeded")
        await sim.rest(25)
        sim.kill_controller()
        await sim.rest(5)
        sim.start_controller()
        await sim.rest(25)
        assert len(ends(sim)) in (5, 6)
        assert len(told(sim, "PostRolloutUnanswered")) == 1
        sim.hooks.states[END] = "open"
        await sim.rest(11)
        count = len(ends(sim))
        await sim.rest(300)
        assert (len(ends(sim)), sim.state(), wrong_at_rest(sim, scenario)) == (count, ("Succeeded", 0), None)

    simulate(story)


def test_end_that_nobody_ever_hears_is_given_up() -> None:
    """After the progress deadline: an event says so, and the system is idle again."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("post-rollout", END))
        sim.hooks.states[END] = "slow"
        sim.user.edit(scenario.ref, {"spec": {"progressDeadlineSeconds": 60}})
        await sim.until_phase("Succeeded")
        await sim.rest(120)
        (given_up,) = told(sim, "PostRolloutGivenUp")
        assert given_up.startswith("Nobody is told of the end after 60 s: post-rollout is not answered: hook the post-")
        count = len(ends(sim))
        await sim.rest(300)
        assert len(ends(sim)) == count

    simulate(story)


def test_no_of_a_post_rollout_hook_changes_nothing() -> None:
    """The release is over: an event tells of it."""

    async def story(sim: Simulation) -> None:
        await begun(sim, hook("post-rollout", END))
        sim.hooks.states[END] = "closed"
        await sim.until_phase("Succeeded")
        await sim.rest(100)
        assert told(sim, "PostRolloutRefused") == ["post-rollout hook the post-rollout says no: HTTP 403: closed"]
        assert (ends(sim), sim.state()) == (["Succeeded"], ("Succeeded", 0))

    simulate(story)


def test_new_run_is_not_kept_waiting_by_the_end_of_the_last() -> None:
    """What nobody heard is dropped when the next run begins, whose end is told."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("post-rollout", END))
        sim.hooks.states[END] = "down"
        await sim.until_phase("Succeeded")
        await sim.rest(15)
        sim.user.apply(scenario.revised(V3))
        await sim.rest(2)
        assert (sim.state()[0], "postRollout" in sim.status()) == ("Progressing", False)
        sim.hooks.states[END] = "open"
        count = len(ends(sim))
        await sim.until_phase("Succeeded")
        await sim.rest(30)
        assert len(ends(sim)) == count + 1

    simulate(story)


def test_run_of_a_revision_turned_away_has_no_end() -> None:
    """What never began is not told as a rollout that ended."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("confirm-rollout"), hook("post-rollout", END), state="closed")
        await sim.until(lambda: condition(sim, "Held"), 60, "held")
        sim.user.command(scenario.ref, "reject")
        await sim.rest(60)
        assert (sim.state(), ends(sim)) == (("Failed", 0), [])

    simulate(story)


def test_every_event_is_told() -> None:
    """In order, with Flagger's metadata, which the hook's own cannot replace."""

    async def story(sim: Simulation) -> None:
        listener = hook("event", TALK, metadata={"team": "shop", "eventType": "mine"})
        await begun(sim, listener)
        await sim.until_phase("Succeeded")
        since = sim.now
        await sim.rest(1)
        calls = [call for call in sim.hooks.told if call.url == TALK]
        said = [call.payload["metadata"] for call in calls]
        assert [one["eventMessage"] for one in said] == [one.event.message for one in sim.history.events]
        assert {(one["eventType"], one["team"]) for one in said} == {("Normal", "shop")}
        assert calls[-1].payload["phase"] == "Succeeded"
        stamps = [int(one["timestamp"]) for one in said]
        assert stamps == sorted(stamps)
        assert 0 <= stamps[-1] / 1000 - EPOCH.timestamp() - since < 1
        assert [query.type for query in sim.hooks.asked] == []

    simulate(story)


TIMED = {"gateTimeout": "2m"}


@pytest.mark.parametrize("kind", ["confirm-rollout", "confirm-traffic-increase", "confirm-promotion"])
@pytest.mark.parametrize("state", ["closed", "down"])
@pytest.mark.parametrize("answer", ["Hold", "", "Reject", "Approve"])
def test_gate_shut_for_too_long(kind: str, state: str, answer: str) -> None:
    """It goes on holding, and tells it once; or it counts as a no that ends the run, or as a yes."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook(kind, **TIMED, onTimeout=answer), state=state)
        await sim.until(lambda: condition(sim, "Held"), 120, "held")
        before = sim.state()
        await sim.rest(115)
        assert (sim.state(), told(sim, "GateTimedOut")) == (before, [])
        since = sim.now
        await sim.rest(20)
        if answer == "Approve":
            assert len(steps(sim, since)) >= 1
            (message,) = told(sim, "GateTimedOut")
            assert message == f"{kind} hook the {kind} left its gate shut for 2m, which counts as a yes"
            await sim.until_phase("Succeeded", 600)
            assert harmed(sim) == 0
        elif answer == "Reject":
            await sim.rest(60)
            assert condition(sim, "Progressing")["reason"] == "GateTimedOut"
            assert "its gate was shut for 2m: " in sim.status()["message"]
            assert (sim.state(), wrong_at_rest(sim, scenario)) == (("Failed", 0), None)
        else:
            await sim.rest(300)
            assert (sim.state(), len(told(sim, "GateTimedOut"))) == (before, 1)
            sim.hooks.states[URL] = "open"
            await sim.until_phase("Succeeded")

    simulate(story)


def test_gate_that_opens_in_time_is_in_time_at_the_next_place() -> None:
    """Each place at which a gate is shut has the whole time to itself."""

    async def story(sim: Simulation) -> None:
        await begun(sim, hook("confirm-traffic-increase", **TIMED, onTimeout="Reject"), state="closed")
        for weight in (25, 50):
            await sim.rest(100)
            sim.hooks.states[URL] = "open"
            await sim.until_weight(weight)
            sim.hooks.states[URL] = "closed"
        await sim.until_phase("Succeeded")

    simulate(story)
