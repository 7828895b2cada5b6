"""Settings: flags over environment, and one clear line when something is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from canary.cli import main
from canary.settings import Settings, SettingsError, load

URL = "http://prometheus.istio-system:9090"
CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "CANARY_METRICS_SERVER": URL}


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    """Return the path of a kubeconfig that looks like one."""
    path = tmp_path / "config"
    path.write_text("apiVersion: v1\nkind: Config\nclusters: []\n", encoding="utf-8")
    return str(path)


def test_defaults_fit_a_pod() -> None:
    """Need nothing but the metrics server inside a cluster."""
    assert load({}, CLUSTER) == Settings(metrics_server=URL)
    settings = load({}, CLUSTER)
    assert settings.kubeconfig is None
    assert settings.namespaces == ()
    assert not settings.flagger_compat
    assert not settings.pin_secrets
    assert settings.http_port == 8080


def test_flags_win_over_environment() -> None:
    """Take a flag before the variable of the same setting."""
    environ = {**CLUSTER, "CANARY_LOG_LEVEL": "debug", "CANARY_HTTP_PORT": "1"}
    settings = load({"http_port": "0", "log_level": None}, environ)
    assert (settings.http_port, settings.log_level) == (0, "debug")


def test_values_are_read_as_people_write_them() -> None:
    """Accept lists, switches, capitals and a path prefix."""
    environ = {
        **CLUSTER,
        "CANARY_METRICS_SERVER": "https://metrics.example.com/prefix/",
        "CANARY_NAMESPACES": "shop, blog,shop",
        "CANARY_FLAGGER_COMPAT": "TRUE",
        "CANARY_PIN_SECRETS": "true",
        "CANARY_LOG_LEVEL": "WARNING",
    }
    settings = load({}, environ)
    assert settings.metrics_server == "https://metrics.example.com/prefix"
    assert settings.namespaces == ("shop", "blog")
    assert settings.flagger_compat
    assert settings.pin_secrets
    assert settings.log_level == "warning"


def test_kubeconfig_comes_from_flag_variable_or_kubectl(kubeconfig: str) -> None:
    """Read the file kubectl would read when not in a cluster."""
    outside = {"CANARY_METRICS_SERVER": URL}
    assert load({}, {**outside, "KUBECONFIG": f"/missing:{kubeconfig}"}).kubeconfig == kubeconfig
    assert load({"kubeconfig": kubeconfig}, {**outside, "KUBECONFIG": "/missing"}).kubeconfig == kubeconfig
    assert load({}, {**CLUSTER, "CANARY_KUBECONFIG": kubeconfig}).kubeconfig == kubeconfig


@pytest.mark.parametrize(
    ("flags", "names", "right"),
    [
        ({"metrics_server": "prometheus:9090"}, "--metrics-server 'prometheus:9090'", "http://"),
        ({"metrics_server": "ftp://x"}, "--metrics-server 'ftp://x'", "http://"),
        ({"metrics_server": "http://x:port"}, "--metrics-server", "http://"),
        ({"metrics_server": "http://x/?query=1"}, "--metrics-server", "http://"),
        ({"namespaces": "shop,Blog"}, "--namespaces 'shop,Blog': 'Blog'", "lower-case"),
        ({"namespaces": "shop,,blog"}, "--namespaces", "commas"),
        ({"flagger_compat": "maybe"}, "--flagger-compat 'maybe'", "true or false"),
        ({"log_level": "loud"}, "--log-level 'loud'", "debug, info, warning or error"),
        ({"log_format": "xml"}, "--log-format 'xml'", "json or console"),
        ({"http_port": "99999"}, "--http-port '99999'", "65535"),
        ({"http_port": "tcp://10.0.0.1:80"}, "--http-port 'tcp://10.0.0.1:80'", "65535"),
        ({"kubeconfig": "/missing/file"}, "--kubeconfig '/missing/file'", "no such file"),
        ({"context": "prod"}, "--context 'prod'", "--kubeconfig"),
    ],
)
def test_wrong_settings_are_named(flags: dict[str, str], names: str, right: str) -> None:
    """Name setting, value and what would be right, in one line."""
    with pytest.raises(SettingsError) as caught:
        load(flags, CLUSTER)
    line = str(caught.value)
    assert line.startswith(names)
    assert right in line
    assert "\n" not in line


def test_missing_metrics_server_is_named() -> None:
    """Say how to give the one setting that has no default."""
    with pytest.raises(SettingsError, match="--metrics-server or CANARY_METRICS_SERVER is missing"):
        load({}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


def test_a_wrong_variable_is_named_as_such() -> None:
    """Name the variable when the value came from there."""
    with pytest.raises(SettingsError, match=r"^CANARY_HTTP_PORT 'x'"):
        load({}, {**CLUSTER, "CANARY_HTTP_PORT": "x"})


@pytest.mark.parametrize("content", ["", "- a", "clusters: [", "\x00"])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, content: str) -> None:
    """Say that a file is not what it should be before anything is touched."""
    path = tmp_path / "config"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match="give the path of a kubeconfig file"):
        load({"kubeconfig": str(path)}, CLUSTER)


def test_run_ends_with_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """End with exit code 2 and one line on stderr."""
    monkeypatch.delenv("CANARY_METRICS_SERVER", raising=False)
    assert main(["run", "--metrics-server", "nonsense"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("canary run: --metrics-server 'nonsense': ")
    assert captured.err.count("\n") == 1


def test_help_names_every_setting_and_the_one_replica(capsys: pytest.CaptureFixture[str]) -> None:
    """Tell of every flag and variable, and that one replica is supported."""
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    assert "one replica" in " ".join(text.split())
    for name in Settings.model_fields:
        assert f"CANARY_{name.upper()}" in text
