"""Hooks of a release: gates that hold it, tests that judge it, and one that ends it."""

from __future__ import annotations

from typing import Any

import pytest

from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise
from tests.sim.stories import (
    CANARY,
    PRIMARY,
    V1,
    V2,
    V3,
    condition,
    harmed,
    image,
    quick,
    replicas,
    route_writes,
    steps,
    weights,
)

URL = "http://gate.test/check"


def hook(kind: str, url: str = URL, **fields: Any) -> dict[str, Any]:
    """Return one webhook of a type."""
    return {"name": f"the {kind}", "type": kind, "url": url, **fields}


async def begun(sim: Simulation, *hooks: dict[str, Any], state: Any = "open", **analysis: Any) -> Scenario:
    """Initialise a Canary with these hooks, which answer so, and release V2."""
    sim.hooks.states[URL] = state
    scenario = quick(webhooks=list(hooks), **analysis)
    await initialise(sim, scenario)
    sim.user.apply(scenario.revised(V2))
    await sim.rest(1)
    return scenario


def told(sim: Simulation, reason: str) -> list[str]:
    """Return the messages of the events with a reason."""
    return [one.event.message for one in sim.history.events if one.event.reason == reason]


def test_open_hooks_of_every_type_change_nothing() -> None:
    """Rows, weights and times are those of a release without hooks; only what confirms a rollback must stay shut."""

    async def story(sim: Simulation) -> None:
        kinds = ("confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion")
        since = sim.now
        await begun(sim, *map(hook, kinds), hook("rollback", "http://back.test/"))
        await sim.until_phase("Succeeded")
        phases = [("Progressing", 0), ("Progressing", 25), ("Progressing", 50), ("Promoting", 0), ("Finalising", 0)]
        assert steps(sim, since)[-7:] == [("Waiting", 0), *phases, ("Succeeded", 0)]
        asked = [query.type for query in sim.hooks.asked if query.type != "rollback"]
        before, judged, more = "confirm-rollout", "rollout", "confirm-traffic-increase"
        assert asked == [before, "pre-rollout", more, judged, more, judged, "confirm-promotion"]
        assert "rollback" in [query.type for query in sim.hooks.asked]
        assert harmed(sim) == 0

    simulate(story)


def test_payload_says_where_the_run_stands() -> None:
    """Flagger's fields, and weight, step, failed checks and revision."""

    async def story(sim: Simulation) -> None:
        await begun(sim, hook("rollout", metadata={"cmd": "hey"}, timeout="3s", retries=2))
        await sim.until_weight(50)
        (query, *_) = sim.hooks.asked
        (call,) = query.calls
        revision = sim.status()["revision"]["candidate"]
        assert call.payload == {
            "name": "catalog-release",
            "namespace": "istioinaction",
            "phase": "Progressing",
            "checksum": revision,
            "metadata": {"cmd": "hey"},
            "revision": revision,
            "weight": 25,
            "step": 1,
            "failedChecks": 0,
        }
        assert (call.timeout.total_seconds(), call.retries, call.verify) == (3.0, 2, True)

    simulate(story)


def test_closed_rollout_gate_keeps_the_revision_outside() -> None:
    """Phase Waiting: no canary pod, no deadline, one event; the run begins when the gate opens."""

    async def story(sim: Simulation) -> None:
        await begun(sim, hook("confirm-rollout"), state="closed")
        await sim.rest(900)
        assert sim.state() == ("Waiting", 0)
        assert replicas(sim, CANARY) == 0 if sim.world.find(CANARY) else True
        message = "Holding at 0 %: confirm-rollout hook the confirm-rollout says no: HTTP 403: closed"
        assert sim.status()["message"] == message
        assert told(sim, "GateClosed") == [message]
        assert sim.status()["gates"][0]["state"] == "Closed"
        sim.hooks.states[URL] = "open"
        await sim.until_phase("Progressing", 11)
        await sim.until_phase("Succeeded")
        assert "gates" not in sim.status() or sim.status()["gates"] == []
        assert condition(sim, "Held") == {}

    simulate(story)


def test_target_reverted_while_it_waits_ends_the_wait() -> None:
    """The newest template counts: a revert goes back to idle, a newer one is asked for by its own name."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("confirm-rollout"), state="closed")
        sim.user.apply(scenario.revised(V3))
        await sim.rest(30)
        assert sim.state() == ("Waiting", 0)
        assert len({query.calls[0].payload["revision"] for query in sim.hooks.asked}) == 2
        sim.user.apply(scenario.workload)
        await sim.rest(60)
        assert sim.state() == ("Initialized", 0)
        assert (weights(sim), wrong_at_rest(sim, scenario)) == ((100, 0), None)

    simulate(story)


def test_newer_template_in_a_run_asks_the_gate_again() -> None:
    """All traffic goes back at once, the superseded canary settles, and the newer one waits outside (W30)."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("confirm-rollout"))
        await sim.until_weight(25)
        sim.hooks.states[URL] = "closed"
        since = sim.now
        sim.user.apply(scenario.revised(V3))
        await sim.rest(60)
        assert (sim.state(), weights(sim), replicas(sim, CANARY)) == (("Waiting", 0), (100, 0), 0)
        assert route_writes(sim, since)[-1] == (100, 0)
        sim.hooks.states[URL] = "open"
        await sim.until_phase("Succeeded")
        assert image(sim, PRIMARY) == V3
        assert harmed(sim) == 0

    simulate(story)


