"""Custom checks against the real Prometheus, behind a proxy that wants credentials and has a certificate of its own."""

import base64
import copy
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from canary.api.admission import template_refusals
from e2e import on_call
from e2e.accounts import Account, role_on
from e2e.controller import Controller
from e2e.pages import kubeconfig
from e2e.release import Release, manifests
from e2e.test_webhooks import Gates, serving
from e2e.testbed.kube import Object
from e2e.testbed.layout import REPOSITORY
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, settled
from tests.adapters.certificates import Authority

LONG = timedelta(seconds=120)
PAGE = REPOSITORY / "docs/metric-templates.md"
TOKEN = "let-me-in-7f3a"
SECRET = "prometheus-access"
ERRORS, ANSWERS = "error-percentage", "answers"


@dataclass
class Guard:
    """A proxy before Prometheus that lets in who shows the token, and remembers what was asked."""

    url: str = ""
    authority: bytes = b""
    asked: list[str] = field(default_factory=list)
    refused: int = 0


@contextmanager
def guarding(upstream: str, folder: Path) -> Iterator[Guard]:
    """Serve Prometheus over TLS on the address that the controller process shares with the tests."""
    guard = Guard()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = 401, b""
            if self.headers["Authorization"] == f"Bearer {TOKEN}":
                guard.asked.append(parse_qs(urlsplit(self.path).query)["query"][0])
                status, body = fetched(upstream + self.path)
            else:
                guard.refused += 1
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    authority = Authority(folder, "authority").create()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("prometheus"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    guard.url, guard.authority = f"https://127.0.0.1:{server.server_address[1]}", authority.certificate.read_bytes()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield guard
    finally:
        server.shutdown()
        server.server_close()


def fetched(url: str) -> tuple[int, bytes]:
    """Return what Prometheus answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read()


@pytest.fixture
def controller(testbed: Testbed, namespace: str, compat_crd: None, tmp_path: Path) -> Iterator[Controller]:
    """Run a controller with the rights of README.md, which may read no Secret."""
    account = Account(testbed, namespace)
    account.create()
    try:
        access = kubeconfig(testbed, tmp_path, token=account.token().text)
        with Controller(testbed, [namespace], kubeconfig=Path(access)) as running:
            yield running
    finally:
        account.delete()


@pytest.fixture
def guard(release: Release, tmp_path: Path) -> Iterator[Guard]:
    """Put a proxy before the testbed's Prometheus."""
    with guarding(release.testbed.prometheus_url, tmp_path) as found:
        yield found


def template(guard: Guard, **spec: Any) -> Object:
    """Return the MetricTemplate of docs/metric-templates.md, at the proxy's address."""
    found = copy.deepcopy(manifests("metric-template.yaml")[0])
    found["spec"]["provider"]["address"] = guard.url
    found["spec"] |= spec
    return found


def access(guard: Guard, token: str = TOKEN) -> Object:
    """Return the Secret that the MetricTemplate names."""
    data = {"token": token.encode(), "ca.crt": guard.authority}
    encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "data": encoded}


def checks() -> list[Object]:
    """Return the checks of docs/metric-templates.md: one by the MetricTemplate, one by a query of its own."""
    found: list[Object] = manifests("metric-template.yaml")[1]["spec"]["analysis"]["metrics"]
    return found


@pytest.fixture
def receiver() -> Iterator[Gates]:
    """Serve somebody who takes alerts."""
    with serving() as found:
        yield found


def wait_held(release: Release, words: str) -> None:
    """Wait until the run holds and says why."""
    release.wait_message(words, LONG)
    assert release.status["phase"] == "Progressing"
    assert release.status.get("failedChecks", 0) == 0
    assert release.condition("MetricsAvailable")["reason"] == "MetricsMissing"


def verdicts(release: Release) -> dict[str, str]:
    """Return the verdict of each check."""
    return {one["name"]: one["verdict"] for one in release.status["checks"]}


def check_by_hand(release: Release, *more: str) -> tuple[int, str]:
    """Return exit code and output of ``canary check``."""
    kubeconfig = f"--kubeconfig={release.testbed.kubeconfig}"
    words = ("check", ERRORS, "-n", release.namespace, "--flagger-compat", kubeconfig, *more)
    command = [sys.executable, "-m", "canary", *words]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)
    return ended.returncode, ended.stdout + ended.stderr


