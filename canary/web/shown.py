"""What callers are shown of a Canary."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from canary.core.moment import Change
from canary.core.objects import CanaryKey, Object, Resource
from canary.core.own_gates import hooks_by_gate, open_gates
from canary.core.view import View
from canary.engine.observe import observe
from canary.ports import Cluster


class Summary(BaseModel):
    """Where a release stands."""

    group: str
    namespace: str
    name: str
    phase: str = Field(description="As in `status.phase`; empty before the first look.")
    weight: int = Field(description="As in `status.canaryWeight`.")
    message: str = Field(description="One sentence a person can act on.")


class Target(BaseModel):
    """What the target shows, which is what is released, or is to be released next."""

    kind: str
    name: str
    revision: str = Field(description="The revision it amounts to, as `status.revision` names it.")
    images: list[str]


class OwnGate(BaseModel):
    """A gate that the controller itself keeps for a Canary."""

    name: str
    open: bool
    revision: str = Field(description="The one revision that it is open for; empty is all.")
    by: str = Field(description="Who opened it.")
    hooks: list[str] = Field(description="The webhooks that ask for it.")
    holds: bool = Field(description="Whether the release is held by one of these hooks now.")


class Shown(Summary):
    """One Canary with all that is known of its release."""

    target: Target | None = Field(description="None when there is none.")
    gates: list[OwnGate]
    status: dict[str, Any] = Field(description="The status of the Canary, as Kubernetes has it.")


def summary(canary: Object) -> Summary:
    """Return a Canary in short."""
    metadata, status = canary["metadata"], canary.get("status") or {}
    return Summary(
        group=canary["apiVersion"].partition("/")[0],
        namespace=metadata["namespace"],
        name=metadata["name"],
        phase=status.get("phase") or "",
        weight=status.get("canaryWeight") or 0,
        message=status.get("message") or "",
    )


def shown(cluster: Cluster, key: CanaryKey, pinned: tuple[Resource, ...], now: datetime) -> Shown | None:
    """Return a Canary as it is now; None when it is gone."""
    canary = cluster.get(key.ref)
    snapshot = observe(cluster, key, pinned)
    if canary is None or snapshot is None:
        return None
    status = canary.get("status") or {}
    return Shown(
        **summary(canary).model_dump(),
        target=_target(View(snapshot, (), now)),
        gates=_gates(canary),
        status=status,
    )


def _target(view: View) -> Target | None:
    if view.target is None:
        return None
    # Newer defaults of the API server make a template look other than it was judged; it is the same all the same.
    known = view.judged if view.change is Change.SAME else None
    containers = (view.target.template.get("spec") or {}).get("containers") or ()
    return Target(
        kind=view.target.ref.resource.kind,
        name=view.target.ref.name,
        revision=known.id if known is not None else view.shown,
        images=[str(one.get("image", "")) for one in containers],
    )


def _gates(canary: Object) -> list[OwnGate]:
    gates, asked = open_gates(canary), hooks_by_gate(canary)
    held = {one.get("name") for one in (canary.get("status") or {}).get("gates") or () if one.get("state") == "Closed"}
    return [
        OwnGate(
            name=name,
            open=name in gates,
            revision=gates[name].revision if name in gates else "",
            by=gates[name].by if name in gates else "",
            hooks=asked.get(name, []),
            holds=bool(held.intersection(asked.get(name, ()))),
        )
        for name in sorted({*asked, *gates})
    ]