def test_failed_template_that_comes_back_while_another_waits_stays_failed() -> None:
    """Nothing that failed is tried again by itself, whatever waited in between."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("confirm-rollout"))
        sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        await sim.until_phase("Failed")
        await sim.rest(60)
        sim.hooks.states[URL] = "closed"
        sim.user.apply(scenario.revised(V3))
        await sim.rest(5)
        assert sim.state() == ("Waiting", 0)
        sim.user.apply(scenario.revised(V2))
        await sim.rest(60)
        assert sim.state() == ("Failed", 0)

    simulate(story)


def test_closed_traffic_gate_holds_each_weight() -> None:
    """Neither failing nor advancing, however long; the checks go on."""

    async def story(sim: Simulation) -> None:
        await begun(sim, hook("confirm-traffic-increase"))
        await sim.until_weight(25)
        sim.hooks.states[URL] = "closed"
        await sim.rest(300)
        assert (sim.state(), sim.status()["failedChecks"]) == (("Progressing", 25), 0)
        assert len(told(sim, "GateClosed")) == 1
        sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        await sim.until_phase("Failed")

    simulate(story)


def test_closed_promotion_gate_waits_with_checks() -> None:
    """Phase WaitingPromotion at the last weight; bad answers still roll back, an open gate promotes."""

    async def story(sim: Simulation) -> None:
        await begun(sim, hook("confirm-promotion"), state="closed")
        await sim.until_phase("WaitingPromotion")
        await sim.rest(120)
        assert (sim.state(), weights(sim)) == (("WaitingPromotion", 50), (50, 50))
        sim.hooks.states[URL] = "open"
        await sim.until_phase("Succeeded")
        assert harmed(sim) == 0

    simulate(story)


@pytest.mark.parametrize("word", ["closed", "promote"])
def test_gate_holds_what_waited_for_pods(word: str) -> None:
    """A step that has passed asks its gate again once its pods are there: it may be another one, or shut by now."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("confirm-promotion"), state="open" if word == "closed" else "closed")
        await sim.until_weight(25)
        sim.behaviours.put(Behaviour(ready_after=45.0), image=V2)
        weight = 50 if word == "closed" else 25
        if word == "promote":
            sim.user.edit(scenario.ref, {"spec": {"analysis": {"stepWeight": None, "stepWeights": [25, 75]}}})
        await sim.until(lambda: "passedAt" in sim.status()["step"], 30, "waiting for pods")
        sim.hooks.states[URL] = "closed"
        if word == "promote":
            sim.user.command(scenario.ref, "promote")
        await sim.rest(120)
        assert sim.state() == ("WaitingPromotion", weight)
        sim.hooks.states[URL] = "open"
        await sim.until_phase("Succeeded")

    simulate(story)


def test_canary_that_turns_bad_while_its_promotion_waits_is_rolled_back() -> None:
    """The wait for a person is no time without checks."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("confirm-promotion"), state="closed")
        await sim.until_phase("WaitingPromotion")
        sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        await sim.until_phase("Failed")
        await sim.rest(60)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


@pytest.mark.parametrize(("kind", "weight"), [("pre-rollout", 0), ("rollout", 25)])
def test_test_that_says_no_counts_and_rolls_back_at_the_threshold(kind: str, weight: int) -> None:
    """A smoke test fails the canary before its first request, a load test at its weight."""

    async def story(sim: Simulation) -> None:
        await begun(sim, hook(kind), state="closed", threshold=3)
        await sim.until_phase("Failed")
        assert sim.status()["failedChecks"] == 3
        assert max(row for phase, row in steps(sim, 0)) == weight
        assert "says no: HTTP 403: closed" in condition(sim, "Progressing")["message"]
        if kind == "pre-rollout":
            assert [one for one in route_writes(sim, 60) if one != (100, 0)] == []

    simulate(story)


@pytest.mark.parametrize("state", ["down", "slow"])
@pytest.mark.parametrize(
    "kind", ["confirm-rollout", "pre-rollout", "rollout", "confirm-traffic-increase", "confirm-promotion", "rollback"]
)
def test_hook_that_does_not_answer_decides_nothing(kind: str, state: str) -> None:
    """It never counts, neither for the release nor against it; the release goes on when it answers (R-SEC-6)."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook(kind, timeout="2s"), state=state)
        await sim.rest(100)
        since = condition(sim, "Held").get("lastTransitionTime")
        await sim.rest(100)
        assert sim.status().get("failedChecks", 0) == 0
        if kind != "rollback":
            held = condition(sim, "Held")
            assert held["lastTransitionTime"] == since
            assert held["reason"] in ("GateUnanswered", "HookUnanswered")
            assert told(sim, held["reason"]) == [held["message"]]
            sim.hooks.states[URL] = "open"
        await sim.until_phase("Succeeded")
        await sim.rest(60)
        assert (harmed(sim), wrong_at_rest(sim, scenario)) == (0, None)

    simulate(story)


