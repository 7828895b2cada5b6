"""The cache under answers and watch events that come in any order."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from canary.adapters.kube.store import Store, version_of
from canary.core.objects import Object

Seen = list[tuple[int | None, int | None]]


def obj(version: int, name: str = "web", uid: str = "u1", namespace: str = "shop") -> dict[str, Any]:
    """Return an object at a version."""
    metadata = {"namespace": namespace, "name": name, "uid": uid, "resourceVersion": str(version)}
    return {"metadata": metadata}


@pytest.fixture
def seen() -> Seen:
    """Collect changes as pairs of versions."""
    return []


@pytest.fixture
def store(seen: Seen) -> Store:
    """Return an empty store."""

    def change(before: Object | None, after: Object | None) -> None:
        seen.append((before and version_of(before), after and version_of(after)))

    return Store(change)


def test_versions_are_numbers(store: Store) -> None:
    """Know that 10 is newer than 9."""
    store.observe(obj(9))
    store.observe(obj(10))
    store.observe(obj(9))
    assert store.get("shop", "web") == obj(10)


def test_echo_of_an_own_write_is_silent(store: Store, seen: Seen) -> None:
    """Tell a change once, and let older echoes not go back."""
    store.observe(obj(5))
    store.put(obj(7))
    store.observe(obj(6))
    store.observe(obj(7))
    assert seen == [(None, 5), (5, 7)]


def test_late_answer_does_not_undo_what_the_watch_told(store: Store) -> None:
    """Leave an object gone when its deletion was told before the answer to our patch came."""
    store.observe(obj(5))
    store.vanish(obj(8))
    store.put(obj(7))
    assert store.get("shop", "web") is None


def test_own_deletion_outlives_older_events(store: Store, seen: Seen) -> None:
    """Keep what we deleted gone while the watch still tells of its last days."""
    store.observe(obj(5))
    store.delete("shop", "web", "u1")
    store.observe(obj(6))
    store.vanish(obj(8))
    assert store.get("shop", "web") is None
    assert seen == [(None, 5), (5, None)]


def test_next_object_of_a_name_survives_the_end_of_the_last(store: Store) -> None:
    """Let the echo of a deletion not take the object that followed."""
    store.observe(obj(5))
    store.delete("shop", "web", "u1")
    store.put(obj(9, uid="u2"))
    store.observe(obj(6))
    store.vanish(obj(8))
    store.observe(obj(9, uid="u2"))
    assert store.get("shop", "web") == obj(9, uid="u2")


def test_deletion_of_another_uid_is_void(store: Store) -> None:
    """Drop only the object that was deleted."""
    store.observe(obj(5, uid="u2"))
    store.delete("shop", "web", "u1")
    assert store.get("shop", "web") is not None


def test_list_reports_differences_only(store: Store, seen: Seen) -> None:
    """Report what a list adds, changes and no longer has, and nothing else."""
    for name in ("a", "b", "c"):
        store.observe(obj(5, name))
    seen.clear()
    store.replace([obj(5, "a"), obj(7, "b"), obj(8, "d")], 10, 5)
    assert seen == [(5, None), (5, 7), (None, 8)]
    assert [item["metadata"]["name"] for item in store.list("shop")] == ["a", "b", "d"]


def test_list_keeps_what_is_newer_than_itself(store: Store) -> None:
    """Keep own creations, patches and deletions that came after the list was made."""
    store.observe(obj(5, "patched"))
    store.observe(obj(5, "deleted", "u2"))
    floor = store.newest
    store.put(obj(12, "created", "u3"))
    store.put(obj(13, "patched"))
    store.delete("shop", "deleted", "u2")
    store.replace([obj(5, "patched"), obj(5, "deleted", "u2")], 10, floor)
    names = {item["metadata"]["name"]: version_of(item) for item in store}
    assert names == {"created": 12, "patched": 13}
    store.observe(obj(6, "deleted", "u2"))
    assert store.get("shop", "deleted") is None


def test_restored_server_is_believed(store: Store) -> None:
    """Take a list that is older than what was known before it as the new truth."""
    store.observe(obj(100, "a"))
    store.observe(obj(90, "b", "u2"))
    store.replace([obj(40, "b", "u2")], 50, store.newest)
    assert [version_of(item) for item in store] == [40]
    store.observe(obj(51, "b", "u2"))
    assert [version_of(item) for item in store] == [51]


def test_lists_are_by_namespace_and_name(store: Store) -> None:
    """Sort by name within a namespace; the empty namespace means all."""
    for space, name in (("b", "x"), ("a", "z"), ("a", "y")):
        store.observe(obj(1, name, namespace=space))
    assert [item["metadata"]["name"] for item in store.list("a")] == ["y", "z"]
    assert [item["metadata"]["name"] for item in store.list("")] == ["y", "z", "x"]
    store.vanish(obj(2, "y", namespace="a"))
    assert [item["metadata"]["name"] for item in store.list("a")] == ["z"]


ANSWERS = (("put", obj(5)), ("put", obj(7)), ("delete", obj(7)), ("put", obj(9, uid="u2")))
EVENTS = (("see", obj(5)), ("see", obj(6)), ("see", obj(7)), ("end", obj(8)), ("see", obj(9, uid="u2")))


@pytest.mark.parametrize("places", list(itertools.combinations(range(9), 4)))
def test_every_interleaving_ends_at_the_truth(store: Store, seen: Seen, places: tuple[int, ...]) -> None:
    """Merge answers and events in any order that keeps each in its own: the end is the same."""
    answers, events = iter(ANSWERS), iter(EVENTS)
    for place in range(9):
        verb, item = next(answers if place in places else events)
        match verb:
            case "put":
                store.put(item)
            case "delete":
                store.delete("shop", "web", item["metadata"]["uid"])
            case "see":
                store.observe(item)
            case _:
                store.vanish(item)
    assert store.get("shop", "web") == obj(9, uid="u2")
    versions = [after for _, after in seen if after]
    assert versions == sorted(set(versions))


def test_index_finds_objects_by_what_they_name() -> None:
    """Follow an object under every name it has had, also when a list replaces everything."""

    def index(obj: Object) -> list[str]:
        return list(obj["metadata"].get("labels") or ())

    store = Store(lambda before, after: None, index)

    def labelled(version: int, *names: str, name: str = "web") -> dict[str, Any]:
        made = obj(version, name)
        made["metadata"]["labels"] = dict.fromkeys(names, "")
        return made

    def found(name: str) -> list[str]:
        return [one["metadata"]["name"] for one in store.mentioning(name)]

    store.observe(labelled(5, "a", "b"))
    store.observe(labelled(6, "a", name="api"))
    assert (found("a"), found("b"), found("c")) == (["api", "web"], ["web"], [])
    store.observe(labelled(7, "c"))
    assert (found("a"), found("b"), found("c")) == (["api"], [], ["web"])
    store.vanish(labelled(8, "a", name="api"))
    store.replace([labelled(9, "b", name="new")], 9, store.newest)
    assert [found(name) for name in ("a", "b", "c")] == [[], ["new"], []]
