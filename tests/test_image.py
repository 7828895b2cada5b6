"""The Dockerfile: what its first stage installs works, and its last stage holds nothing else.

No container engine is needed: the lines are read, and those that install are run in a folder of their own.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
PREFIX = "/opt/"
INSTALL_SECONDS = 600
Instruction = tuple[str, str]


def stages() -> list[list[Instruction]]:
    """Return the instructions of each stage."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[list[Instruction]] = []
    for name, _, rest in (line.partition(" ") for line in lines):
        if name == "FROM":
            found.append([])
        if found:
            found[-1].append((name, rest.strip()))
    return found


def of(stage: list[Instruction], name: str) -> list[str]:
    """Return what follows an instruction, for each time it is there."""
    return [rest for found, rest in stage if found == name]


def copy(words: str, source: Path) -> None:
    """Do as COPY does, from what is sent to the builder into the folder it works in."""
    *names, place = shlex.split(words)
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(names) <= sent, f"COPY {words}: .dockerignore keeps {set(names) - sent} out"
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / place)


def run(line: str, folder: Path, root: Path, python: Path = Path(sys.executable)) -> str:
    """Do as RUN does, with the installed programs in another place; return the output."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    environment["PATH"] = f"{python.parent}:{os.environ['PATH']}"
    moved = line.replace(PREFIX, f"{root}{PREFIX}")
    done = subprocess.run(
        ["sh", "-ec", moved], cwd=folder, env=environment, capture_output=True, text=True, timeout=INSTALL_SECONDS
    )
    assert done.returncode == 0, f"{moved}\n{done.stdout}{done.stderr}"
    return done.stdout


def build(root: Path) -> None:
    """Carry out the first stage in an empty folder, and leave what the last stage takes from it."""
    source = root / "src"
    source.mkdir()
    for name, rest in stages()[0]:
        if name == "COPY":
            copy(rest, source)
        elif name == "RUN":
            run(rest, source, root)
        else:
            assert name in ("FROM", "WORKDIR")
    shutil.rmtree(source)
    shutil.rmtree(root / "opt/build")


def entry_point() -> str:
    """Return the program that the image runs."""
    (line,) = of(stages()[-1], "ENTRYPOINT")
    (program,) = yaml.safe_load(line)
    return str(program)


def test_first_stage_installs_what_runs_by_itself(tmp_path: Path) -> None:
    """It needs nothing of the build or of this tree, holds no installer, and compiles and writes nothing when run."""
    build(tmp_path)
    shipped = {path.name.split("-")[0].replace("_", "-").lower() for path in tmp_path.rglob("*.dist-info")}
    locked = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert shipped == {*locked, "canary-delivery"}
    tree = tmp_path / "opt/canary/lib"
    compiled = set(tree.rglob("*.pyc"))
    assert len(compiled) >= len(list(tree.rglob("*.py"))) > 500
    chart = yaml.safe_load((ROOT / "helm/canary/Chart.yaml").read_text())
    assert run(f"{entry_point()} --version", tmp_path, tmp_path) == f"canary {chart['appVersion']}\n"
    assert "COMMAND" in run(f"{entry_point()} --help", tmp_path, tmp_path)
    assert "--metrics-server" in run(f"{entry_point()} run --help", tmp_path, tmp_path)
    simulated = run(f"{entry_point()} simulate {ROOT}/e2e/manifests/listing-5.1.yaml", tmp_path, tmp_path)
    assert "Succeeded" in simulated
    assert set(tree.rglob("*.pyc")) == compiled


def test_every_install_is_checked_by_hashes() -> None:
    """What comes from an index comes from a lock file; what is built here needs none."""
    installs = [
        line for stage in stages() for line in of(stage, "RUN") for line in line.split("&&") if " install " in line
    ]
    assert len(installs) == 3
    for line in installs:
        assert "--require-hashes" in line or "--no-index" in line


def test_last_stage_takes_the_installer_away(tmp_path: Path) -> None:
    """What it runs leaves a Python without pip."""
    run("python -m venv base", tmp_path, tmp_path)
    python = tmp_path / "base/bin/python"
    assert "pip" in run("python -m pip --version", tmp_path, tmp_path, python)
    for line in of(stages()[-1], "RUN"):
        run(line, tmp_path, tmp_path, python)
    assert list((tmp_path / "base").rglob("pip*")) == []


def test_python_is_the_one_that_packages_are_locked_for() -> None:
    """Base image and lock files name the same version."""
    (version,) = re.findall(r"^ARG PYTHON=python:(3\.\d+)-slim", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for name in ("requirements.lock", "requirements-build.lock"):
        assert f"--python-version {version} " in (ROOT / name).read_text()


def test_last_stage_is_slim_and_not_root() -> None:
    """It has what was installed, no installer, a user given by number, and leaves health to probes."""
    stage = stages()[-1]
    assert of(stage, "FROM") == ["${PYTHON}"]
    assert of(stage, "COPY") == ["--from=build /opt/canary /opt/canary"]
    assert all("uninstall" in line for line in of(stage, "RUN"))
    assert of(stage, "HEALTHCHECK") == []
    (user,) = of(stage, "USER")
    values = yaml.safe_load((ROOT / "helm/canary/values.yaml").read_text())["podSecurityContext"]
    assert user == f"{values['runAsUser']}:{values['runAsGroup']}" != "0:0"
