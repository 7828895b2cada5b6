"""The command line as a person or a pipeline types it, on one release after another."""

import os
import re
import shlex
import subprocess
import sys

from canary.core.names import DRAINED_FROM
from e2e.controller import Controller
from e2e.release import CANARY, Release
from e2e.testbed.layout import REPOSITORY
from e2e.timeline import assert_none_failed

PATIENCE = 120
BOOK = "istioinaction"
RUNBOOK = REPOSITORY / "docs/runbook.md"


def type_in(release: Release, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command in the release's namespace, with the testbed's kubeconfig."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "KUBECONFIG": str(release.testbed.kubeconfig)}
    command = [sys.executable, "-m", "canary", words[0], "-n", release.namespace, *words[1:]]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=REPOSITORY
    )


def asked(release: Release, *words: str) -> tuple[int, str]:
    """Return exit code and answer of a command that is typed."""
    done = type_in(release, *words)
    return done.returncode, done.stdout + done.stderr


def test_release_is_aborted_tried_again_paused_and_waited_for(release: Release) -> None:
    """Abort at 30 %, retry after Failed, pause, resume, promote, and the end of the revision: by commands alone."""
    release.set_up(interval="5s", stepWeight=15, maxWeight=45)
    assert asked(release, "wait", CANARY, "--timeout", "10s")[0] == 0
    with release.load() as (mesh, plain):
        release.apply(release.deployment("v2"))
        release.wait_for("Progressing")
        candidate = release.status["revision"]["candidate"]
        assert asked(release, "abort", CANARY, "--revision", "another")[0] == 1
        release.wait_for("Progressing", 30)
        assert asked(release, "abort", CANARY, "--revision", candidate) == (0, "Obeyed: the run is rolled back\n")
        code, told = asked(release, "wait", CANARY, "--timeout", "1m")
        assert (code, f"revision {candidate} is Failed (Aborted)" in told) == (1, True), told
        code, told = asked(release, "retry", CANARY)
        assert re.fullmatch(rf"Obeyed: revision {candidate} is tried again, asked by \S+\n", told), told
        release.wait_for("Progressing", 15)
        assert asked(release, "pause", CANARY) == (0, "Obeyed: the run holds at 15 %\n")
        see_pause(release, candidate)
        assert asked(release, "wait", CANARY, "--revision", candidate, "--timeout", "1s")[0] == 3
        assert asked(release, "resume", CANARY)[0] == 0
        assert asked(release, "promote", CANARY)[0] == 0
        code, told = asked(release, "wait", CANARY, "--revision", candidate, "--timeout", "110s")
        assert (code, told.splitlines()[-1].split(",")[0]) == (0, "Succeeded"), told
        assert asked(release, "pause", CANARY)[0] == 1
    assert_none_failed(mesh, plain)
    for line in looks_of_the_runbook():
        # Namespaces of tests have names of their own.
        release.testbed.kubectl(*(release.namespace if word == BOOK else word for word in line))


def looks_of_the_runbook() -> list[list[str]]:
    """Return the lines of kubectl with which the runbook looks at a Canary's objects, each as words."""
    lines = [shlex.split(line) for line in re.findall(r"^kubectl .*", RUNBOOK.read_text(), re.MULTILINE)]
    found = [line[1:] for line in lines if BOOK in line and "edit" not in line]
    assert len(found) > 2
    return found


def see_pause(release: Release, candidate: str) -> None:
    """Look at a run that is paused at 15 %."""
    shown = type_in(release, "status", CANARY).stdout
    assert f"canary: Deployment catalog-canary, revision {candidate}, 1/1 pods ready, 15 % of traffic" in shown
    assert "http weighted: catalog-primary 85 % and catalog-canary 15 %" in shown
    assert "the run holds at 15 %" in type_in(release, "history", CANARY).stdout
    listed = type_in(release, "get").stdout.splitlines()
    assert listed[1].split()[:6] == [CANARY, "Progressing", "15", "1", "of", "3:"]


def test_canary_is_ejected_where_no_controller_is_left(release: Release, controller: Controller) -> None:
    """A controller that answers is left to its work; without one the target serves again, and no request fails."""
    release.set_up()
    code, told = asked(release, "eject", CANARY)
    assert (code, "a controller serves Canary catalog-release" in told) == (1, True), told
    assert release.status["phase"] == "Initialized"
    with release.load() as loads:
        controller.kill()
        code, told = asked(release, "eject", CANARY, "--answer-within", "3s")
        assert (code, told.splitlines()[-1]) == (0, "given back: the target serves, and nothing else is left"), told
        target = release.get("deployment", "catalog")
        assert target["status"]["readyReplicas"] == 2
        assert DRAINED_FROM not in target["metadata"]["annotations"]
        gone = ("deployment/catalog-primary", "service/catalog-primary", "virtualservice/catalog")
        assert [release.find(*one.split("/")) for one in gone] == [None, None, None]
    assert_none_failed(*loads)
    assert asked(release, "eject", CANARY)[0] == 4
