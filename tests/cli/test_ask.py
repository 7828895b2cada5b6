"""`canary pause` and the other commands: what is written, and what comes of the answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import get_args

import pytest

from canary.api.command import Verb, read_command
from canary.cli import COMMANDS
from canary.cli.access import WHO_AM_I
from tests.cli.cluster import NAME, PATH, Typing, canary, cluster_of

VERBS = [name for name, (module, _) in COMMANDS.items() if module == "canary.cli.ask"]


def test_each_verb_is_a_command() -> None:
    """What the annotation can ask can be typed."""
    assert sorted(VERBS) == sorted(get_args(Verb))


@pytest.mark.parametrize("verb", VERBS)
async def test_obeyed_command_prints_its_result(verb: str, tmp_path: Path, typed: Typing) -> None:
    """The annotation names verb, caller and revision under a new id; exit code 0."""
    async with cluster_of(tmp_path, canary(phase="Progressing")) as cluster:
        cluster.controller = lambda asked: f"Obeyed: {asked['verb']} it is"
        assert await typed(verb, NAME, "--revision", "abc") == (0, f"Obeyed: {verb} it is\n", "")
        assert await typed(verb, NAME) == (0, f"Obeyed: {verb} it is\n", "")
    first, second = cluster.commands
    assert first | {"id": ""} == {"id": "", "verb": verb, "by": "ann@example.com", "revision": "abc"}
    assert second | {"id": ""} == {"id": "", "verb": verb, "by": "ann@example.com"}
    assert first["id"] != second["id"]


async def test_refused_command_is_an_error(tmp_path: Path, typed: Typing) -> None:
    """What the controller refuses is told on stderr, exit code 1."""
    async with cluster_of(tmp_path, canary(phase="Succeeded")) as cluster:
        cluster.controller = lambda _: "Refused: the run is not paused"
        assert await typed("resume", NAME) == (1, "", "canary resume: Refused: the run is not paused\n")


async def test_gate_is_named_to_approve_and_reject_alone(tmp_path: Path, typed: Typing) -> None:
    """Other commands know no gate."""
    async with cluster_of(tmp_path, canary(phase="Waiting")) as cluster:
        cluster.controller = lambda _: "Obeyed: gate go is open"
        assert (await typed("approve", NAME, "--gate", "go"))[0] == 0
        with pytest.raises(SystemExit) as caught:
            await typed("pause", NAME, "--gate", "go")
    assert cluster.commands[0]["gate"] == "go"
    assert caught.value.code == 2


async def test_unanswered_command_ends_in_time(tmp_path: Path, typed: Typing) -> None:
    """Without a controller the exit code is 3, and the line says what becomes of the command."""
    async with cluster_of(tmp_path, canary()):
        code, out, err = await typed("abort", NAME, "--timeout", "1s")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert err.startswith(
        "canary abort: no answer within 1s; is there a controller that serves Canary catalog-release?"
    )
    assert "kubectl -n shop annotate canary/catalog-release canary.delivery/command-" in err


async def test_answer_may_come_later(tmp_path: Path, typed: Typing) -> None:
    """The answer is heard of by a watch, also by a second one when the first breaks; others' answers do not count."""
    async with cluster_of(tmp_path, canary(phase="Progressing", lastCommand={"id": "7", "verb": "skip"})) as cluster:
        typing = asyncio.create_task(typed("pause", NAME))
        await cluster.watched()
        cluster.cut()
        await cluster.until(lambda: cluster.asked["watch", PATH] == 2)
        await cluster.move(message="still there")
        asked = cluster.commands[0]["id"]
        await cluster.move(lastCommand={"id": asked, "verb": "pause", "result": "Obeyed: the run holds"})
        assert await typing == (0, "Obeyed: the run holds\n", "")


async def test_command_of_another_takes_the_place(tmp_path: Path, typed: Typing) -> None:
    """Who is overtaken is told so at once."""
    async with cluster_of(tmp_path, canary(phase="Progressing")) as cluster:
        typing = asyncio.create_task(typed("pause", NAME))
        await cluster.watched()
        (stored,) = cluster.objects[PATH]
        other = '{"id": "8", "verb": "abort", "by": "bob"}'
        await cluster.change(PATH, stored, {"metadata": {"annotations": {"canary.delivery/command": other}}})
        code, _, err = await typing
    assert code == 3
    assert err == f"canary pause: its answer was not seen: another command took its place, {other}\n"


async def test_canary_may_be_deleted_meanwhile(tmp_path: Path, typed: Typing) -> None:
    """A Canary that is gone answers no more."""
    async with cluster_of(tmp_path, canary()) as cluster:
        typing = asyncio.create_task(typed("pause", NAME))
        await cluster.watched()
        await cluster.tell(PATH, "DELETED", cluster.objects[PATH][0])
        assert await typing == (4, "", "canary pause: Canary catalog-release was deleted before it answered\n")


async def test_caller_is_named_where_the_server_does_not_say(tmp_path: Path, typed: Typing) -> None:
    """Without a review of oneself the name is that of the login; what is written can be read."""
    async with cluster_of(tmp_path, canary(phase="Progressing")) as cluster:
        cluster.refused[WHO_AM_I] = 403
        cluster.controller = lambda _: "Obeyed: yes"
        assert (await typed("pause", NAME))[0] == 0
    assert cluster.commands[0]["by"]
    assert read_command(str(cluster.commands[0]).replace("'", '"')).id == cluster.commands[0]["id"]
