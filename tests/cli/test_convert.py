"""`canary convert`: what is printed, what stays, and what is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from canary.api.admission import refusals
from canary.cli import main
from canary.sim.manifests import LISTING_5_1
from tests.api.manifests import A, listing

ALERTS = """\
apiVersion: flagger.app/v1beta1
kind: AlertProvider
metadata: {name: team}
spec: {type: slack, secretRef: {name: team}}
"""
OTHER = "apiVersion: flagger.app/v1alpha3\nkind: Alert\nmetadata: {name: team}\n"
TEMPLATE = """\
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: errors}
spec: {provider: {type: prometheus, address: "http://prometheus:9090"}, query: sum(errors)}
"""
SERVICE = "# of the team\napiVersion: v1\nkind: Service\nmetadata:\n  name: web\n---\n"


def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], *contents: str) -> tuple[int, str, str]:
    """Return the exit code, output and errors for some files."""
    paths = [tmp_path / f"{number}.yaml" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_text(content)
    code = main(["convert", *map(str, paths)])
    out, err = capsys.readouterr()
    return code, out, err.replace(f"{tmp_path}/", "")


def test_only_the_group_of_canaries_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Comments, other objects and the order of fields stay to the byte; what comes out is admitted."""
    commented = LISTING_5_1.replace("apiVersion: flagger.app/v1beta1", 'apiVersion: "flagger.app/v1beta1"  # ours soon')
    code, out, err = run(tmp_path, capsys, SERVICE + commented)
    assert (code, err) == (0, "")
    assert out == SERVICE + commented.replace('"flagger.app/v1beta1"', "canary.delivery/v1beta1")
    _, canary = yaml.safe_load_all(out)
    assert refusals(canary) == ()


def test_files_and_lists_are_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All that is served of every file is converted, inside Lists and without a last line break too."""
    for text in (TEMPLATE, ALERTS):
        assert run(tmp_path, capsys, text) == (0, text.replace("flagger.app", "canary.delivery"), "")
    both = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [listing(), listing()]})
    code, out, _ = run(tmp_path, capsys, both, LISTING_5_1.rstrip())
    found = list(yaml.safe_load_all(out))
    assert code == 0
    assert [one["apiVersion"] for one in (*found[0]["items"], found[1])] == ["canary.delivery/v1beta1"] * 3


def test_what_has_no_counterpart_is_told_with_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is refused is exit code 1; other kinds of Flagger are warned of."""
    asking = yaml.safe_dump(listing({"spec.ingressRef": {"apiVersion": "v1", "kind": "Ingress", "name": "x"}}))
    code, out, err = run(tmp_path, capsys, asking, OTHER)
    assert code == 0
    assert OTHER in out
    line = asking.splitlines().index("  ingressRef:") + 1
    assert err.splitlines() == [
        f"0.yaml:{line}: warning: spec.ingressRef is ignored: it has no effect with Istio; remove it (FieldIgnored)",
        "1.yaml:2: warning: Alert has no counterpart here; it stays as it is",
    ]
    code, _, err = run(tmp_path, capsys, yaml.safe_dump(listing({f"{A}.threshold": 0})))
    assert code == 1
    assert "refused: spec.analysis.threshold is 0; it must be at least 1" in err


def test_file_that_is_no_yaml_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed of any file then."""
    code, out, err = run(tmp_path, capsys, LISTING_5_1, "a: b: c")
    assert (code, out) == (2, "")
    assert "1.yaml is not YAML" in err
