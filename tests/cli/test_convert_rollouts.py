"""`canary convert` of Argo Rollouts: what comes out is admitted, runs as asked, and nothing is lost without a word."""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.cli import main
from canary.cli.rollouts.rollout import HARMLESS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/moving-from-argo-rollouts.md"
EXAMPLE = ROOT / "e2e/manifests/rollout.yaml"
HERE = Path(__file__).parent / "rollouts"
EVERY = yaml.safe_load((HERE / "every.yaml").read_text())
ODD = "noSuchField"
FREE = ("spec.selector", "spec.template", "spec.strategy.canary.steps[13].plugin.config")
"""What is carried over as it stands, or lost as a whole."""


class Converted:
    """What a run of the command printed and said."""

    def __init__(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], *objects: Any) -> None:
        self.path = tmp_path / "rollout.yaml"
        self.path.write_text(yaml.safe_dump_all(objects, sort_keys=False))
        self.code = main(["convert", str(self.path)])
        self.out, self.err = capsys.readouterr()
        self.told = [line.removeprefix(f"{self.path}:").split(": ", 2)[1:] for line in self.err.splitlines()]
        self.objects = list(yaml.safe_load_all(self.out))

    def kind(self, kind: str) -> Any:
        """Return the one object of a kind."""
        (found,) = [one for one in self.objects if one["kind"] == kind]
        return found

    def levels(self) -> dict[str, str]:
        """Return the fields that were told of, with the level."""
        return {message.split(" ")[0]: level for level, message in self.told}


