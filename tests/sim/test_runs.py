"""No more runs at once than allowed: the others wait in order, and what protects users waits for nobody."""

from __future__ import annotations

import pytest

from canary.core.names import MANAGER
from canary.core.runs import Limits
from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import ApiFault
from tests.sim.fleets import Fleet, gathered, member
from tests.sim.stories import V3

NAMES = ("alpha", "bravo", "delta", "gamma", "omega")


async def ended(fleet: Fleet, phase: str = "Succeeded", within: float = 900) -> None:
    """Wait until all have ended in a phase."""
    await fleet.sim.until(lambda: set(fleet.phases()) == {phase}, within, f"all in phase {phase}")


def test_runs_above_the_limit_wait_in_the_order_they_were_seen() -> None:
    """Five changes, two runs at once: the others say where they stand, begin as soon as one ends, and none fails."""

    async def story(sim: Simulation) -> None:
        fleet = await gathered(sim, Limits(2), *map(member, NAMES))
        since = sim.now
        for one in reversed(fleet.members):
            fleet.release(one)
            await sim.rest(1)
        assert fleet.phases() == ["Waiting"] * 3 + ["Progressing"] * 2
        said = [sim.status(one.ref)["message"] for one in fleet.members[:3]]
        revisions = [sim.status(one.ref)["revision"]["pending"] for one in fleet.members[:3]]
        places = ["3rd of 3, limit 2", "2nd of 2, limit 2", "1st of 1, limit 2"]
        sentences = [f"Revision {r} is waiting for a free run: {p}" for r, p in zip(revisions, places, strict=True)]
        assert said == sentences
        await ended(fleet)
        assert (fleet.most, fleet.began(since)) == (2, list(reversed(NAMES)))
        assert "queuedAt" not in sim.status(fleet.members[0].ref)

    simulate(story)


def test_free_run_is_taken_at_once_and_written_once_for_each_that_waits() -> None:
    """The next begins within a second of an end, and nobody who goes on waiting is written to."""

    async def story(sim: Simulation) -> None:
        fleet = await gathered(sim, Limits(1), *map(member, NAMES))
        since = sim.now
        fleet.release()
        await ended(fleet)
        rows = [sim.history.rows(one.ref, since) for one in fleet.members]
        ends = sorted(row.at for found in rows for row in found if row.phase == "Succeeded")
        begins = sorted(row.at for found in rows for row in found if row.phase == "Progressing" and row.weight == 0)
        assert all(0 <= begun - end < 1 for end, begun in zip(ends, begins[1:], strict=False))
        waited = [c for c in sim.history.writes(MANAGER, since + 15) if _waits(c.before) and _waits(c.after)]
        assert waited == []

    simulate(story)


def _waits(canary: object) -> bool:
    return isinstance(canary, dict) and (canary.get("status") or {}).get("phase") == "Waiting"


def test_limit_of_a_namespace_holds_up_nobody_elsewhere() -> None:
    """Its second run waits, though it came first of those that wait, and the other namespace goes on."""

    async def story(sim: Simulation) -> None:
        members = [*(member(name) for name in NAMES[:3]), member("omega", "elsewhere")]
        fleet = await gathered(sim, Limits(2, 1), *members)
        for one in fleet.members:
            fleet.release(one)
            await sim.rest(1)
        assert fleet.phases() == ["Progressing", "Waiting", "Waiting", "Progressing"]
        assert sim.status(members[2].ref)["message"].endswith("2nd of 2 in namespace istioinaction, limit 1")
        await ended(fleet)
        assert (fleet.most, fleet.most_of_namespace) == (2, 1)

    simulate(story)


def test_lower_limit_and_restarts_take_no_run_away_and_keep_the_order() -> None:
    """Three runs go on under a limit of one; those who wait keep their places through restarts."""

    async def story(sim: Simulation) -> None:
        fleet = await gathered(sim, Limits(3), *map(member, NAMES))
        since = sim.now
        for one in fleet.members:
            fleet.release(one)
            await sim.rest(1)
        await sim.until_weight(50, ref=fleet.members[0].ref)
        sim.limits = Limits(1)
        await sim.restart_controller(2)
        await sim.rest(1)
        assert fleet.phases() == ["Progressing"] * 3 + ["Waiting"] * 2
        await sim.restart_controller(1)
        await ended(fleet)
        assert fleet.began(since) == list(NAMES)
        starts = [sim.history.rows(one.ref, since) for one in fleet.members]
        third = max(row.at for found in starts[:3] for row in found if row.phase == "Succeeded")
        assert all(row.at >= third for found in starts[3:] for row in found if row.phase == "Progressing")

    simulate(story)


def test_newer_revision_keeps_the_place_and_a_reverted_one_leaves_the_queue() -> None:
    """Who pushes again while waiting is not sent to the end; who goes back is idle as before."""

    async def story(sim: Simulation) -> None:
        fleet = await gathered(sim, Limits(1), *map(member, NAMES[:4]))
        since = sim.now
        for one in fleet.members:
            fleet.release(one)
            await sim.rest(1)
        second, third = fleet.members[1], fleet.members[2]
        fleet.release(second, image=V3)
        sim.user.apply(third.workload)
        await sim.rest(1)
        assert fleet.phases() == ["Progressing", "Waiting", "Initialized", "Waiting"]
        await sim.until(lambda: fleet.phases().count("Succeeded") == 3, 600, "three released")
        assert (fleet.most, fleet.began(since)) == (1, ["alpha", "bravo", "gamma"])
        primary = sim.world.find(second.target)
        assert primary is not None
        assert primary["spec"]["template"]["spec"]["containers"][0]["image"] == "bravo:v3"

    simulate(story)


