"""``canary run`` as a process: how it starts, what it tells, whom it serves, what it survives."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from e2e.controller import Controller
from e2e.orphans import SOON, apply, orphan, requests_of_controller, wait_served
from e2e.pages import kubeconfig, log_lines, page, wait_page
from e2e.testbed import addresses
from e2e.testbed.layout import REPOSITORY
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until


@pytest.fixture(scope="module", autouse=True)
def caught_up(testbed: Testbed) -> Iterator[None]:
    """Leave a control plane that knows the cluster: after the API server's end others wait up to half a minute."""
    yield
    for part in (testbed.controller_manager, testbed.istiod):
        part.stop()
        part.start()


def run_to_end(*flags: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``canary run``, which must end by itself, with no settings but these."""
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "HOME": "/nonexistent"}
    command = [sys.executable, "-m", "canary", "run", *flags]
    return subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, timeout=20)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"metrics-server": None}, "--metrics-server or CANARY_METRICS_SERVER is missing"),
        ({"metrics-server": "prometheus:9090"}, "--metrics-server 'prometheus:9090': give an http://"),
        ({"kubeconfig": "/missing"}, "--kubeconfig '/missing': there is no such file"),
        ({"context": "production"}, "context 'production'"),
        ({"namespaces": "shop,Blog"}, "--namespaces 'shop,Blog': 'Blog' is no namespace"),
        ({"log-level": "loud"}, "--log-level 'loud': give debug"),
        ({"http-port": str(addresses.PROMETHEUS_PORT)}, "cannot listen there"),
        ({"http-port": "99999"}, "--http-port '99999'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_wrong_setting_ends_the_process_with_one_line_before_anything_is_touched(
    testbed: Testbed, changes: dict[str, str | None], says: str
) -> None:
    """Exit 2, one line that names the setting, and not one request to the API server."""
    since = datetime.now(UTC)
    right = {"kubeconfig": str(testbed.controller_kubeconfig), "metrics-server": testbed.prometheus_url}
    flags = {**right, "http-host": "127.0.0.1", "http-port": "0", **changes}
    ended = run_to_end(*(f"--{name}={value}" for name, value in flags.items() if value is not None))
    assert (ended.returncode, ended.stdout) == (2, ""), ended
    assert ended.stderr.startswith("canary run: "), ended.stderr
    assert says in ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert requests_of_controller(testbed, since) == []


@pytest.mark.parametrize(
    "user",
    [
        {"tokenFile": "/missing/token"},
        {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/missing/plugin"}},
        {"client-certificate-data": "bm90IGEgY2VydGlmaWNhdGU=", "client-key-data": "bm90IGEga2V5"},
    ],
    ids=["token file", "plug-in", "certificate"],
)
def test_kubeconfig_whose_user_cannot_log_in_ends_with_one_line(
    testbed: Testbed, tmp_path: Path, user: dict[str, Any]
) -> None:
    """Exit 2 and one line that names the file, whatever the library ran into."""
    path = kubeconfig(testbed, tmp_path, **user)
    ended = run_to_end(f"--metrics-server={testbed.prometheus_url}", "--http-port=0", KUBECONFIG=path)
    assert (ended.returncode, ended.stdout) == (2, ""), ended
    assert ended.stderr.startswith(f"canary run: kubeconfig '{path}': "), ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr


@pytest.mark.parametrize("provider", ["oidc", "gcp"])
def test_login_that_cannot_be_renewed_is_refused(testbed: Testbed, tmp_path: Path, provider: str) -> None:
    """Exit 2 and one line that names the provider and what to use: the token would end, and nobody could renew it."""
    issuer = {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "me", "id-token": "e30.e30.e30"}
    path = kubeconfig(testbed, tmp_path, **{"auth-provider": {"name": provider, "config": issuer}})
    ended = run_to_end(f"--metrics-server={testbed.prometheus_url}", "--http-port=0", KUBECONFIG=path)
    assert (ended.returncode, ended.stdout) == (2, ""), ended
    assert ended.stderr.startswith(f"canary run: kubeconfig '{path}': auth-provider '{provider}' "), ended.stderr
    assert "exec plug-in" in ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr


def test_wrong_token_is_told_and_the_process_waits(testbed: Testbed, namespace: str, tmp_path: Path) -> None:
    """A token the API server does not know may become known: not ready, with the reason, and no end."""
    path = kubeconfig(testbed, tmp_path, token="forged")
    controller = Controller(testbed, [namespace], kubeconfig=Path(path))
    controller.launch()
    try:
        assert "Unauthorized" in wait_page(controller, "/readyz", 503, "401")
        assert page(controller, "/healthz") == (200, "ok\n")
        assert any("401" in line.get("error", "") for line in log_lines(controller))
    finally:
        controller.stop()


def test_pages_tell_health_readiness_and_metrics(controller: Controller) -> None:
    """A running controller answers on its port, with what it asked of the API server among its metrics."""
    assert page(controller, "/healthz") == (200, "ok\n")
    assert page(controller, "/readyz") == (200, "ok\n")
    status, text = page(controller, "/metrics")
    assert status == 200
    assert 'canary_api_requests_total{code="200",resource="deployments",verb="watch"} ' in text
    assert "canary_queue_depth 0.0" in text


def test_sigterm_ends_the_process_with_0(testbed: Testbed, namespace: str, compat_crd: None, tmp_path: Path) -> None:
    """Told to end, the controller ends within moments and in order."""
    command = [sys.executable, "-m", "canary", "run", "--flagger-compat", f"--namespaces={namespace}", "--http-port=0"]
    command += [f"--kubeconfig={testbed.controller_kubeconfig}", f"--metrics-server={testbed.prometheus_url}"]
    log = tmp_path / "log"

    def events() -> list[str]:
        return [json.loads(line)["event"] for line in log.read_text().splitlines()]

    with log.open("w") as file, subprocess.Popen(command, cwd=REPOSITORY, stderr=file) as process:
        try:
            wait_until(lambda: "ready" in events(), SOON, log.read_text)
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
        finally:
            process.kill()
    assert events()[-2:] == ["stopping", "stopped"]


def test_controller_started_before_the_api_server_becomes_ready_with_it(
    testbed: Testbed, namespace: str, compat_crd: None
) -> None:
    """Without an API server the process lives, says 503 and why, and begins once there is one."""
    controller = Controller(testbed, [namespace])
    testbed.api_server.kill()
    try:
        controller.launch()
        reason = wait_page(controller, "/readyz", 503, "127.0.0.1:6443")
        assert reason.count("\n") == 1
        assert page(controller, "/healthz") == (200, "ok\n")
    finally:
        testbed.api_server.start()
    try:
        wait_page(controller, "/readyz", 200)
        canary = orphan("late", namespace)
        apply(testbed, canary)
        wait_served(testbed, canary)
    finally:
        controller.stop()


def test_controller_survives_a_restart_of_the_api_server(
    testbed: Testbed, namespace: str, controller: Controller
) -> None:
    """The same process goes on: what was written while the API server came back is served."""
    before, after = orphan("before", namespace), orphan("after", namespace)
    apply(testbed, before)
    wait_served(testbed, before)
    pid = controller.pid
    testbed.api_server.kill()
    wait_until(
        lambda: any(line["event"] == "watch_interrupted" for line in log_lines(controller)), SOON, "nobody noticed"
    )
    testbed.api_server.start()
    apply(testbed, after)
    wait_served(testbed, after)
    assert controller.pid == pid
    assert page(controller, "/readyz") == (200, "ok\n")
