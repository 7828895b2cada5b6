"""How a controller stays logged in: rotated token files, plug-ins whose tokens end, and what cannot be renewed."""

import json
import shutil
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from e2e.accounts import NEEDED, Account
from e2e.controller import Controller
from e2e.orphans import SOON, apply, orphan, wait_served
from e2e.pages import kubeconfig, log_lines, page, wait_page
from e2e.testbed import addresses
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

MOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where the kubelet puts a pod's token; inside the enclosure the folder is ours alone."""
PLUGIN = """#!/bin/sh
echo run >> {folder}/runs
cat {folder}/answer
"""


@pytest.fixture
def account(testbed: Testbed, namespace: str, compat_crd: None) -> Iterator[Account]:
    """Make a ServiceAccount with the rights of the chart."""
    made = Account(testbed, namespace)
    made.create()
    yield made
    made.delete()


@pytest.fixture
def mount(testbed: Testbed) -> Iterator[Path]:
    """Return the folder of a pod's account, with the API server's certificate in it."""
    assert MOUNT.resolve().is_relative_to("/run"), "the enclosure keeps /run from the machine, and nothing else"
    MOUNT.mkdir(parents=True, exist_ok=True)
    shutil.copy(testbed.layout.authority, MOUNT / "ca.crt")
    yield MOUNT
    shutil.rmtree(MOUNT)


class PodController(Controller):
    """A controller that finds itself in a pod."""

    def __init__(self, testbed: Testbed, namespace: str) -> None:
        super().__init__(testbed, [namespace])
        self._command = [word for word in self._command if not word.startswith("--kubeconfig=")]
        self._environment |= {
            "KUBERNETES_SERVICE_HOST": addresses.LOOPBACK,
            "KUBERNETES_SERVICE_PORT": str(addresses.API_SERVER_PORT),
        }


def put(path: Path, text: str) -> None:
    """Replace a file in one moment, as the kubelet does."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def refusals(controller: Controller) -> list[str]:
    """Return what the controller logged about answers 401."""
    return [line["error"] for line in log_lines(controller) if line.get("error", "").startswith("401")]


def serve(testbed: Testbed, name: str, namespace: str) -> None:
    """Wait until a new Canary is served."""
    canary = orphan(name, namespace)
    apply(testbed, canary)
    wait_served(testbed, canary)


@pytest.mark.parametrize("place", ["pod", "tokenFile"])
def test_rotated_token_file_is_read_again(
    testbed: Testbed, namespace: str, account: Account, mount: Path, tmp_path: Path, place: str
) -> None:
    """A token that is refused is replaced by the one that is in the file by now."""
    old, new = account.token(), account.token()
    put(mount / "token", old.text)
    controller: Controller = PodController(testbed, namespace)
    if place == "tokenFile":
        path = kubeconfig(testbed, tmp_path, tokenFile=str(mount / "token"))
        controller = Controller(testbed, [namespace], kubeconfig=Path(path))
    controller.start()
    try:
        serve(testbed, "before", namespace)
        put(mount / "token", new.text)
        old.revoke()
        serve(testbed, "after", namespace)
        assert page(controller, "/readyz") == (200, "ok\n")
    finally:
        controller.stop()


class Plugin:
    """An exec plug-in that hands out what it is told and counts its runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.command = folder / "plugin"
        self.command.write_text(PLUGIN.format(folder=folder))
        self.command.chmod(stat.S_IRWXU)

    def answer(self, token: str, ends: datetime | None = None) -> None:
        """Hand a token out from now on."""
        status = {"token": token, **({"expirationTimestamp": f"{ends:%Y-%m-%dT%H:%M:%SZ}"} if ends else {})}
        answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": status}
        put(self._folder / "answer", json.dumps(answer))

    @property
    def runs(self) -> int:
        """Return how often the plug-in ran."""
        return len((self._folder / "runs").read_text().splitlines())


@pytest.fixture
def plugin(tmp_path: Path) -> Plugin:
    """Write a plug-in."""
    return Plugin(tmp_path)


def controller_with(testbed: Testbed, namespace: str, plugin: Plugin, folder: Path) -> Controller:
    """Return a controller that logs in by a plug-in."""
    settings = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": str(plugin.command),
        "interactiveMode": "Never",
    }
    return Controller(testbed, [namespace], kubeconfig=Path(kubeconfig(testbed, folder, exec=settings)))