@pytest.mark.parametrize("place", ["Waiting", "starting", "paused", "Progressing", "WaitingPromotion", "Promoting"])
def test_rollback_hook_acts_wherever_the_run_stands(place: str) -> None:
    """Within an interval of saying so, the release is back on the primary (W31)."""

    async def story(sim: Simulation) -> None:
        gates = {"Waiting": "confirm-rollout", "WaitingPromotion": "confirm-promotion"}
        back = hook("rollback", "http://back.test/")
        if place == "starting":
            sim.behaviours.put(Behaviour(ready_after=None), image=V2)
        kinds = [hook(gates[place])] if place in gates else []
        more = {"promotion": {"bake": "60s"}} if place == "Promoting" else {}
        sim.hooks.states[URL] = "closed"
        scenario = quick(webhooks=[*kinds, back])
        scenario.canary["spec"].update(more)
        await initialise(sim, scenario)
        sim.user.apply(scenario.revised(V2))
        await sim.rest(1)
        if place in ("Waiting", "WaitingPromotion", "Promoting"):
            await sim.until_phase(place)
        elif place != "starting":
            await sim.until_weight(25)
        if place == "paused":
            sim.user.command(scenario.ref, "pause")
        await sim.rest(12)
        sim.hooks.states["http://back.test/"] = "open"
        await sim.until_phase("Failed", 12)
        assert condition(sim, "Progressing")["reason"] == "RollbackHook"
        await sim.rest(60)
        assert image(sim, PRIMARY) == V1 or image(sim, PRIMARY) == scenario.image
        assert (harmed(sim), wrong_at_rest(sim, scenario)) == (0, None)
        sim.user.edit(scenario.ref, {"metadata": {"annotations": {"note": "1"}}})
        await sim.rest(30)
        assert sim.state() == ("Failed", 0)

    simulate(story)


def test_rollback_hook_does_not_end_a_way_back() -> None:
    """In an emergency its yes means away from the newer revision: the command rollback goes on."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("rollback"), state="closed")
        await sim.until_phase("Succeeded")
        await sim.rest(30)
        sim.behaviours.put(Behaviour(ready_after=25.0), image=scenario.image)
        sim.hooks.states[URL] = "open"
        sim.user.command(scenario.ref, "rollback")
        await sim.rest(150)
        assert condition(sim, "Progressing")["reason"] == "RolledBack"
        assert image(sim, PRIMARY) == scenario.image

    simulate(story)


def test_hooks_of_a_type_are_asked_in_order() -> None:
    """The first that says no ends the list."""

    async def story(sim: Simulation) -> None:
        sim.hooks.states["http://second.test/"] = "closed"
        names = [hook("pre-rollout", f"http://{one}.test/") for one in ("first", "second", "third")]
        await begun(sim, *names, threshold=1)
        await sim.until_phase("Failed")
        assert [call.url for call in sim.hooks.asked[0].calls] == [one["url"] for one in names]

    simulate(story)


def test_restart_does_not_ask_for_the_rollout_again() -> None:
    """A controller that starts in a run goes on with it, also when its first gate is closed by now."""

    async def story(sim: Simulation) -> None:
        await begun(sim, hook("confirm-rollout"))
        await sim.until_weight(25)
        sim.hooks.states[URL] = "closed"
        sim.kill_controller()
        sim.start_controller()
        await sim.until_phase("Succeeded")

    simulate(story)


@pytest.mark.parametrize("kind", ["confirm-rollout", "confirm-traffic-increase", "confirm-promotion"])
@pytest.mark.parametrize("state", ["closed", "down"])
def test_person_opens_a_gate(kind: str, state: str) -> None:
    """The command `approve` counts as the hook's yes for the place where the release stands, and for no other."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook(kind), state=state)
        await sim.until(lambda: condition(sim, "Held"), 120, "held")
        sim.user.command(scenario.ref, "approve", gate="another")
        await sim.rest(1)
        answer = sim.status()["lastCommand"]["result"]
        assert answer.startswith("Refused: gate another is not closed; ")
        since = sim.now
        sim.user.command(scenario.ref, "approve", gate=kind)
        await sim.rest(3)
        assert len(steps(sim, since)) == 1
        if kind == "confirm-traffic-increase":
            await sim.until(lambda: condition(sim, "Held"), 120, "held again")
            sim.user.command(scenario.ref, "approve")
        await sim.until_phase("Succeeded")
        assert harmed(sim) == 0

    simulate(story)


