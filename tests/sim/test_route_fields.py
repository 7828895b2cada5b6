"""What spec.service names for its routes is on each of them, in each phase of each strategy (R-RES-1)."""

from __future__ import annotations

from typing import Any

import pytest

from canary.core.objects import Object
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import STAFF, Scenario, initialise, listing_5_1, release
from tests.sim.schedules import PLANS
from tests.sim.stories import ROUTE, V2

CARRIED: dict[str, Any] = {
    "timeout": "1500ms",
    "retries": {"attempts": 3, "perTryTimeout": "400ms", "retryOn": "5xx"},
    "rewrite": {"uri": "/v1/", "authority": "shop"},
    "headers": {"request": {"set": {"x-by": "mesh"}}, "response": {"add": {"x-shop": "1"}, "remove": ["server"]}},
    "corsPolicy": {"allowOrigins": [{"exact": "*"}], "maxAge": "24h"},
    "fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 0.1}}},
}
MATCH = [{"uri": {"prefix": "/"}, "withoutHeaders": {"x-bot": {}}}, {"port": 8080}]


def wanted(analysis: dict[str, Any], spec: dict[str, Any]) -> Scenario:
    """Return a release by one plan whose route carries all that spec.service can name."""
    canary = listing_5_1(**{"interval": "5s", "drainSeconds": 1, "stepWeight": None, "maxWeight": None, **analysis})
    canary["spec"] |= spec
    canary["spec"]["service"] |= {**CARRIED, "match": MATCH}
    return Scenario(canary, replicas=2, cohorts=[STAFF])


def asks_for_both(condition: dict[str, Any]) -> bool:
    """Return whether a condition asks for all that one of spec.service's does."""
    return any(one.items() <= condition.items() for one in MATCH)


def check(route: Object) -> set[str]:
    """Expect the fields on every route; return the names of the routes."""
    for entry in route["spec"]["http"]:
        assert {name: entry.get(name) for name in CARRIED} == CARRIED, entry["name"]
        assert entry["match"] == MATCH or all(map(asks_for_both, entry["match"])), entry["name"]
        assert len(entry["match"]) == len(MATCH), entry["name"]
    (shared,) = (entry for entry in route["spec"]["http"] if entry["name"] == "weighted")
    assert shared["match"] == MATCH
    return {entry["name"] for entry in route["spec"]["http"]}


@pytest.mark.parametrize("number", range(len(PLANS)), ids=lambda number: str(list(PLANS[number][0])[-1]))
def test_fields_are_the_same_on_every_route_in_every_phase(number: int) -> None:
    """Beside cohorts, cookies, copies and weights, from the first version of the VirtualService to the last."""
    analysis, spec = PLANS[number]
    scenario = wanted(analysis, spec)

    async def story(sim: Simulation) -> None:
        await initialise(sim, scenario)
        await release(sim, scenario, V2)
        await sim.until_phase("Succeeded", 600)
        await sim.rest(60)
        seen = [one.after for one in sim.history.changes if one.ref == ROUTE and one.after is not None]
        names = set[str]().union(*map(check, seen))
        assert any(name.startswith("canary-cohort") for name in names) == ("match" in str(analysis))
        assert any(name.startswith("canary-session") for name in names) == ("sessionAffinity" in analysis)
        assert any("mirror" in str(one["spec"]) for one in seen) == ("mirror" in str(analysis))

    simulate(story, seed=number)
