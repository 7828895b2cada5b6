"""Random schedules: no rule is ever broken, and every schedule ends in a system that serves.

CI tries more than 1,500 schedules, the same ones each time; `make long-simulation` tries twenty times as many new ones.
A failing schedule is left in build/schedules; `canary simulate --schedule FILE` plays it again.

Two controllers at once, without a lease, are part of the schedules: that is not supported, yet resourceVersion
guards (I21) keep every rule but one.  A second controller that has not seen the latest status takes a
step back and forth, so that the route is written more than once in a step (I12).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import strategies as st

from canary.sim.replay import Schedule, play, watch
from tests.sim.schedules import (
    CHANGES,
    CHECKS,
    COHORT_EDITS,
    COHORTS,
    COMMANDS,
    CONFIGURATION_EDITS,
    EDITS,
    HOOKS,
    HUSH,
    LEADERS,
    NODES,
    NOTES,
    PAUSED,
    SCALER_EDITS,
    SILENCES,
    SIZES,
    WAY,
    autoscaled,
    configurations,
    connected,
    daemons,
    drawn,
    electing,
    kept,
    named,
    parts,
    schedules,
    strategies,
)

QUIET_CHANGES = st.one_of(WAY, CHANGES)
ANYTHING = st.one_of(WAY, CHANGES, EDITS)


@parts(6)
def test_faults_of_the_way_and_users_changes_harm_nobody(part: int) -> None:
    """Whatever the API server, metrics, watches and crashes do: no rule breaks and no request fails."""
    name = f"way-{part}"

    @drawn(schedules(QUIET_CHANGES), name, 30)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(6)
def test_anything_in_a_release_ends_in_a_serving_system(part: int) -> None:
    """Edits, deletions, deaths and obstacles of every kind: no rule breaks, and in the end callers are served."""
    name = f"anything-{part}"

    @drawn(schedules(ANYTHING), name, 30)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(3)
def test_anything_in_an_initialisation_ends_in_a_serving_system(part: int) -> None:
    """The same while production moves to the primary."""
    name = f"initialisation-{part}"

    @drawn(schedules(ANYTHING, disturbed="initialisation", until=40.0), name, 40)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


def test_faults_of_the_way_in_a_take_over_harm_nobody() -> None:
    """The same while production moves off what Flagger left: no rule breaks and no request fails."""

    @drawn(schedules(st.one_of(WAY, NOTES), disturbed="take-over", until=60.0), "take-over", 25)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, "take-over"):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(4)
def test_any_strategy_ends_in_a_serving_system(part: int) -> None:
    """Cohorts, copies, blue/green, bakes and explicit steps, on routes of ours or of the user's."""
    name = f"strategies-{part}"

    @drawn(strategies(ANYTHING), name, 25)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(1)
def test_later_cohort_is_heard_before_it_passes(part: int) -> None:
    """Several cohorts of which some do not call for a time: no rule breaks, none passes unheard, no request fails."""
    name = f"cohorts-{part}"

    @drawn(strategies(st.one_of(WAY, CHANGES, HUSH), plans=COHORTS), name, 20)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(1)
def test_later_cohort_is_heard_whatever_happens(part: int) -> None:
    """The same while people edit, delete and break things, what the cohort is told by among them."""
    name = f"cohorts-anything-{part}"

    @drawn(strategies(st.one_of(ANYTHING, HUSH, COHORT_EDITS), plans=COHORTS), name, 20)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(4)
def test_any_strategy_harms_nobody_on_a_bad_way(part: int) -> None:
    """The same under faults of the way and users' changes: no request fails."""
    name = f"strategies-way-{part}"

    @drawn(strategies(QUIET_CHANGES), name, 25)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(2)
def test_named_route_ends_in_a_serving_system(part: int) -> None:
    """A VirtualService of another namespace by any strategy, and everything else: no rule breaks."""
    name = f"named-{part}"

    @drawn(named(ANYTHING), name, 25)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(2)
def test_named_route_harms_nobody_on_a_bad_way(part: int) -> None:
    """The same under faults of the way and users' changes: no request fails."""
    name = f"named-way-{part}"

    @drawn(named(QUIET_CHANGES), name, 25)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(2)
