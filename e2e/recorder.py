"""Record every version of the objects of a namespace as the API server tells them, with the time of arrival."""

import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from e2e.testbed import addresses, credentials
from e2e.testbed.kube import Object
from e2e.testbed.testbed import Testbed

FOLLOWED = {
    "canaries.flagger.app": "/apis/flagger.app/v1beta1/namespaces/{}/canaries",
    "canaries.canary.delivery": "/apis/canary.delivery/v1beta1/namespaces/{}/canaries",
    "deployments": "/apis/apps/v1/namespaces/{}/deployments",
    "services": "/api/v1/namespaces/{}/services",
    "virtualservices": "/apis/networking.istio.io/v1beta1/namespaces/{}/virtualservices",
    "horizontalpodautoscalers": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "endpointslices": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One change of one object: ``type`` is ADDED, MODIFIED or DELETED."""

    at: datetime
    kind: str
    type: str
    object: Object

    @property
    def name(self) -> str:
        """Return the object's name."""
        return str(self.object["metadata"]["name"])


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a Canary's history: what ``kubectl get canary -w`` would print anew."""

    at: datetime
    phase: str
    weight: int


class Recorder:
    """Follow a namespace from now on, in one thread per kind."""

    def __init__(self, testbed: Testbed, namespace: str) -> None:
        self._context = ssl.create_default_context(cafile=str(testbed.layout.authority))
        self._token = credentials.token(credentials.ADMIN)
        self._namespace = namespace
        self._seen: list[Seen] = []
        self._stopped = threading.Event()
        self._connections: list[http.client.HTTPSConnection] = []

    def __enter__(self) -> Self:
        for kind, path in FOLLOWED.items():
            thread = threading.Thread(
                target=self._follow, args=(kind, path.format(self._namespace)), daemon=True, name=f"record {kind}"
            )
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for connection in self._connections:
            if connection.sock is not None:
                connection.sock.close()

    def seen(self, kind: str, name: str | None = None, since: datetime | None = None) -> list[Seen]:
        """List the changes of a kind, of one name and from a time on if given."""
        return [
            s
            for s in list(self._seen)
            if s.kind == kind and (name is None or s.name == name) and (since is None or s.at >= since)
        ]

    def rows(self, name: str, since: datetime | None = None) -> list[Row]:
        """Return the rows of a Canary: each change of phase or weight once."""
        rows: list[Row] = []
        for kind in ("canaries.flagger.app", "canaries.canary.delivery"):
            for seen in self.seen(kind, name, since):
                status = seen.object.get("status") or {}
                row = Row(seen.at, str(status.get("phase", "")), int(status.get("canaryWeight", 0)))
                if row.phase and (not rows or (rows[-1].phase, rows[-1].weight) != (row.phase, row.weight)):
                    rows.append(row)
        return rows

    def _follow(self, kind: str, path: str) -> None:
        known: set[tuple[str, str, bool]] = set()
        while not self._stopped.is_set():
            try:
                for event in self._watch(path):
                    # A watch that begins again tells what is there once more: only what moved is news.
                    metadata = event["object"]["metadata"]
                    version = (metadata["uid"], metadata["resourceVersion"], event["type"] == "DELETED")
                    if version not in known:
                        known.add(version)
                        self._seen.append(Seen(datetime.now(UTC), kind, event["type"], event["object"]))
            except (OSError, http.client.HTTPException, ValueError, AttributeError):
                pass
            self._stopped.wait(0.3)

    def _watch(self, path: str) -> Iterator[Object]:
        connection = http.client.HTTPSConnection(
            addresses.LOOPBACK, addresses.API_SERVER_PORT, context=self._context, timeout=3600
        )
        self._connections.append(connection)
        connection.request("GET", f"{path}?watch=1", headers={"Authorization": f"Bearer {self._token}"})
        answer = connection.getresponse()
        if answer.status != 200:
            answer.read()
            return
        for line in answer:
            event: Object = json.loads(line)
            if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                yield event
