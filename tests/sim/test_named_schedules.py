"""Schedules that once broke a rule, each by the name of what was wrong."""

from __future__ import annotations

from typing import Any

import pytest

from canary.sim.driver import Simulation, simulate
from canary.sim.replay import Entry, Schedule, watch
from canary.sim.scenario import initialise
from tests.sim.stories import quick

QUICK = {"interval": "5s", "stepWeight": 20, "drainSeconds": 5}


def schedule(*entries: tuple[float, str, dict[str, Any]], **fields: Any) -> Schedule:
    """Return a schedule of entries."""
    return Schedule(entries=[Entry(at, do, arguments) for at, do, arguments in entries], **fields)


NAMED = {
    # With a few pods enough, the first weight came while the superseded canary's last pod was still there.
    "few_pods_are_enough_while_a_superseded_one_is_there": schedule(
        (10.8, "restart", {}),
        replicas=1,
        rps=4.0,
        scaled=[1, 4],
        analysis={
            "interval": "20s",
            "threshold": 1,
            "canaryScale": "Full",
            "canaryReadyThreshold": 1,
            "stepWeight": 20,
            "drainSeconds": 5,
        },
    ),
    # Without a record of what was judged, and nothing else that showed it, the promotion waited for ever.
    "revision_lost_in_a_bake_while_a_newer_template_waits": schedule(
        (11.7, "restart", {}),
        (30.5, "delete_revisions", {}),
        (30.9, "restart", {}),
        (30.9, "delete_revisions", {}),
        seed=93,
        replicas=4,
        rps=4.0,
        analysis={"drainSeconds": 1, "interval": "5s", "stepWeight": None, "iterations": 2, "metrics": []},
        spec={"promotion": {"bake": "10s"}},
    ),
    # One controller lowered the wish of an idle Canary while the other began a run: blamed on the first.
    "wish_lowered_by_one_controller_as_another_begins_a_run": schedule(
        (0.0, "selector", {"role": "primary"}),
        (52.8, "scale", {"role": "target", "replicas": 1}),
        (74.4, "another_controller", {"lasts": 29.9}),
        (74.5, "restart", {}),
        seed=0,
        replicas=4,
        rps=4.0,
        analysis={"interval": "20s", "drainSeconds": 5, "threshold": 1, "stepWeight": 50},
    ),
    # A write on the primary's settings made it count as not whole, and its share went to the canary and back.
    "drain_edited_on_the_way_back_leaves_the_shares": schedule(
        (40.8, "analysis", {"stepWeight": 10, "drainSeconds": 2}),
        seed=0,
        replicas=3,
        rps=4.0,
        analysis={
            "interval": "5s",
            "stepWeight": 50,
            "drainSeconds": 1,
            "threshold": 1,
            "maxWeight": None,
            "stepWeightPromotion": 40,
        },
    ),
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
    # The configuration of a target that serves was edited back and forth; an edit of the apex Service's
    # selector by hand counted as the hand-over, after which the primary may not be written.
    "configuration_edited_before_the_hand_over_is_followed": schedule(
        (0.0, "configure", {"mode": "two"}),
        (0.0, "erase_status", {}),
        (0.0, "selector", {"role": "canary"}),
        (0.1, "configure", {"mode": "one"}),
        disturbed="initialisation",
        configured=True,
        replicas=1,
        rps=4.0,
        analysis={"interval": "5s", "stepWeight": 20, "drainSeconds": 1, "threshold": 1},
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
    # Somebody edited the weights a few milliseconds before the status said Succeeded, which nobody could know.
    "weights_edited_in_the_moment_of_success": schedule(
        (22.1, "metrics", {"kind": "down", "lasts": 30.2}),
        (22.1, "weights", {"canary": 80}),
        (40.0, "weights", {"canary": 80}),
        seed=86,
        rps=4.0,
        analysis={"interval": "10s", "drainSeconds": 1, "stepWeight": 50},
    ),
    # Without its record the template that waited, never judged, was given back instead of production's.
    "target_gets_back_what_the_primary_runs_when_its_record_is_gone": schedule(
        (0, "delete", {"what": "Canary"}), (0, "delete_revisions", {}), replicas=1, rps=4.0, analysis=QUICK
    ),
    # What the user rolled out himself, once the apex Service was given back, was taken for code without weight.
    "target_restarted_after_the_give_back_of_the_apex": schedule(
        (0, "delete", {"what": "Canary"}), (32.4, "restart", {}), seed=1, replicas=1, rps=4.0, analysis=QUICK
    ),
    # A settle time made longer 19 ms before the shrink, which no controller could know by then.
    "settle_time_made_longer_in_the_moment_of_the_shrink": schedule(
        (12.1, "analysis", {"drainSeconds": 15}),
        seed=5,
        replicas=3,
        rps=4.0,
        disturbed="initialisation",
        analysis={"interval": "10s", "stepWeight": 50, "drainSeconds": 5, "canaryScale": "Full"},
    ),
    # Four short settle times were over before a second sample could tell of requests from deaf proxies.
    "settle_time_shorter_than_a_scrape_waits_for_two_samples": schedule(
        (22.2, "proxies", {"share": 1.0, "lasts": 5.8}),
        (22.2, "reapply", {}),
        seed=39,
        replicas=1,
        rps=4.0,
        analysis={"interval": "10s", "stepWeight": 25, "drainSeconds": 1, "canaryScale": "Full"},
    ),
    # Both sides were deleted in one moment, and traffic turned to the one whose end was not yet known.
    "primary_and_canary_deleted_in_one_moment": schedule(
        (21.6, "delete", {"what": "primary"}),
        (21.6, "delete", {"what": "canary"}),
        seed=58,
        replicas=1,
        rps=4.0,
        analysis={"interval": "5s", "stepWeight": 25, "drainSeconds": 1, "threshold": 1},
    ),
    # In a world healed at last the pods that had not got ready never did, and the primary was never taken up.
    "status_erased_while_the_primary_does_not_get_ready": schedule(
        (20.2, "behave", {"image": "catalog:v2", "ready_after": None}),
        (41.9, "erase_status", {}),
        seed=68,
        replicas=4,
        rps=12.0,
        analysis={"interval": "5s", "stepWeight": 50},
    ),
    # The primary, made smaller before it served anyone, waited for ever to become as large as the target.
    "primary_scaled_down_before_the_hand_over_grows_again": schedule(
        (0.1, "scale", {"role": "primary", "replicas": 1}), rps=4.0, disturbed="initialisation", analysis=QUICK
    ),
    # The selector was opened to every pod while the canary settled, and the settle time went on counting.
    "drain_begins_anew_when_the_apex_was_opened": schedule(
        (11.8, "template", {"image": "catalog:v3"}),
        (14.8, "weights", {"canary": 8}),
        (27.3, "selector", {"role": None}),
        seed=45,
        replicas=1,
        rps=4.0,
        analysis={"interval": "10s", "stepWeight": 20, "drainSeconds": 15},
    ),
    # It was opened and closed again while metrics were asked, which the settle time never knew.
    "drain_begins_anew_when_the_apex_was_closed_during_a_question": schedule(
        (6.0, "metrics", {"kind": "empty", "lasts": 30.4}),
        (20.0, "selector", {"role": None}),
        seed=23,
        replicas=1,
        rps=12.0,
        analysis={"interval": "20s", "stepWeight": 50, "drainSeconds": 5},
    ),
    # Somebody wrote the weight that the plan came to in that moment, so that the controller had nothing to write.
    "first_weight_written_by_hand_at_its_tick": schedule(
        (5.0, "weights", {"canary": 50}),
        seed=17,
        replicas=4,
        rps=12.0,
        analysis={"interval": "5s", "stepWeight": 50, "drainSeconds": 5, "canaryScale": "Full"},
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
    # With the primary deleted after the Canary nothing served: the target stayed at 0, the apex selected nobody.
    "primary_deleted_after_the_canary_is_made_again": schedule(
        (11.9, "delete", {"what": "Canary"}),
        (14.4, "delete", {"what": "primary"}),
        replicas=1,
        rps=4.0,
        analysis={**QUICK, "drainSeconds": 1, "canaryScale": "Proportional"},
    ),
    # The settle time of the target's pods, kept in the status, ended with the Canary; later the same clock
    # counted for the primary, too, which went 22 ms after its route.
    "target_settles_when_its_canary_is_deleted_in_the_hand_over": schedule(
        (4.8, "restart", {}),
        (11.3, "delete", {"what": "Canary"}),
        disturbed="initialisation",
        replicas=1,
        rps=4.0,
        analysis={**QUICK, "drainSeconds": 15},
    ),
    # The user's own route was given back though the apex Service it names had been deleted.
    "route_waits_for_the_apex_that_is_remade_in_a_give_back": schedule(
        (46.7, "delete", {"what": "Canary"}),
        (61.7, "remake", {"what": "apex", "after": 30.7}),
        seed=65,
        replicas=1,
        rps=12.0,
        adopted=True,
        analysis={"interval": "5s", "stepWeight": 50, "drainSeconds": 15},
    ),
    # A role written into an apex Service that its user had made again stayed there, where nobody was left.
    "apex_remade_in_a_give_back_is_left_without_a_role": schedule(
        (14.2, "delete", {"what": "Canary"}),
        (19.7, "remake", {"what": "apex", "after": 5.7}),
        (25.9, "delete", {"what": "primary service"}),
        (42.9, "remake", {"what": "target", "after": 33.8}),
        seed=34,
        replicas=4,
        rps=12.0,
        adopted=True,
        analysis={"interval": "20s", "stepWeight": 50, "drainSeconds": 15, "canaryScale": "Proportional"},
    ),
    # Deleted with a route of their own still there, users' roll-outs counted as code nobody had judged.
    "target_restarted_after_an_adopted_route_was_given_back": schedule(
        (40.7, "delete", {"what": "Canary"}),
        (55.5, "scale", {"role": "target", "replicas": 2}),
        (65.2, "restart", {}),
        replicas=1,
        rps=4.0,
        adopted=True,
        analysis={"drainSeconds": 1},
    ),
    # Once the apex Service, given back, was deleted by hand, the time counted from there.
    "apex_deleted_while_the_primary_settles_after_its_route": schedule(
        (1.1, "undo", {"what": "route", "times": 3}),
        (46.2, "delete", {"what": "Canary"}),
        (61.4, "remake", {"what": "apex", "after": 34.4}),
        seed=83,
        replicas=1,
        rps=4.0,
        analysis={"interval": "5s"},
    ),
    # The target, still up with what its user applied in the run, took over unjudged once the primary was deleted.
    "primary_deleted_while_an_unjudged_target_settles_is_made_again": schedule(
        (2.4, "delete", {"what": "Canary"}), (16.8, "delete", {"what": "primary"}), replicas=1, rps=4.0
    ),
    # Given a weight by hand once the primary was gone, the canary got requests by bare labels for ever.
    "canary_that_serves_a_give_back_goes_with_the_route": schedule(
        (41.7, "delete", {"what": "Canary"}),
        (50.6, "delete", {"what": "primary"}),
        (57.2, "weights", {"canary": 12}),
        replicas=1,
        rps=4.0,
    ),
    # An annotation of the user's was taken for one of ours that was left behind.
    "configuration_kept_live_by_its_user_stays_so_after_a_give_back": schedule(
        (17.0, "opt_out", {"value": "disabled"}),
        (25.7, "delete", {"what": "Canary"}),
        replicas=1,
        rps=4.0,
        configured=True,
    ),
    # A Canary with two plans, which no API server stores, was made in place of the one deleted.
    "plan_beside_another_is_refused_by_the_api_server": schedule(
        (17.1, "delete", {"what": "Canary"}),
        (110.0, "analysis", {"stepWeight": 10}),
        replicas=1,
        rps=4.0,
        analysis={"stepWeight": None, "maxWeight": None, "iterations": 2, "interval": "5s"},
    ),
    # The target had never handed over, yet what its user rolled out meanwhile counted as code without weight.
    "target_restarted_before_a_hand_over_that_never_comes": schedule(
        (0.4, "restart", {}),
        (1.2, "delete", {"what": "Canary"}),
        disturbed="initialisation",
        replicas=1,
        rps=4.0,
        analysis={"interval": "10s", "drainSeconds": 5},
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


def test_status_that_cannot_be_read_is_no_wrong_spec() -> None:
    """A status bent by hand is written anew from the world, and nobody is told that the spec is wrong."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        since = sim.now
        sim.user.edit_status(scenario.ref, {"phase": "Nonsense"})
        await sim.rest(60)
        assert sim.state()[0] == "Initialized"
        assert sim.history.reasons(since) == ["TakenUp"]

    simulate(story)
