"""`canary simulate`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from canary.cli import main
from canary.sim.checks import ERRORS, ORDERS, custom_metrics, metric_template
from canary.sim.manifests import LISTING_5_1, config_map, deployment, reading
from canary.sim.scenario import elsewhere, listing_5_1, naming
from tests.sim.test_release import TIMELINE

COHORT_STEPS = [
    {"match": [{"headers": {"x-region": {"prefix": "e"}, "x-group": {"exact": "staff"}}}]},
    {"setWeight": 50},
]


@pytest.fixture
def listing(tmp_path: Path) -> str:
    """Return a file with listing 5.1."""
    path = tmp_path / "listing.yaml"
    path.write_text(LISTING_5_1)
    return str(path)


def result(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Return what a simulation prints as JSON."""
    assert main(["simulate", *words, "-o", "json"]) == 0
    return json.loads(capsys.readouterr().out)


def rows(report: Any) -> list[tuple[float, str, int]]:
    """Return the rows of a report as tuples."""
    return [(row["at"], row["phase"], row["weight"]) for row in report["rows"]]


def test_listing_5_1_has_exactly_the_rows_of_the_design(listing: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows at exactly 45 s spacing, nobody harmed, and the keys a program expects."""
    report = result(capsys, listing)
    assert rows(report) == TIMELINE
    assert report["verdict"] == "Succeeded"
    assert report.keys() == {"rows", "verdict", "reason", "requests"}
    assert report["requests"]["sent"] == pytest.approx(50 * 360, rel=0.05)
    assert report["requests"]["failed"] == report["requests"]["harmed"] == 0


@pytest.mark.parametrize("maps", [(), (config_map(mode="one"),)])
def test_deployment_reads_configuration_given_or_invented(
    listing: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], maps: tuple[Any, ...]
) -> None:
    """What pods need to start is there, whether the files hold it or not."""
    path = tmp_path / "configured.yaml"
    path.write_text(yaml.safe_dump_all([reading(deployment(), "catalog-config"), *maps]))
    assert rows(result(capsys, listing, str(path))) == TIMELINE


def test_named_route_is_shared_out_when_the_files_hold_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rows are those of a route of ours; without the VirtualService one line says what is missing."""
    canary = naming(listing_5_1(), "edge")
    path = tmp_path / "named.yaml"
    path.write_text(yaml.safe_dump(canary))
    assert main(["simulate", str(path)]) == 2
    told = capsys.readouterr().err
    assert "VirtualService edge/shop-routes, named in spec.service.virtualService, is not there; add it" in told
    route = {**elsewhere(canary), "apiVersion": "networking.istio.io/v1"}
    path.write_text(yaml.safe_dump_all([canary, route]))
    assert rows(result(capsys, str(path))) == TIMELINE


def test_bad_canary_fails(listing: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors and latency of the canary roll it back, and its clients' failures are harm."""
    report = result(capsys, listing, "--canary-errors", "5%")
    assert rows(report)[-1] == (270, "Failed", 0)
    assert report["requests"]["harmed"] > 0
    report = result(capsys, listing, "--canary-latency", "+700ms")
    assert report["verdict"] == "Failed"
    assert report["requests"]["harmed"] == 0


def test_faults_are_survived(listing: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Killed pods, metrics down and a restarted controller delay the release and harm nobody."""
    words = ("--kill-canary-at", "100s", "--metrics-down", "60s..200s", "--restart-controller-at", "150s")
    report = result(capsys, listing, *words)
    assert report["verdict"] == "Succeeded"
    assert report["rows"][-1]["at"] > 400


@pytest.mark.parametrize(
    "step", [{"iterations": 2, "match": [{"headers": {"x-group": {"exact": "staff"}}}]}, {"steps": COHORT_STEPS}]
)
def test_cohorts_have_callers(tmp_path: Path, capsys: pytest.CaptureFixture[str], step: dict[str, Any]) -> None:
    """A release for a cohort is judged by the requests of callers with its headers, as many as asked for."""
    path = tmp_path / "cohort.yaml"
    path.write_text(yaml.safe_dump(listing_5_1(**step, maxWeight=None, stepWeight=None)))
    words = (str(path), "--cohort", "X-Group: staff", "x-region:eu", "--cohort-share", "50%", "--rps", "40")
    report = result(capsys, *words)
    assert report["verdict"] == "Succeeded"
    assert report["requests"]["sent"] == pytest.approx(1.5 * 40 * report["rows"][-1]["at"], rel=0.05)
    bad = result(capsys, *words, "--canary-errors", "20%")
    assert (bad["verdict"], bad["reason"]) == ("Failed", "ChecksFailed")
    assert main(["simulate", str(path), "--cohort", "x-group: public"]) == 1
    assert "no request matched the cohort" in capsys.readouterr().out


def test_table_tells_rows_and_verdict(listing: str, capsys: pytest.CaptureFixture[str]) -> None:
    """People get a table."""
    assert main(["simulate", listing]) == 0
    out = capsys.readouterr().out
    assert "     45s  Progressing           10\n" in out
    assert "\nSucceeded (" in out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("threshold: 5", "threshold: 0"), "spec.analysis.threshold is 0; it must be at least 1"),
        (("kind: Canary", "kind: Pudding"), "0 Canaries found"),
        (("spec:", "\t:"), "is not YAML"),
        (("apiVersion: flagger.app/v1beta1", "- 1"), "is not YAML"),
    ],
)
def test_wrong_files_end_with_one_line(
    listing: str, capsys: pytest.CaptureFixture[str], change: tuple[str, str], says: str
) -> None:
    """What cannot be simulated is said in one line, exit code 2."""
    Path(listing).write_text(LISTING_5_1.replace(*change, 1))
    assert main(["simulate", listing]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("  analysis:", "  suspend: true\n  analysis:"), "Nothing is begun: the Canary is suspended"),
        (
            ("    port: 80", "    port: 80\n    match: [{uri: /items}]"),
            "VirtualService catalog could not be written: VirtualService istioinaction/catalog: spec.http.match.uri: "
            "must be of type object: '/items'",
        ),
    ],
)
def test_canary_that_is_not_served_ends_with_what_it_says(
    listing: str, capsys: pytest.CaptureFixture[str], change: tuple[str, str], says: str
) -> None:
    """What keeps the Canary from its first release is said as condition Ready says it, in one line, exit code 2."""
    Path(listing).write_text(LISTING_5_1.replace(*change, 1))
    assert main(["simulate", listing]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"canary simulate: no release begins: {says}")
    assert err.count("\n") == 1


def test_missing_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """A path that is not there is exit code 2."""
    assert main(["simulate", "/no/such/file"]) == 2
    assert capsys.readouterr().err == "canary simulate: /no/such/file: No such file or directory\n"


@pytest.mark.parametrize(
    "words",
    [
        ("--canary-errors", "120%"),
        ("--canary-latency", "fast"),
        ("--kill-canary-at", "soon"),
        ("--metrics-down", "60s"),
        ("--metrics-down", "90s..60s"),
        ("--rps", "-1"),
        ("--cohort", "staff"),
        ("--cohort", "x group: staff"),
        ("--cohort-share", "101%"),
    ],
)
def test_wrong_options_are_refused(listing: str, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]) -> None:
    """An option's value that makes no sense is exit code 2, naming option and value."""
    with pytest.raises(SystemExit) as caught:
        main(["simulate", listing, *words])
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert words[0] in err
    assert words[1] in err


def test_schedule_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A schedule file plays again what a property test found."""
    path = tmp_path / "schedule.json"
    entry = {"at": 60, "do": "weights", "arguments": {"canary": 3}}
    path.write_text(json.dumps({"seed": 3, "entries": [entry]}))
    assert main(["simulate", "--schedule", str(path), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "Succeeded"
    path.write_text(json.dumps({"entries": [{"at": 1, "do": "dance"}]}))
    assert main(["simulate", "--schedule", str(path)]) == 2


def test_nothing_heavy_is_imported(listing: str) -> None:
    """The simulator needs neither the Kubernetes client nor a web server, so that it starts fast."""
    code = (
        "import sys; from canary.cli import main; main(['simulate', sys.argv[1]]);"
        "print(sorted({'aiohttp', 'kubernetes_asyncio', 'fastapi', 'requests'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code, listing], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n")


@pytest.fixture
def checked(tmp_path: Path) -> str:
    """Return a file with listing 5.1, custom checks and their MetricTemplate."""
    canary = listing_5_1(metrics=custom_metrics())
    path = tmp_path / "checked.yaml"
    path.write_text(yaml.safe_dump_all([canary, metric_template(canary)]))
    return str(path)


def test_custom_checks_find_something_healthy(checked: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Templates come from the same file; unless told otherwise every check passes."""
    report = result(capsys, checked)
    assert (rows(report), report["verdict"]) == (TIMELINE, "Succeeded")


def test_custom_check_finds_what_it_is_told(checked: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A number out of range rolls back; none at all holds for ever."""
    report = result(capsys, checked, "--check", f"{ERRORS}=7.5")
    assert report["verdict"] == "Failed"
    assert report["reason"] == "ChecksFailed"
    assert main(["simulate", checked, "--check", f"{ORDERS}="]) == 1
    assert f"{ORDERS} has no data" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (None, "MetricTemplate istioinaction/error-percentage, named in spec.analysis.metrics, is not there; add it"),
        (
            {"query": "{{ revision }}"},
            "MetricTemplate istioinaction/error-percentage: spec.query has {{ revision }} at",
        ),
    ],
)
def test_template_that_cannot_be_asked_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spec: Any, words: str
) -> None:
    """What would hold every run is said before one is played."""
    canary = listing_5_1(metrics=custom_metrics())
    template = metric_template(canary)
    template["spec"] |= spec or {}
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump_all([canary, *([template] if spec else [])]))
    assert main(["simulate", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"canary simulate: {words}")


def test_check_that_is_none_is_refused(listing: str, checked: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Names that nobody has, and what is no number."""
    assert main(["simulate", checked, "--check", "x=1"]) == 2
    words = f'canary simulate: --check "x" is no custom check; those of the Canary are {ERRORS}, {ORDERS}\n'
    assert capsys.readouterr().err == words
    assert main(["simulate", listing, "--check", "x=1"]) == 2
    assert capsys.readouterr().err.endswith("the Canary has none\n")
    with pytest.raises(SystemExit):
        main(["simulate", checked, "--check", f"{ERRORS}=many"])
    assert "is not what a check finds" in capsys.readouterr().err
