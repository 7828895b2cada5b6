"""Schedules that once broke a rule, each by the name of what was wrong."""

from __future__ import annotations

from typing import Any

import pytest

from canary.sim.replay import Entry, Schedule, watch

QUICK = {"interval": "5s", "stepWeight": 20, "drainSeconds": 5}


def schedule(*entries: tuple[float, str, dict[str, Any]], **fields: Any) -> Schedule:
    """Return a schedule of entries."""
    return Schedule(entries=[Entry(at, do, arguments) for at, do, arguments in entries], **fields)


NAMED = {
    # The drain of the primary went on counting though the apex Service had pointed at it again.
    "drain_begins_anew_when_the_apex_was_undone_while_promoting": schedule(
        (46, "undo", {"what": "apex", "times": 3}), seed=47, replicas=1, analysis={"stepWeight": 50}
    ),
    "drain_begins_anew_when_the_apex_was_edited_while_promoting": schedule(
        (94, "selector", {"role": "primary"}), seed=47, replicas=1, analysis={"stepWeight": 50, "drainSeconds": 30}
    ),
    # The primary was made again from the revision before, and what was promoted got lost.
    "primary_deleted_in_finalising_comes_back_with_what_was_promoted": schedule(
        (318, "delete", {"what": "primary"}), seed=129, replicas=3, analysis={"drainSeconds": 5}
    ),
    # The routes were not read live before the canary shrank and the clones were deleted (I21).
    "give_back_reads_the_routes_before_it_takes_pods_away": schedule(
        (12, "delete", {"what": "Canary"}), replicas=1, rps=12.0, analysis=QUICK
    ),
    # The former revision waited as if it were new, was released against itself and never promoted.
    "former_revision_that_waits_after_a_failed_promotion_is_no_run": schedule(
        (26.0, "behave", {"image": "catalog:v2", "ready_after": None}),
        (43.2, "remake", {"what": "target", "after": 1.9}),
        seed=415,
        rps=12.0,
        analysis={"interval": "20s", "stepWeight": 50, "drainSeconds": 1},
    ),
    # The template of the primary was changed before the hand-over without reading the routes live (I21).
    "target_restarted_while_the_primary_is_made": schedule(
        (0.1, "restart", {}), seed=330, replicas=1, rps=12.0, disturbed="initialisation", analysis=QUICK
    ),
    "target_restarted_in_the_moment_of_its_adoption": schedule(
        (0.0, "restart", {}), seed=1, replicas=1, rps=12.0, disturbed="initialisation", analysis=QUICK
    ),
    # Somebody opens the apex Service to every pod; the canary's count as asked for until it is put back.
    "selector_without_role_set_by_hand_is_put_back": schedule(
        (8.1, "selector", {"role": None}),
        seed=600,
        replicas=1,
        rps=12.0,
        analysis={"interval": "10s", "stepWeight": 20, "drainSeconds": 1, "threshold": 1},
    ),
    # The drain was counted from the question to a slow metrics server, not from the write after it.
    "drain_counts_from_the_write_and_not_from_the_question": schedule(
        (19.9, "metrics", {"kind": "slow", "lasts": 18.9}),
        (31.6, "reapply", {}),
        replicas=1,
        rps=4.0,
        analysis={"interval": "5s", "stepWeight": 20, "drainSeconds": 15, "threshold": 1},
    ),
    # The deadline of a superseded canary's successor ran while it was not even started.
    "deadline_of_a_successor_begins_with_its_replacement": schedule(
        (5, "template", {"image": "catalog:v3"}), analysis={"drainSeconds": 20}
    ),
    # A selector without role let unjudged canary pods serve during the give-back (I9).
    "apex_without_role_is_put_back_before_the_give_back": schedule(
        (2.8, "selector", {"role": None}), (2.8, "delete", {"what": "Canary"}), seed=108, replicas=1, analysis=QUICK
    ),
    # A cancelled reconcile left a task behind that waited for ever.
    "controller_killed_while_metrics_are_slow": schedule(
        (26.4, "metrics", {"kind": "slow", "lasts": 53.9}),
        (30.5, "restart_controller", {"away": 39.5}),
        (36.6, "another_controller", {"lasts": 30.8}),
        seed=388,
        replicas=4,
        rps=12.0,
        analysis={**QUICK, "drainSeconds": 15, "canaryScale": "Full"},
    ),
    # Two controllers write the route back and forth, which harms nobody.
    "second_controller_with_an_older_status": schedule(
        (0.0, "another_controller", {"lasts": 1.0}),
        (7.3, "another_controller", {"lasts": 37.7}),
        replicas=1,
        rps=4.0,
        analysis={"interval": "10s", "stepWeight": 20, "drainSeconds": 5},
    ),
}


@pytest.mark.parametrize("name", NAMED)
def test_schedule_breaks_no_rule_any_more(name: str) -> None:
    """The schedule plays to a serving system without breaking a rule."""
    watch(NAMED[name])


def test_deadline_of_a_successor_leaves_it_time_to_succeed() -> None:
    """A canary superseded before its first weight is replaced after its settle time and then succeeds."""
    _, report = watch(NAMED["deadline_of_a_successor_begins_with_its_replacement"])
    assert report.verdict == "Succeeded"
