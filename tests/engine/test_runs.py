"""The book of runs: what the caches tell, and what is about to be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from canary.core.objects import FLAGGER_CANARY, CanaryKey, Object
from canary.core.runs import Limits
from canary.engine.runs import UNSURE, RunBook
from canary.ports import Conflict, Refused, Retryable
from tests.builders import KEY, at, canary_object

OTHER = replace(KEY, name="other")
RUNS = {"phase": "Progressing"}
WAITS = {"phase": "Waiting", "queuedAt": "2026-01-01T12:00:00Z"}


def canary(key: CanaryKey, version: int, status: Mapping[str, Any]) -> Object:
    """Return a Canary at a version of its own."""
    made = canary_object()
    return {
        **made,
        "metadata": {**made["metadata"], "name": key.name, "resourceVersion": str(version)},
        "status": status,
    }


class Told:
    """A book that hears of changes."""

    def __init__(self, together: int) -> None:
        self.book = RunBook(Limits(together))
        self._known: dict[CanaryKey, Object] = {}

    def change(self, key: CanaryKey, version: int, status: Mapping[str, Any] | None) -> set[CanaryKey]:
        """Tell of a Canary, or of its end; return who is to look anew."""
        before = self._known.pop(key, None)
        after = canary(key, version, status) if status is not None else None
        if after is not None:
            self._known[key] = after
        return set(self.book.changed(FLAGGER_CANARY, before, after))

    def may_begin(self, key: CanaryKey, seconds: float = 1) -> bool:
        """Return whether a decision now would begin a run."""
        return self.book.seen(at(seconds)).place(key, at(seconds)) is None


def test_two_decisions_at_once_do_not_both_take_the_last_run() -> None:
    """Who decides second sees the first one's run before it is written, and still once it is."""
    told = Told(1)
    told.change(KEY, 1, {"phase": "Initialized"})
    told.change(OTHER, 2, {"phase": "Initialized"})
    assert told.may_begin(KEY)
    told.book.claim(KEY, canary(KEY, 1, {}), at(1))
    assert not told.may_begin(OTHER)
    assert told.change(KEY, 3, RUNS) == set()
    assert not told.may_begin(OTHER)


def test_end_of_a_run_wakes_the_first_that_waits() -> None:
    """Nobody else looks: a queue of hundreds costs one look for each end."""
    told = Told(1)
    told.change(KEY, 1, RUNS)
    told.change(OTHER, 2, WAITS)
    told.change(replace(KEY, name="third"), 3, {**WAITS, "queuedAt": "2026-01-01T12:00:01Z"})
    assert told.change(KEY, 4, RUNS) == set()
    assert told.change(KEY, 5, {"phase": "Succeeded"}) == {OTHER}


def test_end_of_a_canary_wakes_the_first_that_waits() -> None:
    """A run ends with its Canary too."""
    told = Told(1)
    told.change(KEY, 1, RUNS)
    told.change(OTHER, 2, WAITS)
    assert told.change(KEY, 1, None) == {OTHER}


def test_first_that_leaves_the_queue_wakes_the_next() -> None:
    """Room that one does not take any more is the next one's."""
    told = Told(1)
    told.change(KEY, 1, WAITS)
    told.change(OTHER, 2, {**WAITS, "queuedAt": "2026-01-01T12:00:01Z"})
    assert told.change(KEY, 3, {"phase": "Initialized"}) == {OTHER}


@pytest.mark.parametrize(
    ("fault", "free"),
    [(Refused("no"), True), (ValueError(), True), (Retryable("500"), False), (Conflict("409"), False)],
)
def test_beginning_that_failed_counts_while_it_may_have_been_written(fault: Exception, free: bool) -> None:
    """What was surely not written leaves its room; anything else keeps it until the Canary is seen anew."""
    told = Told(1)
    told.change(KEY, 1, WAITS)
    told.change(OTHER, 2, {**WAITS, "queuedAt": "2026-01-01T12:00:01Z"})
    told.book.claim(KEY, canary(KEY, 1, {}), at(1))
    told.book.failed(KEY, fault)
    assert told.may_begin(OTHER, 2) is free
    told.change(KEY, 4, {"phase": "Initialized"})
    assert told.may_begin(OTHER, 3)


def test_beginning_of_which_nothing_is_heard_counts_for_a_while() -> None:
    """An answer that never came blocks nobody for ever."""
    told = Told(1)
    told.change(KEY, 1, WAITS)
    told.book.claim(KEY, canary(KEY, 1, {}), at(1))
    told.book.failed(KEY, Retryable("cut"))
    late = (timedelta(seconds=2) + UNSURE).total_seconds()
    assert (told.may_begin(OTHER, 2), told.may_begin(OTHER, late)) == (False, True)


def test_first_whose_reconcile_fails_is_passed_until_it_ends_well() -> None:
    """A broken Canary at the head of the queue keeps nobody waiting."""
    told = Told(1)
    told.change(KEY, 1, WAITS)
    told.change(OTHER, 2, {**WAITS, "queuedAt": "2026-01-01T12:00:01Z"})
    assert not told.may_begin(OTHER)
    told.book.failed(KEY, ValueError())
    assert told.may_begin(OTHER)
    told.book.ended_well(KEY)
    assert not told.may_begin(OTHER)


def test_runs_of_another_controller_do_not_count() -> None:
    """A status that we never wrote is no run of ours."""
    told = Told(1)
    foreign = canary(KEY, 1, RUNS)
    foreign["metadata"]["managedFields"] = [{"manager": "flagger", "subresource": "status"}]
    assert set(told.book.changed(FLAGGER_CANARY, None, foreign)) == set()
    assert told.may_begin(OTHER)
