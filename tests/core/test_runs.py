"""The queue of runs: who may begin, and where the others stand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.api.status import CanaryStatus, Phase, Run
from canary.core.decide import decide
from canary.core.objects import CanaryKey
from canary.core.runs import Limits, Place, Queued, Runs, admitted, ordinal
from canary.core.snapshot import Snapshot
from canary.core.turns import holds_run
from tests.builders import KEY as OWN
from tests.builders import B, at, idle, new_status, new_target, with_status

LATER = CanaryKey("canary.delivery", "shop", "zulu")


def key(name: str, namespace: str = "shop") -> CanaryKey:
    """Return a Canary by name."""
    return CanaryKey("canary.delivery", namespace, name)


def queue(*names: str, namespace: str = "shop") -> tuple[Queued, ...]:
    """Return Canaries that wait, each a second longer than the next."""
    return tuple(Queued(at(number), key(name, namespace)) for number, name in enumerate(names))


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (12, "12th"),
        (13, "13th"),
        (22, "22nd"),
        (111, "111th"),
    ],
)
def test_ordinal_is_as_people_say_it(number: int, text: str) -> None:
    """Places read as in speech."""
    assert ordinal(number) == text


def test_no_limit_admits_everybody() -> None:
    """Whoever asks may begin."""
    runs = Runs(Limits(), frozenset(map(key, "abc")), queue("d", "e"))
    assert runs.place(LATER, at(99)) is None


def test_first_of_the_queue_is_admitted_for_each_free_run() -> None:
    """As many as are free, in the order of the queue."""
    runs = Runs(Limits(3), frozenset({key("a")}), queue("b", "c", "d"))
    assert admitted(runs) == {key("b"), key("c")}
    assert runs.place(key("d"), at(2)) == Place(3, 3, 3)
    assert str(runs.place(LATER, at(99))) == "4th of 4, limit 3"


def test_lowered_limit_admits_nobody_until_enough_have_ended() -> None:
    """More under way than allowed leaves no room, and takes none away."""
    assert admitted(Runs(Limits(1), frozenset(map(key, "abc")), queue("d"))) == frozenset()


def test_full_namespace_is_passed_over() -> None:
    """A namespace that has its share keeps nobody of another one waiting, and tells its own queue."""
    waiting = (*queue("b", "c"), Queued(at(9), key("x", "office")))
    runs = Runs(Limits(9, 1), frozenset({key("a")}), waiting)
    assert admitted(runs) == {key("x", "office")}
    assert str(runs.place(key("c"), at(1))) == "2nd of 2 in namespace shop, limit 1"


def test_equal_times_are_ordered_by_name() -> None:
    """Two changes of one moment do not both come first."""
    runs = Runs(Limits(1), frozenset(), tuple(sorted(Queued(at(0), key(name)) for name in "ba")))
    assert admitted(runs) == {key("a")}


def decided(world: Snapshot, seconds: float) -> CanaryStatus:
    """Return the status after a decision."""
    return new_status(world, decide(world, (), at(seconds)))


KEYS = st.builds(key, st.sampled_from("abcdefgh"), st.sampled_from(("shop", "office")))


@given(st.integers(0, 4), st.integers(0, 3), st.frozensets(KEYS), st.dictionaries(KEYS, st.integers(0, 5)))
def test_admitted_fill_the_limits_and_never_more(
    together: int, of_each: int, under_way: frozenset[CanaryKey], since: dict[CanaryKey, int]
) -> None:
    """Whatever runs and waits: room is used up, limits hold, and who is not admitted has a place with a reason."""
    waiting = tuple(sorted(Queued(at(when), one) for one, when in since.items() if one not in under_way))
    runs = Runs(Limits(together, of_each), under_way, waiting)
    begin = admitted(runs)
    for one in waiting:
        place = runs.place(one.key, one.since)
        assert (place is None) == (one.key in begin or not runs.limits)
    if together:
        assert len(begin) <= max(0, together - len(under_way))
    for namespace in ("shop", "office"):
        mine, new = _in(under_way, namespace), _in(begin, namespace)
        assert not of_each or not new or mine + new <= of_each
        left = [one for one in waiting if one.key not in begin and one.key.namespace == namespace]
        if left and runs.limits:
            assert (together and len(under_way) + len(begin) >= together) or (of_each and mine + new >= of_each)


def _in(keys: Iterable[CanaryKey], namespace: str) -> int:
    return sum(one.namespace == namespace for one in keys)


def test_change_without_a_free_run_waits_and_begins_when_one_is_free() -> None:
    """The decision rests on what is under way: Waiting since the change was seen, then Progressing."""
    full = Runs(Limits(1), frozenset({LATER}))
    world = replace(idle(target=new_target()), runs=full)
    status = decided(world, 0)
    assert (status.phase, status.queued_at, status.revisions.pending) == (Phase.WAITING, at(0), B)
    assert status.message == f"Revision {B} is waiting for a free run: 1st of 1, limit 1"
    waiting = with_status(world, status)
    assert decided(waiting, 5) == status
    begun = decided(replace(waiting, runs=Runs(Limits(1))), 6)
    assert (begun.phase, begun.queued_at, begun.revisions.candidate) == (Phase.PROGRESSING, None, B)


def test_run_under_way_holds_its_place_and_a_way_back_none() -> None:
    """What counts: every phase of a run, but not of one that takes a release back."""
    status = idle().status
    counted = [phase for phase in Phase if holds_run(status.model_copy(update={"phase": phase}))]
    assert counted == [Phase.PROGRESSING, Phase.WAITING_PROMOTION, Phase.PROMOTING, Phase.FINALISING]
    run = Run(started_at=at(0) - timedelta(seconds=1), size=1, undoes="abc")
    back = status.model_copy(update={"phase": Phase.PROGRESSING, "run": run})
    assert not holds_run(back)
    assert OWN not in admitted(Runs(Limits(1), frozenset({OWN})))
