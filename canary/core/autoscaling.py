"""What is wrong with the autoscalers of a Canary's Deployments."""

from __future__ import annotations

from canary.core.objects import SCALED_OBJECT
from canary.core.obstacle import Finder, Obstacle
from canary.core.view import View


def autoscaler_present(view: View) -> Obstacle | None:
    """Find an autoscaler that the Canary does not name: it would be dead, or fight with the one named."""
    snapshot = view.snapshot
    names, named = snapshot.names, snapshot.scaler
    taken = (names.target, names.workload("primary").name) if named is not None else (names.target,)
    made = {s.name for s in snapshot.scalers if s.kind == SCALED_OBJECT.kind}
    for scaler in snapshot.scalers:
        if scaler.is_ours or scaler == named or scaler.made_by in made or scaler.target not in taken:
            continue
        cure = f"spec.autoscalerRef names {named}, delete one of the two" if named else "name it in spec.autoscalerRef"
        return Obstacle(
            "AutoscalerPresent",
            f"{scaler} scales Deployment {scaler.target}; {cure}{'' if named else ', or delete it'}",
        )
    return None


def autoscaler_made_by_keda(view: View) -> Obstacle | None:
    """Find that the autoscaler named is one that KEDA writes, and would take back at once."""
    scaler = view.snapshot.scaler
    if scaler is None or not scaler.made_by:
        return None
    made_by = f"{SCALED_OBJECT.kind} {scaler.made_by}"
    return Obstacle("AutoscalerManaged", f"spec.autoscalerRef names {scaler}, which {made_by} makes; name {made_by}")


def autoscaler_missing(view: View) -> Obstacle | None:
    """Find that there is no such autoscaler as the Canary names; production keeps its size."""
    ref = view.snapshot.spec.autoscaler_ref if view.snapshot.spec else None
    if ref is None or view.snapshot.scaler is not None:
        return None
    return Obstacle(
        "AutoscalerMissing",
        f"{ref.kind} {ref.name} of spec.autoscalerRef not found, production keeps its size; "
        "create it, or remove spec.autoscalerRef",
    )


def autoscaler_elsewhere(view: View) -> Obstacle | None:
    """Find that the autoscaler named was never one of this target."""
    scaler, names = view.snapshot.scaler, view.snapshot.names
    if scaler is None or scaler.may_be_held(view.snapshot.key, names):
        return None
    return Obstacle(
        "AutoscalerElsewhere",
        f"{scaler} of spec.autoscalerRef scales {scaler.points_at}; let it scale Deployment {names.target}",
    )


def autoscaler_without_trigger(view: View) -> Obstacle | None:
    """Find a query for a trigger that the ScaledObject does not have."""
    scaler, ref = view.snapshot.scaler, view.snapshot.spec.autoscaler_ref if view.snapshot.spec else None
    if scaler is None or scaler.kind != SCALED_OBJECT.kind or ref is None:
        return None
    names = {one.get("name") for one in scaler.asked_triggers}
    lost = sorted((ref.primary_scaler_queries or {}).keys() - names)
    if not lost:
        return None
    return Obstacle(
        "AutoscalerWithoutTrigger",
        f"{scaler} has no trigger named {lost[0]}, of which spec.autoscalerRef.primaryScalerQueries speaks; "
        "correct one of them",
    )


WHILE_SERVING: tuple[Finder, ...] = (autoscaler_missing, autoscaler_elsewhere, autoscaler_without_trigger)
"""What is told and stops nothing."""
