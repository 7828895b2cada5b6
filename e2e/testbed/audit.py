"""Count what clients asked of the API server, from its audit log."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One request: `resource` has the sub-resource behind a slash, `status` is the HTTP code."""

    at: datetime
    user: str
    agent: str
    verb: str
    resource: str
    namespace: str
    name: str
    status: int
    uri: str


class AuditLog:
    """Read the requests that the API server has answered so far."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def requests(
        self,
        *,
        user: str | None = None,
        agent: str | None = None,
        verb: str | None = None,
        resource: str | None = None,
        namespace: str | None = None,
        since: datetime | None = None,
    ) -> list[AuditEntry]:
        """List requests that match everything given; `agent` is a part of the User-Agent."""
        wanted = {"user": user, "verb": verb, "resource": resource, "namespace": namespace}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        return [
            entry
            for entry in self._entries()
            if all(getattr(entry, name) == value for name, value in wanted.items())
            and (agent is None or agent in entry.agent)
            and (since is None or entry.at >= since)
        ]

    def counts(self, *, user: str | None = None, since: datetime | None = None) -> Counter[tuple[str, str]]:
        """Count requests by verb and resource."""
        return Counter((entry.verb, entry.resource) for entry in self.requests(user=user, since=since))

    def _entries(self) -> Iterator[AuditEntry]:
        seen: set[str] = set()
        with self.path.open("rb") as file:
            for line in file:
                # The last line may still be in writing; a watch has a line at its start and at its end.
                if not line.endswith(b"\n"):
                    return
                event = orjson.loads(line)
                if event["auditID"] not in seen:
                    seen.add(event["auditID"])
                    yield _entry(event)


def _entry(event: dict[str, object]) -> AuditEntry:
    reference = _mapping(event.get("objectRef"))
    resource = str(reference.get("resource", ""))
    if "subresource" in reference:
        resource = f"{resource}/{reference['subresource']}"
    return AuditEntry(
        at=datetime.fromisoformat(str(event["requestReceivedTimestamp"])),
        user=str(_mapping(event.get("user")).get("username", "")),
        agent=str(event.get("userAgent", "")),
        verb=str(event["verb"]),
        resource=resource,
        namespace=str(reference.get("namespace", "")),
        name=str(reference.get("name", "")),
        status=int(str(_mapping(event.get("responseStatus")).get("code", 0))),
        uri=str(event["requestURI"]),
    )


def _mapping(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
