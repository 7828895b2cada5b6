"""Keep types of which a cluster has thousands, and a controller needs few, in little memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from canary.adapters.kube.digest import digested
from canary.adapters.kube.share import Sharing
from canary.adapters.kube.trim import trim
from canary.adapters.kube.watched import Watched
from canary.core.objects import Object

FASTEST = 1

_share = Sharing()


class Packed(Mapping[str, Any]):
    """Read as the object it was made of, with the metadata at hand and all else compressed."""

    __slots__ = ("_metadata", "_rest")

    def __init__(self, obj: Object) -> None:
        self._metadata = obj["metadata"]
        rest = {name: part for name, part in obj.items() if name != "metadata"}
        self._rest = zlib.compress(orjson.dumps(rest), FASTEST)

    def open(self) -> dict[str, Any]:
        """Return the object."""
        return {**orjson.loads(zlib.decompress(self._rest)), "metadata": self._metadata}

    def __getitem__(self, name: str) -> Any:
        return self._metadata if name == "metadata" else self.open()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.open())

    def __len__(self) -> int:
        return len(self.open())


def keep(watched: Watched, obj: Object) -> Object:
    """Return an object as a cache keeps it: trimmed; packed, or what repeats kept but once."""
    kept = trim(watched.resource, obj)
    if watched.digested:
        return digested(kept)
    if watched.metadata_only:
        kept = {name: kept[name] for name in ("apiVersion", "kind", "metadata")}
    # Types that are not packed are looked through by each decision in their namespace.
    if watched.packed:
        return Packed(kept)
    return {name: part if name == "metadata" else _share(part) for name, part in kept.items()}


def whole(obj: Object) -> Object:
    """Return an object that a cache kept as it was before."""
    return obj.open() if isinstance(obj, Packed) else obj


def all_whole(objects: Sequence[Object]) -> Sequence[Object]:
    """Return objects of one type that a cache kept as they were before."""
    return tuple(map(whole, objects)) if objects and isinstance(objects[0], Packed) else objects
