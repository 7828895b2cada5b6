"""Each command in each phase of a release that is played: nothing that serves gets smaller by it."""

from __future__ import annotations

from typing import get_args

import pytest

from canary.api.command import Verb
from canary.api.status import Phase
from canary.core.advance.commands import LEGAL
from canary.sim.driver import Simulation, simulate
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise
from tests.sim.stories import CANARY, PRIMARY, V2, harmed, quick, ready, weights

GATES = {"Waiting": "confirm-rollout", "WaitingPromotion": "confirm-promotion"}
PLACES = ("Initialized", "Waiting", "Progressing", "WaitingPromotion", "Promoting", "Finalising", "Succeeded", "Failed")
URL = "http://gate.test/check"


async def brought_to(sim: Simulation, phase: str) -> Scenario:
    """Bring a release to a phase."""
    hooks = [{"name": "gate", "type": GATES[phase], "url": URL}] if phase in GATES else []
    sim.hooks.states[URL] = "closed"
    scenario = quick(replicas=4, webhooks=hooks)
    await initialise(sim, scenario)
    if phase != "Initialized":
        sim.user.apply(scenario.revised(V2))
        await sim.rest(1)
    if phase == "Failed":
        await sim.until_weight(25)
        sim.user.command(scenario.ref, "abort")
    await sim.until_phase(phase)
    if phase == "Progressing":
        await sim.until_weight(25)
    await sim.rest(1)
    return scenario


def serving(sim: Simulation) -> int:
    """Return how many pods carry all traffic where one side does; four, production's size, where both share it."""
    return min(
        ready(sim, side) if weight == 100 else 4 for side, weight in zip((PRIMARY, CANARY), weights(sim), strict=True)
    )


@pytest.mark.parametrize("phase", PLACES)
def test_no_command_lowers_what_serves(phase: str) -> None:
    """Whatever is asked, wherever: who has all traffic has all pods, all the time, and no request fails."""
    for verb in get_args(Verb):

        async def story(sim: Simulation, verb: str = verb) -> None:
            scenario = await brought_to(sim, phase)
            before = len(sim.history.events)
            sim.user.command(scenario.ref, verb)
            await sim.rest(1)
            result = sim.status()["lastCommand"]["result"]
            assert len(sim.history.events) > before
            if Phase(phase) not in LEGAL[verb]:
                assert result.startswith("Refused: "), (verb, result)
            if result.startswith("Refused: "):
                # Such a command changes nothing in any phase: tests/core/test_commands.py.
                return
            least = 4
            for _ in range(120):
                await sim.rest(1)
                least = min(least, serving(sim))
            assert (least, harmed(sim)) == (4, 0), (verb, result)
            assert ready(sim, PRIMARY) >= 4, (verb, result)
            sim.hooks.states[URL] = "open"
            sim.user.command(scenario.ref, "resume")
            await sim.rest(200)
            assert wrong_at_rest(sim, scenario) is None, (verb, result)

        simulate(story)
