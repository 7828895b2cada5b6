"""Whatever a Canary says, in whatever phase: it is refused in a sentence or decided on, and never ends a reconcile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from canary.api.admission import refusals, template_refusals
from canary.api.canary import Canary
from canary.core.decide import decide, needs_protection, questions
from canary.core.snapshot import Snapshot
from tests.api.mutations import Manifest, mutated_canaries, mutated_templates
from tests.builders import (
    NOW,
    finalising,
    idle,
    new_status,
    new_target,
    promoting,
    promotion_failed,
    running,
    untouched,
)

WORLDS = {
    "untouched": untouched(),
    "idle": idle(),
    "changed": idle(target=new_target()),
    "running": running(),
    "promoting": promoting(),
    "finalising": finalising(),
    "promotion failed": promotion_failed(),
}
REFUSED: list[Manifest] = []
TAKEN: list[Manifest] = []
for _one in mutated_canaries(300):
    (REFUSED if refusals(_one) else TAKEN).append(_one)


def stored(world: str, manifest: Manifest) -> Snapshot:
    """Return a world whose Canary was stored with another specification."""
    snapshot = WORLDS[world]
    assert snapshot.canary is not None
    refused = tuple(str(one) for one in refusals(manifest))
    spec = None if refused else Canary.parse(manifest).spec
    return replace(snapshot, canary={**snapshot.canary, "spec": manifest["spec"]}, spec=spec, refusals=refused)


@pytest.mark.parametrize("world", WORLDS)
def test_refused_canary_that_was_stored_is_told_and_touches_no_serving_object(world: str) -> None:
    """An older definition may have let it in: the condition has our sentence, and a release goes no further."""
    for manifest in REFUSED:
        snapshot = stored(world, manifest)
        questions(snapshot, NOW)
        needs_protection(snapshot, NOW)
        decision = decide(snapshot, (), NOW)
        ready = {c.type: c for c in new_status(snapshot, decision).conditions}["Ready"]
        assert (ready.status, bool(ready.message)) == ("False", True), manifest
        if world in ("untouched", "idle", "changed"):
            assert decision.actions == (), manifest


@pytest.mark.parametrize("world", WORLDS)
def test_odd_canary_that_is_taken_is_decided_on(world: str) -> None:
    """What the definition lets in can be run, or its obstacle is told."""
    assert len(TAKEN) > 30
    for manifest in TAKEN:
        snapshot = stored(world, manifest)
        questions(snapshot, NOW)
        needs_protection(snapshot, NOW)
        new_status(snapshot, decide(snapshot, (), NOW))


def test_odd_templates_are_taken_or_refused_in_a_sentence() -> None:
    """Each refusal says what is wrong where."""
    found = [template_refusals(manifest) for manifest in mutated_templates(300)]
    assert [one.message for refused in found for one in refused if not one.message or not one.field] == []
    assert 0 < sum(not refused for refused in found) < len(found)
