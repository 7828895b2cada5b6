"""Errors of the cluster and of the login: one clear line, exit code 4."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from canary.cli import main
from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY
from tests.adapters.api_server import kubeconfig, serving
from tests.adapters.test_kube_login import answer, plugin
from tests.cli.cluster import NAME, NS, PATH, Cluster, Typing, canary, cluster_of

ASKING = ("get", "status", "wait", "abort")


async def test_unknown_canary_is_named(tmp_path: Path, typed: Typing) -> None:
    """A name that is not there is told with its namespace."""
    async with cluster_of(tmp_path):
        for verb in ASKING:
            line = f"canary {verb}: there is no Canary {NAME} in namespace {NS}; canary get -A lists all\n"
            assert await typed(verb, NAME) == (4, "", line)


async def test_cluster_without_the_definition_is_told_so(tmp_path: Path, typed: Typing) -> None:
    """The line names the file to apply."""
    async with serving(tmp_path, Cluster):
        code, _, err = await typed("get")
    assert code == 4
    assert "the cluster does not know Canaries; apply crds/canary.delivery_canaries.yaml" in err


async def test_missing_rights_are_told_in_the_words_of_the_server(tmp_path: Path, typed: Typing) -> None:
    """403 is neither an empty list nor an unknown name."""
    async with cluster_of(tmp_path, canary()) as cluster:
        cluster.refused[PATH] = 403
        for verb in ASKING:
            line = f"canary {verb}: you have no right to do this: 403: told to answer 403\n"
            assert await typed(verb, NAME) == (4, "", line)


async def test_right_to_one_group_is_enough(tmp_path: Path, typed: Typing) -> None:
    """Whoever may read Canaries of one group alone is served those."""
    async with cluster_of(tmp_path, canary()) as cluster:
        cluster.refused[PATH.replace(NATIVE_CANARY.group, FLAGGER_CANARY.group)] = 403
        assert (await typed("get", NAME))[0] == 0


async def test_unreachable_server_is_told(tmp_path: Path, typed: Typing) -> None:
    """A refused connection is one line with the address."""
    kubeconfig(tmp_path, "http://127.0.0.1:1")
    code, out, err = await typed("get")
    assert (code, out, err.count("\n")) == (4, "", 1)
    assert err.startswith("canary get: the API server did not answer: list canaries: ")
    assert "127.0.0.1:1" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--kubeconfig", "/no/such/file"), "--kubeconfig /no/such/file: there is no such file"),
        (("--context", "elsewhere"), "context elsewhere: "),
    ],
)
def test_wrong_login_is_told(
    words: tuple[str, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be used of a kubeconfig is named."""
    path = kubeconfig(tmp_path, "http://127.0.0.1:1")
    assert main(["get", "--kubeconfig", str(path), *words]) == 4
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1


async def test_namespace_is_that_of_the_context(tmp_path: Path, typed: Typing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without -n the context says it, as for kubectl; and KUBECONFIG names the file."""
    async with cluster_of(tmp_path, canary()):
        content = json.loads(typed.kubeconfig.read_text())
        content["contexts"][0]["context"]["namespace"] = NS
        typed.kubeconfig.write_text(json.dumps(content))
        monkeypatch.setenv("KUBECONFIG", str(typed.kubeconfig))
        done = await typed_bare("get", NAME)
    assert done.returncode == 0
    assert NAME in done.stdout


async def test_exec_plugin_logs_in(tmp_path: Path, typed: Typing) -> None:
    """What a cloud's kubeconfig names is run, and its token is sent with every request."""
    async with cluster_of(tmp_path, canary()) as cluster:
        content = json.loads(typed.kubeconfig.read_text())
        answer(tmp_path, token="of-the-plug-in")
        content["users"][0]["user"] = plugin(tmp_path)
        typed.kubeconfig.write_text(json.dumps(content))
        code, out, _ = await typed("get", NAME)
    assert (code, NAME in out) == (0, True)
    assert cluster.logins == {"Bearer of-the-plug-in"}


async def typed_bare(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    import asyncio

    command = [sys.executable, "-m", "canary", *words]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
