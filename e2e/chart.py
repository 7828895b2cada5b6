"""The Helm chart, rendered and installed by a real Helm."""

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from e2e.testbed.cache import open_cache
from e2e.testbed.commands import CommandError
from e2e.testbed.kube import Object
from e2e.testbed.layout import REPOSITORY

CHART = REPOSITORY / "helm/canary"
NAME = "canary"
NAMESPACE = "canary-system"
HELM_SECONDS = 120
Values = dict[str, Any]


def helm(*words: str, values: Values | None = None) -> str:
    """Run Helm at the top of the tree with values, if any, and return its output; raise CommandError when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        given: Sequence[str] = ()
        if values is not None:
            path = Path(folder) / "values.json"
            path.write_text(json.dumps(values))
            given = ("--values", str(path))
        # Caches and settings of the person who runs the tests stay out of it.
        environment = {"PATH": os.environ["PATH"], "HOME": folder}
        command = [str(open_cache().helm), *words, *given]
        answer = subprocess.run(
            command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=HELM_SECONDS
        )
    if answer.returncode != 0:
        raise CommandError(f"helm {' '.join(words)}: {answer.stdout}{answer.stderr}")
    return answer.stdout


def lint(values: Values) -> str:
    """Check the chart with values."""
    return helm("lint", "--strict", str(CHART), values=values)


def render(values: Values, namespace: str = NAMESPACE) -> list[Object]:
    """Return the objects of the chart with values."""
    text = helm("template", NAME, str(CHART), f"--namespace={namespace}", values=values)
    return [one for one in yaml.safe_load_all(text) if one]


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """Return the objects of a kind."""
    return [one for one in objects if one["kind"] == kind]


def container_of(objects: list[Object]) -> Object:
    """Return the controller's container."""
    (deployment,) = of_kind(objects, "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    found: Object = container
    return found
