"""`canary wait`: when it ends, and with which exit code."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from canary.api.status import Phase, parse
from canary.cli.exits import Exit
from canary.cli.wait import Generations, Wish
from canary.core.objects import DEPLOYMENT
from tests.cli.cluster import NAME, PATH, Typing, canary, cluster_of

KNOWN = Generations(3, 7)


def status(phase: str, **more: Any) -> dict[str, Any]:
    """Return a status that knows the present Canary and target."""
    return {"phase": phase, "observedGeneration": 3, "target": {"uid": "t", "generation": 7}, **more}


def run(phase: str, candidate: str = "b", primary: str = "a", **more: Any) -> dict[str, Any]:
    """Return a status in a run of a revision."""
    return status(phase, revision={"candidate": candidate, "primary": primary, **more})


@pytest.mark.parametrize(
    ("wanted", "raw", "outcome"),
    [
        ("Succeeded", status("Succeeded"), Exit.YES),
        ("Succeeded", status("Initialized"), Exit.YES),
        ("Succeeded", status("Failed"), Exit.NO),
        ("Succeeded", status("Progressing"), None),
        ("Succeeded", status("Succeeded") | {"observedGeneration": 2}, None),
        ("Succeeded", status("Succeeded") | {"target": {"uid": "t", "generation": 6}}, None),
        ("Succeeded", run("Succeeded", pending="c"), None),
        ("Failed", status("Failed"), Exit.YES),
        ("Failed", status("Succeeded"), Exit.NO),
        ("Progressing", status("Progressing"), Exit.YES),
        ("Progressing", status("Succeeded"), None),
        ("Waiting", run("Waiting", pending="c"), Exit.YES),
    ],
)
def test_outcome_follows_from_what_the_target_shows(wanted: str, raw: dict[str, Any], outcome: Exit | None) -> None:
    """A status that is older than the last edit, or that a newer revision waits behind, decides nothing."""
    assert Wish(Phase(wanted), "", KNOWN).outcome(parse(raw)) is outcome


@pytest.mark.parametrize(
    ("wanted", "path", "outcomes"),
    [
        ("Succeeded", [run("Progressing"), run("Succeeded", "b", "b")], [None, Exit.YES]),
        ("Succeeded", [run("Succeeded", "a"), run("Waiting", "a", pending="b"), run("Failed")], [None, None, Exit.NO]),
        ("Succeeded", [run("Progressing"), run("Progressing", "c")], [None, Exit.NO]),
        ("Succeeded", [run("Progressing", "c", "b")], [Exit.YES]),
        ("Progressing", [run("Failed", "a"), run("Progressing")], [None, Exit.YES]),
        ("Progressing", [run("Succeeded", "b", "b")], [Exit.NO]),
    ],
)
def test_revision_has_an_outcome_of_its_own(
    wanted: str, path: list[dict[str, Any]], outcomes: list[Exit | None]
) -> None:
    """A revision that has not come yet is waited for; one that another took the place of comes no more."""
    wish = Wish(Phase(wanted), "b", Generations(99, 99))
    assert [wish.outcome(parse(raw)) for raw in path] == outcomes


async def test_wait_tells_each_change_and_ends_with_the_release(tmp_path: Path, typed: Typing) -> None:
    """Waiting is by a watch: one list, and no request more for each change; exit code 0."""
    stored = canary(**status("Succeeded") | {"target": {"uid": "t", "generation": 6}})
    async with cluster_of(tmp_path, stored) as cluster:
        cluster.place(DEPLOYMENT, {"metadata": {"name": "catalog", "generation": 7}})
        typing = asyncio.create_task(typed("wait", NAME))
        await cluster.watched()
        asked = cluster.asked.total()
        await cluster.move(**status("Progressing", canaryWeight=10, message="Advancing to 10 %"))
        await cluster.move(replicas={"canary": 2})
        await cluster.move(phase="Succeeded", canaryWeight=0, message="Promotion completed")
        code, out, err = await typing
        assert cluster.asked.total() == asked
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "Succeeded, 0 % to the canary",
        "Progressing, 10 % to the canary: Advancing to 10 %",
        "Succeeded, 0 % to the canary: Promotion completed",
    ]


async def test_failed_release_is_exit_code_1_with_its_reason(tmp_path: Path, typed: Typing) -> None:
    """What failed is said in one line on stderr."""
    conditions = [{"type": "Progressing", "status": "False", "reason": "ChecksFailed"}]
    failed = canary(**run("Failed"), message="5 checks failed", conditions=conditions)
    async with cluster_of(tmp_path, failed) as cluster:
        cluster.place(DEPLOYMENT)
        code, _, err = await typed("wait", NAME, "--revision", "b")
    line = "Succeeded of revision b does not come: revision b is Failed (ChecksFailed): 5 checks failed"
    assert (code, err) == (1, f"canary wait: {line}\n")


async def test_time_out_is_exit_code_3(tmp_path: Path, typed: Typing) -> None:
    """A release that does not end in time has an exit code of its own."""
    async with cluster_of(tmp_path, canary(**status("Progressing"))):
        code, _, err = await typed("wait", NAME, "--timeout", "1s")
    assert (code, err) == (3, "canary wait: Succeeded has not come within 1s\n")


async def test_deleted_canary_ends_the_wait(tmp_path: Path, typed: Typing) -> None:
    """There is nothing left to wait for."""
    async with cluster_of(tmp_path, canary(**status("Progressing"))) as cluster:
        typing = asyncio.create_task(typed("wait", NAME))
        await cluster.watched()
        await cluster.tell(PATH, "DELETED", cluster.objects[PATH][0])
        code, _, err = await typing
    assert (code, err) == (1, "canary wait: the Canary was deleted\n")


@pytest.mark.parametrize("words", [("--timeout", "soon"), ("--for", "Done")])
async def test_wrong_values_are_exit_code_2(words: tuple[str, str], typed: Typing) -> None:
    """A value that means nothing is named."""
    with pytest.raises(SystemExit) as caught:
        await typed("wait", NAME, *words)
    assert caught.value.code == 2
    assert words[1] in typed.capsys.readouterr().err
