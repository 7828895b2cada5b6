"""Who is on call: the AlertProvider of docs/alerts.md, with the address of a receiver in its Secret."""

import copy
from typing import Any

from e2e.release import manifests
from e2e.testbed.kube import Object
from e2e.testbed.layout import REPOSITORY

PAGE = REPOSITORY / "docs/alerts.md"
HIDDEN = "T0000-B0000-hidden"
"""A part of the address that nobody may see."""
PATH = f"alerts/{HIDDEN}"


def provider(url: str) -> list[Object]:
    """Return the AlertProvider and its Secret, for a receiver at a base URL."""
    found = copy.deepcopy(manifests("alert-provider.yaml")[0])
    name = found["spec"]["secretRef"]["name"]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
    return [found, {**secret, "stringData": {"address": f"{url}/{PATH}"}}]


def alerts(severity: str) -> list[Object]:
    """Return the alerts of the page's Canary, from a severity on."""
    found: list[Object] = copy.deepcopy(manifests("alert-provider.yaml")[1]["spec"]["analysis"]["alerts"])
    return [{**one, "severity": severity} for one in found]


def texts(payloads: list[dict[str, Any]]) -> list[str]:
    """Return what Slack would show, in the order in which it came."""
    return [attachment["text"] for payload in payloads for attachment in payload["attachments"]]
