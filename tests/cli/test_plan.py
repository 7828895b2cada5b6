"""`canary plan`: the table to the letter, JSON, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from canary.cli import main
from e2e.test_strategy_pages import manifest_of
from tests.api.manifests import ABSENT, A, listing

ROOT = Path(__file__).parents[2]


def test_page_shows_what_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan in docs/cli.md is the one of its manifest."""
    monkeypatch.chdir(ROOT)
    assert main(["plan", str(manifest_of("weights").relative_to(ROOT))]) == 0
    printed = capsys.readouterr().out.rstrip()
    assert f"```text\n{printed}\n```" in (ROOT / "docs/cli.md").read_text()


def test_pauses_and_cohorts_are_told_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who must call, and how long the release lasts without somebody's help."""
    path = tmp_path / "canary.yaml"
    cohort = [{"headers": {"x-group": {"exact": "staff"}}}]
    steps = [{"match": cohort}, {"pause": {}}]
    path.write_text(yaml.safe_dump(listing({f"{A}.stepWeight": ABSENT, f"{A}.maxWeight": ABSENT, f"{A}.steps": steps})))
    assert main(["plan", str(path)]) == 0
    out = capsys.readouterr().out
    assert f"Canary catalog-release ({path}): 3m45s at least, and as long as the plan pauses it" in out
    assert "2/min of the cohort  2 of 2: 0 %, cohort 1, until somebody resumes the run" in out
    assert main(["plan", str(path), "-o", "json"]) == 0
    (plan,) = json.loads(capsys.readouterr().out)
    assert plan["steps"][1] == {
        "atSeconds": 45,
        "routes": "100/0, 1 cohort",
        "requestsPerSecond": pytest.approx(1 / 30),
        "ofCohort": True,
        "name": "1 of 2: 0 %, cohort 1",
        "pods": 100,
        "paused": False,
    }


def test_refused_canary_has_no_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, with the line that is to blame."""
    path = tmp_path / "canary.yaml"
    path.write_text(yaml.safe_dump(listing({f"{A}.threshold": 0})))
    assert main(["plan", str(path)]) == 1
    number = path.read_text().splitlines().index("    threshold: 0") + 1
    line = f"canary plan: {path}:{number}: spec.analysis.threshold is 0; it must be at least 1\n"
    assert capsys.readouterr().err == line
