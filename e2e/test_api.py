"""The HTTP API with tokens and RBAC of a real API server: a pipeline takes a release through its gate."""

import json
import re
import shlex
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.controller import Controller, allow_lease
from e2e.recorder import Recorder
from e2e.release import CANARY, Release
from e2e.test_leader_election import wait_leading
from e2e.testbed import credentials
from e2e.testbed.layout import REPOSITORY
from e2e.testbed.testbed import Testbed
from e2e.timeline import assert_none_failed

LONG = timedelta(seconds=60)
PAGE = REPOSITORY / "docs/api.md"
AUDIENCE = "canary"
STRANGER = "stranger"


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of a language on the page."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def replica(testbed: Testbed, namespace: str, name: str) -> Controller:
    """Return a controller that shares a lease and serves its API, for tokens of its own audience."""
    flags = ["--api", f"--api-audience={AUDIENCE}", "--leader-election", f"--lease-namespace={namespace}"]
    return Controller(testbed, [namespace], flags=flags, replica=name)


@pytest.fixture
def controller(testbed: Testbed, namespace: str, compat_crd: None) -> Iterator[Controller]:
    """Run the controller that leads."""
    lease = {"metadata": {"name": "canary-controller"}, "spec": {}}
    testbed.kube.create(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", lease)
    allow_lease(testbed, namespace, "controller", f"--user={credentials.CONTROLLER}")
    with replica(testbed, namespace, "one") as running:
        wait_leading(running)
        yield running


@pytest.fixture
def standby(testbed: Testbed, namespace: str, controller: Controller) -> Iterator[Controller]:
    """Run another one, which callers meet."""
    with replica(testbed, namespace, "two") as running:
        yield running


@pytest.fixture
def release(testbed: Testbed, namespace: str, controller: Controller) -> Iterator[Release]:
    """Offer a service whose pipeline has the account that the page shows."""
    with Recorder(testbed, namespace) as recorder:
        found = Release(testbed, namespace, recorder)
        text = blocks("yaml")[0].replace("istioinaction", namespace).replace("[canary.delivery]", f"[{found.group}]")
        stranger = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": STRANGER}}
        found.apply(stranger, *yaml.safe_load_all(text))
        yield found


def token(release: Release, account: str, audience: str = AUDIENCE) -> str:
    """Return a new token of an account."""
    return release.kubectl("create", "token", account, f"--audience={audience}", "--duration=10m").strip()


def call(controller: Controller, path: str, bearer: str, body: Any = None) -> tuple[int, Any]:
    """Send a request and return status and body."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(controller.url + path, data, {"Authorization": f"Bearer {bearer}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as fault:
        return fault.code, json.load(fault)


def pipeline(release: Release, controller: Controller, folder: Path, *test: str) -> "subprocess.Popen[str]":
    """Start the page's script as the page tells, for this release."""
    (folder / "token").write_text(token(release, "deployer"))
    (line,) = [one for block in blocks("sh") for one in block.splitlines() if "gate.py" in one]
    line = line.replace("http://canary.canary-system:8080", controller.url).replace("istioinaction", release.namespace)
    words = shlex.split(line.replace("registry.example/catalog:v2", "testbed/catalog:v2").partition(" -- ")[0])
    words[words.index("token")] = str(folder / "token")
    command = [sys.executable, *words[1:], "--", *test]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def assert_refused(release: Release, controller: Controller) -> None:
    """Ask with tokens that are not good, of accounts without the right, and of one without the right to commands."""
    one = f"/v1/namespaces/{release.namespace}/canaries/{CANARY}"
    bad = {
        token(release, STRANGER): 403,
        token(release, "deployer", "https://kubernetes.default.svc"): 401,
        "not-a-token": 401,
    }
    for bearer, code in bad.items():
        assert call(controller, f"{one}/gates/gate:open", bearer, {})[0] == code
        assert call(controller, f"{one}/abort", bearer, {})[0] == code
        assert call(controller, one, bearer)[0] == code
    code, told = call(controller, f"{one}/abort", token(release, "deployer"), {})
    who = f"system:serviceaccount:{release.namespace}:deployer"
    right = f"create canaries/command.{release.group} in namespace {release.namespace}"
    assert (code, told["message"].partition(";")[0]) == (403, f"{who} may not {right}")


def test_pipeline_opens_the_gate_of_its_own_revision(
    release: Release, controller: Controller, standby: Controller, tmp_path: Path
) -> None:
    """Closed, the gate holds in Waiting whoever else asks; its own account opens it, and no request fails.

    Callers meet the replica that does not lead, and the hook the one that does.
    """
    hook = {"name": "pipeline", "type": "confirm-rollout", "url": f"{controller.url}/gate/check"}
    release.set_up(stepWeight=50, webhooks=[hook])
    mark = tmp_path / "tested"
    with release.load() as (mesh, plain):
        tests = ["sh", "-c", f'while ! [ -e {mark} ]; do sleep 0.2; done; test -n "$CANARY_REVISION"']
        script = pipeline(release, standby, tmp_path, *tests)
        target = release.deployment("v2")
        target["spec"]["template"]["spec"]["containers"][0]["image"] = "testbed/catalog:v2"
        release.apply(target)
        release.wait_message("confirm-rollout hook pipeline says no: HTTP 403: Forbidden")
        pending = release.status["revision"]["pending"]
        before = release.testbed.kube.get(release.path)["metadata"].get("annotations")
        assert_refused(release, standby)
        # Longer than an interval: the gate is asked again.
        mesh.next_window(timedelta(seconds=4))
        assert (release.status["phase"], release.find("deployment", "catalog-canary")) == ("Waiting", None)
        assert release.testbed.kube.get(release.path)["metadata"].get("annotations") == before
        mark.touch()
        release.wait_for("Succeeded", within=LONG)
        said, _ = script.communicate(timeout=15)
    assert (script.returncode, said.splitlines()[-1]) == (0, f"revision {pending} is promoted"), said
    assert_none_failed(mesh, plain)
    caller = f"system:serviceaccount:{release.namespace}:deployer"
    assert release.told("GateOpened") == [f"Gate gate was opened by {caller} for revision {pending}"]
    assert f'"caller":"{caller}"' in standby.log.read_text()
    assert (tmp_path / "token").read_text() not in standby.log.read_text()
