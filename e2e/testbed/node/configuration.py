"""Give containers what their pod takes from ConfigMaps and Secrets: environment and files, as they are at the start."""

import base64
from pathlib import Path

from e2e.testbed.kube import ApiError, AsyncKubeClient, Object
from e2e.testbed.layout import VOLATILE

_PLURALS = {"configMap": "configmaps", "secret": "secrets"}


class ConfigurationError(Exception):
    """Report what a container needs to start and that is not there."""


class Configuration:
    """Read ConfigMaps and Secrets of one namespace."""

    def __init__(self, kube: AsyncKubeClient, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace

    async def environment(self, container: Object) -> dict[str, str]:
        """Return the variables that a container takes from elsewhere, those by name last."""
        found: dict[str, str] = {}
        for source in container.get("envFrom", []):
            for kind in _PLURALS:
                if reference := source.get(f"{kind}Ref"):
                    content = await self._content(kind, reference["name"], bool(reference.get("optional")))
                    found |= {source.get("prefix", "") + key: value.decode() for key, value in content.items()}
        for variable in container.get("env", []):
            for kind in _PLURALS:
                if reference := variable.get("valueFrom", {}).get(f"{kind}KeyRef"):
                    value = await self._value(kind, reference)
                    found |= {variable["name"]: value} if value is not None else {}
        return found

    async def write(self, pod: Object, folder: Path) -> dict[str, Path]:
        """Write the files of a pod's volumes below a folder; return the folder of each volume."""
        written = {}
        for volume in pod["spec"].get("volumes", []):
            sources = volume.get("projected", {}).get("sources") or [volume]
            known = [(kind, source[kind]) for source in sources for kind in _PLURALS if kind in source]
            if not known:
                continue
            written[volume["name"]] = folder / "volumes" / volume["name"]
            written[volume["name"]].mkdir(parents=True, exist_ok=True)
            for kind, source in known:
                name = source.get("name") or source["secretName"]
                content = await self._content(kind, name, bool(source.get("optional")))
                paths = {item["key"]: item["path"] for item in source.get("items", [])} or {key: key for key in content}
                for key, path in paths.items():
                    (written[volume["name"]] / path).write_bytes(content[key])
        return written

    async def _value(self, kind: str, reference: Object) -> str | None:
        optional = bool(reference.get("optional"))
        content = await self._content(kind, reference["name"], optional)
        if reference["key"] not in content and not optional:
            raise ConfigurationError(f"couldn't find key {reference['key']} in {kind} {reference['name']}")
        return content[reference["key"]].decode() if reference["key"] in content else None

    async def _content(self, kind: str, name: str, optional: bool) -> dict[str, bytes]:
        path = f"/api/v1/namespaces/{self._namespace}/{_PLURALS[kind]}/{name}"
        try:
            found = await self._kube.request("GET", path)
        except ApiError as error:
            if error.status != 404:
                raise
            if optional:
                return {}
            raise ConfigurationError(f'{_PLURALS[kind][:-1]} "{name}" not found') from error
        plain = {key: value.encode() for key, value in found.get("data", {}).items()}
        coded = found.get("binaryData", {})
        if kind == "secret":
            plain, coded = {}, found.get("data", {})
        return plain | {key: base64.b64decode(value) for key, value in coded.items()}


def mounts_of(container: Object, volumes: dict[str, Path]) -> list[tuple[Path, Path]]:
    """Return what is mounted where for a container; below /run alone, which is the testbed's own."""
    mounts = [
        (volumes[mount["name"]], Path(mount["mountPath"]))
        for mount in container.get("volumeMounts", [])
        if mount["name"] in volumes
    ]
    for _, place in mounts:
        if VOLATILE.parent not in place.parents:
            raise ConfigurationError(f"the testbed mounts volumes below {VOLATILE.parent} only, not at {place}")
        place.mkdir(parents=True, exist_ok=True)
    return mounts
