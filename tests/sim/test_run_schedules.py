"""Random schedules of several Canaries under a limit: never more runs than it allows, and everybody's turn comes."""

from __future__ import annotations

from typing import Any, Literal, cast

from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from canary.core.runs import Limits
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import ApiFault
from canary.sim.memory import IDLE
from canary.sim.scenario import Scenario
from tests.sim.fleets import Fleet, gathered, member
from tests.sim.schedules import LONG, TIMES, parts, seconds
from tests.sim.stories import V2, V3

PLACES = (("alpha", "shop"), ("bravo", "shop"), ("delta", "shop"), ("gamma", "office"))
OURS = ("Succeeded", "Failed", "Initialized")
FAULTS = ("conflict", "500", "cut", "lost answer", "refused", "crash before", "crash after")
HAPPENINGS = st.one_of(
    st.tuples(st.just("release"), st.sampled_from((V2, V3))),
    st.tuples(st.just("revert"), st.none()),
    st.tuples(st.just("command"), st.sampled_from(("abort", "retry", "rollback", "promote", "pause", "resume"))),
    st.tuples(st.just("suspend"), seconds(1, 60)),
    st.tuples(st.just("restart"), seconds(0, 20)),
    st.tuples(st.just("fault"), st.tuples(st.sampled_from(FAULTS), st.integers(0, 8), st.integers(1, 6))),
    st.tuples(st.just("delete"), st.none()),
)
ENTRIES = st.lists(st.tuples(seconds(0, 150), st.integers(0, 3), HAPPENINGS), min_size=4, max_size=12)
LIMITS = st.sampled_from((Limits(1), Limits(2), Limits(0, 1), Limits(2, 1), Limits(3, 2)))


def do(sim: Simulation, one: Scenario, what: str, how: Any) -> None:
    """Let one thing happen to a Canary or to the controller."""
    there = sim.world.find(one.ref) is not None
    if what == "release" and there:
        sim.user.apply(one.revised(how.replace("catalog", one.target.name)))
    elif what == "revert" and there:
        sim.user.apply(one.workload)
    elif what == "command" and there:
        sim.user.command(one.ref, how)
    elif what == "suspend" and there:
        _suspend(sim, one, True)
        sim.at(how, lambda: _suspend(sim, one, False))
    elif what == "restart":
        sim.kill_controller()
        sim.at(how, sim.start_controller)
    elif what == "fault":
        kind, skip, times = how
        sim.back_after = 3.0
        fault = ApiFault(cast(Literal["500"], kind), kind_of_object="Canary", skip=skip, times=times)
        sim.faults.api.append(fault)
        fault.start, fault.end = sim.now, sim.now + 60
    elif what == "delete" and there:
        sim.user.delete(one.ref)


def _suspend(sim: Simulation, one: Scenario, value: bool) -> None:
    if sim.world.find(one.ref) is not None:
        sim.user.apply({**one.canary, "spec": {**one.canary["spec"], "suspend": value}})


async def everybody_ended(fleet: Fleet) -> None:
    """Wait until nothing runs or waits any more; a run that is paused is resumed by somebody."""
    sim = fleet.sim
    for _ in range(80):
        await sim.rest(30)
        left = [one for one in fleet.members if sim.world.find(one.ref) and fleet.phase(one.ref) not in IDLE[:1]]
        left = [one for one in left if fleet.phase(one.ref) not in OURS]
        if not left:
            return
        for one in left:
            if (sim.status(one.ref).get("run") or {}).get("pausedBy"):
                sim.user.command(one.ref, "resume")
    raise AssertionError(f"somebody still waits: {fleet.phases()}\n{sim.picture()}")


@parts(2)
def test_whatever_happens_no_more_run_than_allowed_and_all_come_to_an_end(part: int) -> None:
    """Changes, commands, restarts and faults of every kind: the limits hold at every write, and nobody starves."""

    @seed(f"runs-{part}") if not LONG else lambda test: test
    @settings(
        max_examples=6 * TIMES,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(limits=LIMITS, entries=ENTRIES)
    def holds(limits: Limits, entries: list[Any]) -> None:
        note(repr((limits, sorted(entries, key=lambda e: e[0]))))

        async def story(sim: Simulation) -> None:
            fleet = await gathered(sim, limits, *(member(*place) for place in PLACES))
            for at, number, (what, how) in entries:
                sim.at(at, lambda one=fleet.members[number], what=what, how=how: do(sim, one, what, how))
            await sim.rest(151)
            sim.faults.api.clear()
            sim.start_controller()
            await everybody_ended(fleet)
            assert not limits.together or fleet.most <= limits.together
            assert not limits.namespace or fleet.most_of_namespace <= limits.namespace

        simulate(story)

    holds()
