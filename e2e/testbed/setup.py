"""Build and fetch once what the testbed runs, into a cache folder; fast when it is already there."""

import fcntl
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from e2e.testbed.cache import DEBIAN_PROGRAMS, MODULES, Cache, GoTool, envoy_binary, open_cache
from e2e.testbed.errors import TestbedError

# Command on the machine -> Debian package that brings it.
SYSTEM_COMMANDS = {
    "iptables-restore": "iptables",
    "ip": "iproute2",
    "unshare": "util-linux",
    "openssl": "openssl",
    "curl": "curl",
}
PROGRESS_INTERVAL = timedelta(seconds=1 if sys.stdout.isatty() else 30)
DOWNLOAD_DEADLINE = timedelta(minutes=10)


def setup() -> Cache:
    """Bring everything into the cache and return it."""
    cache = open_cache()
    _install_missing_commands()
    envoy_binary()
    if not cache.missing():
        return cache
    cache.root.mkdir(parents=True, exist_ok=True)
    with _locked(cache.root / "lock"):
        _fill(cache)
    return cache


def _fill(cache: Cache) -> None:
    for package in DEBIAN_PROGRAMS:
        if not cache.debian_program(package).exists():
            _unpack_debian(package, cache)
    missing = [(tool, target) for tool, target in cache.go_tools().items() if not target.exists()]
    for position, (tool, target) in enumerate(missing, start=1):
        _build(tool, target, f"{position} of {len(missing)}")
    if not cache.istio_crds.exists():
        _copy_istio_crds(cache.istio_crds)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("waiting for another setup to finish", flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install_missing_commands() -> None:
    absent = [package for command, package in SYSTEM_COMMANDS.items() if shutil.which(command) is None]
    if absent:
        print(f"installing {', '.join(absent)}", flush=True)
        _apt("install", "-y", "--no-install-recommends", *absent)


def _unpack_debian(package: str, cache: Cache) -> None:
    """Unpack without installing, so that no service is started on the machine."""
    print(f"fetching {package}", flush=True)
    target = cache.root / "debian" / package
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache.root) as folder:
        _apt("download", package, folder=folder)
        archive = next(Path(folder).glob("*.deb"))
        unpacked = Path(folder) / "unpacked"
        _run(["dpkg-deb", "-x", str(archive), str(unpacked)], f"package {package} cannot be unpacked")
        shutil.rmtree(target, ignore_errors=True)
        unpacked.rename(target)


def _apt(*arguments: str, folder: str | None = None) -> None:
    """Run apt-get; on failure refresh the package lists, as on a fresh machine, and try once more."""
    command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", *arguments]
    try:
        _run(command, "", folder=folder)
    except TestbedError:
        _run(["apt-get", "-q", "update"], "package lists cannot be fetched (apt-get update)")
        _run(command, f"apt-get {' '.join(arguments)} failed", folder=folder)


def _build(tool: GoTool, target: Path, position: str) -> None:
    """Build one tool; the rename makes an interrupted build leave nothing behind."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    command = ["go", "build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", f"-o={part}", tool.package]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, cwd=MODULES / tool.module, stdout=output, stderr=output)
        try:
            _show_progress(process, f"building {tool.name} ({position}, minutes when nothing is cached)", started)
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            output.seek(0)
            reason = _last_line(output.read())
            raise TestbedError(f"{tool.name} cannot be built from module {tool.module}: {reason}")
    part.rename(target)
    print(f"built {tool.name} in {_elapsed(started)}", flush=True)


def _show_progress(process: subprocess.Popen[bytes], what: str, started: float) -> None:
    end = "\r" if sys.stdout.isatty() else "\n"
    while True:
        print(f"{what}: {_elapsed(started)}", end=end, flush=True)
        try:
            process.wait(PROGRESS_INTERVAL.total_seconds())
            return
        except subprocess.TimeoutExpired:
            continue


def _copy_istio_crds(target: Path) -> None:
    command = ["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", "istio.io/api"]
    module = _run(command, "Go module istio.io/api is not to be had", folder=str(MODULES / "mesh")).strip()
    part = target.with_suffix(".part")
    shutil.copyfile(Path(module) / "kubernetes" / "customresourcedefinitions.gen.yaml", part)
    part.rename(target)


def _run(command: Sequence[str], failure: str, *, folder: str | None = None) -> str:
    limit = DOWNLOAD_DEADLINE.total_seconds()
    try:
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=limit)
    except FileNotFoundError:
        raise TestbedError(f"command {command[0]} is missing") from None
    except subprocess.TimeoutExpired:
        raise TestbedError(f"{failure}: no end after {limit:g} s") from None
    if answer.returncode != 0:
        raise TestbedError(f"{failure}: {_last_line(answer.stderr)}")
    return answer.stdout


def _last_line(text: str) -> str:
    """Return the last line of a tool's output without addresses of mirrors."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r"\w+://\S+", "(address)", lines[-1]) if lines else "no output"


def _elapsed(started: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
