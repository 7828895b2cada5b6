"""A promotion in place: when the primary rolls under its share, and what becomes of traffic meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from canary.api.canary import Promotion
from canary.api.status import Phase
from canary.core.decide import decide, questions
from canary.core.names import ROLE_LABEL
from canary.core.snapshot import Snapshot
from tests.answers import good
from tests.builders import (
    NAMES,
    V1,
    V2,
    apex,
    at,
    clone,
    deployment,
    idle,
    new_target,
    promoting,
    promotion_failed,
    rolled,
    route,
    running,
    spec_of,
    weights_of,
)

PRIMARY, CANARY = NAMES.workload("primary"), NAMES.workload("canary")
CHANGES = {"spec.promotion": Promotion(strategy="InPlace").model_dump(mode="json", by_alias=True)}
RECREATE = {"type": "Recreate"}


def rolling(surge: int | str, unavailable: int | str) -> dict[str, Any]:
    """Return a strategy of rolling updates."""
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}


def look(world: Snapshot, seconds: float = 1) -> Any:
    """Return what is decided on a moment when all questions are answered well."""
    return decide(world, good(questions(world, at(seconds))), at(seconds))


def split(**parts: Any) -> Snapshot:
    """Return the promotion at the last weight of 50 %, with the canary at the size of its share."""
    parts = {"route": route(50), "apex": apex("primary"), "candidate": clone("canary", V2, 1), **parts}
    return promoting(50, changes=CHANGES, **parts)


@pytest.mark.parametrize(
    ("size", "strategy", "keeps"),
    [
        (1, None, True),
        (1, rolling(0, 1), False),
        (1, rolling(0, 0), False),
        (1, rolling(1, 0), True),
        (4, rolling("25%", "100%"), False),
        (4, rolling(0, "99%"), True),
        (2, rolling(0, 2), False),
        (4, RECREATE, False),
    ],
)
def test_primary_rolls_in_place_only_when_it_keeps_pods(size: int, strategy: Any, keeps: bool) -> None:
    """As Kubernetes counts: maxSurge is rounded up, maxUnavailable down, and at least one pod has to move."""
    fields = {"strategy": strategy} if strategy else {}
    assert deployment(replicas=size, **fields).keeps_serving(size) is keeps
    world = split(primary=clone("primary", V1, size, **fields), candidate=clone("canary", V2, size))
    assert ("template" in spec_of(look(world).actions, PRIMARY)) is keeps


def test_roll_waits_for_the_last_weight_to_be_read_back() -> None:
    """The primary gets nothing while the routes show another share."""
    assert "template" in spec_of(look(split()).actions, PRIMARY)
    assert "template" not in spec_of(look(split(route=route(40))).actions, PRIMARY)


def test_canary_keeps_the_size_of_its_share() -> None:
    """Neither the last step nor the promotion asks for more of it."""
    last = running(50, changes=CHANGES, pods=1)
    assert spec_of(look(last).actions, CANARY) == {}
    assert spec_of(look(split()).actions, CANARY) == {}
    assert spec_of(look(running(50, pods=1)).actions, CANARY) == {"replicas": 2}


@pytest.mark.parametrize("strategy", [RECREATE, rolling(0, "100%")])
def test_primary_that_rolls_in_place_keeps_the_strategy_it_began_with(strategy: dict[str, Any]) -> None:
    """One that would end all its pods at once is not followed meanwhile; other settings of the target are."""
    target = new_target(V2, strategy=strategy, minReadySeconds=7)
    begun = split(primary=rolled(ready=1, updated=1), target=target)
    assert spec_of(look(begun).actions, PRIMARY) == {"minReadySeconds": 7}
    failed = promotion_failed(changes=CHANGES, route=route(50), apex=apex("primary"), target=target)
    assert spec_of(look(failed).actions, PRIMARY) == {"minReadySeconds": 7}
    assert spec_of(look(idle(changes=CHANGES, target=target)).actions, PRIMARY)["strategy"] == strategy


def test_primary_that_fails_on_its_way_back_gets_no_more_than_it_had() -> None:
    """All goes to the canary, once it has the pods for it."""
    world = promotion_failed(changes=CHANGES, route=route(30), apex=apex("primary"), primary=rolled())
    small = replace(world, candidate=clone("canary", V2, 2, ready=1))
    assert weights_of((*look(small).urgent, *look(small).actions)) is None
    assert weights_of(look(world).actions) == (0, 100)


@pytest.mark.parametrize(("pods", "ready", "weights"), [(2, 1, None), (2, 2, (0, 100)), (2, 0, (100, 0))])
def test_failed_roll_moves_traffic_once_the_canary_can_carry_it(pods: int, ready: int, weights: Any) -> None:
    """Until then both keep their shares, unless the canary has lost its own."""
    candidate = clone("canary", V2, pods, ready=ready)
    world = promotion_failed(changes=CHANGES, route=route(50), apex=apex("primary"), candidate=candidate)
    decision = look(world)
    assert weights_of((*decision.urgent, *decision.actions)) == weights


def test_cut_over_that_began_goes_on_after_an_edit() -> None:
    """A primary that rolls without traffic gets none back because somebody asks for InPlace then."""
    world = promoting(changes=CHANGES, primary=rolled(ready=1, updated=1))
    decision = look(world)
    assert weights_of(decision.actions) is None
    assert (decision.status or world.status).phase is Phase.PROMOTING
    assert not any(ROLE_LABEL in str(a.body) for a in decision.actions if a.ref == NAMES.apex_ref)
