"""The user's autoscaler: what is written to it, what is remembered, and what the user edits meanwhile."""

from __future__ import annotations

import json
from typing import Any

import pytest

from canary.core.names import CHANGED, OWNER
from canary.core.objects import apply_merge_patch
from canary.core.scaler import Hold, Scaler
from tests.builders import KEY, NAMES, OWNER_MARK, managed
from tests.scalers import scaled_object, scaler


def hold(found: Scaler, floor: int = 0, low: int | None = None, high: int | None = None, **queries: str) -> Scaler:
    """Return an autoscaler after it was let scale the primary, within the user's bounds unless told otherwise."""
    asked = found.asked_bounds
    wanted = Hold(asked[0] if low is None else low, high or asked[1], floor, queries)
    return patched(found, found.held(NAMES, OWNER_MARK, wanted))


def patched(found: Scaler, patch: dict[str, Any]) -> Scaler:
    """Return an autoscaler after a patch of ours."""
    return Scaler(apply_merge_patch(found.raw, patch), found.fields)


def edited(found: Scaler, **spec: Any) -> Scaler:
    """Return an autoscaler after its user changed the spec."""
    return patched(found, {"spec": spec})


def remembered(found: Scaler) -> dict[str, Any]:
    """Return what the annotation keeps."""
    kept: dict[str, Any] = json.loads(found.raw["metadata"]["annotations"][CHANGED])
    return kept


def test_held_autoscaler_scales_the_primary_within_the_users_bounds() -> None:
    """Only the name of what it scales is changed, and the mark says whose it is."""
    before = scaler(metrics=[{"type": "Resource"}])
    held = hold(before)
    assert held.target == "catalog-primary"
    assert held.spec == {**before.spec, "scaleTargetRef": {**before.spec["scaleTargetRef"], "name": "catalog-primary"}}
    assert held.bears_mark_of(KEY)
    assert remembered(held) == {"scaleTargetRef": "catalog"}


def test_held_autoscaler_is_written_once() -> None:
    """What is as it should be is not written again (I19)."""
    for floor in (0, 5):
        held = hold(scaler(), floor)
        assert held.held(NAMES, OWNER_MARK, Hold(2, 9, floor, {})) == {}


def test_floor_raises_the_smallest_size_and_is_taken_back() -> None:
    """In a run the primary may not shrink; afterwards the user's value is back."""
    raised = hold(scaler(low=2), floor=5)
    assert raised.spec["minReplicas"] == 5
    assert raised.asked_bounds == (2, 9)
    assert remembered(raised)["minReplicas"] == {"was": 2, "set": 5}
    assert hold(raised).spec["minReplicas"] == 2
    assert hold(raised, floor=6).asked_bounds == (2, 9)


@pytest.mark.parametrize(("floor", "expected"), [(1, 2), (2, 2), (9, 9), (12, 9)])
def test_floor_stays_within_the_users_bounds(floor: int, expected: int) -> None:
    """A floor below the smallest size changes nothing, one above the largest is cut to it."""
    assert hold(scaler(low=2, high=9), floor).spec["minReplicas"] == expected


@pytest.mark.parametrize(("low", "expected"), [(1, 5), (3, 5), (7, 7)])
def test_smallest_size_edited_in_a_run_is_the_one_restored(low: int, expected: int) -> None:
    """The user's newer value counts, during the run as far as it may and afterwards alone (W49)."""
    again = hold(edited(hold(scaler(low=2), floor=5), minReplicas=low), floor=5)
    assert again.spec["minReplicas"] == expected
    assert again.asked_bounds == (low, 9)
    assert hold(again).spec["minReplicas"] == low


def test_value_applied_that_happens_to_be_ours_is_the_users() -> None:
    """Who applies the very size that stands there owns the field from then on."""
    raised = hold(scaler(low=2), floor=5)
    entry = managed("kustomize-controller", field="f:minReplicas")
    owned = patched(raised, {"metadata": {"managedFields": entry}})
    assert owned.asked_bounds == (5, 9)
    assert hold(owned).spec["minReplicas"] == 5


def test_bounds_of_the_canary_replace_those_of_the_user() -> None:
    """primaryScalerReplicas sets both; the user's are remembered and come back."""
    held = hold(scaler(low=2, high=9), low=3, high=4)
    assert (held.spec["minReplicas"], held.spec["maxReplicas"]) == (3, 4)
    assert held.asked_bounds == (2, 9)
    back = patched(held, held.given_back(NAMES))
    assert (back.spec["minReplicas"], back.spec["maxReplicas"], back.target) == (2, 9, "catalog")


def test_given_back_autoscaler_is_as_its_user_wrote_it() -> None:
    """Whatever was changed is changed back, marks go, and what the user edited meanwhile stays."""
    before = scaler(metrics=[{"type": "Resource"}])
    held = hold(before, floor=5)
    assert patched(held, held.given_back(NAMES)).spec == before.spec
    assert patched(held, held.given_back(NAMES)).raw["metadata"]["annotations"] == {}
    changed = edited(held, minReplicas=3, maxReplicas=7)
    assert patched(changed, changed.given_back(NAMES)).asked_bounds == (3, 7)


