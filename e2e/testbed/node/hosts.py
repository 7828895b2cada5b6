"""Let pods find Services by name through hosts files, as there is no cluster DNS."""

from pathlib import Path

from e2e.testbed.kube import Object


class HostsFiles:
    """Keep one hosts file for each namespace: Services of the own namespace have their short name too."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._services: dict[tuple[str, str], str] = {}
        self._folder.mkdir(parents=True, exist_ok=True)

    def path(self, namespace: str) -> Path:
        """Return the namespace's file and make it if need be."""
        path = self._folder / namespace
        if not path.exists():
            path.touch()
            self._write(path)
        return path

    def replace(self, services: list[Object]) -> None:
        """Take the Services of a whole list."""
        self._services = {_key(service): _address(service) for service in services}
        self._write_all()

    def change(self, kind: str, service: Object) -> None:
        """Take one change of a Service."""
        if kind == "DELETED":
            self._services.pop(_key(service), None)
        else:
            self._services[_key(service)] = _address(service)
        self._write_all()

    def _write_all(self) -> None:
        for path in self._folder.iterdir():
            self._write(path)

    def _write(self, path: Path) -> None:
        # Pods have the file bound over /etc/hosts: the same inode must be written, never shorter in between.
        content = hosts(path.name, self._services).encode()
        with path.open("r+b") as file:
            file.write(content.ljust(path.stat().st_size))


def hosts(namespace: str, services: dict[tuple[str, str], str]) -> str:
    """Return the hosts file of a namespace."""
    lines = ["127.0.0.1 localhost"]
    for (owner, name), address in sorted(services.items()):
        if address in ("", "None"):
            continue
        short = [name] if owner == namespace else []
        names = [*short, f"{name}.{owner}", f"{name}.{owner}.svc", f"{name}.{owner}.svc.cluster.local"]
        lines.append(" ".join([address, *names]))
    return "\n".join(lines) + "\n"


def _key(service: Object) -> tuple[str, str]:
    return service["metadata"]["namespace"], service["metadata"]["name"]


def _address(service: Object) -> str:
    return str(service["spec"].get("clusterIP", ""))
