"""`canary lint`: each finding at its line, without a cluster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.api.admission import refusals, template_refusals
from canary.api.warnings import warnings
from canary.cli import main
from canary.sim.manifests import LISTING_5_1
from tests.api.manifests import ABSENT, A, M, S, iterations, listing
from tests.api.providers import provider

SERVICE = "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n---\n"


def linted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, *words: str
) -> tuple[int, list[tuple[int, str]]]:
    """Return the exit code and the findings of a file, by line."""
    path = tmp_path / "canary.yaml"
    path.write_text(content)
    code = main(["lint", str(path), *words])
    found = []
    for text in capsys.readouterr().out.splitlines():
        file, line, words_of = text.split(":", 2)
        assert file == str(path)
        found.append((int(line), words_of.strip()))
    return code, found


def test_sound_file_has_no_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Listing 5.1 as it stands, among other objects: nothing is printed, exit code 0."""
    assert linted(tmp_path, capsys, SERVICE + LISTING_5_1) == (0, [])


def line_of(content: str, part: str) -> int:
    """Return the number of the line that holds a text."""
    (number,) = (number for number, line in enumerate(content.splitlines(), 1) if part in line)
    return number


def test_refusals_and_warnings_stand_at_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refusals are exit code 1; fields that are missing are told where they should be."""
    wrong = SERVICE + LISTING_5_1.replace("threshold: 5", "threshold: 0").replace("min: 99", "min: 99\n        mim: 3")
    code, found = linted(tmp_path, capsys, wrong)
    assert code == 1
    assert found[0] == (
        line_of(wrong, "threshold: 0"),
        "refused: spec.analysis.threshold is 0; it must be at least 1",
    )
    assert found[1][0] == line_of(wrong, "mim: 3")
    assert 'unknown field "spec.analysis.metrics[0].thresholdRange.mim"' in found[1][1]
    missing = LISTING_5_1.replace("    port: 80\n", "")
    assert linted(tmp_path, capsys, missing) == (
        1,
        [(line_of(missing, "service:"), "refused: spec.service.port is required")],
    )


def test_warnings_are_no_errors_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, and 1 with --strict; what stands elsewhere than its path says is told at what holds it."""
    quick = LISTING_5_1.replace("interval: 1m", "interval: 20s")
    expected = (line_of(quick, "name: request-success-rate"), "warning: spec.analysis.metrics[0].interval")
    code, [(line, words)] = linted(tmp_path, capsys, quick)
    assert (code, line, words[: len(expected[1])]) == (0, *expected)
    assert words.endswith("use 30s or more (WindowTooShort)")
    assert linted(tmp_path, capsys, quick, "--strict")[0] == 1


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({f"{A}.stepWeights": [10, 20]}, "stepWeights"),
    ({f"{M}.0.minSamples": 0}, "minSamples"),
    ({f"{S}.headless": True}, "headless"),
    ({f"{A}.mirrorWeight": 10}, "mirrorWeight"),
    ({"spec.revertOnDeletion": True}, "revertOnDeletion"),
    ({f"{A}.webhooks": [{"name": "x", "url": "nowhere"}]}, "nowhere"),
]


