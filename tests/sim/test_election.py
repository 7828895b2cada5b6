"""Several controllers that share a lease: one writes at any time, and a release goes on as if there were one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from canary.core.election import Claim
from canary.core.objects import LEASE
from canary.ports import NotLeading, unfenced
from canary.sim.actions import act
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import WRITES, ApiFault
from canary.sim.invariants import InvariantError
from canary.sim.replicas import TAKEN_OVER, TERMS, Replica
from canary.sim.scenario import Scenario, initialise, listing_5_1, release
from canary.sim.stage import Stage

ROWS = [
    (0, "Progressing", 0),
    (20, "Progressing", 25),
    (40, "Progressing", 50),
    (60, "Promoting", 0),
]


def scenario() -> Scenario:
    """Return a release in two steps."""
    return Scenario(listing_5_1(interval="20s", stepWeight=25, maxWeight=50))


def leader_of(sim: Simulation) -> Replica:
    """Return who leads."""
    leader = sim.replicas.leader()
    assert leader is not None
    assert leader.may_write
    return leader


def played(happens: Callable[[Stage], None], at: float) -> Simulation:
    """Play a release under two controllers, with something that happens in it, to its good end."""

    async def story(sim: Simulation) -> None:
        scene = scenario()
        await initialise(sim, scene, settle=5)
        await release(sim, scene, "catalog:v2")
        sim.at(at, lambda: happens(Stage(sim, scene)))
        await sim.until_phase("Succeeded", 200)

    return simulate(story, electing=2)


def writers(sim: Simulation, since: float = 0.0) -> list[str]:
    """Return who wrote anything but the lease, in turn."""
    found: list[str] = []
    for call in sim.calls:
        ours = call.verb in WRITES and call.outcome == "ok" and call.ref.resource != LEASE
        if ours and call.at >= since and found[-1:] != [call.by]:
            found.append(call.by)
    return found


def test_standby_writes_nothing_and_follows_everything() -> None:
    """One of two does all the work; the other asks for the lease alone, and its cache is that of the first."""

    async def story(sim: Simulation) -> None:
        scene = scenario()
        await initialise(sim, scene, settle=5)
        await release(sim, scene, "catalog:v2")
        await sim.until_phase("Succeeded", 200)
        first, second = sim.replicas._made
        assert first is leader_of(sim)
        assert writers(sim) == [first.cluster.identity]
        assert {call.ref.resource for call in second.cluster.calls} == {LEASE}
        await sim.rest(1)
        assert list(first.cluster.cached()) == list(second.cluster.cached())

    simulate(story, electing=2)


@pytest.mark.parametrize(
    ("do", "arguments", "within"),
    [
        ("kill_leader", {"away": 100.0}, TAKEN_OVER),
        ("stop_leader", {"away": 100.0}, 2.5),
        ("freeze_leader", {"lasts": 40.0}, TAKEN_OVER),
        ("cut_leader", {"lasts": 40.0}, TAKEN_OVER),
    ],
)
def test_another_leads_in_time_and_the_rows_come_at_theirs(do: str, arguments: dict[str, float], within: float) -> None:
    """Whatever ends the first, the second writes within the promise; no row is early, late or doubled."""
    at = 22.0
    happened: list[float] = []

    def happens(stage: Stage) -> None:
        happened.append(stage.sim.now)
        act(stage, do, arguments)
        stage.sim.at(within, lambda: took.extend(stage.sim.replicas.writers()))

    took: list[str] = []
    sim = played(happens, at)
    assert took == ["canary-1"]
    assert writers(sim)[:2] == ["canary-0", "canary-1"]
    rows = [(round(row.at), row.phase, row.weight) for row in sim.rows() if row.phase in ("Progressing", "Promoting")]
    begun = rows[0][0]
    assert [(at - begun, phase, weight) for at, phase, weight in rows] == ROWS


@pytest.mark.parametrize("do", ["delete_lease", "annotate_lease"])
def test_lease_that_others_touch_stays_with_its_holder(do: str) -> None:
    """A lease that was deleted under its holder is made anew by it, and nobody else takes it."""
    sim = played(lambda stage: act(stage, do, {}), 22.0)
    assert writers(sim) == ["canary-0"]
    assert sim.replicas.book.holder == "canary-0"


@pytest.mark.parametrize("ahead", [-3600.0, 3600.0])
def test_clock_that_is_set_changes_no_leader(ahead: float) -> None:
    """A wall clock set back holds no lease longer; one set forward costs at most a pause until the renewal."""
    sim = played(lambda stage: act(stage, "set_clock", {"ahead": ahead}), 22.0)
    assert writers(sim) == ["canary-0"]


def test_short_absence_changes_no_leader() -> None:
    """A leader that stands still for less than its deadline goes on."""
    sim = played(lambda stage: act(stage, "freeze_leader", {"lasts": 4.0}), 21.0)
    assert writers(sim) == ["canary-0"]


def test_api_server_that_loses_answers_of_the_lease_changes_no_leader() -> None:
    """A renewal that was stored and not answered is found to be ours."""

    def lose(stage: Stage) -> None:
        fault = ApiFault("lost answer", verb="patch", kind_of_object="Lease", start=stage.sim.now, times=3)
        stage.sim.faults.api.append(fault)

    sim = played(lose, 22.0)
    assert writers(sim) == ["canary-0"]
    assert sim.faults.api[0].times == 0


def test_settled_system_asks_for_nothing_but_the_lease() -> None:
    """At rest there are only renewals by one, and looks by the other, each once in two seconds (I19)."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario())
        await sim.rest(60)
        before = len(sim.calls)
        await sim.rest(100)
        asked = [(call.by, call.verb, call.ref.resource) for call in sim.calls[before:]]
        assert set(asked) == {("canary-0", "patch", LEASE), ("canary-1", "get", LEASE)}
        assert len(asked) <= 101

    simulate(story, electing=2)


def test_leader_that_comes_back_is_kept_from_writing_by_its_fence() -> None:
    """After another took over, a write of the first is not sent; without the fence it would break the rule."""

    async def story(sim: Simulation) -> None:
        scene = scenario()
        await initialise(sim, scene, settle=5)
        old = leader_of(sim).cluster
        old.link.freeze(20)
        await sim.rest(20.5)
        assert leader_of(sim).cluster is not old
        seen = sim.world.find(scene.ref)
        assert seen is not None
        version, late = seen["metadata"]["resourceVersion"], {"status": {"message": "late"}}
        write = partial(old.patch, scene.ref, late, resource_version=version, subresource="status")
        with pytest.raises(NotLeading):
            await write()
        old.fence = unfenced
        await write()
        await sim.rest(1)

    with pytest.raises(InvariantError, match="one writer"):
        simulate(story, electing=2)


def test_two_that_may_write_at_once_are_a_violation() -> None:
    """The rule sees it before anything is written: the lease is taken from under a leader that does not know."""

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario(), settle=5)
        lease = sim.replicas.book.lease
        assert lease is not None
        leader_of(sim).cluster.link.cut(10)
        sim.replicas.book.store(Claim("", TERMS.duration, 1, anew=False), lease.version)
        await sim.rest(5)

    with pytest.raises(InvariantError, match="canary-0 and canary-1 may write at once"):
        simulate(story, electing=2)
