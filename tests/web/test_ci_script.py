"""The pipeline's script of docs/api.md: each way a release may end, by its exit code and last words."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from canary.api.open_gates import ANNOTATION
from tests.test_docs import table
from tests.web.stage import ACCOUNTS, CI, NAME, NOBODY, NS, ONE, Stage, staged

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "docs/ci/gate.py"
CODES = {"PROMOTED": 0, "FAILED": 1, "REFUSED": 2, "SUPERSEDED": 3, "OUT_OF_TIME": 4}


async def start(stage: Stage, *words: str, token: str = CI, image: str = "catalog:v2") -> asyncio.subprocess.Process:
    """Start the script."""
    place = ["--url", stage.url, "--canary", f"{NS}/{NAME}", "--image", image]
    return await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), *place, *words),
        env={"CANARY_TOKEN": token, "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def run(stage: Stage, *words: str, token: str = CI, image: str = "catalog:v2") -> tuple[int | None, str]:
    """Run the script and return its exit code and the last line of what it said."""
    process = await start(stage, *words, token=token, image=image)
    said, _ = await process.communicate()
    return process.returncode, said.decode().strip().splitlines()[-1]


async def revision_of(stage: Stage) -> str:
    """Return the revision that the target shows."""
    _, shown, _ = await stage.call("GET", ONE)
    return str(shown["target"]["revision"])


async def test_release_that_is_over_ends_the_script(tmp_path: Path) -> None:
    """Promoted, failed, superseded by the time it looks, not there in time, or not allowed."""
    async with staged(tmp_path) as stage:
        mine = await revision_of(stage)
        await stage.change({"status": {"phase": "Succeeded", "revision": {"primary": mine}}})
        assert await run(stage) == (0, f"revision {mine} is promoted")
        failed: Mapping[str, Any] = {"phase": "Failed", "lastAppliedSpec": mine, "message": "two checks failed"}
        await stage.change({"status": {**failed, "revision": {"primary": "old"}}})
        assert await run(stage) == (1, f"revision {mine} failed: two checks failed")
        assert await run(stage, "--timeout", "1", image="catalog:v9") == (4, "out of time")
        code, said = await run(stage, token=NOBODY)
        assert (code, "may not get canaries.canary.delivery" in said) == (2, True)


async def test_gate_is_opened_once_the_test_has_passed(tmp_path: Path) -> None:
    """A test that fails leaves it closed; one that passes opens it for this revision alone."""
    async with staged(tmp_path) as stage:
        mine = await revision_of(stage)
        held = [{"name": "may begin", "state": "Closed"}]
        await stage.change({"status": {"gates": held, "revision": {"pending": mine}}})
        assert await run(stage, "--", "false") == (1, f"false failed; the gate stays closed for revision {mine}")
        assert stage.server.patched == []
        script = asyncio.create_task(run(stage, "--", "sh", "-c", f'test "$CANARY_REVISION" = {mine}'))
        async with stage.session.get(f"{stage.url}{ONE}/watch", headers={"Authorization": f"Bearer {CI}"}) as watch:
            async for line in watch.content:
                if ANNOTATION in str(stage.server.canary["metadata"]["annotations"]) and line:
                    break
        text = stage.server.canary["metadata"]["annotations"][ANNOTATION]
        assert f'"revision": "{mine}", "by": "{ACCOUNTS[CI]}"' in text
        await stage.change({"status": {"phase": "Succeeded", "gates": [], "revision": {"primary": mine}}})
        assert await script == (0, f"revision {mine} is promoted")


async def test_newer_template_ends_the_script(tmp_path: Path) -> None:
    """Its revision is not opened any gate for; one that was promoted before that is a success."""
    for primary, code in (("old", 3), ("mine", 0)):
        async with staged(tmp_path) as stage:
            mine = await revision_of(stage)
            serving = mine if primary == "mine" else primary
            await stage.change({"status": {"phase": "Progressing", "revision": {"primary": serving}}})
            script = await start(stage)
            assert script.stdout is not None
            assert (await script.stdout.readline()).decode() == f"catalog:v2 is revision {mine}\n"
            await stage.retarget("catalog:v3")
            await script.communicate()
            assert script.returncode == code


def test_exit_codes_are_those_of_the_page() -> None:
    """docs/api.md lists each once."""
    found = {name: int(code) for name, code in zip(*_constants(), strict=True)}
    assert found == CODES
    rows = table(ROOT / "docs/api.md", "In a pipeline")
    assert [int(row[0]) for row in rows] == sorted(CODES.values())


def _constants() -> tuple[list[str], list[str]]:
    (line,) = re.findall(r"^([A-Z_, ]+) = ([0-9, ]+)$", SCRIPT.read_text(), re.MULTILINE)
    return line[0].split(", "), line[1].split(", ")
