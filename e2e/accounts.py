"""ServiceAccounts with the rights that README.md names, and tokens of theirs that can be revoked."""

import http.client
import itertools
import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from e2e.testbed import addresses
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

NAME = "canary"
REVOKED = timedelta(seconds=30)
"""The API server remembers for ten seconds that a token was good."""
EVERYTHING = ["get", "list", "watch", "create", "patch", "delete"]
READING = ["get", "list", "watch"]
DEFINITIONS = ("apiextensions.k8s.io", ["customresourcedefinitions"], READING)
RIGHTS: tuple[tuple[str, list[str], list[str]], ...] = (
    ("apps", ["deployments", "controllerrevisions"], EVERYTHING),
    ("", ["services", "events"], EVERYTHING),
    ("networking.istio.io", ["virtualservices"], EVERYTHING),
    ("flagger.app", ["canaries", "canaries/status"], EVERYTHING),
    ("canary.delivery", ["canaries", "canaries/status"], EVERYTHING),
    ("networking.istio.io", ["destinationrules"], EVERYTHING),
    ("", ["configmaps"], [*READING, "create", "delete"]),
    ("", ["pods"], ["list"]),
    ("discovery.k8s.io", ["endpointslices"], READING),
    ("autoscaling", ["horizontalpodautoscalers"], EVERYTHING),
    ("keda.sh", ["scaledobjects"], EVERYTHING),
)
"""What a controller cannot do without."""
DAEMONS: tuple[tuple[str, list[str], list[str]], ...] = (("apps", ["daemonsets"], EVERYTHING),)
"""What releases of DaemonSets rest on."""
NOTICING: tuple[tuple[str, list[str], list[str]], ...] = (
    ("", ["namespaces"], READING),
    ("networking.istio.io", ["gateways", "sidecars", "workloadentries"], READING),
    ("security.istio.io", ["peerauthentications"], READING),
)
"""What warnings rest on."""


@dataclass
class Account:
    """A ServiceAccount of a namespace, bound to a ClusterRole of its own."""

    testbed: Testbed
    namespace: str
    rights: tuple[tuple[str, list[str], list[str]], ...] = (*RIGHTS, *DAEMONS, *NOTICING, DEFINITIONS)
    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def create(self) -> None:
        """Make the account and give it its rights."""
        kube = self.testbed.kube
        rules = [{"apiGroups": [group], "resources": plurals, "verbs": verbs} for group, plurals, verbs in self.rights]
        kube.create(f"/api/v1/namespaces/{self.namespace}/serviceaccounts", {"metadata": {"name": NAME}})
        kube.create(_RBAC + "/clusterroles", {"metadata": {"name": self.namespace}, "rules": rules})
        binding = {
            "metadata": {"name": self.namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": self.namespace},
            "subjects": [{"kind": "ServiceAccount", "namespace": self.namespace, "name": NAME}],
        }
        kube.create(_RBAC + "/clusterrolebindings", binding)

    def delete(self) -> None:
        """Take the rights away; the account goes with its namespace."""
        for kind in ("clusterrolebindings", "clusterroles"):
            self.testbed.kube.delete(f"{_RBAC}/{kind}/{self.namespace}")

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


_RBAC = "/apis/rbac.authorization.k8s.io/v1"
