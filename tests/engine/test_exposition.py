"""What the metrics tell of Canaries."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from canary.api.status import parse
from canary.core.objects import DEPLOYMENT, FLAGGER_CANARY, NATIVE_CANARY, CanaryKey, Resource
from canary.engine.exposition import statuses
from canary.engine.telemetry import Telemetry
from tests.builders import at

KEY = CanaryKey(FLAGGER_CANARY.group, "shop", "catalog")
STATUS = {
    "phase": "Progressing",
    "failedChecks": 2,
    "traffic": {"primary": 90, "canary": 10},
    "step": {"index": 1, "count": 5},
    "checks": [{"name": "request-duration", "verdict": "Fail", "value": 0.75}, {"name": "mine", "verdict": "NoData"}],
    "conditions": [
        {"type": "Held", "status": "True", "reason": "GateClosed", "lastTransitionTime": "2026-01-01T00:01:00Z"}
    ],
    "run": {"startedAt": at(0).isoformat(), "size": 2},
}
PAGE = Path(__file__).parents[2] / "docs/metrics.md"
ROWS = re.compile(r"^\| `(canary_\w+)` \| (.*?) \|", re.MULTILINE)
CANARIES = {
    *("canary_phase", "canary_weight", "canary_step", "canary_steps", "canary_failed_checks", "canary_check_value"),
    *("canary_check_verdict", "canary_condition_since_seconds", "canary_runs"),
}


def canary(status: Any, name: str = "catalog", resource: Resource = FLAGGER_CANARY) -> tuple[Resource, Any]:
    """Return a Canary as a cache holds it."""
    return resource, {"metadata": {"namespace": "shop", "name": name}, "status": status}


def scraped(telemetry: Telemetry) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Return the samples of a scrape, by name and labels, without those that every Canary has."""
    families = text_string_to_metric_families(telemetry.render().decode())
    ours = [s for family in families for s in family.samples if s.labels.get("name") == "catalog"]
    hidden = ("group", "namespace", "name")
    labels = [frozenset((k, v) for k, v in s.labels.items() if k not in hidden) for s in ours]
    assert {(s.labels["group"], s.labels["namespace"]) for s in ours} <= {(KEY.group, KEY.namespace)}
    return {(s.name, of): s.value for s, of in zip(ours, labels, strict=True)}


def followed(*cached: tuple[Resource, Any]) -> Telemetry:
    """Return the telemetry of a controller whose caches hold these."""
    telemetry = Telemetry()
    telemetry.canaries.follow(lambda: statuses(cached))
    return telemetry


def busy(*cached: tuple[Resource, Any]) -> Telemetry:
    """Return the telemetry of a controller to which everything has happened once."""
    telemetry = followed(*cached)
    telemetry.recorded(KEY, parse(STATUS), parse({**STATUS, "phase": "Failed"}), at(90))
    telemetry.reconciled("done", 0.1)
    telemetry.requested("get", "services", "200")
    telemetry.hook_answered("rollout", "yes", 0.1)
    telemetry.query_answered(0.1)
    telemetry.query_failed()
    telemetry.alert_ended("slack", "sent")
    telemetry.led(True, "pod-1")
    return telemetry


def test_each_canary_tells_where_it_stands() -> None:
    """Phase, weights as read back, step, checks, and since when its conditions hold."""
    labels = frozenset
    assert scraped(followed(canary(STATUS), (DEPLOYMENT, {"metadata": {}}))) == {
        ("canary_phase", labels({("phase", "Progressing")})): 1,
        ("canary_weight", labels({("role", "primary")})): 90,
        ("canary_weight", labels({("role", "canary")})): 10,
        ("canary_weight", labels({("role", "mirror")})): 0,
        ("canary_step", labels()): 1,
        ("canary_steps", labels()): 5,
        ("canary_failed_checks", labels()): 2,
        ("canary_check_value", labels({("check", "request-duration")})): 0.75,
        ("canary_check_verdict", labels({("check", "request-duration"), ("verdict", "Fail")})): 1,
        ("canary_check_verdict", labels({("check", "mine"), ("verdict", "NoData")})): 1,
        (
            "canary_condition_since_seconds",
            labels({("type", "Held"), ("status", "True"), ("reason", "GateClosed")}),
        ): 1767225660,
    }


@pytest.mark.parametrize("status", [None, {"phase": 7}, {"conditions": "none"}])
def test_status_that_nobody_can_read_is_a_canary_without_a_phase(status: Any) -> None:
    """What others wrote there ends no scrape, and hides no other Canary."""
    found = scraped(followed(canary(status), canary(STATUS, "other")))
    assert found == {("canary_phase", frozenset({("phase", "None")})): 1}


