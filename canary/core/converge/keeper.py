"""The Service that keeps the target's pods served by their own sidecars while production leaves them.

A sidecar drops what it has for a Service as soon as that does not select its pod any more; callers whose
proxies are told a moment later would get 503 from it.
"""

from __future__ import annotations

from datetime import datetime

from canary.api.status import Phase
from canary.core.actions import Action, Create, Delete
from canary.core.converge.objects import base_selector
from canary.core.converge.ports import wanted_ports
from canary.core.names import is_ours, owned_metadata, owner_of
from canary.core.objects import SERVICE
from canary.core.view import View

LINGERS = 2
"""Settle times for which it stays once the target has no pods: those are still ending."""


def keeper_actions(view: View) -> tuple[Action, ...]:
    """Return the write that makes it before the apex Service leaves the target, or takes it away afterwards."""
    keeper, names = view.snapshot.keeper, view.snapshot.names
    if keeper is None:
        return (Create(names.keeper, _made(view), "Service of the target"),) if _needed(view) else ()
    ends = keeper_ends(view)
    if ends is None or view.now < ends:
        return ()
    metadata = keeper["metadata"]
    return (Delete(names.keeper, metadata["uid"], metadata["resourceVersion"], "Service of the target"),)


def keeper_ends(view: View) -> datetime | None:
    """Return when it may go; None without one of ours, or while the target is still left."""
    keeper, status = view.snapshot.keeper, view.status
    owner = owner_of(keeper) if keeper is not None and is_ours(keeper) else None
    if owner is None or owner.name != view.snapshot.key.name or status.phase in (Phase.NONE, Phase.INITIALIZING):
        return None
    return (status.last_transition_time or view.now) + LINGERS * view.drain


def _needed(view: View) -> bool:
    leaving = view.status.phase is Phase.INITIALIZING and view.target is not None and not view.target.empty
    return leaving and bool(wanted_ports(view))


def _made(view: View) -> dict[str, object]:
    names = view.snapshot.names
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": owned_metadata(names.keeper.name, names.namespace, view.snapshot.owner),
        "spec": {"selector": base_selector(view), "ports": wanted_ports(view)},
    }
