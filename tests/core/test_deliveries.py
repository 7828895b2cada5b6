"""Which AlertProviders do not deliver: known until one delivers, or is another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from canary.api.status import Undelivered
from canary.core.decide import decide
from canary.core.snapshot import Delivery
from tests.builders import NOW, NS, at, new_status, with_status
from tests.core.untold import ON_CALL, SLACK, alerting

KNOWN = Undelivered(provider=f"{NS}/on-call", generation=1, reason="nobody answers")


@pytest.mark.parametrize(
    ("delivery", "generation", "known"),
    [
        pytest.param(None, 1, (KNOWN,), id="a process that has sent nothing believes the one before"),
        pytest.param(Delivery(1), 1, (), id="one arrived"),
        pytest.param(Delivery(1, "another reason"), 1, ("another reason",), id="it fails otherwise"),
        pytest.param(None, 2, (), id="the provider was edited"),
        pytest.param(Delivery(1, "another reason"), 2, (), id="the provider was edited since"),
    ],
)
def test_fault_is_known_until_it_is_over(
    delivery: Delivery | None, generation: int, known: tuple[Undelivered | str, ...]
) -> None:
    """The status is the memory, also for the next process."""
    world = with_status(alerting(replace(SLACK, generation=generation), delivery), undelivered=(KNOWN,))
    found = new_status(world, decide(world, (), NOW)).undelivered
    assert [one.reason for one in found] == [one if isinstance(one, str) else one.reason for one in known]


def test_fault_is_told_by_one_event_and_by_no_alert() -> None:
    """The condition stays True: the release goes on."""
    world = alerting(SLACK, Delivery(1, "nobody answers"))
    first = decide(world, (), NOW)
    assert [event.reason for event in first.events] == ["AlertsUndelivered"]
    ready = new_status(world, first).condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("True", "AlertsUndelivered")
    assert decide(with_status(world, new_status(world, first)), (), at(10)).status is None


def test_provider_that_is_named_no_more_is_forgotten() -> None:
    """With the alert its fault goes."""
    world = with_status(alerting(SLACK), undelivered=(KNOWN,))
    assert new_status(world, decide(replace(world, providers={}), (), NOW)).undelivered == ()
    assert ON_CALL in world.providers
