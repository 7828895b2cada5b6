"""Staying logged in: certificates and tokens that are replaced while a client runs, on real TLS."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from aiohttp import web

from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.credentials import Credentials
from canary.adapters.kube.library import ConfigException
from canary.adapters.kube.login import log_in
from canary.ports import ClusterError
from tests.adapters.api_server import kubeconfig
from tests.adapters.certificates import Authority

CHECK = 0.02
PAUSE = 0.05
API = "client.authentication.k8s.io/v1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return an authority for servers and clients."""
    return Authority(tmp_path_factory.mktemp("authority"), "authority").create()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the authority that follows."""
    return Authority(tmp_path_factory.mktemp("other"), "other").create()


class Whoami:
    """A server that answers with what it knows of its caller, and refuses tokens on request."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.port = 0

    async def answer(self, request: web.Request) -> web.Response:
        """Answer with the caller's certificate and token."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        assert request.transport is not None
        peer = request.transport.get_extra_info("peercert") or {}
        names = [value for part in peer.get("subject", ()) for key, value in part if key == "commonName"]
        status = 401 if token in self.refused else 200
        return web.json_response({"certificate": "".join(names), "token": token}, status=status)

    @asynccontextmanager
    async def serve(self, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
        """Serve, on the same port each time."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self.answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=context).start()
        self.port = runner.addresses[0][1]
        try:
            yield f"http{'s' if context else ''}://127.0.0.1:{self.port}"
        finally:
            await runner.cleanup()


@asynccontextmanager
async def logged_in(path: Path, pause: float = PAUSE) -> AsyncIterator[Callable[[], Awaitable[dict[str, Any]]]]:
    """Give a way to ask who we are, by a client that stays logged in."""
    client = KubeClient(Credentials(await log_in(str(path), None), check=CHECK, pause=pause), "test")
    task = asyncio.create_task(client.stay_logged_in())
    try:
        yield lambda: client.read("/whoami", resource="whoami")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.close()


async def eventually(ask: Callable[[], Awaitable[dict[str, Any]]], **expected: str) -> None:
    """Wait until the server knows us as expected; at most twenty seconds."""
    async with asyncio.timeout(20):
        while True:
            try:
                if expected.items() <= (await ask()).items():
                    return
            except ClusterError:
                pass
            await asyncio.sleep(CHECK)


def copy(pair: tuple[Path, Path], folder: Path) -> dict[str, str]:
    """Put a certificate and its key where a kubeconfig finds them."""
    for source, name in zip(pair, ("client.crt", "client.key"), strict=True):
        shutil.copy(source, folder / name)
    return {"client-certificate": str(folder / "client.crt"), "client-key": str(folder / "client.key")}


async def test_certificate_is_read_again_when_its_files_change(tmp_path: Path, authority: Authority) -> None:
    """Use a rotated certificate, and the one before while only half of the new one is there."""
    first, second = authority.issue("first"), authority.issue("second")
    async with Whoami().serve(authority.server("server", authority)) as url:
        path = kubeconfig(tmp_path, url, authority.certificate, **copy(first, tmp_path))
        async with logged_in(path) as ask:
            assert (await ask())["certificate"] == "first"
            with structlog.testing.capture_logs() as logs:
                shutil.copy(second[0], tmp_path / "client.crt")
                async with asyncio.timeout(5):
                    while not any(line["event"] == "login_not_renewed" for line in logs):  # noqa: ASYNC110
                        await asyncio.sleep(CHECK)
            assert (await ask())["certificate"] == "first"
            shutil.copy(second[1], tmp_path / "client.key")
            await eventually(ask, certificate="second")


async def test_certificate_whose_files_are_gone_is_used_on(tmp_path: Path, authority: Authority) -> None:
    """Say nothing of files that were removed after they were read."""
    async with Whoami().serve(authority.server("server", authority)) as url:
        path = kubeconfig(tmp_path, url, authority.certificate, **copy(authority.issue("first"), tmp_path))
        with structlog.testing.capture_logs() as logs:
            async with logged_in(path) as ask:
                (tmp_path / "client.crt").unlink()
                (tmp_path / "client.key").unlink()
                await asyncio.sleep(5 * CHECK)
                assert (await ask())["certificate"] == "first"
        assert logs == []


