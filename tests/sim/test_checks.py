"""Custom checks of a release: what they find decides, and what cannot be asked holds it."""

from __future__ import annotations

from typing import Any

import pytest

from canary.core.measurement import CustomQuery
from canary.core.objects import Ref
from canary.sim.checks import ERRORS, ORDERS, custom_metrics, metric_template
from canary.sim.driver import Simulation, simulate
from canary.sim.scenario import Scenario, initialise
from canary.sim.user import User, ref_of_manifest
from tests.sim.stories import PRIMARY as PRIMARY_REF
from tests.sim.stories import V1, V2, condition, harmed, image, quick, steps, weights

FAILED = "Failed"


def checked(**analysis: Any) -> Scenario:
    """Return a quick release that custom checks alone judge."""
    scenario = quick(metrics=custom_metrics(), **analysis)
    scenario.templates = [metric_template(scenario.canary)]
    return scenario


def template_of(scenario: Scenario) -> Ref:
    """Return where the template of a scenario lives."""
    return ref_of_manifest(scenario.templates[0])


async def begun(sim: Simulation, scenario: Scenario) -> None:
    """Initialise a Canary and release V2."""
    await initialise(sim, scenario)
    sim.user.apply(scenario.revised(V2))
    await sim.until_phase("Progressing")


async def at_weight(sim: Simulation, weight: int) -> None:
    """Wait until the release stands at a weight."""
    await sim.until(lambda: sim.state() == ("Progressing", weight), 120, f"{weight} %")


def asked(sim: Simulation, check: str = ERRORS) -> list[tuple[float, str]]:
    """Return when a check asked what."""
    return [(at, one.text) for at, one in sim.measurer.queries if isinstance(one, CustomQuery) and one.check == check]


def verdicts(sim: Simulation) -> dict[str, tuple[str, float | None]]:
    """Return verdict and value of each check."""
    return {one["name"]: (one["verdict"], one.get("value")) for one in sim.status()["checks"]}


def test_healthy_checks_let_a_release_pass() -> None:
    """By template and by query, each with the values of this release; the rows are those of any other."""

    async def story(sim: Simulation) -> None:
        since = sim.now
        scenario = checked()
        await begun(sim, scenario)
        await sim.until_phase("Succeeded")
        phases = [("Progressing", 0), ("Progressing", 25), ("Progressing", 50), ("Promoting", 0), ("Finalising", 0)]
        assert steps(sim, since)[-6:] == [*phases, ("Succeeded", 0)]
        texts = [text for _, text in asked(sim)]
        assert len(texts) == 3  # Once before the first weight, and at each step.
        assert set(texts[1:]) == {
            'sum(rate(errors_total{workload="catalog-canary", code=~"5.."}[9s]))',
            'sum(rate(errors_total{workload="catalog-canary", code=~"5.."}[19s]))',
        }
        assert verdicts(sim) == {ERRORS: ("Pass", 5.0), ORDERS: ("Pass", 10.0)}
        assert harmed(sim) == 0

    simulate(story)


@pytest.mark.parametrize(("check", "bad", "words"), [(ERRORS, 7.5, "7.5 > 5"), (ORDERS, 9.0, "9 < 10")])
def test_unhealthy_check_rolls_back_at_the_threshold(check: str, bad: float, words: str) -> None:
    """Each tick out of the range counts once; at the threshold the release is over, and says why."""

    async def story(sim: Simulation) -> None:
        sim.measurer.numbers[check] = (bad,)
        await begun(sim, checked(threshold=2))
        await sim.until_phase(FAILED)
        assert sim.status()["failedChecks"] == 2
        assert f"{check} {words}" in condition(sim, "Progressing")["message"]
        assert weights(sim) == (100, 0)
        assert image(sim, PRIMARY_REF) == V1

    simulate(story)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ((), "its query found nothing"),
        ((float("nan"),), "what its query found is not a number"),
        ((float("inf"),), "what its query found is not a number"),
    ],
)
def test_check_without_a_number_holds_and_never_fails(numbers: tuple[float, ...], words: str) -> None:
    """Nothing found, NaN and infinity stop the release where it is; it goes on when there is a number."""

    async def story(sim: Simulation) -> None:
        sim.measurer.numbers[ERRORS] = numbers
        await begun(sim, checked(threshold=1))
        await sim.rest(300)
        assert (sim.state()[0], sim.status()["canaryWeight"], sim.status().get("failedChecks", 0)) == (
            "Progressing",
            25,
            0,
        )
        assert condition(sim, "MetricsAvailable")["reason"] == "MetricsMissing"
        assert f"{ERRORS} has no data: {words}" in sim.status()["message"]
        sim.measurer.numbers[ERRORS] = (5.0,)
        await sim.until_phase("Succeeded")
        assert harmed(sim) == 0

    simulate(story)


