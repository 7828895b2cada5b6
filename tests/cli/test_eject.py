"""`canary eject`: nothing is touched where somebody else gives back, or there is nothing to."""

from __future__ import annotations

from pathlib import Path

from tests.cli.cluster import NAME, Typing, canary, cluster_of


async def test_nothing_is_done_where_a_controller_answers(tmp_path: Path, typed: Typing) -> None:
    """It is asked by a command that no run is meant by."""
    async with cluster_of(tmp_path, canary(phase="Progressing")) as cluster:
        cluster.controller = lambda _: "Refused: it is meant for revision none, the present one is abc"
        code, out, err = await typed("eject", NAME)
    told = f"canary eject: a controller serves Canary {NAME}; delete the Canary, and it gives back\n"
    assert (code, out, err) == (1, "", told)
    assert [(one["verb"], one["revision"]) for one in cluster.commands] == [("pause", "none")]


async def test_canary_of_another_controller_is_not_ejected(tmp_path: Path, typed: Typing) -> None:
    """What Flagger made is not ours to give back."""
    foreign = canary(phase="Succeeded")
    foreign["metadata"]["managedFields"] = [{"manager": "flagger", "subresource": "status"}]
    async with cluster_of(tmp_path, foreign) as cluster:
        code, _, err = await typed("eject", NAME)
    assert (code, cluster.commands) == (4, [])
    assert "is written by another controller; it is not ours to give back" in err
