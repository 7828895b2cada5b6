"""What a controller tells on its pages and in its log, and a kubeconfig for one with another user."""

import http.client
import json
import urllib.error
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from e2e.controller import Controller
from e2e.orphans import SOON
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until


def page(controller: Controller, path: str) -> tuple[int, str]:
    """Return status and text of one of the controller's pages; status 0 while nobody listens."""
    try:
        with urllib.request.urlopen(controller.url + path, timeout=5) as answer:
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)


def wait_page(controller: Controller, path: str, status: int, words: str = "", deadline: timedelta = SOON) -> str:
    """Wait until a page has a status and says some words; return its text."""

    def right() -> bool:
        found, text = page(controller, path)
        return found == status and words in text

    wait_until(right, deadline, lambda: f"{path}: {page(controller, path)}")
    return page(controller, path)[1]


def log_lines(controller: Controller) -> list[dict[str, Any]]:
    """Return the controller's log, each line of which is one JSON object; one still in writing is left out."""
    return [json.loads(line) for line in controller.log.read_text().splitlines(keepends=True) if line.endswith("\n")]


def kubeconfig(testbed: Testbed, folder: Path, **user: Any) -> str:
    """Write the controller's kubeconfig with another user; return its path."""
    content = yaml.safe_load(testbed.controller_kubeconfig.read_text())
    content["users"][0]["user"] = user
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return str(path)
