"""Give the controller under test exactly the rights that the chart gives it."""

from typing import Any

import yaml

from e2e.testbed.kube import KubeClient, Object
from e2e.testbed.layout import REPOSITORY

RIGHTS = REPOSITORY / "helm/canary/files/rights.yaml"
SWITCHES = ("flaggerCompat", "pinSecrets", "api")
"""Values of the chart without which some rules are left out."""
_API = "/apis/rbac.authorization.k8s.io/v1"
_OF_A_RULE = ("apiGroups", "resources", "resourceNames", "verbs")


def listed() -> list[dict[str, Any]]:
    """Return the chart's list: rules with why there are and when."""
    found: list[dict[str, Any]] = yaml.safe_load(RIGHTS.read_text())
    return found


def rules(*switches: str, everywhere: bool | None = None) -> list[Object]:
    """Return the rules with some switches on: all, those of the cluster alone, or those of namespaces alone."""
    return [
        {key: entry[key] for key in _OF_A_RULE if key in entry}
        for entry in listed()
        if {*entry.get("only", ())} <= {*switches} and everywhere in (None, entry.get("everywhere", False))
    ]


def grant(kube: KubeClient, name: str, granted: list[Object], subject: Object) -> None:
    """Make a ClusterRole of some rules and bind it."""
    kube.create(f"{_API}/clusterroles", {"metadata": {"name": name}, "rules": granted})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    binding = {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}
    kube.create(f"{_API}/clusterrolebindings", binding)


def withdraw(kube: KubeClient, name: str) -> None:
    """Take back what was granted under a name."""
    for kind in ("clusterrolebindings", "clusterroles"):
        kube.delete(f"{_API}/{kind}/{name}")
