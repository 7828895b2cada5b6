"""The chart's alert rules, read and run by promtool over series that are made up."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.chart import CHART
from e2e.testbed.cache import open_cache
from e2e.testbed.commands import CommandError, run_command

ALERTS = CHART / "files/alerts.yaml"
ONE = 'group="canary.delivery", namespace="shop", name="catalog-release"'
HELD = f'canary_condition_since_seconds{{{ONE}, type="Held", status="True", reason="GateClosed"}}'
BLIND = f'canary_condition_since_seconds{{{ONE}, type="MetricsAvailable", status="False", reason="MetricsMissing"}}'
UNREADY = f'canary_condition_since_seconds{{{ONE}, type="Ready", status="False", reason="TargetMissing"}}'
ALIVE = ("canary_queue_depth", "0x120")
WELL: tuple[tuple[str, str], ...] = (
    ALIVE,
    (f'canary_phase{{{ONE}, phase="Succeeded"}}', "1x120"),
    (f'canary_condition_since_seconds{{{ONE}, type="Ready", status="True", reason="Ready"}}', "0x120"),
    (f'canary_condition_since_seconds{{{ONE}, type="MetricsAvailable", status="True", reason="Measured"}}', "0x120"),
    ('canary_reconciles_total{result="done"}', "0+5x120"),
    ('canary_reconciles_total{result="conflict"}', "0+1x120"),
    ('canary_reconciles_total{result="error"}', "3x120"),
    ('canary_api_requests_total{verb="patch", resource="deployments", code="200"}', "0+5x120"),
    ('canary_api_requests_total{verb="patch", resource="deployments", code="403"}', "2x120"),
)


@dataclass(frozen=True, slots=True)
class Case:
    """What is seen besides a live controller, and from which minute on an alert fires, with some of its labels."""

    series: tuple[tuple[str, str], ...]
    minute: int
    labels: Sequence[str]


CANARY = ("namespace", "name")
CASES = {
    "CanaryFailed": Case(((f'canary_phase{{{ONE}, phase="Failed"}}', "1x120"), ALIVE), 1, CANARY),
    "CanaryHeldLong": Case(((HELD, "0x120"), ALIVE), 61, (*CANARY, "reason")),
    "CanaryWithoutMetrics": Case(((BLIND, "0x120"), ALIVE), 11, (*CANARY, "reason")),
    "CanaryNotReady": Case(((UNREADY, "0x120"), ALIVE), 11, (*CANARY, "reason")),
    "CanaryControllerRefused": Case(
        (('canary_api_requests_total{verb="patch", resource="deployments", code="403"}', "0+1x120"), ALIVE),
        16,
        ("verb", "resource"),
    ),
    "CanaryControllerFailing": Case((('canary_reconciles_total{result="refused"}', "0+1x120"), ALIVE), 16, ()),
    "CanaryControllerAbsent": Case((), 5, ()),
}


def promtool(*words: str) -> str:
    """Run promtool."""
    return run_command([str(open_cache().debian_program("prometheus").with_name("promtool")), *words])


def rules() -> list[dict[str, Any]]:
    """Return the alert rules."""
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def firing(folder: Path, series: Sequence[tuple[str, str]], minute: int, expected: Sequence[str]) -> None:
    """Have promtool look at which alerts fire in a minute, one sample of each by its name."""
    expression = 'count by (alertname) (ALERTS{alertstate="firing"})'
    samples = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in expected]
    test = {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series],
        "promql_expr_test": [{"expr": expression, "eval_time": f"{minute}m", "exp_samples": samples}],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [test]}))
    promtool("test", "rules", str(path))


def test_rules_are_sound_and_each_has_its_case() -> None:
    """Prometheus takes the file, and all that is in it is tried below."""
    assert f"SUCCESS: {len(CASES)} rules found" in promtool("check", "rules", str(ALERTS))
    assert [rule["alert"] for rule in rules()] == list(CASES)


@pytest.mark.parametrize("name", CASES)
def test_alert_fires_in_its_time(tmp_path: Path, name: str) -> None:
    """Not a minute before it should, alone, and with the labels that its words name."""
    case = CASES[name]
    firing(tmp_path, case.series, case.minute - 1, [])
    firing(tmp_path, case.series, case.minute, [name])
    with pytest.raises(CommandError, match=name):
        firing(tmp_path, case.series, case.minute, [])
    (rule,) = [one for one in rules() if one["alert"] == name]
    assert sorted(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values()))) == sorted(case.labels)


def test_no_alert_fires_while_all_is_well(tmp_path: Path) -> None:
    """Conflicts, a few faults of long ago and a release that went well wake nobody."""
    for minute in (5, 30, 119):
        firing(tmp_path, WELL, minute, [])
