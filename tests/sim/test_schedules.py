"""Random schedules: no rule is ever broken, and every schedule ends in a system that serves.

CI tries 1,000 schedules, the same ones each time; `make long-simulation` tries 20,000 new ones.
A failing schedule is left in build/schedules; `canary simulate --schedule FILE` plays it again.

Two controllers at once are part of the schedules: one replica is what is supported, yet resourceVersion
guards (I21) keep every rule but one.  A second controller that has not seen the latest status takes a
step back and forth, so that the route is written more than once in a step (I12).
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from canary.sim.replay import Schedule
from tests.sim.schedules import CHANGES, EDITS, WAY, budget, played, schedules

QUIET_CHANGES = st.one_of(WAY, CHANGES)
ANYTHING = st.one_of(WAY, CHANGES, EDITS)


@budget(400)
@given(schedules(QUIET_CHANGES))
def test_faults_of_the_way_and_users_changes_harm_nobody(schedule: Schedule) -> None:
    """Whatever the API server, metrics, watches and crashes do: no rule breaks and no request fails."""
    _, report = played(schedule, "way")
    assert report.requests["harmed"] == 0, f"{report.requests}\n{schedule.as_json()}"


@budget(400)
@given(schedules(ANYTHING))
def test_anything_in_a_release_ends_in_a_serving_system(schedule: Schedule) -> None:
    """Edits, deletions, deaths and obstacles of every kind: no rule breaks, and in the end callers are served."""
    played(schedule, "anything")


@budget(180)
@given(schedules(ANYTHING, disturbed="initialisation", until=40.0))
def test_anything_in_an_initialisation_ends_in_a_serving_system(schedule: Schedule) -> None:
    """The same while production moves to the primary."""
    played(schedule, "initialisation")


@budget(20)
@given(schedules(ANYTHING))
def test_equal_seeds_give_equal_histories(schedule: Schedule) -> None:
    """A schedule played twice makes the same calls at the same times, and the same requests."""

    def trace() -> list[object]:
        sim, report = played(schedule, "equal")
        calls = [(call.at, call.verb, str(call.ref), call.outcome) for call in sim.calls]
        return [calls, report.as_dict(), sorted(sim.dataplane.received.items())]

    assert trace() == trace()