def test_gate_holds_no_run_and_waits_for_one_when_it_opens() -> None:
    """A closed confirm-rollout gate takes no place; once open its run comes after those that wait already."""

    async def story(sim: Simulation) -> None:
        url = "http://gate.test/check"
        hook = {"name": "the gate", "type": "confirm-rollout", "url": url}
        members = [member("alpha", webhooks=[hook]), *(member(name) for name in NAMES[1:4])]
        fleet = await gathered(sim, Limits(1), *members)
        since = sim.now
        sim.hooks.states[url] = "closed"
        fleet.release(members[0])
        await sim.rest(12)
        fleet.release(*members[1:])
        await sim.rest(1)
        assert fleet.phases() == ["Waiting", "Progressing", "Waiting", "Waiting"]
        sim.hooks.states[url] = "open"
        await sim.rest(11)
        assert sim.status(members[0].ref)["message"].endswith("is waiting for a free run: 3rd of 3, limit 1")
        asked = len(sim.hooks.asked)
        await sim.rest(60)
        assert len(sim.hooks.asked) == asked
        await ended(fleet)
        assert (fleet.most, fleet.began(since)[-1]) == (1, "alpha")

    simulate(story)


@pytest.mark.parametrize("how", ["suspended", "gate"])
def test_who_cannot_begin_when_its_turn_comes_holds_up_nobody(how: str) -> None:
    """A first of the queue that is suspended, or whose gate has closed again, is passed, and begins later."""

    async def story(sim: Simulation) -> None:
        url = "http://gate.test/check"
        hook = {"name": "the gate", "type": "confirm-rollout", "url": url}
        members = [member("alpha"), member("bravo", webhooks=[hook]), member("delta")]
        fleet = await gathered(sim, Limits(1), *members)
        since = sim.now
        for one in members:
            fleet.release(one)
            await sim.rest(1)
        assert fleet.phases() == ["Progressing", "Waiting", "Waiting"]
        canary = members[1].canary
        if how == "suspended":
            sim.user.apply({**canary, "spec": {**canary["spec"], "suspend": True}})
        sim.hooks.states[url] = "closed"
        await sim.until_phase("Succeeded", ref=members[2].ref)
        assert fleet.phases()[1] == "Waiting"
        sim.user.apply(canary)
        sim.hooks.states[url] = "open"
        await ended(fleet)
        assert (fleet.most, fleet.began(since)) == (1, ["alpha", "delta", "bravo"])

    simulate(story)


def test_way_back_waits_for_no_run() -> None:
    """A rollback by command begins while the limit is reached; it counts for none itself."""

    async def story(sim: Simulation) -> None:
        fleet = await gathered(sim, Limits(1), *map(member, NAMES[:3]))
        first, second, third = fleet.members
        fleet.release(first)
        await sim.until_phase("Succeeded", ref=first.ref)
        await sim.rest(30)
        fleet.release(second, third)
        await sim.rest(1)
        sim.user.command(first.ref, "rollback")
        await sim.rest(1)
        assert fleet.phases() == ["Progressing", "Progressing", "Waiting"]
        # What is released instead of the way back is a run like any other.
        fleet.release(first, image=V3)
        await sim.rest(2)
        assert fleet.phases() == ["Waiting", "Progressing", "Waiting"]
        await ended(fleet)
        assert fleet.most == 1

    simulate(story)


def test_failing_run_rolls_back_and_the_next_begins() -> None:
    """A run ends by failing too; an abort in the queue ends the wait."""

    async def story(sim: Simulation) -> None:
        fleet = await gathered(sim, Limits(1), *map(member, NAMES[:3]))
        first, second, third = fleet.members
        sim.behaviours.put(Behaviour(errors=60.0), image="alpha:v2")
        fleet.release(first)
        await sim.rest(1)
        fleet.release(second)
        await sim.rest(1)
        fleet.release(third)
        await sim.rest(1)
        sim.user.command(second.ref, "abort")
        await sim.until_phase("Failed", 5, ref=second.ref)
        await sim.until_phase("Failed", ref=first.ref)
        await sim.until_phase("Progressing", 2, ref=third.ref)
        await sim.until_phase("Succeeded", ref=third.ref)
        assert fleet.most == 1

    simulate(story)


@pytest.mark.parametrize("kind", ["lost answer", "500", "conflict", "refused"])
def test_beginning_that_cannot_be_written_lets_others_past_but_never_too_many(kind: str) -> None:
    """Whatever comes of the write that begins a run: no more run than allowed, and none waits for ever."""

    async def story(sim: Simulation) -> None:
        fleet = await gathered(sim, Limits(1), *map(member, NAMES[:3]))
        fault = ApiFault(kind, subresource="status", name="alpha", start=sim.now, end=sim.now + 200, times=99)
        sim.faults.api.append(fault)
        fleet.release()
        await sim.until(lambda: "Succeeded" in fleet.phases()[1:], 300, "another that ends")
        fault.times = 0
        await ended(fleet, within=1200)
        assert fleet.most == 1

    simulate(story)
