"""The controller's own gates as an annotation tells of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from canary.api.open_gates import ANNOTATION, read_gates
from canary.core.own_gates import closed, hooks_by_gate, is_open, open_gates, opened

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def canary(text: str | None = None, *urls: str) -> dict[str, Any]:
    """Return a Canary with an annotation and hooks at some addresses."""
    annotations = {} if text is None else {ANNOTATION: text}
    hooks = [{"name": f"hook {n}", "url": url} for n, url in enumerate(urls)]
    return {"metadata": {"name": "c", "annotations": annotations}, "spec": {"analysis": {"webhooks": hooks}}}


@pytest.mark.parametrize("text", [None, "", "{}", "null", "[]", "7", "not JSON", '{"gate": 1}', '{"gate": null}'])
def test_gate_is_closed_unless_somebody_opened_it(text: str | None) -> None:
    """Neither nothing nor what cannot be read opens a gate."""
    assert not is_open(canary(text), "gate", "abc")


def test_wrong_gate_leaves_the_others_open() -> None:
    """One that cannot be read is closed, the one beside it is not."""
    found = canary('{"gate": {"revision": 7}, "promotion": {}}')
    assert (is_open(found, "gate", "abc"), is_open(found, "promotion", "abc")) == (False, True)


def test_gate_is_open_for_the_revision_it_was_opened_for() -> None:
    """Another revision, and a question that names none, meet it closed."""
    found = canary('{"gate": {"revision": "abc", "by": "ann"}}')
    assert [is_open(found, "gate", one) for one in ("abc", "abd", "")] == [True, False, False]


def test_opened_gate_is_open_until_closed() -> None:
    """What is written is read again, beside what was there; the last one takes the annotation away."""
    first = opened(canary('{"rollback": {}}'), "gate", "abc", "ann", NOW)[ANNOTATION]
    gates = open_gates(canary(first))
    assert (gates.keys(), gates["gate"].by, gates["gate"].at) == ({"gate", "rollback"}, "ann", NOW)
    second = closed(canary(first), "rollback")[ANNOTATION]
    assert read_gates(second).keys() == {"gate"}
    assert closed(canary(second), "gate") == {ANNOTATION: None}
    assert closed(canary(), "gate") == {ANNOTATION: None}


@pytest.mark.parametrize(
    ("url", "gate"),
    [
        ("http://canary.system/gate/check", "gate"),
        ("http://flagger-loadtester.test/gate/check/", "gate"),
        ("http://canary.system:8080/gate/check/promotion", "promotion"),
        ("https://ci.example.com/canary/rollback/check", "rollback"),
        ("http://canary.system/gate/check/promotion?x=/1", "promotion"),
        ("http://canary.system/gate/checks", None),
        ("http://canary.system/gate/check/No", None),
        ("http://canary.system/gate/check/a/b", None),
        ("http://canary.system/gate/approve", None),
        ("http://[x/gate/check", None),
    ],
)
def test_gates_are_known_by_the_addresses_of_hooks(url: str, gate: str | None) -> None:
    """The two of Flagger are always there; a name of one's own is there while a hook asks for it."""
    asked = hooks_by_gate(canary(None, url))
    assert asked == {"gate": [], "rollback": [], **({gate: ["hook 0"]} if gate else {})}