def test_canaries_of_both_groups_are_told_apart() -> None:
    """Two series with equal labels would make Prometheus refuse the whole scrape."""
    telemetry = followed(canary(STATUS), canary(STATUS, resource=NATIVE_CANARY))
    lines = [line.rpartition(" ")[0] for line in telemetry.render().decode().splitlines() if line[0] != "#"]
    assert len(lines) == len(set(lines))
    assert sum(line.startswith("canary_phase{") for line in lines) == 2


def test_checks_of_one_name_are_one_series() -> None:
    """A Canary may name two alike; the worse one shows, and Prometheus takes the scrape."""
    two = [{"name": "mine", "verdict": "Fail", "value": 9.0}, {"name": "mine", "verdict": "Pass", "value": 1.0}]
    telemetry = followed(canary({**STATUS, "checks": two}))
    lines = [line.rpartition(" ")[0] for line in telemetry.render().decode().splitlines() if line[0] != "#"]
    assert len(lines) == len(set(lines))
    found = scraped(telemetry)
    assert found["canary_check_value", frozenset({("check", "mine")})] == 9.0
    assert ("canary_check_verdict", frozenset({("check", "mine"), ("verdict", "Fail")})) in found


def test_runs_are_counted_until_their_canary_is_gone() -> None:
    """Once per run, by how it ended, with its duration; the series go with the Canary."""
    present = [canary(STATUS)]
    telemetry = Telemetry()
    telemetry.canaries.follow(lambda: statuses(present))
    running, done = parse(STATUS), parse({**STATUS, "phase": "Failed"})
    for before, after in ((running, running), (running, done), (done, done), (running, done)):
        telemetry.recorded(KEY, before, after, at(0) + timedelta(seconds=90))
    runs = ("canary_runs_total", frozenset({("result", "Failed")}))
    assert scraped(telemetry)[runs] == 2
    assert 'canary_run_seconds_sum{result="Failed"} 180.0' in telemetry.render().decode()
    present.clear()
    assert runs not in scraped(telemetry)
    present.append(canary(STATUS))
    assert runs not in scraped(telemetry)


def test_page_lists_every_metric() -> None:
    """Each family that is served, and no other."""
    listed = {name for name, _ in ROWS.findall(PAGE.read_text(encoding="utf-8"))}
    served = text_string_to_metric_families(Telemetry().render().decode())
    assert listed == {f"{one.name}_total" if one.type == "counter" else one.name for one in served}


def test_page_lists_the_labels_of_every_metric() -> None:
    """Those that every Canary has, and the further ones; what may grow without bounds would be among them."""
    telemetry = busy(canary(STATUS))
    told = ROWS.findall(PAGE.read_text(encoding="utf-8"))
    listed = {
        name.removesuffix("_total"): set(re.findall(r"`(\w+)`", column.partition(":")[0])) for name, column in told
    }
    served: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(telemetry.render().decode()):
        served[family.name] = {name for sample in family.samples for name in sample.labels}
    of_canaries = {name for name, labels in served.items() if "name" in labels}
    assert of_canaries == {name for name in listed if name in CANARIES}
    assert {name: labels - {"group", "namespace", "name", "le"} for name, labels in served.items()} == listed


def test_canaries_that_come_and_go_leave_no_series() -> None:
    """However many there were, what is left is the same as after the first."""
    left = []
    present: list[tuple[Resource, Any]] = []
    telemetry = busy()
    telemetry.canaries.follow(lambda: statuses(present))
    for number in range(50):
        present[:] = [canary(STATUS, f"catalog-{number}")]
        key = CanaryKey(FLAGGER_CANARY.group, "shop", f"catalog-{number}")
        telemetry.recorded(key, parse(STATUS), parse({**STATUS, "phase": "Failed"}), at(90))
        assert f'name="catalog-{number}"' in telemetry.render().decode()
        present.clear()
        left.append({line.rpartition(" ")[0] for line in telemetry.render().decode().splitlines()})
    assert left[0] == left[-1]
    assert not any("catalog" in line for line in left[-1])


def test_leader_is_told_by_each_replica() -> None:
    """Whether we may write, and who holds the lease: one at a time, and nobody where one runs alone."""

    def told() -> list[str]:
        return re.findall(r"^canary_lead.*", telemetry.render().decode(), re.MULTILINE)

    telemetry = Telemetry()
    assert told() == ["canary_leading 0.0"]
    telemetry.led(False, "pod-1")
    telemetry.led(True, "pod-2")
    assert told() == ["canary_leading 1.0", 'canary_leader{identity="pod-2"} 1.0']
    telemetry.left_alone(KEY, True)
    telemetry.led(False, "")
    assert told() == ["canary_leading 0.0"]
    assert "canary_left_alone 0.0" in telemetry.render().decode()
