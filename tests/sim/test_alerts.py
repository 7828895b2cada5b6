"""Alerts of whole runs: each cause once, over restarts and changes of leader, and never in the way of a release."""

from __future__ import annotations

from typing import Any

import pytest

from canary.core.objects import Object
from canary.sim.alerter import ON_CALL, alert_provider
from canary.sim.behaviour import Behaviour
from canary.sim.driver import Simulation, simulate
from canary.sim.faults import MetricsFault
from canary.sim.outcome import wrong_at_rest
from canary.sim.scenario import Scenario, initialise
from tests.sim.stories import NAMESPACE, V2, V3, condition, harmed, ours, quick
from tests.sim.test_hooks import URL, hook


def provider(name: str = ON_CALL) -> Object:
    """Return an AlertProvider."""
    return alert_provider(quick().canary, name)


def alert(severity: str = "", name: str = ON_CALL) -> dict[str, Any]:
    """Return one alert of a Canary."""
    return {"name": name, "severity": severity, "providerRef": {"name": name}}


async def told(
    sim: Simulation, *alerts: dict[str, Any], providers: tuple[Object, ...] = (), **analysis: Any
) -> Scenario:
    """Initialise a Canary that alerts by these, or by one who wants to hear of all."""
    scenario = quick(alerts=list(alerts or [alert()]), **analysis)
    scenario.providers = providers or (provider(),)
    await initialise(sim, scenario)
    return scenario


def said(sim: Simulation) -> list[tuple[str, str]]:
    """Return severity and reason of what was sent, in order."""
    return [(one.severity, str(one.payload["reason"])) for one in sim.alerter.sent]


GOOD = [("info", "Initialized"), ("info", "RevisionDetected"), ("info", "Promoted")]


def test_good_release_is_told_by_three_alerts() -> None:
    """Its beginning and its end, after that the Canary is ready; what a person on call needs is in them."""

    async def story(sim: Simulation) -> None:
        scenario = await told(sim)
        sim.user.apply(scenario.revised(V2))
        await sim.until_phase("Succeeded")
        await sim.rest(900)
        assert said(sim) == GOOD
        last = sim.alerter.sent[-1]
        assert len({one.id for one in sim.alerter.sent}) == 3
        facts = dict(last.facts)
        assert facts["Target"] == "Deployment catalog"
        assert facts["Revision"] == sim.status()["lastPromotedSpec"]
        assert facts["Traffic"] == "100 % primary, 0 % canary"
        assert (facts["Phase"], facts["Failed checks"]) == ("Succeeded", "0 of 5")
        payload = last.payload
        assert (payload["name"], payload["namespace"], payload["phase"]) == ("catalog-release", NAMESPACE, "Succeeded")
        assert payload["metadata"]["eventMessage"] == last.message == payload["message"]
        assert (payload["primary"], payload["canary"]) == (
            {"name": "catalog-primary", "weight": 100},
            {"name": "catalog-canary", "weight": 0},
        )
        assert (wrong_at_rest(sim, scenario), condition(sim, "Ready")["reason"]) == (None, "Served")

    simulate(story)


def test_severity_chooses_who_is_told() -> None:
    """From which one on; a provider that two alerts name hears of it once."""

    async def story(sim: Simulation) -> None:
        names = ("all", "warn", "error")
        alerts = [alert("", "all"), alert("info", "all"), alert("warn", "warn"), alert("error", "error")]
        scenario = await told(sim, *alerts, providers=tuple(map(provider, names)))
        sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        sim.user.apply(scenario.revised(V2))
        await sim.until_phase("Failed")
        await sim.rest(900)
        heard = {
            name: [one.payload["reason"] for one in sim.alerter.sent if one.provider.name == name] for name in names
        }
        assert heard == {
            "all": ["Initialized", "RevisionDetected", "RolledBack"],
            "warn": ["RolledBack"],
            "error": ["RolledBack"],
        }

    simulate(story)


@pytest.mark.parametrize("electing", [0, 2])
def test_restarts_tell_nothing_twice(electing: int) -> None:
    """A controller that is killed every few seconds, or its leader: each cause is told once."""

    async def story(sim: Simulation) -> None:
        scenario = await told(sim)
        sim.behaviours.put(Behaviour(errors=50.0), image=V2)
        sim.user.apply(scenario.revised(V2))
        for _ in range(12):
            await sim.rest(21 if electing else 7)
            sim.kill_controller()
            await sim.rest(2)
            sim.start_controller()
        await sim.until_phase("Failed")
        await sim.rest(900)
        assert said(sim) == [*GOOD[:2], ("error", "RolledBack")]

    simulate(story, electing=electing)


