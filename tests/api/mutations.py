"""Manifests with something wrong in them somewhere: valid ones of which parts are lost, exchanged or made odd."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

from tests.api import manifests, templates
from tests.api.manifests import listing

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 3, 101, 2**31, 2**53, -(2**63), 0.5, 1e300),
    *("", " ", "0", "-5s", "45", "1h30m", "999999h", "null", "Ünï", "a" * 300),
    *("{{ x }}", "(", "*", "a/b", "..", "http://"),
    *([], {}, [None], [[]], [{}], {"": ""}, {"a": {"b": [1]}}, [1, "a", None]),
)
MOST = 3
"""How many things are wrong with one manifest at most."""
Manifest = dict[str, Any]
Place = tuple[Any, Any]
"""An object or a list, and a key or an index of it."""


def mutated_canaries(count: int, seed: int = 0) -> Iterator[Manifest]:
    """Yield Canaries, the same ones for equal seeds."""
    chance = Random(seed)
    valid = [listing(changes) for changes in manifests.ACCEPTED]
    return (_mutated(chance.choice(valid), chance) for _ in range(count))


def mutated_templates(count: int, seed: int = 0) -> Iterator[Manifest]:
    """Yield MetricTemplates, the same ones for equal seeds."""
    chance = Random(seed)
    valid = [templates.template(changes) for changes in templates.ACCEPTED]
    return (_mutated(chance.choice(valid), chance) for _ in range(count))


def _mutated(manifest: Manifest, chance: Random) -> Manifest:
    found = deepcopy(manifest)
    for _ in range(chance.randint(1, MOST)):
        places = list(_places(found["spec"]))
        if places:
            chance.choice((_lose, _replace, _replace, _misspell, _double, _exchange))(places, chance)
    return found


def _places(node: Any) -> Iterator[Place]:
    entries = list(node.items()) if isinstance(node, dict) else list(enumerate(node)) if isinstance(node, list) else []
    for key, value in entries:
        yield node, key
        yield from _places(value)


def _lose(places: list[Place], chance: Random) -> None:
    node, key = chance.choice(places)
    del node[key]


def _replace(places: list[Place], chance: Random) -> None:
    node, key = chance.choice(places)
    node[key] = deepcopy(chance.choice(ODD))


def _misspell(places: list[Place], chance: Random) -> None:
    named = [(node, key) for node, key in places if isinstance(node, dict) and key]
    if named:
        node, key = chance.choice(named)
        node[f"{key[:-1]}{key[-1] * 2}"] = node.pop(key)


def _double(places: list[Place], chance: Random) -> None:
    listed = [(node, key) for node, key in places if isinstance(node, list)]
    if listed:
        node, key = chance.choice(listed)
        node.insert(key, deepcopy(node[key]))


def _exchange(places: list[Place], chance: Random) -> None:
    node, key = chance.choice(places)
    other, at = chance.choice(places)
    node[key] = deepcopy(other[at])