def test_connections_end_in_a_serving_system(part: int) -> None:
    """A service of connections by any strategy that has them, and everything else: no rule breaks."""
    name = f"connections-{part}"

    @drawn(connected(ANYTHING), name, 25)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(2)
def test_connections_are_not_harmed_on_a_bad_way(part: int) -> None:
    """The same under faults of the way and users' changes: no connection fails."""
    name = f"connections-way-{part}"

    @drawn(connected(QUIET_CHANGES), name, 25)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(3)
def test_edits_of_configuration_harm_nobody_on_a_bad_way(part: int) -> None:
    """A ConfigMap edited in a release, among faults of the way and users' changes: no request fails."""
    name = f"configuration-way-{part}"

    @drawn(configurations(WAY, CHANGES), name, 25)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(3)
def test_edits_of_configuration_end_in_a_serving_system(part: int) -> None:
    """The same with edits of every kind, the ConfigMap deleted or opted out among them."""
    name = f"configuration-{part}"

    @drawn(configurations(WAY, CHANGES, EDITS, CONFIGURATION_EDITS), name, 25)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(3)
def test_any_size_ends_in_a_serving_system(part: int) -> None:
    """An autoscaler, load that comes and goes, and everything else: no rule breaks, the user's bounds stay."""
    name = f"autoscaled-{part}"
    disturbed = ("release", "release", "initialisation")[part]

    @drawn(autoscaled(st.one_of(SIZES, SCALER_EDITS, ANYTHING), disturbed), name, 30)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(2)
def test_edits_of_configuration_in_an_initialisation_end_in_a_serving_system(part: int) -> None:
    """The same while production moves to the primary."""
    name = f"configuration-initialisation-{part}"

    @drawn(configurations(ANYTHING, CONFIGURATION_EDITS, disturbed="initialisation", until=40.0), name, 25)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(2)
def test_any_size_harms_nobody_on_a_bad_way(part: int) -> None:
    """The same under faults of the way and users' changes alone: no request fails."""
    name = f"autoscaled-way-{part}"

    @drawn(autoscaled(st.one_of(SIZES, QUIET_CHANGES)), name, 30)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(2)
def test_commands_end_in_a_serving_system(part: int) -> None:
    """Whatever people ask, among everything else and by any strategy: no rule breaks."""
    name = f"commands-{part}"

    @drawn(strategies(st.one_of(COMMANDS, COMMANDS, ANYTHING), PAUSED, until=240.0, most=6), name, 30)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(2)
def test_commands_harm_nobody_on_a_bad_way(part: int) -> None:
    """Whatever people ask under faults of the way and users' changes: no request fails."""
    name = f"commands-way-{part}"

    @drawn(strategies(st.one_of(COMMANDS, QUIET_CHANGES), PAUSED, until=240.0, most=6), name, 30)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(2)
