"""What an obstacle is, and how the first one is found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from canary.core.view import View


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why nothing is done: a CamelCase reason and a sentence that names the object and the cure."""

    reason: str
    message: str


Finder = Callable[[View], Obstacle | None]


def find_obstacle(view: View, finders: tuple[Finder, ...]) -> Obstacle | None:
    """Return the first obstacle found, None when the way is clear."""
    return next((found for finder in finders if (found := finder(view))), None)