@pytest.mark.parametrize(("change", "at"), CHANGES)
def test_lint_tells_all_that_admission_tells(
    change: dict[str, Any], at: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each refusal or warning of a Canary is told, at the line of the field it names."""
    raw = listing(change)
    content = yaml.safe_dump(raw)
    _, found = linted(tmp_path, capsys, content)
    expected = [f"refused: {one}" for one in refusals(raw)]
    expected = expected or [f"warning: {one.message} ({one.reason})" for one in warnings(raw)]
    assert expected
    assert [words for _, words in found] == expected
    named = any(at in words.split(" ")[1] for words in expected)
    assert not named or line_of(content, f"{at}:") in [line for line, _ in found]


def test_plan_that_judges_nothing_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the controller tells of a spec whatever the cluster is like is told here too."""
    idle = yaml.safe_dump(listing(iterations(maxWeight=ABSENT)))
    _, found = linted(tmp_path, capsys, idle)
    assert [words.rpartition("(")[2] for _, words in found] == ["NothingToJudge)"]
    retried = listing({f"{S}.timeout": "2s", f"{S}.retries": {"attempts": 3, "perTryTimeout": "1s"}})
    _, found = linted(tmp_path, capsys, yaml.safe_dump(retried))
    assert [words.rpartition("(")[2] for _, words in found] == ["RetriesOutlastTimeout)"]


def test_canaries_in_lists_and_findings_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A List is looked into; programs get objects."""
    items = [listing(), listing({f"{A}.threshold": 0})]
    path = tmp_path / "list.yaml"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}))
    assert main(["lint", str(path), "-o", "json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)
    assert found["level"] == "refused"
    assert path.read_text().splitlines()[found["line"] - 1].strip() == "threshold: 0"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("kind: Pudding\n", "no Canary found, needed is one of canary.delivery/v1beta1 or flagger.app/v1beta1"),
        ("a: b: c\n", "is not YAML: mapping values are not allowed here"),
        ("- 1\n", "no Canary found"),
    ],
)
def test_files_without_canaries_are_wrong_usage(
    content: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing to look at is no success: exit code 2."""
    path = tmp_path / "wrong.yaml"
    path.write_text(content)
    assert main(["lint", str(path)]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


def test_alert_providers_are_looked_at_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An AlertProvider by which nothing can be sent is refused at its line."""
    content = yaml.safe_dump(provider({"type": "pagerduty"}))
    code, found = linted(tmp_path, capsys, content)
    says = 'spec.type is "pagerduty", which is not supported; use slack, msteams, discord, rocket, gchat or webhook'
    assert (code, found) == (1, [(line_of(content, "type: pagerduty"), f"refused: {says}")])


def test_metric_templates_are_looked_at_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A MetricTemplate that cannot be asked is refused at its line, alone in a file too."""
    spec = {"provider": {"type": "oracle", "address": "http://x"}, "query": "1"}
    template = {
        "apiVersion": "canary.delivery/v1beta1",
        "kind": "MetricTemplate",
        "metadata": {"name": "x"},
        "spec": spec,
    }
    content = yaml.safe_dump(template)
    code, found = linted(tmp_path, capsys, content)
    assert (code, [words for _, words in found]) == (1, [f"refused: {one}" for one in template_refusals(template)])
    assert found[0][0] == line_of(content, "type: oracle")


NAMED = {"name": "routes", "namespace": "edge"}


def named_canary(canary: str, target: str, **service: Any) -> str:
    """Return a Canary of a name and a target as YAML."""
    changes = {"metadata.name": canary, "spec.targetRef.name": target}
    found = listing(changes)
    found["spec"]["service"] = {**found["spec"]["service"], "name": target, **service}
    return yaml.safe_dump(found, sort_keys=False)


@pytest.mark.parametrize(
    ("second", "field", "message"),
    [
        (named_canary("other", "catalog"), "    name: catalog", "Deployment catalog is already released"),
        (named_canary("other", "web", name="catalog"), "    name: catalog", "Service catalog is already released"),
        (
            named_canary("first", "web", virtualService=NAMED).replace("istioinaction", "elsewhere"),
            "    virtualService:",
            "VirtualService routes is already released",
        ),
    ],
)
def test_second_canary_for_the_same_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], second: str, field: str, message: str
) -> None:
    """Of two only the older would be served: the second one is told at its line, with the place of the first."""
    content = f"{named_canary('first', 'catalog', virtualService=NAMED)}---\n{second}"
    code, found = linted(tmp_path, capsys, content)
    assert code == 1
    ((line, told),) = found
    assert message in told
    assert f"by Canary first ({tmp_path / 'canary.yaml'}:" in told
    assert content.splitlines()[line - 1].startswith(field)
    assert line > content.splitlines().index("---")


@pytest.mark.parametrize(
    "second",
    [
        named_canary("first", "catalog"),
        named_canary("other", "catalog").replace("namespace: istioinaction", "namespace: elsewhere"),
        named_canary("other", "web"),
    ],
)
def test_canaries_that_share_nothing_are_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str], second: str) -> None:
    """The same Canary for another cluster, and those of other namespaces and targets."""
    assert linted(tmp_path, capsys, f"{named_canary('first', 'catalog')}---\n{second}") == (0, [])