def test_hooks_end_in_a_serving_system(part: int) -> None:
    """Whatever hooks say, among commands and everything else, by any strategy: no rule breaks."""
    name = f"hooks-{part}"

    @drawn(strategies(st.one_of(HOOKS, HOOKS, COMMANDS, ANYTHING), PAUSED, until=240.0, most=6), name, 30)
    def holds(schedule: Schedule) -> None:
        schedule = replace(schedule, hooked=True)
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(2)
def test_hooks_harm_nobody_on_a_bad_way(part: int) -> None:
    """Whatever hooks say under faults of the way and users' changes: no request fails."""
    name = f"hooks-way-{part}"

    @drawn(strategies(st.one_of(HOOKS, COMMANDS, QUIET_CHANGES), PAUSED, until=240.0, most=6), name, 30)
    def holds(schedule: Schedule) -> None:
        schedule = replace(schedule, hooked=True)
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(2)
def test_checks_end_in_a_serving_system(part: int) -> None:
    """Whatever custom checks find, or cannot, among commands and everything else, by any strategy: no rule breaks."""
    name = f"checks-{part}"

    @drawn(strategies(st.one_of(CHECKS, CHECKS, COMMANDS, ANYTHING), PAUSED, until=240.0, most=6), name, 25)
    def holds(schedule: Schedule) -> None:
        schedule = replace(schedule, checked=True)
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(2)
def test_checks_harm_nobody_on_a_bad_way(part: int) -> None:
    """Whatever they find under faults of the way and users' changes: no request fails."""
    name = f"checks-way-{part}"

    @drawn(strategies(st.one_of(CHECKS, COMMANDS, QUIET_CHANGES), PAUSED, until=240.0, most=6), name, 25)
    def holds(schedule: Schedule) -> None:
        schedule = replace(schedule, checked=True)
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(2)
def test_alerts_tell_what_happened_and_each_end_once(part: int) -> None:
    """Whether they arrive or not, and whoever leads: an alert is an event, and no end is told twice."""
    name = f"alerts-{part}"
    drawing = strategies(st.one_of(SILENCES, HOOKS, COMMANDS, QUIET_CHANGES), PAUSED, until=240.0, most=6)

    @drawn(drawing, name, 10)
    def holds(schedule: Schedule) -> None:
        schedule = replace(schedule, hooked=True, alerted=True, electing=2 * part)
        with kept(schedule, name):
            sim, _ = watch(schedule)
            told = Counter((one.payload["reason"], one.message) for one in sim.alerter.sent)
            assert told <= Counter((one.event.reason, one.event.message) for one in sim.history.events)
            assert len({one.id for one in sim.alerter.sent}) == len(sim.alerter.sent)
            ends = Counter(row.phase for row in sim.history.rows(schedule.scenario.ref))
            assert sum(count for (reason, _), count in told.items() if reason == "Promoted") <= ends["Succeeded"]
            assert sum(one.severity == "error" for one in sim.alerter.sent) <= ends["Failed"]

    holds()


def test_equal_seeds_give_equal_histories() -> None:
    """A schedule played twice makes the same calls at the same times, and the same requests."""

    def trace(schedule: Schedule) -> list[object]:
        sim, report = watch(schedule)
        calls = [(call.at, call.verb, str(call.ref), call.outcome) for call in sim.calls]
        return [calls, report.as_dict(), sorted(sim.dataplane.received.items())]

    @drawn(schedules(ANYTHING), "equal", 20)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, "equal"):
            assert trace(schedule) == trace(schedule)

    holds()


@parts(2)
def test_anything_in_a_release_of_a_daemon_set_ends_in_a_serving_system(part: int) -> None:
    """The same where nodes come and go, and a set without pods is one that fits on no node."""
    name = f"daemons-{part}"

    @drawn(daemons(st.one_of(NODES, ANYTHING)), name, 35)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(1)
def test_release_of_a_daemon_set_harms_nobody_on_a_bad_way(part: int) -> None:
    """Faults of the way and users' changes, whatever the plan: no rule breaks and no request fails."""
    name = f"daemons-way-{part}"

    @drawn(daemons(QUIET_CHANGES), name, 30)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(1)
def test_anything_in_an_initialisation_of_a_daemon_set_ends_in_a_serving_system(part: int) -> None:
    """The same while production moves to the primary."""
    name = f"daemons-initialisation-{part}"

    @drawn(daemons(st.one_of(NODES, ANYTHING), disturbed="initialisation", until=40.0), name, 30)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()


@parts(2)
def test_release_under_electing_controllers_harms_nobody(part: int) -> None:
    """Leaders die, stand still and are cut off, on a bad way: one writes at any time, and no request fails."""
    name = f"electing-{part}"

    @drawn(electing(st.one_of(LEADERS, LEADERS, QUIET_CHANGES), most=6), name, 30)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            assert play(schedule).requests["harmed"] == 0

    holds()


@parts(1)
def test_anything_under_electing_controllers_ends_in_a_serving_system(part: int) -> None:
    """The same with edits, deletions, deaths and obstacles of every kind: one writes at any time."""
    name = f"electing-anything-{part}"

    @drawn(electing(st.one_of(LEADERS, ANYTHING), most=6), name, 30)
    def holds(schedule: Schedule) -> None:
        with kept(schedule, name):
            play(schedule)

    holds()