async def test_server_may_change_its_authority(tmp_path: Path, authority: Authority, other: Authority) -> None:
    """Trust a new authority as soon as its certificate is in the file."""
    trusted = tmp_path / "ca.crt"
    shutil.copy(authority.certificate, trusted)
    server = Whoami()
    async with server.serve(authority.server("old", authority)) as url:
        path = kubeconfig(tmp_path, url, trusted, **copy(authority.issue("client"), tmp_path))
        client = logged_in(path)
        ask = await client.__aenter__()
        assert (await ask())["certificate"] == "client"
    try:
        async with server.serve(other.server("new", authority)):
            with pytest.raises(ClusterError, match="CERTIFICATE_VERIFY_FAILED"):
                await ask()
            shutil.copy(other.certificate, trusted)
            await eventually(ask, certificate="client")
    finally:
        await client.__aexit__(None, None, None)


async def test_token_file_is_read_again_before_the_token_is_refused(tmp_path: Path) -> None:
    """Use what is in the file, relative to the kubeconfig and without the end of its line."""
    (tmp_path / "token").write_text("first\n")
    user = {"tokenFile": "token", "token": "ignored"}
    async with Whoami().serve() as url, logged_in(kubeconfig(tmp_path, url, **user)) as ask:
        assert (await ask())["token"] == "first"
        (tmp_path / "token").write_text("")
        await asyncio.sleep(3 * CHECK)
        assert (await ask())["token"] == "first"
        (tmp_path / "token").write_text("second\n")
        await eventually(ask, token="second")


def plugin(folder: Path, script: str = "cat answer") -> dict[str, Any]:
    """Write an exec plug-in and return the user that logs in by it."""
    command = folder / "plugin"
    command.write_text(f"#!/bin/sh\ncd {folder}\necho run >> runs\n{script}\n")
    command.chmod(stat.S_IRWXU)
    return {"exec": {"apiVersion": API, "command": str(command)}}


def answer(folder: Path, seconds: float | None = None, **status: str) -> None:
    """Tell the plug-in what to answer, and when that ends."""
    if seconds is not None:
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        status["expirationTimestamp"] = end.isoformat().replace("+00:00", "Z")
    fresh = folder / "answer.new"
    fresh.write_text(json.dumps({"apiVersion": API, "kind": "ExecCredential", "status": status}))
    fresh.rename(folder / "answer")


def runs(folder: Path) -> int:
    """Return how often the plug-in ran."""
    return len((folder / "runs").read_text().splitlines())


async def test_plugin_may_give_certificates(tmp_path: Path, authority: Authority) -> None:
    """Use the certificate that a plug-in gives, and the next one before it ends."""
    pairs = [[part.read_text() for part in authority.issue(name)] for name in ("first", "second")]
    answer(tmp_path, 1, clientCertificateData=pairs[0][0], clientKeyData=pairs[0][1])
    user = plugin(tmp_path)
    async with (
        Whoami().serve(authority.server("server", authority)) as url,
        logged_in(kubeconfig(tmp_path, url, authority.certificate, **user)) as ask,
    ):
        assert (await ask())["certificate"] == "first"
        answer(tmp_path, 3600, clientCertificateData=pairs[1][0], clientKeyData=pairs[1][1])
        await eventually(ask, certificate="second")
        assert runs(tmp_path) == 2


async def test_plugin_is_run_in_time(tmp_path: Path) -> None:
    """Run a plug-in before its token ends, and not again while the next one is good."""
    answer(tmp_path, 1, token="first")
    async with Whoami().serve() as url, logged_in(kubeconfig(tmp_path, url, **plugin(tmp_path))) as ask:
        answer(tmp_path, 3600, token="second")
        began = asyncio.get_running_loop().time()
        assert (await ask())["token"] == "first"
        await eventually(ask, token="second")
        assert asyncio.get_running_loop().time() - began < 1
        await asyncio.sleep(5 * PAUSE)
        assert runs(tmp_path) == 2


