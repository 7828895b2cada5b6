"""A Canary that somebody edits into something odd and back, at rest and in mid-release: nobody is harmed."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from canary.api.admission import refusals
from canary.core.objects import merge_patch
from canary.sim.driver import Simulation, simulate
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise, release
from tests.api.mutations import Manifest, mutated_canaries
from tests.sim.stories import V2, found, harmed, quick

SEVERAL = 6
IMMUTABLE = ("name", "virtualService")
"""Fields of ``spec.service`` that no definition lets anybody change, beside ``spec.targetRef``."""


def odd_edits() -> list[Manifest]:
    """Return manifests that an API server takes, or that an older definition did: none has a part of another type."""
    made = mutated_canaries(100, seed=11)
    return [one for one in made if not any("must be of type" in r.message for r in refusals(one))][:SEVERAL]


@pytest.mark.parametrize("in_release", [False, True])
@pytest.mark.parametrize("number", range(SEVERAL))
def test_odd_edit_that_is_taken_back_harms_nobody(number: int, in_release: bool) -> None:
    """Whatever the edit asks for, no rule breaks and no request fails, and afterwards all is whole."""

    async def story(sim: Simulation) -> None:
        scenario = quick()
        await initialise(sim, scenario)
        if in_release:
            await release(sim, scenario, V2)
            await sim.until_weight(25)
            await sim.rest(2)
        before = deepcopy(found(sim, scenario.ref)["spec"])
        replace_spec(sim, scenario, kept_immutable(odd_edits()[number]["spec"], before))
        await sim.rest(45)
        replace_spec(sim, scenario, before)
        await sim.rest(300)
        assert harmed(sim) == 0
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


def replace_spec(sim: Simulation, scenario: Scenario, spec: dict[str, Any]) -> None:
    """Give the Canary another specification."""
    sim.user.edit(scenario.ref, {"spec": merge_patch(found(sim, scenario.ref)["spec"], spec)})


def kept_immutable(spec: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Return a specification with what nobody can change as it was."""
    kept = {key: before["service"][key] for key in IMMUTABLE if key in before["service"]}
    changed = {key: value for key, value in (spec.get("service") or {}).items() if key not in IMMUTABLE}
    return {**spec, "targetRef": before["targetRef"], "service": {**changed, **kept}}
