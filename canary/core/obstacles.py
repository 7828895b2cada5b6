"""What keeps a Canary from being served: each obstacle is one small function, the first found is told."""

from __future__ import annotations

from collections.abc import Iterator

from canary.api.status import CanaryStatus
from canary.core.autoscaling import autoscaler_made_by_keda, autoscaler_present
from canary.core.flagger.remains import FLAGGER, TAKE_OVER, replaced
from canary.core.flagger.take_over import taking_over
from canary.core.names import owner_of
from canary.core.objects import Object
from canary.core.obstacle import Finder, Obstacle
from canary.core.pinning import what_is_missing
from canary.core.plan import plan_of
from canary.core.route_obstacles import (
    delegation_unfit,
    host_taken,
    route_unfit,
    serves_another,
    subset_of_others,
    virtual_service_unfit,
)
from canary.core.service_obstacles import (
    apex_unusable,
    foreign_service,
    port_not_opaque,
    port_opaque,
    workload_entry_selected,
)
from canary.core.snapshot import Snapshot
from canary.core.view import View
from canary.core.workload import SCALED_AWAY

CONTESTED_AFTER = 3
"""How often the same manager may undo us within ten minutes before we back off."""


def spec_refused(view: View) -> Obstacle | None:
    """Find a spec that cannot be used."""
    if not view.snapshot.refusals:
        return None
    return Obstacle("SpecInvalid", "; ".join(view.snapshot.refusals))


def target_taken(view: View) -> Obstacle | None:
    """Find another Canary on the same target or apex that came first."""
    snapshot = view.snapshot
    if snapshot.canary is None:
        return None
    for other in snapshot.neighbours.canaries:
        shared = _shared(snapshot, other)
        if shared and _comes_first(other, snapshot):
            name = other["metadata"]["name"]
            return Obstacle(
                "TargetTaken",
                f"{shared} is already released by Canary {name}; delete one of the two Canaries",
            )
    return None


def _shared(snapshot: Snapshot, other: Object) -> str | None:
    spec = other.get("spec") or {}
    ref = spec.get("targetRef") or {}
    target = ref.get("name")
    apex = (spec.get("service") or {}).get("name") or target
    if (ref.get("kind"), target) == (snapshot.names.kind, snapshot.names.target):
        return f"{snapshot.names.kind} {target}"
    return f"Service {apex}" if apex == snapshot.names.apex else None


def _comes_first(other: Object, snapshot: Snapshot) -> bool:
    """Return whether the other Canary goes on: the one our objects name, else the older."""
    primary = snapshot.primary
    owner = owner_of(primary.raw) if primary else None
    this = (snapshot.canary or {})["metadata"]
    that = other["metadata"]
    if owner is not None and owner.name in (this["name"], that["name"]) and this["name"] != that["name"]:
        return bool(owner.name == that["name"])
    age = (that.get("creationTimestamp", ""), that.get("uid", ""))
    return bool(age < (this.get("creationTimestamp", ""), this.get("uid", "")))


def target_missing(view: View) -> Obstacle | None:
    """Find that there is no target to release, or that nobody may read its type."""
    if view.target is not None:
        return None
    name = view.snapshot.names.target
    if not view.snapshot.target_seen:
        plural = view.snapshot.names.workloads.plural
        cure = f"allow the controller to get, list, watch, create, patch and delete {plural} of group apps"
        return Obstacle("TargetUnreadable", f"{view.kind} {name} cannot be read; {cure}")
    return Obstacle(
        "TargetMissing",
        f"{view.kind} {name} not found; create it, or make the Canary again with another spec.targetRef.name",
    )


def configuration_missing(view: View) -> Obstacle | None:
    """Find a ConfigMap or Secret that pods of the target need to start, and that is not there."""
    missing = what_is_missing(view)
    return Obstacle("ConfigMissing", missing) if missing else None


def target_unselectable(view: View) -> Obstacle | None:
    """Find a target whose pods cannot be told apart by labels."""
    if view.target is None or view.target.selector:
        return None
    return Obstacle(
        "TargetUnselectable",
        f"{view.kind} {view.snapshot.names.target} selects its pods without matchLabels; give its selector one",
    )


def target_recreated(view: View) -> Obstacle | None:
    """Find a target that ends all its pods before it starts new ones, whose primary is to roll in place."""
    if view.target is None or not view.asks_in_place or not view.target.recreates:
        return None
    return Obstacle(
        "StrategyRecreate",
        f"Deployment {view.snapshot.names.target} has strategy Recreate, which ends all pods of a primary that rolls "
        "under its traffic; use RollingUpdate there, or CutOver as spec.promotion.strategy",
    )


def target_in_ambient(view: View) -> Obstacle | None:
    """Find pods in ambient mode, whose traffic no sidecar can split."""
    if view.target is None:
        return None
    if view.target.pod_labels.get("istio.io/dataplane-mode") != "ambient":
        return None
    return Obstacle(
        "AmbientMode",
        f"pods of {view.kind} {view.snapshot.names.target} are in ambient mode, which is not supported yet; "
        "use sidecars",
    )