def rollout(strategy: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """Return a Rollout with a strategy."""
    kept = {name: EVERY["spec"][name] for name in ("replicas", "selector", "template")}
    whole = kept | spec | {"strategy": strategy}
    return {"apiVersion": EVERY["apiVersion"], "kind": "Rollout", "metadata": {"name": "web"}, "spec": whole}


def template(condition: str = "result[0] >= 0.9", **metric: Any) -> dict[str, Any]:
    """Return an AnalysisTemplate with one metric."""
    asked = {"address": "http://prometheus:9090", "query": 'rate(errors{app="{{ args.service }}"}[1m])'}
    one = {"name": "rate", "interval": "30s", "count": 5, "successCondition": condition} | metric
    spec = {"args": [{"name": "service"}], "metrics": [{"provider": {"prometheus": asked}} | one]}
    return {"apiVersion": EVERY["apiVersion"], "kind": "AnalysisTemplate", "metadata": {"name": "rate"}, "spec": spec}


ASKED = {"templates": [{"templateName": "rate"}], "args": [{"name": "service", "value": "web"}]}
PLANS: list[tuple[list[dict[str, Any]], list[str]]] = [
    ([{"setWeight": 20}, {"pause": {}}], ["80/20", "80/20"]),
    (
        [{"setWeight": 5}, {"pause": {"duration": "10m"}}, {"setWeight": 40}, {"pause": {"duration": 10}}],
        ["95/5", "95/5", "60/40", "60/40"],
    ),
    ([{"setWeight": one} for one in (20, 40, 60, 80, 100)], ["80/20", "60/40", "40/60", "20/80", "0/100"]),
    ([{"setWeight": 30}, {"analysis": ASKED}, {"setWeight": 60}], ["70/30", "70/30", "40/60"]),
    (
        [
            {"setCanaryScale": {"weight": 25}},
            {"setHeaderRoute": EVERY["spec"]["strategy"]["canary"]["steps"][1]["setHeaderRoute"]},
            {"pause": {}},
            {"setWeight": 25},
        ],
        ["100/0, 1 cohort", "100/0, 1 cohort", "75/25, 1 cohort"],
    ),
]


@pytest.mark.parametrize(("steps", "routes"), PLANS)
def test_weights_of_the_plan_are_those_of_the_steps(
    steps: list[dict[str, Any]], routes: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed passes lint, and its rows are the Rollout's in their order."""
    done = Converted(tmp_path, capsys, rollout({"canary": {"stableService": "web", "steps": steps}}), template())
    assert done.code == 0
    path = tmp_path / "canary.yaml"
    path.write_text(done.out)
    assert main(["lint", str(path)]) == 0
    capsys.readouterr()
    assert main(["plan", str(path), "-o", "json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert [one["routes"] for one in plan["steps"][1 : len(routes) + 1]] == routes
    assert plan["steps"][len(routes) + 1]["name"] == "promotion"
    assert [one["paused"] for one in plan["steps"]].count(True) == steps.count({"pause": {}})


def test_every_field_is_converted_harmless_or_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is lost and changes a release is refused, the rest a warning; what comes out is admitted all the same."""
    done = Converted(tmp_path, capsys, EVERY, template())
    assert done.code == 1
    canary = done.kind("Canary")
    assert not [message for _, message in done.told if "makes a Canary that is refused" in message]
    held: dict[str, Any] = {"pause": {}}
    assert canary["spec"]["analysis"]["steps"] == [
        {"match": [{"headers": {"x-group": {"exact": "staff"}}}]},
        {"mirror": {"percentage": 35}},
        {"setWeight": 20},
        {"pause": {"duration": "1m30s"}},
        {"pause": {"duration": "1h30m"}},
        held,
        {"analysis": {"duration": "2m"}},
        held,
        held,
        {"setWeight": 100},
    ]
    assert canary["spec"]["service"]["virtualService"] == {"name": "web-routes", "namespace": "edge"}
    assert (canary["spec"]["paused"], canary["spec"]["analysis"]["drainSeconds"]) == (True, 60)
    levels, at = done.levels(), "spec.strategy.canary"
    refused = {field for field, level in levels.items() if level == "refused"}
    assert refused == {
        f"{at}.trafficRouting.{field}" for field in ("nginx", "maxTrafficWeight", "istio.virtualServices[0]")
    } | {f"{at}.analysis.{field}" for field in ("templates[1].templateName", "args[1].valueFrom")} | {
        f"{at}.steps[{field}"
        for field in (
            "3].setMirrorRoute.match",
            "9].pause.duration",
            "10].setWeight",
            "12].experiment",
            "13].plugin",
            "14].setHeaderRoute",
        )
    }


def fields(value: Any, path: str) -> Iterator[str]:
    """Yield the path of each object inside a value that is not carried over as it stands."""
    if path in FREE:
        return
    if isinstance(value, dict):
        yield path
        for name, part in value.items():
            yield from fields(part, f"{path}.{name}")
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from fields(part, f"{path}[{number}]")


def holder(manifest: Any, path: str) -> tuple[Any, Any]:
    """Return what holds the value at a path, and its key there."""
    parts: list[Any] = [int(one) if one.isdigit() else one for one in re.findall(r"[^.\[\]]+", path)]
    for part in parts[:-1]:
        manifest = manifest[part]
    return manifest, parts[-1]


@pytest.mark.parametrize("path", [one for one in fields(EVERY["spec"], "spec") if one not in HARMLESS])
def test_field_that_nobody_knows_is_told(path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is dropped in silence: a new field of any object is named, or what it belongs to is."""
    manifest = copy.deepcopy(EVERY)
    owner, key = holder(manifest, path)
    owner[key][ODD] = 1
    told = Converted(tmp_path, capsys, manifest, template()).levels()
    if any(path.startswith(harmless) for harmless in HARMLESS):
        return
    above = [path[:end] for end in range(len("spec.strategy.canary."), len(path) + 1)] if "canary." in path else [path]
    assert f"{path}.{ODD}" in told or any(one in told for one in above)


def test_odd_value_anywhere_is_no_crash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stands in a field, the command ends with an answer."""
    odd: Iterator[Any] = itertools.cycle([None, 1, "x", [], {}, [1], {"a": 1}])
    metric = template()
    for base, other in ((EVERY, metric), (metric, EVERY), (rollout(BLUE_GREEN), metric)):
        for path in fields(base["spec"], "spec"):
            owner, key = holder(base, path)
            for name in owner[key]:
                manifest = copy.deepcopy(base)
                owner, key = holder(manifest, f"{path}.{name}")
                owner[key] = next(odd)
                assert Converted(tmp_path, capsys, manifest, other).code in (0, 1)


def test_checks_of_the_service_that_goes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Requests to the canary come by a Service of another name afterwards."""
    strategy = {"stableService": "shop", "canaryService": "web", "steps": [{"setWeight": 5}], "analysis": ASKED}
    done = Converted(tmp_path, capsys, rollout({"canary": strategy}), template())
    assert "judges web by check rate: requests to a release come by Service shop-canary" in done.err


BLUE_GREEN = {
    "blueGreen": {
        "activeService": "web",
        "previewService": "web-preview",
        "autoPromotionSeconds": 30,
        "prePromotionAnalysis": ASKED,
        "postPromotionAnalysis": ASKED,
        "previewReplicaCount": 1,
        "scaleDownDelaySeconds": 20,
    }
}


def test_blue_green_judges_before_and_after_the_switch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Analyses become a step without traffic and a bake; what is not promoted by itself is a pause."""
    done = Converted(tmp_path, capsys, rollout(BLUE_GREEN), template())
    assert done.code == 0
    spec = done.kind("Canary")["spec"]
    assert spec["promotion"] == {"bake": "2m"}
    assert spec["analysis"]["steps"] == [{"analysis": {"duration": "2m"}}, {"pause": {"duration": "30s"}}]
    assert (spec["analysis"]["canaryScale"], spec["analysis"]["drainSeconds"]) == ("Full", 20)
    for given, plan in (({}, {"iterations": 1}), ({"autoPromotionEnabled": False}, {"steps": [{"pause": {}}]})):
        done = Converted(tmp_path, capsys, rollout({"blueGreen": {"activeService": "web"} | given}))
        assert plan.items() <= done.kind("Canary")["spec"]["analysis"].items()


def test_workload_of_another_object_is_released(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A Deployment is there already; of other kinds none is made up."""
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "front", "scaleDown": "onsuccess"}
    manifest = rollout({"canary": {"steps": [{"setWeight": 50}]}}, workloadRef=reference)
    del manifest["spec"]["template"]
    done = Converted(tmp_path, capsys, manifest)
    assert [one["kind"] for one in done.objects] == ["Canary"]
    assert done.kind("Canary")["spec"]["targetRef"]["name"] == "front"
    assert {"spec.workloadRef.scaleDown", "spec.replicas"} <= done.levels().keys()
    reference["kind"] = "ReplicaSet"
    done = Converted(tmp_path, capsys, manifest)
    assert (done.code, done.objects) == (1, [manifest])


@pytest.mark.parametrize(
    ("condition", "limits"),
    [
        ("result[0] <= 0.05", {"max": 0.05}),
        ("result[0] > 0.9 && result[0] < 1", {"min": 0.9, "max": 1.0}),
        ("len(result) == 0 || result[0] > 1", None),
        ("result[1] >= 0.9", None),
    ],
)
def test_conditions_with_limits_become_thresholds(
    condition: str, limits: dict[str, float] | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All else leaves the template as it is, and the release pauses where it would have been judged."""
    steps = [{"setWeight": 10}, {"analysis": ASKED}]
    metric = template(condition, failureLimit=2)
    done = Converted(tmp_path, capsys, rollout({"canary": {"stableService": "web", "steps": steps}}), metric)
    analysis = done.kind("Canary")["spec"]["analysis"]
    assert done.code == (limits is None)
    if limits is None:
        assert done.kind("AnalysisTemplate") == metric
        assert analysis["steps"] == [{"setWeight": 10}, {"pause": {}}]
        assert "metrics" not in analysis
        return
    assert 'app="{{ variables.service }}"' in done.kind("MetricTemplate")["spec"]["query"]
    assert analysis["metrics"] == [
        {
            "name": "rate",
            "templateRef": {"name": "rate"},
            "thresholdRange": limits,
            "templateVariables": {"service": "web"},
        }
    ]
    assert (analysis["threshold"], analysis["interval"]) == (3, "30s")


def test_what_is_in_a_list_or_scales_a_rollout_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It stays as it is; so does an AnalysisRun."""
    scaler = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "web"}}
    scaler |= {"spec": {"scaleTargetRef": {"kind": "Rollout", "name": "web"}}}
    listed = {"apiVersion": "v1", "kind": "List", "items": [rollout({"canary": {}})]}
    made = {"apiVersion": EVERY["apiVersion"], "kind": "AnalysisRun", "metadata": {"name": "x"}}
    done = Converted(tmp_path, capsys, scaler, listed, made)
    assert (done.code, done.objects) == (1, [scaler, listed, made])
    assert [level for level, _ in done.told] == ["refused", "refused", "warning"]


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language on the page."""
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_page_shows_what_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example is a file, and both what is printed of it and what is told of it are on the page."""
    monkeypatch.chdir(ROOT)
    name = str(EXAMPLE.relative_to(ROOT))
    assert blocks("yaml")[0] == EXAMPLE.read_text()
    assert main(["convert", name]) == 0
    out, err = capsys.readouterr()
    assert blocks("yaml")[1] == out
    assert blocks("text")[0] == err
    assert f"canary convert {name}" in blocks("sh")[0]
    path = tmp_path / "canary.yaml"
    path.write_text(out)
    assert main(["lint", str(path)]) == 0


def test_simulated_release_has_the_weights_of_the_rollout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Played with an invented cluster, requests are shared out as the Rollout's steps say."""
    steps = [{"setWeight": 10}, {"pause": {"duration": "1m"}}, {"setWeight": 50}, {"pause": {"duration": "1m"}}]
    done = Converted(tmp_path, capsys, rollout({"canary": {"stableService": "web", "steps": steps}}))
    path = tmp_path / "canary.yaml"
    path.write_text(done.out)
    code = main(["simulate", str(path)])
    out = capsys.readouterr().out
    assert code == 0, out
    weights = [one for one, _ in itertools.groupby(re.findall(r"^ *[0-9.]+s +\w+ +(\d+)$", out, re.MULTILINE))]
    assert weights == ["0", "10", "50", "0"]


def test_page_lists_what_needs_no_word() -> None:
    """Each field that is left out in silence is on the page, with the reason."""
    for field, reason in HARMLESS.items():
        assert f"| `{field}` | {reason} |" in PAGE.read_text()
