"""List for Prometheus what it scrapes; Debian's build cannot ask Kubernetes itself."""

import json
import os
from pathlib import Path

from e2e.testbed import addresses


class Targets:
    """Keep the file_sd file of the pods that have an Envoy."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, dict[str, object]] = {}
        self._write()

    def add(self, uid: str, address: str, *, namespace: str, pod: str) -> None:
        """List a pod."""
        target = f"{address}:{addresses.ENVOY_STATS_PORT}"
        self._entries[uid] = {"targets": [target], "labels": {"namespace": namespace, "pod": pod}}
        self._write()

    def remove(self, uid: str) -> None:
        """Forget a pod."""
        if self._entries.pop(uid, None) is not None:
            self._write()

    def _write(self) -> None:
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(list(self._entries.values())))
        os.replace(part, self._path)
