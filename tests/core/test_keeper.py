"""The Service that keeps the target's pods served by their own sidecars while production leaves them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.status import CanaryStatus
from canary.core.actions import Create, Delete
from canary.core.converge.keeper import keeper_ends
from canary.core.decide import decide, questions
from canary.core.objects import SERVICE
from canary.core.service_obstacles import foreign_service
from canary.core.snapshot import Snapshot
from canary.core.view import View
from tests.answers import good
from tests.builders import NAMES, apex, at, clone, deleted, deployment, idle, route, running, service, with_status
from tests.core.test_advance_phases import SERVICES, initialising

KEEPER = service("catalog-target")
GONE = Delete(NAMES.keeper, "uid-catalog-target", "40", "Service of the target")


def look(world: Snapshot, seconds: float) -> Any:
    """Decide at a moment in a healthy world."""
    return decide(world, good(questions(world, at(seconds))), at(seconds))


def test_target_keeps_a_service_before_the_apex_leaves_it() -> None:
    """Made before the first write that turns traffic, over all of the user's pods, on the same ports."""
    world = initialising(primary=clone("primary"), **{**SERVICES, "keeper": None})
    refs = [action.ref for action in look(world, 1).actions]
    made = next(a for a in look(world, 1).actions if a.ref == NAMES.keeper)
    assert isinstance(made, Create)
    assert made.body["spec"]["selector"] == {"app": "catalog"}
    assert made.body["spec"]["ports"] == SERVICES["primary_service"]["spec"]["ports"]
    assert refs.index(NAMES.keeper) < min(refs.index(NAMES.apex_ref), refs.index(NAMES.route_ref))


def test_nothing_is_kept_for_a_target_without_pods() -> None:
    """There is nobody whom callers could still reach."""
    empty = deployment(replicas=0, generation=2)
    handed = {"route": route(0), "apex": apex("primary"), "target": empty}
    world = initialising(primary=clone("primary"), **{**SERVICES, "keeper": None}, **handed)
    assert NAMES.keeper not in {action.ref for action in look(world, 1).actions}


@pytest.mark.parametrize(("seconds", "goes"), [(29, False), (30, True)])
def test_it_goes_two_settle_times_after_the_initialisation(seconds: float, goes: bool) -> None:
    """The target's last pods are still ending at first; nobody has to wake anybody for it."""
    decision = look(idle(keeper=KEEPER), seconds)
    assert (GONE in decision.actions) is goes
    if not goes:
        assert decision.requeue_after.total_seconds() == 30 - seconds


def test_nobody_looks_again_for_it_before_there_is_a_status() -> None:
    """A Canary whose status was erased writes one first; without a settle time that would be a busy loop."""
    world = with_status(idle(keeper=KEEPER), CanaryStatus())
    assert keeper_ends(View(world, (), at(60))) is None


def test_that_of_somebody_else_is_left_alone() -> None:
    """A Service of the user's has the name: it is neither deleted nor taken for ours."""
    theirs = service("catalog-target", ours=False)
    decision = look(idle(keeper=theirs), 99)
    assert NAMES.keeper not in {action.ref for action in decision.actions}
    assert decision.requeue_after is None


@pytest.mark.parametrize(("found", "why"), [(KEEPER, None), (service("catalog-target", ours=False), "ForeignService")])
def test_ours_stands_in_the_way_of_no_run(found: dict[str, Any], why: str | None) -> None:
    """It selects the canary's pods too, but nobody calls it."""
    world = running(0)
    world = replace(world, neighbours=replace(world.neighbours, services=(found,)))
    obstacle = foreign_service(View(world, (), at(1)))
    assert (obstacle.reason if obstacle else None) == why


def test_it_goes_with_everything_else_of_a_deleted_canary() -> None:
    """Nothing of ours is left."""
    world = deleted(idle(keeper=KEEPER, target=deployment(annotations={}), apex=apex("", adopted=False), route=None))
    world = replace(world, primary=None, candidate=None)
    deletes = {a.ref for a in look(world, 60).actions if isinstance(a, Delete) and a.ref.resource == SERVICE}
    assert NAMES.keeper in deletes