async def test_refused_token_has_the_plugin_run_again_but_not_all_the_time(tmp_path: Path) -> None:
    """Run the plug-in after a 401; while its tokens are refused, only after a pause each."""
    server = Whoami()
    server.refused = {"first"}
    answer(tmp_path, token="first")
    async with server.serve() as url, logged_in(kubeconfig(tmp_path, url, **plugin(tmp_path)), pause=3) as ask:
        for _ in range(2):
            with pytest.raises(ClusterError, match="401"):
                await ask()
        assert runs(tmp_path) == 1
        answer(tmp_path, token="second")
        await eventually(ask, token="second")
        assert runs(tmp_path) == 2


async def test_plugin_that_fails_leaves_what_it_gave(tmp_path: Path) -> None:
    """Go on with the token there is while a plug-in fails, and take the next as soon as there is one."""
    answer(tmp_path, 0.5, token="first")
    async with Whoami().serve() as url, logged_in(kubeconfig(tmp_path, url, **plugin(tmp_path))) as ask:
        (tmp_path / "answer").write_text("no JSON")
        with structlog.testing.capture_logs() as logs:
            async with asyncio.timeout(20):
                while len([line for line in logs if line["event"] == "login_not_renewed"]) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(CHECK)
        assert (await ask())["token"] == "first"
        answer(tmp_path, 3600, token="second")
        await eventually(ask, token="second")


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("sleep 60", "exec: no answer within 0.2 s"),
        ("exit 3", "exec: process returned 3"),
        (f"""echo '{{"apiVersion": "{API}", "kind": "ExecCredential", "status": {{}}}}'""", "neither token nor"),
        (
            f"""echo '{{"apiVersion": "{API}", "kind": "x", "status": {{"clientCertificateData": "x"}}}}'""",
            "clientKeyData",
        ),
    ],
    ids=["hangs", "fails", "empty", "half"],
)
async def test_plugin_of_no_use_is_named(tmp_path: Path, script: str, says: str) -> None:
    """Say what was wrong with a plug-in's answer."""
    path = kubeconfig(tmp_path, "http://127.0.0.1:1", **plugin(tmp_path, script))
    with pytest.raises(ConfigException, match=says):
        await log_in(str(path), None, patience=0.2)


async def test_hanging_plugin_is_killed_with_what_it_started(tmp_path: Path) -> None:
    """Leave no process behind when a plug-in is given up."""
    path = kubeconfig(tmp_path, "http://127.0.0.1:1", **plugin(tmp_path, f"echo $$ > {tmp_path}/pid; sleep 60; true"))
    with pytest.raises(ConfigException, match="no answer within"):
        await log_in(str(path), None, patience=0.5)
    assert alive_in(int((tmp_path / "pid").read_text())) == []


def alive_in(group: int) -> list[str]:
    """Return the processes of a group that have not ended, ended ones that nobody waited for left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, _, rest = entry.read_text().rpartition(") ")
            state, _, owner, *_ = rest.split()
            if int(owner) == group and state != "Z":
                found.append(entry.parent.name)
    return found


@pytest.mark.parametrize("provider", ["oidc", "gcp", "azure"])
async def test_provider_that_is_asked_at_the_start_only_is_refused(tmp_path: Path, provider: str) -> None:
    """Refuse a login that would end while the controller runs, without using it."""
    path = kubeconfig(tmp_path, "http://127.0.0.1:1", **{"auth-provider": {"name": provider, "config": {}}})
    with pytest.raises(ConfigException, match=f"auth-provider '{provider}' cannot be renewed"):
        await log_in(str(path), None)


@pytest.mark.parametrize("token", ["opaque", "e30.e30.e30", "a.b.c", "..", "e30.W10.e30"])
async def test_token_without_a_known_end_is_not_warned_about(tmp_path: Path, token: str) -> None:
    """Warn of nothing when a token says nothing of an end."""
    with structlog.testing.capture_logs() as logs:
        login = await log_in(str(kubeconfig(tmp_path, "http://127.0.0.1:1", token=token)), None)
    assert logs == []
    assert login.settings.api_key["BearerToken"] == f"Bearer {token}"
