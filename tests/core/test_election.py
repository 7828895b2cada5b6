"""What a replica concludes from the lease and its own clocks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from canary.core.election import (
    Claim,
    Instant,
    Lease,
    Standing,
    Terms,
    allowance,
    claim,
    granted,
    left,
    looked,
    may_claim,
    pause,
)

TERMS = Terms(timedelta(seconds=10), timedelta(seconds=7), timedelta(seconds=2))
ME, OTHER = "me", "other"
NONE = timedelta(0)


def at(seconds: float, *, slept: float = 0.0, set_by: float = 0.0) -> Instant:
    """Return a moment on a machine that slept for a while, and whose clock was set."""
    return Instant(seconds, seconds + slept, seconds + slept + set_by)


def seconds(number: float) -> timedelta:
    """Return so many seconds."""
    return timedelta(seconds=number)


def of(holder: str, version: str = "1", duration: float | None = 10) -> Lease:
    """Return a lease."""
    return Lease(version, holder, seconds(duration) if duration is not None else None, 3)


def seen(lease: Lease | None, when: float = 0) -> Standing:
    """Return the standing of a replica that sees the lease for the first time."""
    return looked(Standing(), lease, ME, at(when), TERMS)


LEADS = granted(of(ME), at(0), at(0.1), TERMS)
"""The standing of a replica whose claim was sent at 0."""


def test_nobody_claims_what_it_has_not_seen() -> None:
    """Before the first look at the lease nothing is known."""
    assert not may_claim(Standing(), ME, at(1000))


@pytest.mark.parametrize("holder", ["", ME])
def test_free_lease_and_our_own_are_claimed_at_once(holder: str) -> None:
    """Nobody holds it, or an earlier claim of ours was stored and its answer lost."""
    assert may_claim(seen(of(holder)), ME, at(0))


def test_lease_of_another_is_left_alone_until_it_did_not_change_for_its_time() -> None:
    """Only what we see counts: each change starts the time over, on our clock."""
    standing = seen(of(OTHER, "1"), 0)
    assert not may_claim(standing, ME, at(9.9))
    assert may_claim(standing, ME, at(10))
    standing = looked(standing, of(OTHER, "2"), ME, at(9.9), TERMS)
    assert not may_claim(standing, ME, at(19.8))
    assert may_claim(standing, ME, at(19.9))


def test_look_that_finds_the_same_starts_no_time_over() -> None:
    """A lease that is read again and again without a change ends."""
    standing = seen(of(OTHER), 0)
    for second in range(2, 10, 2):
        standing = looked(standing, of(OTHER), ME, at(second), TERMS)
    assert may_claim(standing, ME, at(10))


@pytest.mark.parametrize(("promised", "ends"), [(30, 30), (3, 3), (None, 10)])
def test_what_the_holder_promised_counts_not_our_own_setting(promised: float | None, ends: float) -> None:
    """Replicas of another configuration may hold it for longer; one that says nothing has our duration."""
    standing = seen(of(OTHER, duration=promised))
    assert not may_claim(standing, ME, at(ends - 0.1))
    assert may_claim(standing, ME, at(ends))


def test_standby_that_slept_or_whose_clock_was_set_waits_as_long() -> None:
    """Neither a sleep of the machine nor a clock set forward ends another's lease."""
    standing = seen(of(OTHER))
    assert not may_claim(standing, ME, at(9, slept=600, set_by=3600))
    assert may_claim(standing, ME, at(10, set_by=-3600))


def test_lease_that_is_missing_is_made_after_the_time_of_its_holder() -> None:
    """It may have been deleted under one that does not know it yet, with a longer promise than ours."""
    assert not may_claim(seen(None), ME, at(9.9))
    assert may_claim(seen(None), ME, at(10))
    deleted = looked(seen(of(OTHER, duration=30)), None, ME, at(5), TERMS)
    assert not may_claim(deleted, ME, at(34.9))
    assert may_claim(deleted, ME, at(35))


def test_leader_writes_until_its_deadline_and_what_it_writes_ends_with_the_lease() -> None:
    """Counted from when the claim was sent, not from when it was answered."""
    assert allowance(LEADS, at(0), TERMS) == seconds(10)
    assert allowance(LEADS, at(6.9), TERMS) == seconds(3.1)
    assert allowance(LEADS, at(7), TERMS) == NONE
    assert (left(LEADS, at(6.9), TERMS), left(LEADS, at(7.5), TERMS)) == (seconds(0.1), seconds(-0.5))


