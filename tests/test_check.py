"""`canary check`: which Canary's checks are asked, what is printed, and the exit codes."""

from __future__ import annotations

from typing import Any

import pytest

from canary.check import FAILED, PASSED, UNKNOWN, Asked, CheckError, Outcome, exit_code, outcomes_of
from canary.cli import main
from canary.core.measurement import Answer, CustomQuery, Measurement, NumbersAnswer, Query, Unavailable
from canary.core.objects import FLAGGER_CANARY, FLAGGER_TEMPLATE, Object, Ref
from tests.api.templates import template
from tests.builders import KEY, NS, at, canary_object, idle
from tests.engine.cluster import FakeCluster

NAME = "not-found-percentage"
HEALTHY = NumbersAnswer((1.0,))
CHECK = {
    "name": "404s",
    "templateRef": {"name": NAME},
    "templateVariables": {"direction": "source"},
    "thresholdRange": {"max": 5},
    "interval": "2m",
}


class Answering:
    """Answer every question alike."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Query] = []

    async def measure(self, query: Query) -> Measurement:
        """Answer one query."""
        self.asked.append(query)
        return Measurement(query, self.answer)


def cluster(*metrics: dict[str, Any], others: tuple[Object, ...] = ()) -> FakeCluster:
    """Return a cluster with the template, and a Canary with these checks."""
    found = FakeCluster.of(idle(changes={"spec.analysis.metrics": list(metrics)}))
    found.objects[Ref(FLAGGER_TEMPLATE, NS, NAME)] = template()
    for one in others:
        found.objects[Ref(FLAGGER_CANARY, NS, one["metadata"]["name"])] = one
    return found


def wanted(**changes: Any) -> Asked:
    """Return what is asked for."""
    return Asked(**{"template": NAME, "namespace": NS, "canary": None, "group": KEY.group, "side": "canary", **changes})


async def outcomes(found: FakeCluster, answer: Answer = HEALTHY, **asked: Any) -> list[Outcome]:
    """Return what comes of a check by hand."""
    return await outcomes_of(found, Answering(answer), wanted(**asked), at(0))


async def test_check_asks_what_the_canary_asks() -> None:
    """With its variables and its range; checks by other templates and built-in ones are left out."""
    other = {"name": "x", "templateRef": {"name": "other"}}
    found = cluster({"name": "request-success-rate"}, other, CHECK)
    (outcome,) = await outcomes(found)
    assert 'reporter="source"' in outcome.text
    assert 'destination_workload="catalog-canary"' in outcome.text
    assert "[2m]" in outcome.text
    assert (outcome.check.verdict, outcome.check.message) == ("Pass", "404s 1 (max 5)")


async def test_check_asks_about_production() -> None:
    """Between releases the canary has no requests."""
    measurer = Answering(NumbersAnswer((1.0,)))
    await outcomes_of(cluster(CHECK), measurer, wanted(side="primary"), at(0))
    (query,) = measurer.asked
    assert isinstance(query, CustomQuery)
    assert 'destination_workload="catalog-primary"' in query.text


async def test_value_that_does_not_fit_is_told_without_asking() -> None:
    """As the release would say it."""
    (outcome,) = await outcomes(cluster({**CHECK, "templateVariables": {}}))
    assert (outcome.text, outcome.check.verdict) == ("", "Error")
    assert "add direction to templateVariables" in (outcome.check.message or "")


def second(name: str = "other") -> Object:
    """Return another Canary that names the template."""
    return canary_object({"metadata.name": name, "spec.analysis.metrics": [CHECK], "spec.targetRef.name": name})


@pytest.mark.parametrize(
    ("found", "asked", "words"),
    [
        (cluster(CHECK), {"template": "x"}, f"MetricTemplate {NS}/x not found; name one of namespace {NS}"),
        (cluster(), {}, f"no Canary of namespace {NS} names MetricTemplate {NS}/{NAME}"),
        (cluster(CHECK, others=(second(),)), {}, "2 Canaries name MetricTemplate"),
        (cluster(CHECK), {"canary": "x"}, "does not name MetricTemplate"),
        (cluster({**CHECK, "interval": "soon"}), {}, "Canary catalog-release: spec.analysis.metrics[].interval is"),
    ],
    ids=range(5),
)
async def test_what_cannot_be_checked_is_one_line(found: FakeCluster, asked: dict[str, Any], words: str) -> None:
    """The message names what there is and what would be right."""
    with pytest.raises(CheckError) as fault:
        await outcomes(found, **asked)
    assert words in str(fault.value)
    assert "\n" not in str(fault.value)


async def test_canary_is_chosen_by_name() -> None:
    """Of several that name the template."""
    (outcome,) = await outcomes(cluster(CHECK, others=(second(),)), canary="other")
    assert 'destination_workload="other-canary"' in outcome.text


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (NumbersAnswer((5.0,)), PASSED),
        (NumbersAnswer((6.0,)), FAILED),
        (NumbersAnswer(()), UNKNOWN),
        (Unavailable("down"), UNKNOWN),
    ],
)
async def test_exit_code_tells_the_verdict(answer: Answer, code: int) -> None:
    """A failure is told before what is not known."""
    found = await outcomes(cluster(CHECK), answer)
    assert exit_code(found) == code
    assert exit_code([*found, *await outcomes(cluster(CHECK), NumbersAnswer((6.0,)))]) == FAILED


def test_wrong_login_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The same words and exit code as those of all commands that ask the cluster."""
    assert main(["check", NAME, "--kubeconfig", "/nowhere"]) == 4
    assert capsys.readouterr().err.startswith("canary check: --kubeconfig /nowhere: there is no such file")