def test_gate_that_is_shut_is_told_once_for_each_opening() -> None:
    """Not each interval, not by the next process; again for another revision, which somebody has to let in."""

    async def story(sim: Simulation) -> None:
        sim.hooks.states[URL] = "closed"
        scenario = await told(sim, webhooks=[hook("confirm-rollout")])
        sim.user.apply(scenario.revised(V2))
        await sim.rest(300)
        await sim.restart_controller(5)
        await sim.rest(300)
        assert said(sim)[1:] == [("warn", "GateClosed")]
        sim.user.apply(scenario.revised(V3))
        await sim.rest(300)
        assert said(sim)[1:] == [("warn", "GateClosed")] * 2
        sim.hooks.states[URL] = "open"
        await sim.until_phase("Succeeded")
        await sim.rest(1)
        assert said(sim)[3:] == GOOD[1:]

    simulate(story)


def test_outage_of_metrics_is_told_once_and_the_release_goes_on() -> None:
    """Half an hour without an answer: one alert after ten minutes, nothing is rolled back."""

    async def story(sim: Simulation) -> None:
        scenario = await told(sim)
        sim.user.apply(scenario.revised(V2))
        await sim.until_weight(25)
        sim.faults.metrics.append(MetricsFault("down", sim.now, sim.now + 1800))
        await sim.rest(500)
        assert said(sim) == GOOD[:2]
        await sim.rest(1250)
        assert said(sim) == [*GOOD[:2], ("warn", "MetricsMissing")]
        await sim.until_phase("Succeeded")
        await sim.rest(1)
        assert (said(sim)[3:], harmed(sim)) == (GOOD[2:], 0)

    simulate(story)


def test_provider_that_is_missing_is_a_warning() -> None:
    """Ready, with a reason that names it; the release goes on, and what comes after is told."""

    async def story(sim: Simulation) -> None:
        scenario = await told(sim, providers=(provider("other"),))
        ready = condition(sim, "Ready")
        assert (ready["status"], ready["reason"]) == ("True", "AlertsUndelivered")
        assert f"AlertProvider {NAMESPACE}/on-call not found; create it, or correct providerRef" in ready["message"]
        sim.user.apply(scenario.revised(V2))
        await sim.until_weight(50)
        sim.user.apply(provider())
        await sim.until_phase("Succeeded")
        await sim.rest(1)
        assert said(sim) == GOOD[2:]
        assert condition(sim, "Ready")["reason"] == "Served"

    simulate(story)


def test_alerts_that_do_not_arrive_are_a_warning_until_one_does() -> None:
    """Also after a restart, which writes nothing; the release is not delayed."""

    async def story(sim: Simulation) -> None:
        why = f"AlertProvider {NAMESPACE}/on-call has no address: Secret {NAMESPACE}/url has no key address; add it"
        sim.alerter.faults[ON_CALL] = why
        scenario = await told(sim)
        await sim.rest(2)
        ready = condition(sim, "Ready")
        assert (ready["status"], ready["reason"]) == ("True", "AlertsUndelivered")
        assert f"the last alert did not arrive: {why}" in ready["message"]
        await sim.restart_controller(1)
        since = sim.now
        await sim.rest(300)
        assert ours(sim, since) == []
        assert condition(sim, "Ready")["reason"] == "AlertsUndelivered"
        del sim.alerter.faults[ON_CALL]
        sim.user.apply(scenario.revised(V2))
        await sim.until_phase("Progressing")
        await sim.rest(2)
        assert condition(sim, "Ready")["reason"] == "Served"
        assert "undelivered" not in sim.status() or sim.status()["undelivered"] == []
        await sim.until_phase("Succeeded")
        await sim.rest(1)
        assert wrong_at_rest(sim, scenario) is None

    simulate(story)


def test_spec_that_cannot_be_used_any_more_is_told() -> None:
    """Whom to tell is read of it all the same."""

    async def story(sim: Simulation) -> None:
        scenario = await told(sim)
        sim.user.apply(scenario.revised(V2))
        await sim.until_weight(25)
        sim.user.edit(scenario.ref, {"spec": {"analysis": {"threshold": 0}}})
        await sim.until_phase("Failed", 60)
        await sim.rest(300)
        assert said(sim)[2:] == [("error", "RolledBack")]

    simulate(story)