@pytest.mark.parametrize("kind", ["confirm-rollout", "confirm-promotion"])
@pytest.mark.parametrize("verb", ["reject", "abort"])
def test_person_turns_a_revision_away(kind: str, verb: str) -> None:
    """What waited counts as failed, and is not asked for again."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook(kind), state="closed")
        await sim.until(lambda: condition(sim, "Held"), 120, "held")
        sim.user.command(scenario.ref, verb)
        await sim.rest(60)
        assert condition(sim, "Progressing")["reason"] == {"reject": "Rejected", "abort": "Aborted"}[verb]
        assert (sim.state(), wrong_at_rest(sim, scenario)) == (("Failed", 0), None)
        sim.user.annotate(scenario.target, "example.com/note", "one")
        await sim.rest(60)
        assert sim.state() == ("Failed", 0)

    simulate(story)


@pytest.mark.parametrize(("verb", "phase"), [("approve", "Progressing"), ("reject", "Failed")])
def test_command_names_the_revision_that_waits(verb: str, phase: str) -> None:
    """In Waiting a command is meant for what waits, not for what ran before."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("confirm-rollout"), state="closed")
        await sim.until(lambda: condition(sim, "Held"), 120, "held")
        revisions = sim.status()["revision"]
        sim.user.command(scenario.ref, verb, revision=revisions["candidate"])
        await sim.rest(3)
        assert sim.state() == ("Waiting", 0)
        sim.user.command(scenario.ref, verb, revision=revisions["pending"])
        await sim.rest(3)
        assert sim.state() == (phase, 0)

    simulate(story)


def test_hold_by_the_spec_does_not_keep_the_rollback_hook_quiet() -> None:
    """A suspended Canary begins nothing, and what waits can still be turned away."""

    async def story(sim: Simulation) -> None:
        back = "http://back.test/"
        scenario = await begun(sim, hook("confirm-rollout"), hook("rollback", back), state="closed")
        await sim.until_phase("Waiting")
        sim.user.edit(scenario.ref, {"spec": {"suspend": True}})
        sim.hooks.states[URL] = "open"
        await sim.rest(60)
        assert sim.state() == ("Waiting", 0)
        sim.hooks.states[back] = "open"
        await sim.until_phase("Failed", 12)
        assert condition(sim, "Progressing")["reason"] == "RollbackHook"

    simulate(story)


def test_skip_at_a_closed_gate_does_not_end_the_checks() -> None:
    """The step is judged on while its gate is closed, whoever took it as passed once."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("confirm-traffic-increase"))
        await sim.until_weight(25)
        sim.hooks.states[URL] = "closed"
        await sim.rest(30)
        sim.user.command(scenario.ref, "skip")
        await sim.rest(30)
        assert sim.state() == ("Progressing", 25)
        sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        await sim.until_phase("Failed", 120)
        assert condition(sim, "Progressing")["reason"] == "ChecksFailed"

    simulate(story)


def test_promote_at_a_closed_gate_waits_with_checks() -> None:
    """A person may leave out the plan, not the gate behind it; meanwhile the canary is judged."""

    async def story(sim: Simulation) -> None:
        scenario = await begun(sim, hook("confirm-promotion"), state="closed")
        await sim.until_weight(25)
        sim.user.command(scenario.ref, "promote")
        await sim.until_phase("WaitingPromotion", 20)
        await sim.rest(60)
        assert (sim.state(), weights(sim)) == (("WaitingPromotion", 25), (75, 25))
        sim.hooks.states[URL] = "open"
        await sim.until_phase("Succeeded")
        assert harmed(sim) == 0

    simulate(story)


def test_release_without_analysis_asks_nothing_but_whether_it_may_begin() -> None:
    """With `skipAnalysis` no hook judges and none confirms the promotion, as in Flagger."""

    async def story(sim: Simulation) -> None:
        kinds = ("confirm-rollout", "pre-rollout", "confirm-promotion")
        scenario = quick(webhooks=[hook(kind, f"http://{kind}.test/") for kind in kinds])
        scenario.canary["spec"]["skipAnalysis"] = True
        sim.hooks.states |= {f"http://{kind}.test/": "closed" for kind in kinds[1:]}
        await initialise(sim, scenario)
        sim.user.apply(scenario.revised(V2))
        await sim.until_phase("Succeeded")
        assert {query.type for query in sim.hooks.asked} == {"confirm-rollout"}

    simulate(story)