def test_release_is_gated_by_a_template_and_a_query(release: Release, guard: Guard) -> None:
    """Held at 0 while the template or a right is missing, the token or the query wrong; then judged, and promoted."""
    release.set_up(stepWeight=50, metrics=checks())
    assert release.condition("Ready")["reason"] == "CheckUnanswerable"
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2"))
        wait_held(release, f"MetricTemplate {release.namespace}/{ERRORS} not found; create it")
        release.apply(access(guard, "wrong"), template(guard, query="sum(rate(istio_requests_total[1m])"))
        wait_until(lambda: release.condition("Ready")["reason"] == "Served", LONG, lambda: str(release.status))
        wait_held(release, f"Secret {release.namespace}/{SECRET} cannot be read")
        release.apply(*role_on(PAGE, release.namespace))
        wait_held(release, f"Prometheus at {guard.url} answered 401 Unauthorized")
        assert release.weights == (100, 0)
        assert guard.refused > 0
        release.apply(access(guard))
        wait_held(release, 'answered 400 Bad Request: invalid parameter "query": 1:')
        assert "parse error: unclosed left parenthesis" in release.status["message"]
        release.apply(template(guard))
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(mesh, plain)
    assert release.shares(since) == [(50, 50), (0, 100), (100, 0)]
    assert verdicts(release) == {ERRORS: "Pass", ANSWERS: "Pass"}
    asked = [text for text in guard.asked if "5.." in text]
    assert all('destination_workload="catalog-canary"' in text for text in asked)
    assert all(f'destination_workload_namespace="{release.namespace}"' in text for text in asked)


def test_release_that_a_template_fails_is_rolled_back(release: Release, guard: Guard, receiver: Gates) -> None:
    """Half of the answers are 500: the check counts what Istio counts; at the threshold traffic is back; one alert."""
    release.apply(access(guard), template(guard), *role_on(PAGE, release.namespace))
    release.apply(*on_call.provider(receiver.url), *role_on(on_call.PAGE, release.namespace))
    receiver.open.add(on_call.PATH)
    release.set_up(stepWeight=50, threshold=2, metrics=checks(), alerts=on_call.alerts("error"))
    # With a path, as behind a proxy: the controller's own has none.
    release.patch_spec(metricsServer=f"{release.testbed.prometheus_url}/")
    assert release.condition("Ready")["reason"] == "Served"
    assert check_by_hand(release, "--canary=other")[0] == 2
    with release.load():
        since = settled(release)
        release.apply(release.deployment("v2", FAIL_PERCENT="50"))
        release.wait_for("Failed", within=LONG)
        code, said = check_by_hand(release, "--primary")
        assert (code, "Pass: error-percentage 0 (max 1)" in said) == (0, True), said
        assert 'destination_workload="catalog-primary"' in said
        code, said = check_by_hand(release)
        assert (code, "Fail: error-percentage " in said) == (1, True), said
    told = release.wait_told("RolledBack")
    assert len(told) == 1
    assert f"2 failed checks, the last: {ERRORS} " in told[0]
    assert " > 1" in told[0]
    assert release.shares(since)[-1] == (100, 0)
    assert verdicts(release) == {ERRORS: "Fail", ANSWERS: "Pass"}
    log = (release.testbed.layout.logs / f"controller-{release.namespace}.log").read_text()
    assert "decided" in log
    assert TOKEN not in log
    assert on_call.texts(receiver.payloads(on_call.PATH)) == [one.replace(">", "&gt;") for one in told]
    assert on_call.HIDDEN not in log


def test_wrong_templates_are_refused(release: Release, guard: Guard) -> None:
    """Another provider of Flagger's, and what stands for no value, by the API server itself and in our words."""
    datadog = template(guard, provider={"type": "datadog", "secretRef": {"name": "datadog"}})
    unknown = template(guard, query='sum(up{a="{{ namespace }}"})\n + {{ quantile "0.9" }}')
    for wrong in (datadog, unknown):
        (refusal,) = template_refusals(wrong)
        with pytest.raises(Exception, match=r"supported|stands for no value") as refused:
            release.apply(wrong)
        assert refusal.message in str(refused.value)
    assert '{{ quantile "0.9" }} at line 2, column 4' in refusal.message