def test_unreadable_memory_counts_as_none() -> None:
    """An annotation edited by hand breaks nothing: what stands there is the user's."""
    for text in ("{", "[]", '{"minReplicas": 3}', '{"minReplicas": {"was": "x", "set": 5}, "metrics": {"was": 1}}'):
        found = patched(hold(scaler(low=2), floor=5), {"metadata": {"annotations": {CHANGED: text}}})
        assert found.asked_bounds == (5, 9)
        assert patched(found, found.given_back(NAMES)).target == "catalog"


def test_autoscaler_of_another_kind_of_target_gets_the_primary_whole() -> None:
    """One whose scaleTargetRef was changed to a StatefulSet scales the Deployment again."""
    astray = hold(edited(hold(scaler()), scaleTargetRef={"apiVersion": "x/v1", "kind": "StatefulSet"}))
    pointed = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "catalog-primary"}
    assert astray.spec["scaleTargetRef"] == pointed


def test_scaled_object_keeps_what_its_user_left_out() -> None:
    """KEDA's bounds have defaults of their own, which are not written down; idle sizes wait for the run's end."""
    before = scaled_object(idleReplicaCount=0)
    held = hold(before)
    assert held.spec == {**before.spec, "scaleTargetRef": {"name": "catalog-primary"}}
    raised = hold(held, floor=4)
    assert (raised.spec["minReplicaCount"], raised.asked_bounds) == (4, (0, 100))
    assert "idleReplicaCount" not in raised.spec
    assert hold(raised).spec == held.spec
    assert patched(raised, raised.given_back(NAMES)).spec == before.spec


def test_canarys_autoscaler_is_like_the_users_and_ours() -> None:
    """It has the user's metrics and largest size, and none of the user's marks."""
    made = hold(scaler(metrics=[{"type": "Resource"}]), floor=3).for_canary(NAMES, OWNER_MARK, 5, 9)
    assert made["metadata"]["name"] == "catalog-canary"
    assert made["metadata"]["annotations"][OWNER] == OWNER_MARK.to_text()
    assert CHANGED not in made["metadata"]["annotations"]
    pointed = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "catalog-canary"}
    bounds = {"minReplicas": 5, "maxReplicas": 9}
    assert made["spec"] == {"scaleTargetRef": pointed, **bounds, "metrics": [{"type": "Resource"}]}


def test_canarys_scaled_object_never_idles_and_names_no_autoscaler_of_others() -> None:
    """A canary that carries everything is never taken to an idle size; KEDA names its autoscaler itself."""
    advanced = {"horizontalPodAutoscalerConfig": {"name": "mine", "behavior": {}}}
    made = scaled_object(idleReplicaCount=0, advanced=advanced).for_canary(NAMES, OWNER_MARK, 3, 100)
    assert "idleReplicaCount" not in made["spec"]
    assert made["spec"]["minReplicaCount"] == 3
    assert made["spec"]["advanced"]["horizontalPodAutoscalerConfig"] == {"behavior": {}}
    assert made["spec"]["triggers"] == scaled_object().spec["triggers"]


QUERY, OURS, NEWER = "sum(rate(requests[1m]))", "sum(rate(primary[1m]))", "sum(rate(newer[1m]))"


def triggers(*queries: str) -> list[dict[str, Any]]:
    """Return triggers of these queries; the first one is named."""
    found = [{"type": "prometheus", "metadata": {"query": query, "threshold": "5"}} for query in queries]
    return [{**one, "name": "rps"} if number == 0 else one for number, one in enumerate(found)]


def test_queries_of_the_canary_replace_those_of_triggers_by_name() -> None:
    """Only while the Canary is there; the trigger without a name keeps its own."""
    before = scaled_object(triggers=triggers(QUERY, QUERY))
    held = hold(before, rps=OURS)
    assert held.spec["triggers"] == triggers(OURS, QUERY)
    assert hold(held, rps=OURS) == held
    assert remembered(held)["queries"] == {"rps": {"was": QUERY, "set": OURS}}
    assert hold(held).spec["triggers"] == triggers(QUERY, QUERY)
    assert patched(held, held.given_back(NAMES)).spec == before.spec


def test_query_edited_meanwhile_is_the_one_restored() -> None:
    """The user's newer triggers count, of which the named one goes on with the Canary's query (W49)."""
    before = hold(scaled_object(triggers=triggers(QUERY)), rps=OURS)
    held = hold(edited(before, triggers=triggers(NEWER, QUERY)), rps=OURS)
    assert held.spec["triggers"] == triggers(OURS, QUERY)
    assert patched(held, held.given_back(NAMES)).spec["triggers"] == triggers(NEWER, QUERY)


def test_canarys_scaled_object_asks_as_the_users() -> None:
    """The queries for the primary are not for the canary."""
    held = hold(scaled_object(triggers=triggers(QUERY)), rps=OURS)
    assert held.for_canary(NAMES, OWNER_MARK, 2, 9)["spec"]["triggers"] == triggers(QUERY)
