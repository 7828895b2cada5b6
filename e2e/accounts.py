"""ServiceAccounts with the rights that the chart gives, and tokens of theirs that can be revoked."""

import http.client
import itertools
import re
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from e2e.testbed import addresses, rights
from e2e.testbed.kube import Object
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

NAME = "canary"
REVOKED = timedelta(seconds=30)
"""The API server remembers for ten seconds that a token was good."""
COMPAT = rights.rules("flaggerCompat")
"""What the chart gives a controller that serves Flagger's Canaries as well."""
_SPARED = {
    "alertproviders",
    "customresourcedefinitions",
    "daemonsets",
    "gateways",
    "metrictemplates",
    "namespaces",
    "peerauthentications",
    "sidecars",
    "workloadentries",
}
NEEDED = [{**rule, "resources": [one for one in rule["resources"] if one not in _SPARED]} for rule in COMPAT]
"""What it cannot do without: no warnings, no DaemonSets, no looks for definitions."""


def role_on(page: Path, namespace: str) -> list[Object]:
    """Return the Role that a page shows, and what gives it to the account of a namespace."""
    texts = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    (role,) = (one for text in texts for one in yaml.safe_load_all(text) if one["kind"] == "Role")
    binding = {
        "apiVersion": role["apiVersion"],
        "kind": "RoleBinding",
        "metadata": {"name": role["metadata"]["name"]},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role["metadata"]["name"]},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": NAME}],
    }
    return [role, binding]


@dataclass
class Account:
    """A ServiceAccount of a namespace, bound to a ClusterRole of its own."""

    testbed: Testbed
    namespace: str
    granted: list[Object] = field(default_factory=lambda: COMPAT)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def create(self) -> None:
        """Make the account and give it its rights."""
        kube = self.testbed.kube
        kube.create(f"/api/v1/namespaces/{self.namespace}/serviceaccounts", {"metadata": {"name": NAME}})
        subject = {"kind": "ServiceAccount", "namespace": self.namespace, "name": NAME}
        rights.grant(kube, self.namespace, [rule for rule in self.granted if rule["resources"]], subject)

    def delete(self) -> None:
        """Take the rights away; the account goes with its namespace."""
        rights.withdraw(self.testbed.kube, self.namespace)

    def token(self) -> "Token":
        """Return a new token that lives as long as a Secret of its own does."""
        name = f"token-{next(self._numbers)}"
        secrets = f"/api/v1/namespaces/{self.namespace}/secrets"
        secret = self.testbed.kube.create(secrets, {"metadata": {"name": name}})
        bound = {"apiVersion": "v1", "kind": "Secret", "name": name, "uid": secret["metadata"]["uid"]}
        accounts = f"/api/v1/namespaces/{self.namespace}/serviceaccounts"
        asked = {"spec": {"audiences": [], "expirationSeconds": 3600, "boundObjectRef": bound}}
        answer = self.testbed.kube.create(f"{accounts}/{NAME}/token", asked)
        return Token(self.testbed, f"{secrets}/{name}", str(answer["status"]["token"]))


@dataclass(frozen=True, slots=True)
class Token:
    """A token that ends when told to."""

    testbed: Testbed
    secret: str
    text: str

    def revoke(self) -> None:
        """End the token, and wait until the API server takes it no more."""
        self.testbed.kube.delete(self.secret)
        wait_until(lambda: self._status() == 401, REVOKED, lambda: f"the token is still good: {self._status()}")

    def _status(self) -> int:
        context = ssl.create_default_context(cafile=str(self.testbed.layout.authority))
        connection = http.client.HTTPSConnection(
            addresses.LOOPBACK, addresses.API_SERVER_PORT, context=context, timeout=5
        )
        headers: dict[str, Any] = {"Authorization": f"Bearer {self.text}"}
        try:
            connection.request("GET", "/apis", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()