def daemons_unfit(view: View) -> Obstacle | None:
    """Find a DaemonSet of which no node can carry two, or whose pods are never replaced."""
    if view.target is None or not view.target.is_daemon:
        return None
    name = f"{view.kind} {view.snapshot.names.target}"
    if view.target.update_type != "RollingUpdate":
        return Obstacle(
            "UpdateStrategyUnfit",
            f"{name} has updateStrategy {view.target.update_type}, with which its pods would never be replaced; "
            "use RollingUpdate",
        )
    if (taken := view.target.node_ports) is None:
        return None
    return Obstacle(
        "HostPortTaken",
        f"pods of {name} take {taken} of their node, which its clones need beside them; use a Service instead",
    )


NOTHING_BEGUN = "Suspended"
SUSPENDED = "the Canary is suspended; set spec.suspend and spec.paused to false"


def suspended(view: View) -> Obstacle | None:
    """Find that the user wants nothing to be begun."""
    return Obstacle(NOTHING_BEGUN, f"Nothing is begun: {SUSPENDED}") if view.suspended else None


def replicas_unknown(view: View) -> Obstacle | None:
    """Find a target at 0 replicas with nobody saying how many are wanted."""
    if view.wish > 0:
        return None
    if view.snapshot.daemons:
        key = f"nodeSelector {SCALED_AWAY}"
        return Obstacle("ReplicasUnknown", f"{view.kind} {view.snapshot.names.target} has {key} and no pods; remove it")
    return Obstacle(
        "ReplicasUnknown",
        f"{view.kind} {view.snapshot.names.target} has 0 replicas and no wish is known; scale it up or annotate it "
        "canary.delivery/replicas with the number wanted",
    )


def name_taken(view: View) -> Obstacle | None:
    """Find a name we need held by an object without our mark."""
    for kind, name in taken_names(view.snapshot):
        cure = f"annotate the Canary {TAKE_OVER}: {FLAGGER}" if any(replaced(view.snapshot)) else "delete or rename it"
        return Obstacle("NameTaken", f"{kind} {name} exists and is not ours; {cure}, the Canary needs its name")
    return None


def taken_names(snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    """Return kind and name of the objects of others that hold names we need; they are never written."""
    owned = [(found, owner_of(found)) for found in _needed_objects(snapshot)]
    taken = [found for found, owner in owned if owner is None or owner.name != snapshot.key.name]
    if snapshot.route is not None and serves_another(snapshot):
        taken.append(snapshot.route)
    return tuple((str(found.get("kind", "object")), str(found["metadata"]["name"])) for found in taken)


def _needed_objects(snapshot: Snapshot) -> Iterator[Object]:
    candidates = (
        snapshot.primary.raw if snapshot.primary else None,
        snapshot.candidate.raw if snapshot.candidate else None,
        snapshot.primary_service,
        snapshot.canary_service,
        *_needed_by_cohorts(snapshot),
        *(one for name, one in snapshot.rules.items() if snapshot.names.cohort_of(name) is None),
        *snapshot.copies,
        *_needed_scalers(snapshot),
    )
    return (obj for obj in candidates if obj is not None)


def _needed_by_cohorts(snapshot: Snapshot) -> Iterator[Object]:
    """Yield what has the names of the Services, and their rules, by which the plan tells cohorts apart."""
    rules = {number: one for name, one in snapshot.rules.items() if (number := snapshot.names.cohort_of(name))}
    if snapshot.spec is None or not (rules or snapshot.cohort_services):
        return
    for number in plan_of(snapshot.spec).last.routing.apart:
        if number in snapshot.cohort_services:
            yield snapshot.cohort_services[number].raw
        if number in rules:
            yield rules[number]


def _needed_scalers(snapshot: Snapshot) -> Iterator[Object]:
    """Yield what has the name of the canary's own autoscaler, when it is to have one."""
    scaler, name = snapshot.scaler, snapshot.names.workload("canary").name
    others = (one for one in snapshot.scalers if one != scaler and one.name == name)
    return (one.raw for one in others if scaler is not None and one.kind == scaler.kind)


def contested(status: CanaryStatus, *fields: str) -> Obstacle | None:
    """Find a field (any, or one of those named) that another manager keeps taking from us."""
    for drift in status.drift:
        if drift.count >= CONTESTED_AFTER and (not fields or drift.field in fields):
            return Obstacle(
                "Contested",
                f"{drift.manager} keeps changing the {drift.field} this Canary needs; make it ignore that field",
            )
    return None


BEFORE_INITIALISATION: tuple[Finder, ...] = (
    spec_refused,
    suspended,
    target_taken,
    virtual_service_unfit,
    target_missing,
    configuration_missing,
    target_unselectable,
    target_recreated,
    target_in_ambient,
    daemons_unfit,
    host_taken,
    autoscaler_made_by_keda,
    port_opaque,
    port_not_opaque,
    foreign_service,
    workload_entry_selected,
    taking_over,
    name_taken,
    route_unfit,
    subset_of_others,
    delegation_unfit,
    autoscaler_present,
    apex_unusable,
    replicas_unknown,
)
"""Nothing is touched before these are out of the way."""

BEFORE_A_RUN: tuple[Finder, ...] = (
    spec_refused,
    target_taken,
    virtual_service_unfit,
    name_taken,
    target_missing,
    configuration_missing,
    target_recreated,
    target_in_ambient,
    daemons_unfit,
    host_taken,
    route_unfit,
    delegation_unfit,
    autoscaler_present,
    autoscaler_made_by_keda,
    port_opaque,
    port_not_opaque,
    foreign_service,
    workload_entry_selected,
)
"""No run starts before these are out of the way; what serves goes on serving."""
