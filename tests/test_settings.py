"""Settings: flags over environment, and one clear line when something is wrong."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from canary.cli import main
from canary.core.runs import Limits
from canary.settings import Settings, SettingsError, load

URL = "http://prometheus.istio-system:9090"
CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "CANARY_METRICS_SERVER": URL}
ELECTING = {"leader_election": "true", "lease_namespace": "canary-system"}


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
        "CANARY_HOOK_HOSTS": "CI.example, *.tools,10.0.0.7",
        "CANARY_LOG_LEVEL": "WARNING",
        "CANARY_MAX_CONCURRENT_RUNS": "20",
        "CANARY_MAX_CONCURRENT_RUNS_PER_NAMESPACE": "5",
    }
    settings = load({}, environ)
    assert settings.limits == Limits(20, 5)
    assert settings.metrics_server == "https://metrics.example.com/prefix"
    assert settings.namespaces == ("shop", "blog")
    assert settings.flagger_compat
    assert settings.pin_secrets
    assert settings.hook_hosts == ("ci.example", "*.tools", "10.0.0.7")
    assert settings.log_level == "warning"


def test_api_is_off_until_it_is_asked_for() -> None:
    """It needs rights that nothing else does, and takes tokens for the Kubernetes API unless told otherwise."""
    assert (load({}, CLUSTER).api, load({}, {**CLUSTER, "CANARY_API": "true"}).api) == (False, True)
    assert load({}, {**CLUSTER, "CANARY_API_AUDIENCE": "canary"}).api_audience == "canary"


def test_leader_election_is_off_until_it_is_asked_for() -> None:
    """One replica needs no lease; durations that contradict each other do not matter then."""
    assert not load({}, CLUSTER).leader_election
    assert not load({"lease_duration": "1s"}, CLUSTER).leader_election


def test_lease_is_kept_as_told() -> None:
    """Take place, name and times of the lease from flags and variables."""
    times = {"CANARY_LEASE_DURATION": "1m", "CANARY_RENEW_DEADLINE": "40s", "CANARY_RETRY_PERIOD": "5s"}
    settings = load({**ELECTING, "lease_name": "canary.blue", "lease_identity": "pod-1"}, {**CLUSTER, **times})
    assert (settings.lease_namespace, settings.lease_name) == ("canary-system", "canary.blue")
    assert settings.lease_identity == "pod-1"
    times_of = settings.terms
    assert [one.seconds for one in (times_of.duration, times_of.renew_deadline, times_of.retry_period)] == [60, 40, 5]


def test_default_times_of_the_lease_keep_the_promise_of_15_seconds() -> None:
    """A leader that dies right after a renewal is followed in time, a slow look at the lease included."""
    terms = load(ELECTING, CLUSTER).terms
    assert terms.duration + terms.retry_period + timedelta(seconds=2) < timedelta(seconds=15)
    assert terms.duration - terms.renew_deadline >= timedelta(seconds=3)


def test_lease_is_in_the_namespace_of_the_pod(tmp_path: Path) -> None:
    """Take the pod's own namespace when none is given, and say that one is needed outside of a pod."""
    file = tmp_path / "namespace"
    with pytest.raises(SettingsError, match=r"^--lease-namespace or CANARY_LEASE_NAMESPACE is missing: "):
        load({"leader_election": "true"}, CLUSTER, file)
    file.write_text("canary-system\n", encoding="utf-8")
    assert load({"leader_election": "true"}, CLUSTER, file).lease_namespace == "canary-system"
    assert load({**ELECTING, "lease_namespace": "other"}, CLUSTER, file).lease_namespace == "other"


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
        ({"hook_hosts": "ci.example,http://ci"}, "--hook-hosts", "'http://ci' is no host"),
        ({"namespaces": "shop,,blog"}, "--namespaces", "commas"),
        ({"flagger_compat": "maybe"}, "--flagger-compat 'maybe'", "true or false"),
        ({"max_concurrent_runs": "-1"}, "--max-concurrent-runs '-1'", "whole number"),
        ({"log_level": "loud"}, "--log-level 'loud'", "debug, info, warning or error"),
        ({"log_format": "xml"}, "--log-format 'xml'", "json or console"),
        ({"http_port": "99999"}, "--http-port '99999'", "65535"),
        ({"http_port": "tcp://10.0.0.1:80"}, "--http-port 'tcp://10.0.0.1:80'", "65535"),
        ({"api": "true", "http_port": "0"}, "--api", "--http-port other than 0"),
        ({"kubeconfig": "/missing/file"}, "--kubeconfig '/missing/file'", "no such file"),
        ({"context": "prod"}, "--context 'prod'", "--kubeconfig"),
        ({"leader_election": "on"}, "--leader-election 'on'", "true or false"),
        ({**ELECTING, "lease_namespace": "a,b"}, "--lease-namespace 'a,b'", "one namespace"),
        ({**ELECTING, "lease_name": "Canary"}, "--lease-name 'Canary'", "lower-case"),
        ({**ELECTING, "lease_identity": "a pod"}, "--lease-identity 'a pod'", "without blanks"),
        ({**ELECTING, "lease_duration": "10"}, "--lease-duration '10'", "such as 10s"),
        ({**ELECTING, "lease_duration": "2h"}, "--lease-duration '2h'", "from 1s to 1h"),
        ({**ELECTING, "retry_period": "500ms"}, "--retry-period '500ms'", "whole seconds"),
        ({**ELECTING, "lease_duration": "7s"}, "--lease-duration '7s'", "--renew-deadline (default), which is 7s"),
        ({**ELECTING, "renew_deadline": "2s"}, "--renew-deadline '2s'", "--retry-period (default), which is 2s"),
        ({**ELECTING, "retry_period": "1m"}, "--renew-deadline (default) '7s'", "--retry-period, which is 1m"),
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


def test_help_names_every_setting_and_what_several_replicas_need(capsys: pytest.CaptureFixture[str]) -> None:
    """Tell of every flag and variable, and that without an election there must be one replica."""
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    assert "Without --leader-election run one replica" in " ".join(text.split())
    for name in Settings.model_fields:
        assert f"CANARY_{name.upper()}" in text
