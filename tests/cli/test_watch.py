"""`canary watch`: what it prints at each change, on a terminal and elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from canary.core.objects import FLAGGER_CANARY
from tests.cli.cluster import NAME, NS, Cluster, Typing, canary, cluster_of, path_of

INTERRUPTED = 130


@asynccontextmanager
async def watching(folder: Path, *words: str, stdout: int = PIPE) -> AsyncIterator[Process]:
    """Run `canary watch` as a process, and end it with Ctrl-C."""
    command = [sys.executable, "-m", "canary", "watch", "-n", NS, "--kubeconfig", str(folder / "kubeconfig"), *words]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    # Whoever runs the tests in the background of a shell has Ctrl-C ignored, and so would this process.
    process = await asyncio.create_subprocess_exec(
        *command, stdout=stdout, stderr=PIPE, env=environment, preexec_fn=_heed_interrupts
    )
    try:
        async with asyncio.timeout(30):
            yield process
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(30):
            assert await process.wait() == INTERRUPTED
        assert process.stderr is not None
        assert await process.stderr.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def line(process: Process) -> str:
    """Return the next line that is printed."""
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().rstrip("\n")


async def started(cluster: Cluster) -> None:
    """Wait until both groups are watched."""
    await cluster.watched()
    await cluster.watched(path_of(FLAGGER_CANARY, "").rstrip("/"))


async def test_lines_tell_changes_that_matter(tmp_path: Path) -> None:
    """Each Canary is a line at first, then one for each change of what `get` shows."""
    async with cluster_of(tmp_path, canary(phase="Initialized")) as cluster, watching(tmp_path) as process:
        assert re.fullmatch(rf"\d\d:\d\d:\d\d  {NS}/{NAME}  Initialized  0 %", await line(process))
        await started(cluster)
        await cluster.move(phase="Progressing", message="New revision", canaryWeight=0)
        assert (await line(process)).endswith("  Progressing  0 %  New revision")
        await cluster.move(lastTransitionTime="2026-01-01T00:00:00Z")
        await cluster.move(canaryWeight=10, message="Advancing")
        assert (await line(process)).endswith("  Progressing  10 %  Advancing")


async def test_json_is_the_whole_canary_on_a_line(tmp_path: Path) -> None:
    """Programs get every version."""
    async with cluster_of(tmp_path, canary()) as cluster, watching(tmp_path, "-o", "json") as process:
        assert json.loads(await line(process))["spec"]["targetRef"]["name"] == "catalog"
        await started(cluster)
        await cluster.move(phase="Waiting")
        seen: dict[str, Any] = json.loads(await line(process))
        assert (seen["metadata"]["name"], seen["status"]["phase"]) == (NAME, "Waiting")


async def test_terminal_shows_a_table_that_changes(tmp_path: Path) -> None:
    """What was there before is written over."""
    ours, theirs = os.openpty()
    try:
        waiting = canary(phase="Waiting")
        async with cluster_of(tmp_path, waiting) as cluster, watching(tmp_path, NAME, stdout=theirs):
            await started(cluster)
            await cluster.move(phase="Succeeded", message="Promotion completed")
            shown = ""
            while "Promotion completed" not in shown:
                shown += (await asyncio.to_thread(os.read, ours, 65536)).decode()
        assert shown.index("Waiting") < shown.rindex("\x1b[2K") < shown.index("Succeeded")
        assert "STATUS" in shown
    finally:
        os.close(ours)
        os.close(theirs)


async def test_wrong_name_ends_at_once(tmp_path: Path, typed: Typing) -> None:
    """Nobody waits for a Canary that is not there."""
    async with cluster_of(tmp_path):
        code, out, err = await typed("watch", "nobody")
    assert (code, out) == (4, "")
    assert err.startswith("canary watch: there is no Canary nobody in namespace shop")


async def test_reader_may_go(tmp_path: Path) -> None:
    """With nobody to read, as behind `head`, there is nothing more to do, and no error."""
    async with cluster_of(tmp_path, canary(phase="Waiting")) as cluster:
        ours, theirs = os.pipe()
        command = [sys.executable, "-m", "canary", "watch", "-n", NS, "--kubeconfig", str(tmp_path / "kubeconfig")]
        process = await asyncio.create_subprocess_exec(*command, stdout=theirs, stderr=PIPE)
        os.close(theirs)
        await started(cluster)
        os.close(ours)
        await cluster.move(phase="Progressing")
        _, err = await asyncio.wait_for(process.communicate(), 30)
    assert (process.returncode, err) == (0, b"")
