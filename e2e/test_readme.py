"""What README.md tells people to type works as written."""

import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import yaml

from e2e.conftest import remove_crd
from e2e.release import MANIFESTS, SOON
from e2e.testbed.cache import open_cache
from e2e.testbed.kube import Object
from e2e.testbed.layout import REPOSITORY
from e2e.testbed.load import Rate
from e2e.testbed.part import Part, http_probe
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

BOOK = "istioinaction"
GONE = timedelta(seconds=180)
INITIALISED = timedelta(seconds=150)
LIGHT = Rate(per_second=5, duration=timedelta(minutes=4))
PROMETHEUS = "http://localhost:9090"

Kubectl = Callable[[str], str]


def blocks(title: str, language: str) -> list[str]:
    """Return the code blocks of a section of README.md."""
    section = (REPOSITORY / "README.md").read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def commands(title: str) -> list[str]:
    """Return the lines of a section's first block of commands."""
    return blocks(title, "sh")[0].splitlines()


@pytest.fixture
def book(testbed: Testbed) -> Iterator[str]:
    """Create the namespace of the README's manifest, and take it away wholly, for whoever needs the name next."""
    path = f"/api/v1/namespaces/{BOOK}"
    wait_until(lambda: testbed.kube.find(path) is None, GONE, f"an earlier {BOOK} is still there")
    testbed.create_namespace(BOOK)
    yield BOOK
    testbed.delete_namespace(BOOK)
    wait_until(lambda: testbed.kube.find(path) is None, GONE, f"{BOOK} does not end")


@pytest.fixture
def kubectl(testbed: Testbed, book: str) -> Iterator[Kubectl]:
    """Return a way to type kubectl commands, in the namespace; what was installed is removed afterwards."""
    programs = open_cache().go_tool("kubectl").parent
    kubeconfig = testbed.layout.root / "readme.kubeconfig"
    content = yaml.safe_load(testbed.kubeconfig.read_text())
    content["contexts"][0]["context"]["namespace"] = book
    kubeconfig.write_text(yaml.safe_dump(content))
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig)}

    def run(line: str) -> str:
        typed = subprocess.run(
            shlex.split(line), cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=30
        )
        assert typed.returncode == 0, f"{line}: {typed.stderr}"
        return typed.stdout

    yield run
    remove_crd(testbed, "canary.delivery")


@pytest.fixture
def run_as_told(testbed: Testbed) -> Iterator[Callable[[str], Part]]:
    """Return a way to run the controller by a line of the README, with the testbed's Prometheus and kubeconfig."""
    running: list[Part] = []

    def run(line: str) -> Part:
        assert PROMETHEUS in line
        command = shlex.split(line.replace(PROMETHEUS, testbed.prometheus_url))
        command[0] = str(REPOSITORY / command[0])
        environment = {"KUBECONFIG": str(testbed.controller_kubeconfig), "PYTHONPATH": str(REPOSITORY)}
        probe = http_probe("http://127.0.0.1:8080/readyz")
        log = testbed.layout.logs / "readme-controller.log"
        running.append(Part("readme-controller", command, log, probe, environment=environment))
        running[-1].start()
        return running[-1]

    yield run
    for part in running:
        part.stop()


def test_install_by_hand_initialises_the_canary_of_the_readme(
    testbed: Testbed, book: str, kubectl: Kubectl, run_as_told: Callable[[str], Part]
) -> None:
    """Three commands and one manifest release a running service, and kubectl shows and awaits it as told."""
    setup, install, run = commands("Install by hand")
    assert subprocess.run([*shlex.split(setup), "--dry-run"], cwd=REPOSITORY, stdout=subprocess.DEVNULL).returncode == 0
    kubectl(install)
    run_as_told(run)
    for name in ("catalog-v1", "catalog-service", "client"):
        kubectl(f"kubectl apply -f {MANIFESTS / name}.yaml")
    for name in ("catalog", "client"):
        testbed.wait_ready(book, name)
    (manifest,) = blocks("Install by hand", "yaml")
    path = testbed.layout.root / "readme-canary.yaml"
    path.write_text(manifest)
    client = testbed.pods.first(book, "app=client")
    with testbed.load_mesh(book, client, "http://catalog/items", LIGHT) as load:
        kubectl(f"kubectl apply -f {path}")
        wait_until(lambda: status(testbed).get("phase") == "Initialized", INITIALISED, lambda: str(status(testbed)))
    assert load.summary().failed == 0, str(load.summary())
    assert re.search(r"catalog-release +Initialized +0 ", kubectl("kubectl get canaries -o wide"))
    assert "Initialized" in kubectl("kubectl describe canaries")
    assert "kubectl wait canary/catalog-release --for=condition=Promoted" in (REPOSITORY / "README.md").read_text()
    assert "condition met" in kubectl("kubectl wait canary/catalog-release --for=condition=Promoted")


def status(testbed: Testbed) -> Object:
    """Return the status of the README's Canary."""
    path = f"/apis/canary.delivery/v1beta1/namespaces/{BOOK}/canaries/catalog-release"
    return testbed.kube.get(path).get("status") or {}


def test_release_without_a_cluster_is_simulated_as_told() -> None:
    """Each command of the README's simulation runs and ends with a verdict."""
    verdicts = []
    for line in commands("Try a release without a cluster"):
        typed = subprocess.run(shlex.split(line), cwd=REPOSITORY, capture_output=True, text=True, timeout=SOON.seconds)
        assert (typed.returncode, typed.stderr) == (0, ""), f"{line}: {typed.stderr}"
        verdicts.append(re.findall(r"\b(Succeeded|Failed)\b", typed.stdout)[-1])
    assert verdicts == ["Succeeded", "Failed", "Succeeded", "Succeeded"]
