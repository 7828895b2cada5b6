"""The Helm chart as far as no Helm is needed: its list of rights, its values and the tables made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.adapters.kube.paths import kind_name
from canary.adapters.kube.watched import CANARIES, NAMED, SECRETS, SHARED
from canary.settings import Settings, variable
from e2e.chart import CHART
from e2e.chart_tables import PAGE, leaves, written
from e2e.test_strategy_pages import table
from e2e.testbed import rights

ROOT = Path(__file__).parent.parent
BUILT_IN = {"", "apps", "autoscaling", "discovery.k8s.io"}
NOT_OF_A_POD = {"http_host", "kubeconfig", "context", "lease_identity"}
"""Settings that make no sense in a pod, or may stay as they are: a value `env` sets them all the same."""


def schema() -> dict[str, Any]:
    """Return the schema of the chart's values."""
    found: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
    return found


def verbs_of(group: str, plural: str) -> set[str]:
    """Return what may be done with a type."""
    return {
        verb
        for rule in rights.listed()
        if group in rule["apiGroups"] and plural in rule["resources"]
        for verb in rule["verbs"]
    }


def test_tables_are_up_to_date() -> None:
    """Find docs/install.md as `python -m e2e.chart_tables` writes it."""
    text = PAGE.read_text()
    assert written(text) == text


def test_alerts_are_those_of_the_page() -> None:
    """docs/install.md lists each alert with its severity."""
    (group,) = yaml.safe_load((CHART / "files/alerts.yaml").read_text())["groups"]
    shown = [(name.strip("`"), severity) for name, severity, _ in table(PAGE, "Prometheus")]
    assert shown == [(rule["alert"], rule["labels"]["severity"]) for rule in group["rules"]]


def test_everything_that_is_watched_may_be_watched() -> None:
    """A type that the controller follows has a rule."""
    for watched in (*CANARIES, *NAMED, *SHARED, SECRETS):
        resource = watched.resource
        assert {"list", "watch"} <= verbs_of(resource.group, resource.plural), kind_name(resource)


def test_definitions_that_may_be_read_are_those_of_what_is_watched() -> None:
    """No other definition is looked for, and each of these may be."""
    wanted = {kind_name(one.resource) for one in (*CANARIES, *NAMED, *SHARED) if one.resource.group not in BUILT_IN}
    (rule,) = [rule for rule in rights.listed() if "customresourcedefinitions" in rule["resources"]]
    assert sorted(wanted) == rule["resourceNames"]


def test_no_rule_is_wider_than_it_says() -> None:
    """No wildcards, nothing of RBAC, and Secrets with their switch alone; each rule says why."""
    for rule in rights.listed():
        assert rule.keys() <= {"why", "only", "everywhere", "apiGroups", "resources", "resourceNames", "verbs"}
        assert rule["why"]
        assert not any("*" in name for key in ("apiGroups", "resources", "verbs") for name in rule[key])
        assert "rbac.authorization.k8s.io" not in rule["apiGroups"]
        assert ("secrets" in rule["resources"]) == (rule.get("only") == ["pinSecrets"])
        assert {*rule.get("only", ())} <= {*rights.SWITCHES}


def objects_of(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Give each object of the schema that names what it holds."""
    if "properties" in node:
        yield path, node
    for name, part in node.get("properties", {}).items():
        yield from objects_of(part, f"{path}.{name}")


def test_schema_refuses_what_it_does_not_name() -> None:
    """Each object with names of its own takes no others, and each value has a meaning."""
    assert [path for path, node in objects_of(schema()) if node.get("additionalProperties") is not False] == []
    assert [path for path, node in leaves(schema()) if not node.get("description")] == []


def test_schema_names_the_values_there_are() -> None:
    """Each value has a default, and each default is a value."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for path, node in objects_of(schema()):
        held = values
        for name in filter(None, path.split(".")):
            held = held[name]
        # Of requests, limits and claims the last has no default; what is global is a parent chart's.
        assert node["properties"].keys() - held.keys() <= {"global", "claims"}
        assert held.keys() <= node["properties"].keys()


@pytest.mark.parametrize("name", sorted(Settings.model_fields.keys() - NOT_OF_A_POD))
def test_each_setting_has_a_value(name: str) -> None:
    """What `canary run` can be told, the chart can tell it."""
    assert f"- name: {variable(name)}\n" in (CHART / "templates/deployment.yaml").read_text()


def test_chart_has_the_version_of_the_program() -> None:
    """Chart, image and package go by one version."""
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    (version,) = re.findall(r'^version = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert (chart["version"], chart["appVersion"]) == (version, version)
