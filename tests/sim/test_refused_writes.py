"""What the API server or a webhook refuses is told on the Canary, in their words, until it is taken."""

from __future__ import annotations

from canary.sim.driver import Simulation, simulate
from canary.sim.faults import ApiFault
from canary.sim.scenario import initialise, release, serve
from tests.sim.stories import ROUTE, V2, condition, harmed, quick, weights

REFUSAL = f"{ROUTE}: simulated refused"


def refuse_routes(sim: Simulation, lasts: float) -> None:
    """Let nobody write a VirtualService for a time."""
    for verb in ("create", "patch"):
        fault = ApiFault("refused", verb, "VirtualService", start=sim.now, end=sim.now + lasts, times=10_000)
        sim.faults.api.append(fault)


def test_refused_weight_is_told_and_the_run_goes_on_once_it_is_taken() -> None:
    """Production is as it was, condition and one event say what was refused; then the run goes its way."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        begun = await release(sim, scenario, V2)
        refuse_routes(sim, 120)
        await sim.rest(20)
        assert weights(sim) == (100, 0)
        told = condition(sim, "Ready")
        assert (told["status"], told["reason"]) == ("False", "WriteRefused")
        assert told["message"] == (
            f"VirtualService catalog could not be written: {REFUSAL}; correct what this names, it is tried again"
        )
        await sim.until_phase("Succeeded", 400)
        assert condition(sim, "Ready")["reason"] == "Served"
        assert sim.history.reasons(begun).count("WriteRefused") == 1
        assert harmed(sim) == 0

    simulate(story, seed=1)


def test_refused_route_of_an_initialisation_is_told_over_a_restart() -> None:
    """Whoever waits for a Canary that is never initialised reads why, from the next process too."""
    scenario = quick()

    async def story(sim: Simulation) -> None:
        await serve(sim, scenario)
        sim.start_controller()
        refuse_routes(sim, 300)
        sim.user.apply(scenario.canary)
        await sim.rest(40)
        assert condition(sim, "Ready")["reason"] == "WriteRefused"
        await sim.restart_controller(1)
        await sim.rest(40)
        assert condition(sim, "Ready")["reason"] == "WriteRefused"
        assert sim.state() == ("Initializing", 0)
        await sim.until_phase("Initialized", 600)
        await sim.rest(5)
        assert condition(sim, "Ready")["reason"] == "Served"
        assert sim.history.reasons(0).count("WriteRefused") <= 2

    simulate(story, seed=2)
