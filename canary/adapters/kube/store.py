"""The cached objects of one type: fed by a watch and by the answers to our own calls, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from canary.core.objects import Object

Change = Callable[[Object | None, Object | None], None]
"""Called with (object before, object after) on every change; None = absent."""
Index = Callable[[Object], Iterable[str]]
"""Return the names under which an object is looked up, besides its own."""

_Key = tuple[str, str]


def version_of(obj: Object) -> int:
    """Return the resourceVersion as the number it is: the revision of the object's last write."""
    return int(obj["metadata"]["resourceVersion"])


def _key_of(obj: Object) -> _Key:
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


class Store:
    """Keep the newest known state of each object.

    Answers to our own calls may come before or after the watch tells the same: whatever is older than
    what is known changes nothing.
    """

    def __init__(self, change: Change, index: Index = lambda _: ()) -> None:
        self._change = change
        self._index = index
        self._named: dict[str, set[_Key]] = {}
        self._objects: dict[str, dict[str, Object]] = {}
        self._sorted: dict[str, tuple[Object, ...]] = {}
        self._passed = 0  # the watch has told everything up to this version
        self._newest = 0
        self._deleted: dict[_Key, str] = {}  # uid of what we deleted and the watch has not told yet

    @property
    def newest(self) -> int:
        """Return the highest version met so far."""
        return max(self._newest, self._passed)

    def __iter__(self) -> Iterator[Object]:
        return (obj for names in list(self._objects.values()) for obj in list(names.values()))

    def __len__(self) -> int:
        return sum(len(names) for names in self._objects.values())

    def get(self, namespace: str, name: str) -> Object | None:
        """Return one object."""
        return self._objects.get(namespace, {}).get(name)

    def list(self, namespace: str) -> Sequence[Object]:
        """Return the objects of a namespace, sorted by name; "" means all, by namespace first."""
        if not namespace:
            return tuple(obj for space in sorted(self._objects) for obj in self.list(space))
        if namespace not in self._sorted:
            names = self._objects.get(namespace)
            if not names:
                return ()
            self._sorted[namespace] = tuple(obj for _, obj in sorted(names.items()))
        return self._sorted[namespace]

    def mentioning(self, name: str) -> Sequence[Object]:
        """Return the objects that the index has under a name, sorted by namespace and name."""
        return tuple(self._objects[namespace][own] for namespace, own in sorted(self._named.get(name, ())))

    def observe(self, obj: Object) -> None:
        """Take an object the watch tells to be there."""
        if self._deleted.get(_key_of(obj)) != obj["metadata"]["uid"]:
            self._take(obj)
        self.advance(version_of(obj))

    def vanish(self, obj: Object) -> None:
        """Drop an object the watch tells to be gone; its version is that of the deletion."""
        key = _key_of(obj)
        if self._deleted.get(key) == obj["metadata"]["uid"]:
            del self._deleted[key]
        known = self.get(*key)
        # A newer one is the next of that name, which our own create has put here already.
        if known is not None and version_of(known) <= version_of(obj):
            self._drop(key)
        self.advance(version_of(obj))

    def advance(self, version: int) -> None:
        """Note that the watch has told everything up to a version."""
        self._passed = max(self._passed, version)

    def put(self, obj: Object) -> None:
        """Take the answer to one of our own calls, unless the watch has told it, or its end, already."""
        if version_of(obj) > self._passed and self._deleted.get(_key_of(obj)) != obj["metadata"]["uid"]:
            self._take(obj)

    def delete(self, namespace: str, name: str, uid: str) -> None:
        """Drop an object we deleted; what the watch still has to tell about its last days is void."""
        known = self.get(namespace, name)
        if known is not None and known["metadata"]["uid"] == uid:
            self._deleted[namespace, name] = uid
            self._drop((namespace, name))

    def replace(self, listed: Iterable[Object], version: int, floor: int) -> None:
        """Become what a list at ``version`` tells, keeping what is newer; report differences only.

        ``floor`` is ``newest`` when the list was asked for: a list that is older than that tells of a
        server whose past was restored, and holds as it is.
        """
        objects = {_key_of(obj): obj for obj in listed}
        if version < floor:
            self._deleted.clear()
            self._passed, self._newest = version, version
            newer: set[_Key] = set()
        else:
            self._deleted = {
                key: uid
                for key, uid in self._deleted.items()
                if key in objects and objects[key]["metadata"]["uid"] == uid
            }
            newer = {_key_of(obj) for obj in self if version_of(obj) > version} | self._deleted.keys()
        for key in [_key_of(obj) for obj in self]:
            if key not in objects and key not in newer:
                self._drop(key)
        for key, obj in objects.items():
            known = self.get(*key)
            if key not in newer and (known is None or version_of(known) != version_of(obj)):
                self._set(key, obj)
        self.advance(version)

    def _take(self, obj: Object) -> None:
        key = _key_of(obj)
        known = self.get(*key)
        if known is None or version_of(known) < version_of(obj):
            self._set(key, obj)

    def _set(self, key: _Key, obj: Object) -> None:
        namespace, name = key
        before = self.get(namespace, name)
        self._objects.setdefault(namespace, {})[name] = obj
        self._sorted.pop(namespace, None)
        self._reindex(key, before, obj)
        self._newest = max(self._newest, version_of(obj))
        self._change(before, obj)

    def _drop(self, key: _Key) -> None:
        namespace, name = key
        names = self._objects.get(namespace, {})
        before = names.pop(name, None)
        if not names:
            self._objects.pop(namespace, None)
        self._sorted.pop(namespace, None)
        if before is not None:
            self._reindex(key, before, None)
            self._change(before, None)

    def _reindex(self, key: _Key, before: Object | None, after: Object | None) -> None:
        old, new = (frozenset(self._index(obj)) if obj is not None else frozenset() for obj in (before, after))
        for name in old - new:
            self._named[name].discard(key)
            if not self._named[name]:
                del self._named[name]
        for name in new - old:
            self._named.setdefault(name, set()).add(key)