def test_nobody_else_writes_while_a_write_of_the_leader_may_be_under_way() -> None:
    """Whoever saw the claim the moment it was sent waits for longer than the longest write."""
    watcher = looked(Standing(), of(ME), OTHER, at(0), TERMS)
    for tenth in range(200):
        now = at(tenth / 10)
        ends = now.monotonic + allowance(LEADS, now, TERMS).total_seconds()
        if ends > now.monotonic:
            assert not may_claim(watcher, OTHER, at(ends - 0.001))


def test_leader_that_slept_or_whose_clock_jumped_ahead_writes_no_more() -> None:
    """Either may be all that tells how much time has passed for others."""
    assert allowance(LEADS, at(1, slept=6), TERMS) == NONE
    assert allowance(LEADS, at(1, set_by=6), TERMS) == NONE


def test_leader_whose_clock_is_set_back_gains_nothing() -> None:
    """The clock that is never set counts."""
    assert allowance(LEADS, at(7, set_by=-3600), TERMS) == NONE


def test_standby_writes_nothing() -> None:
    """Without a claim there is no allowance, whatever the lease says."""
    assert allowance(Standing(), at(0), TERMS) == NONE
    assert allowance(seen(of(ME)), at(0), TERMS) == NONE
    assert left(seen(of(OTHER)), at(0), TERMS) == NONE


@pytest.mark.parametrize("lease", [of(OTHER, "2"), of("", "2")], ids=["taken", "freed"])
def test_leader_that_sees_another_holder_leads_no_more(lease: Lease) -> None:
    """Its own deadline need not be over for that."""
    standing = looked(LEADS, lease, ME, at(1), TERMS)
    assert allowance(standing, at(1), TERMS) == NONE
    assert may_claim(standing, ME, at(1)) is (lease.holder == "")


def test_leader_keeps_a_lease_that_others_only_wrote_to() -> None:
    """An annotation moves the version, not the holder; what was claimed counts on."""
    standing = looked(LEADS, of(ME, "2"), ME, at(1), TERMS)
    assert allowance(standing, at(1), TERMS) == seconds(9)
    assert may_claim(standing, ME, at(8))


def test_leader_makes_a_deleted_lease_anew_while_it_is_sure_of_it() -> None:
    """Everybody else waits; after its deadline another may have held and lost what is missing."""
    in_time = looked(LEADS, None, ME, at(6), TERMS)
    assert may_claim(in_time, ME, at(6))
    assert allowance(in_time, at(6), TERMS) == seconds(4)
    late = looked(LEADS, None, ME, at(7), TERMS)
    assert not may_claim(late, ME, at(7))
    assert may_claim(late, ME, at(17))


def test_deadline_that_passes_between_two_looks_at_nothing_ends_the_claim() -> None:
    """The first look found the lease missing in time; it could not be made, and then it was too late."""
    in_time = looked(LEADS, None, ME, at(6), TERMS)
    late = looked(in_time, None, ME, at(8), TERMS)
    assert not may_claim(late, ME, at(8))


def test_claim_counts_changes_of_the_holder() -> None:
    """A renewal changes neither the count nor since when it is held."""
    assert claim(LEADS, ME, TERMS) == Claim(ME, seconds(10), 3, anew=False)
    assert claim(seen(of(OTHER)), ME, TERMS) == Claim(ME, seconds(10), 4, anew=True)
    assert claim(seen(None), ME, TERMS) == Claim(ME, seconds(10), 0, anew=True)


def test_lease_is_turned_to_each_period_and_at_its_end() -> None:
    """A standby does not oversleep the end of the leader's time."""
    standing = seen(of(OTHER))
    assert pause(Standing(), at(0), TERMS) == seconds(2)
    assert pause(LEADS, at(1), TERMS) == seconds(2)
    assert pause(standing, at(7), TERMS) == seconds(2)
    assert pause(standing, at(9), TERMS) == seconds(1)
    assert pause(standing, at(11), TERMS) == seconds(2)


def test_answers_are_waited_for_such_that_a_second_try_fits() -> None:
    """One call that hangs must not cost the lease."""
    assert 2 * TERMS.answer_within <= TERMS.renew_deadline
    assert replace(TERMS, renew_deadline=seconds(3)).answer_within == seconds(1.5)
