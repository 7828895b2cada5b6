"""Commands by kubectl, as docs/commands.md tells: each on a release under load."""

import itertools
import json
import re
import shlex
from datetime import UTC, datetime, timedelta

from e2e.release import Release
from e2e.testbed.layout import REPOSITORY
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, settled

LONG = timedelta(seconds=120)
INTERVAL = timedelta(seconds=6)
"""Longer than a busy machine takes for a command by kubectl, which is meant for one weight."""
PAGE = REPOSITORY / "docs/commands.md"
_numbers = itertools.count(1)


def ask(release: Release, verb: str, **fields: str) -> str:
    """Type the page's command with a verb, and return the answer to it."""
    identity = str(next(_numbers))
    text = json.dumps({"id": identity, "verb": verb, "by": "ann", **fields})
    line = next(one for one in PAGE.read_text().splitlines() if "annotate" in one)
    typed = re.sub(r"'.*'", lambda _: shlex.quote(text), line)
    words = shlex.split(
        typed.replace("istioinaction", release.namespace).replace("canary/", f"canaries.{release.group}/")
    )
    assert words[0] == "kubectl"
    release.testbed.kubectl(*words[1:])

    def answered() -> bool:
        return bool((release.status.get("lastCommand") or {}).get("id") == identity)

    wait_until(answered, LONG, lambda: str(release.status))
    return str(release.status["lastCommand"]["result"])


def test_run_is_paused_resumed_promoted_early_and_taken_back(release: Release) -> None:
    """No request fails, the rest of the plan is left out, and production runs the former version in the end."""
    release.set_up(interval=f"{INTERVAL.seconds}s")
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 20)
        assert ask(release, "pause") == "Obeyed: the run holds at 20 %"
        release.wait_message("Holding at 20 %: paused by ann")
        mesh.next_window(2 * INTERVAL)
        assert (release.status["phase"], release.weights) == ("Progressing", (80, 20))
        assert ask(release, "resume") == "Obeyed: the run goes on from 20 %"
        release.wait_for("Progressing", 30)
        assert ask(release, "promote").startswith("Obeyed: the rest of the plan is taken as passed at 30 %")
        release.wait_for("Succeeded", within=LONG)
        assert release.shares(since) == [(90, 10), (80, 20), (70, 30), (0, 100), (100, 0)]
        began = datetime.now(UTC)
        assert ask(release, "rollback").startswith("Obeyed: production goes back to revision")
        release.wait_for("Failed", within=LONG)
        assert release.shares(began) == [(0, 100), (100, 0)]
        assert release.condition("Progressing")["reason"] == "RolledBack"
        mesh.next_window(timedelta(seconds=2))
        assert {answer.version for answer in (mesh.answers()[-1], plain.answers()[-1])} == {"v1"}
    assert_none_failed(mesh, plain)
    assert ask(release, "rollback").startswith("Refused: production runs revision")


def test_run_is_aborted_and_tried_again_with_a_pause_of_its_plan(release: Release) -> None:
    """Back to the primary at once; the same template again by `retry`, which waits at `pause: {}` for `resume`."""
    steps = [{"setWeight": 30}, {"pause": {}}, {"setWeight": 60}]
    release.set_up(stepWeight=None, maxWeight=None, steps=steps)
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing", 30)
        candidate = release.status["revision"]["candidate"]
        assert ask(release, "abort", revision="another").startswith("Refused: it is meant for revision another")
        assert ask(release, "abort", revision=candidate) == "Obeyed: the run is rolled back"
        release.wait_for("Failed")
        assert release.shares(since) == [(70, 30), (100, 0)]
        assert release.condition("Progressing")["reason"] == "Aborted"
        again = settled(release)
        assert ask(release, "retry") == f"Obeyed: revision {candidate} is tried again, asked by ann"
        release.wait_message("Paused at 30 % by the plan", within=LONG)
        assert ask(release, "resume") == "Obeyed: the run goes on from 30 %"
        release.wait_for("Succeeded", within=LONG)
        assert release.shares(again) == [(70, 30), (40, 60), (0, 100), (100, 0)]
    assert_none_failed(mesh, plain)
    assert release.told("CommandRefused") != []
