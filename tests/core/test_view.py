"""A moment seen with another status."""

from __future__ import annotations

from dataclasses import replace

import pytest

from canary.api.status import Phase
from canary.core.snapshot import Snapshot
from canary.core.view import WITHOUT_STATUS, View
from tests.builders import NOW, finalising, idle, promoting, running

STATUSES = [world().status for world in (idle, running, promoting, finalising)]


@pytest.mark.parametrize("status", STATUSES, ids=lambda status: str(status.phase))
@pytest.mark.parametrize("world", [idle(), running(), promoting(), finalising()], ids=lambda w: str(w.status.phase))
@pytest.mark.parametrize("fact", WITHOUT_STATUS)
def test_view_keeps_only_what_is_the_same_under_another_status(world: Snapshot, status: object, fact: str) -> None:
    """What was read before is what a new look at the same world with that status reads."""
    view = View(world, (), NOW)
    getattr(view, fact)
    later = view.with_status(status)  # type: ignore[arg-type]
    assert fact in vars(later)
    assert getattr(later, fact) == getattr(View(replace(world, status=status), (), NOW), fact)  # type: ignore[arg-type]


def test_view_reads_anew_what_rests_on_the_status() -> None:
    """A phase that was asked for before is not kept."""
    view = View(running(), (), NOW)
    assert view.routing.canary > 0
    assert view.with_status(idle(Phase.INITIALIZED).status).routing.canary == 0