def test_plugin_is_run_again_before_its_token_ends(
    testbed: Testbed, namespace: str, account: Account, plugin: Plugin, tmp_path: Path
) -> None:
    """The plug-in is asked in time, so that no request is ever refused, and not more often than its tokens end."""
    old, new = account.token(), account.token()
    plugin.answer(old.text, datetime.now(UTC) + timedelta(seconds=15))
    controller = controller_with(testbed, namespace, plugin, tmp_path)
    controller.start()
    try:
        serve(testbed, "before", namespace)
        assert plugin.runs == 1
        plugin.answer(new.text, datetime.now(UTC) + timedelta(hours=1))
        wait_until(lambda: plugin.runs == 2, SOON, lambda: f"{plugin.runs} runs")
        old.revoke()
        serve(testbed, "after", namespace)
        assert refusals(controller) == []
        assert plugin.runs == 2
    finally:
        controller.stop()


def test_plugin_whose_tokens_name_no_end_is_run_again_when_one_is_refused(
    testbed: Testbed, namespace: str, account: Account, plugin: Plugin, tmp_path: Path
) -> None:
    """Such a token is used for as long as it is good."""
    old, new = account.token(), account.token()
    plugin.answer(old.text)
    controller = controller_with(testbed, namespace, plugin, tmp_path)
    controller.start()
    try:
        serve(testbed, "before", namespace)
        assert plugin.runs == 1
        plugin.answer(new.text)
        old.revoke()
        serve(testbed, "after", namespace)
        assert plugin.runs == 2
    finally:
        controller.stop()


def test_token_that_ends_and_cannot_be_renewed_is_warned_about(
    testbed: Testbed, namespace: str, account: Account, tmp_path: Path
) -> None:
    """A token pasted into a kubeconfig ends one day: the log says when."""
    path = kubeconfig(testbed, tmp_path, token=account.token().text)
    controller = Controller(testbed, [namespace], kubeconfig=Path(path))
    controller.start()
    controller.stop()
    (warning,) = [line for line in log_lines(controller) if line["event"] == "token_ends"]
    assert warning["level"] == "warning"
    left = datetime.fromisoformat(warning["at"]) - datetime.now(UTC)
    assert timedelta(minutes=55) < left < timedelta(minutes=60)


LEFT_OUT = [
    "alertproviders.canary.delivery",
    "alertproviders.flagger.app",
    "daemonsets.apps",
    "gateways.networking.istio.io",
    "metrictemplates.canary.delivery",
    "metrictemplates.flagger.app",
    "namespaces",
    "peerauthentications.security.istio.io",
    "sidecars.networking.istio.io",
    "workloadentries.networking.istio.io",
]
"""What a controller does without."""


def test_controller_that_may_not_read_definitions_becomes_ready(
    testbed: Testbed, namespace: str, compat_crd: None, mount: Path
) -> None:
    """Without that right a definition that is missing is believed missing after half a minute, with a warning.

    The same holds for types on which warnings or releases of DaemonSets rest: one line each says that they are
    left out, and a Canary of a DaemonSet says so too.
    """
    account = Account(testbed, namespace, NEEDED)
    account.create()
    put(mount / "token", account.token().text)
    controller = PodController(testbed, namespace)
    try:
        controller.launch()
        wait_page(controller, "/readyz", 200, deadline=timedelta(seconds=50))
        lines = log_lines(controller)
        refused = [line["error"] for line in lines if line["event"] == "definitions_not_watched"]
        missing = ("canaries.canary.delivery", "scaledobjects.keda.sh")
        assert len(refused) == len(missing)
        assert all(any(f'"{name}"' in line for line in refused) for name in missing), refused
        left_out = [line["resource"].split(" ")[0] for line in lines if line["event"] == "type_not_read"]
        assert sorted(left_out) == LEFT_OUT
        serve(testbed, "served", namespace)
        daemons = orphan("daemons", namespace)
        daemons["spec"]["targetRef"]["kind"] = "DaemonSet"
        apply(testbed, daemons)
        wait_served(testbed, daemons, "TargetUnreadable")
    finally:
        controller.stop()
        account.delete()