def test_server_that_does_not_answer_holds_before_the_first_weight() -> None:
    """Nobody is exposed to what nobody can judge."""

    async def story(sim: Simulation) -> None:
        sim.measurer.numbers[ORDERS] = None
        await begun(sim, checked(threshold=1))
        await sim.rest(120)
        assert (sim.state(), weights(sim)) == (("Progressing", 0), (100, 0))
        assert f"{ORDERS} cannot be measured: who is asked refused the connection" in sim.status()["message"]
        sim.measurer.numbers[ORDERS] = (10.0,)
        await sim.until_phase("Succeeded")

    simulate(story)


def test_missing_template_is_told_at_once_and_holds_until_it_is_there() -> None:
    """At rest a warning names it; a run waits at 0 without failing, and goes on once it is applied."""

    async def story(sim: Simulation) -> None:
        scenario = checked(threshold=1)
        (template,) = scenario.templates
        scenario.templates = []
        await initialise(sim, scenario)
        words = "MetricTemplate istioinaction/error-percentage not found; create it, or correct templateRef"
        assert condition(sim, "Ready")["reason"] == "CheckUnanswerable"
        assert words in condition(sim, "Ready")["message"]
        sim.user.apply(scenario.revised(V2))
        await sim.rest(300)
        assert (sim.state(), weights(sim)) == (("Progressing", 0), (100, 0))
        assert words in sim.status()["message"]
        sim.user.apply(template)
        await sim.until(lambda: condition(sim, "Ready")["reason"] == "Served", 5)
        await sim.until_phase("Succeeded", 120)

    simulate(story)


def test_template_deleted_in_a_run_holds_it_at_its_weight() -> None:
    """What can no longer be asked is no verdict; the template applied anew lets it go on."""

    async def story(sim: Simulation) -> None:
        scenario = checked(threshold=1)
        await begun(sim, scenario)
        await at_weight(sim, 25)
        sim.user.delete(template_of(scenario))
        await sim.rest(300)
        assert (sim.state(), sim.status().get("failedChecks", 0)) == (("Progressing", 25), 0)
        assert verdicts(sim)[ERRORS] == ("Error", None)
        sim.user.apply(scenario.templates[0])
        await sim.until_phase("Succeeded", 120)
        assert harmed(sim) == 0

    simulate(story)


def test_template_edited_in_a_run_holds_from_the_next_check() -> None:
    """The next tick asks what the template says by then; one that is wrong by then holds."""

    async def story(sim: Simulation) -> None:
        scenario = checked(threshold=1)
        await begun(sim, scenario)
        await at_weight(sim, 25)
        await sim.rest(1)
        edited = User(sim.world, "kubectl-edit")
        edited.edit(template_of(scenario), {"spec": {"query": "new_errors{a='{{ name }}'}"}})
        await at_weight(sim, 50)
        assert asked(sim)[-1][1] == "new_errors{a='catalog-release'}"
        edited.edit(template_of(scenario), {"spec": {"query": "{{ revision }}"}})
        await sim.rest(60)
        assert sim.state() == ("Progressing", 50)
        assert "spec.query has {{ revision }} at line 1, column 1" in sim.status()["message"]

    simulate(story)


def test_value_that_could_inject_is_never_asked() -> None:
    """A variable that a query names outside of quotes, and that could be read as PromQL, holds with the reason."""

    async def story(sim: Simulation) -> None:
        metrics = custom_metrics()
        metrics[1] |= {
            "query": "sum(orders[{{ variables.x }}])",
            "templateVariables": {"x": '1m]) or vector(99) or (a["'},
        }
        scenario = quick(metrics=metrics[1:], threshold=1)
        await begun(sim, scenario)
        await sim.rest(60)
        assert sim.state() == ("Progressing", 0)
        assert "which its query names outside of quotes" in sim.status()["message"]
        assert asked(sim, ORDERS) == []

    simulate(story)


def test_idle_release_with_checks_asks_nothing() -> None:
    """A settled system makes neither API calls nor questions, also when its templates are touched (I19)."""

    async def story(sim: Simulation) -> None:
        scenario = checked()
        await begun(sim, scenario)
        await sim.until_phase("Succeeded")
        await sim.rest(300)
        calls, questions = len(sim.calls), len(sim.measurer.queries)
        User(sim.world, "kubectl-annotate").annotate(template_of(scenario), "example.com/note", "hello")
        await sim.rest(3600)
        assert (len(sim.calls), len(sim.measurer.queries)) == (calls, questions)

    simulate(story)


def test_traffic_that_goes_back_is_judged_by_checks_of_the_primary() -> None:
    """On the way back the primary is new to its traffic: `target` names it."""

    async def story(sim: Simulation) -> None:
        await begun(sim, checked(stepWeightPromotion=40))
        await sim.until_phase("Succeeded")
        assert any('workload="catalog-primary"' in text for _, text in asked(sim))
        assert harmed(sim) == 0

    simulate(story)
