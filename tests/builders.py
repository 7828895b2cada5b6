"""Worlds in short words: a Canary of listing 5.1 with everything around it, at any moment of a release."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from canary.api.admission import refusals
from canary.api.canary import Canary
from canary.api.status import (
    CanaryStatus,
    Drain,
    Phase,
    Progress,
    Replicas,
    Revisions,
    Run,
    StepStatus,
    TargetSeen,
    Traffic,
    to_wire,
)
from canary.core.actions import Action, Create, Decision, Delete, Patch
from canary.core.decide import decide
from canary.core.names import CHANGED, MANAGER, OWNER, ROLE_LABEL, TARGET, WISH, Names, Owner, Role
from canary.core.objects import CanaryKey, Object, Ref, apply_merge_patch
from canary.core.revisions import derive, from_object, pin, revision_id, to_object
from canary.core.routes.istio import make_route
from canary.core.routes.routing import Routing
from canary.core.snapshot import Neighbours, Snapshot
from canary.core.view import View
from canary.core.workload import Workload
from tests.api.manifests import listing

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
NS = "istioinaction"
KEY = CanaryKey("flagger.app", NS, "catalog-release")
NAMES = Names(NS, "catalog", "catalog")
OWNER_MARK = Owner(KEY.group, KEY.name, "uid-canary", "catalog", "catalog", 15)
INTERVAL = timedelta(seconds=45)
FOLLOWED = {"progressDeadlineSeconds": 60, "minReadySeconds": 0}


def at(seconds: float) -> datetime:
    """Return a moment ``seconds`` after NOW."""
    return NOW + timedelta(seconds=seconds)


def template(image: str = "catalog:v1", **labels: str) -> dict[str, Any]:
    """Return a pod template as the API server stores it."""
    return {
        "metadata": {"labels": {"app": "catalog", **labels}},
        "spec": {"containers": [{"name": "catalog", "image": image}]},
    }


V1, V2, V3 = template("catalog:v1"), template("catalog:v2"), template("catalog:v3")
A, B, C = revision_id(V1), revision_id(V2), revision_id(V3)


def managed(*managers: str, field: str = "f:replicas") -> list[dict[str, Any]]:
    """Return managedFields in which these managers own one field of the spec."""
    return [{"manager": one, "operation": "Update", "fieldsV1": {"f:spec": {field: {}}}} for one in managers]


def deployment(
    name: str = "catalog",
    pod: Mapping[str, Any] = V1,
    replicas: int = 2,
    *,
    ready: int | None = None,
    pods: int | None = None,
    updated: int | None = None,
    generation: int = 1,
    observed: int | None = None,
    version: str = "10",
    uid: str = "",
    stuck: bool = False,
    owners: tuple[str, ...] = ("kubectl",),
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    selector: Mapping[str, str] | None = None,
    **spec: Any,
) -> Workload:
    """Return a Deployment whose rollout is over unless told otherwise."""
    exist = replicas if pods is None else pods
    count = exist if ready is None else ready
    reason = "ProgressDeadlineExceeded" if stuck else "NewReplicaSetAvailable"
    return Workload(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": name,
                "namespace": NS,
                "uid": uid or f"uid-{name}",
                "generation": generation,
                "resourceVersion": version,
                "labels": dict(labels or {}),
                "annotations": dict(annotations or {}),
                "managedFields": managed(*owners),
            },
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "catalog"} if selector is None else dict(selector)},
                "template": pod,
                **spec,
            },
            "status": {
                "observedGeneration": generation if observed is None else observed,
                "replicas": exist,
                "updatedReplicas": exist if updated is None else updated,
                **dict.fromkeys(("readyReplicas", "availableReplicas"), count),
                "conditions": [{"type": "Progressing", "reason": reason}],
            },
        }
    )


def clone(role: Role, pod: Mapping[str, Any] = V1, replicas: int = 2, **more: Any) -> Workload:
    """Return the Deployment of one side as we write it, on the template of a revision."""
    body = to_object(pin(deployment(pod=pod), 1), NAMES, OWNER_MARK)["metadata"]
    revision = revision_id(pod)
    labels = {**body["labels"], ROLE_LABEL: role, "canary.delivery/revision": revision}
    wish = {WISH: str(more.pop("wish", replicas)), TARGET: "uid-catalog"} if role == "primary" else {}
    return deployment(
        f"catalog-{role}",
        derive(pod, role, revision),
        replicas,
        **{
            "labels": labels,
            "annotations": {**body["annotations"], **wish},
            "selector": {"app": "catalog", ROLE_LABEL: role},
            "progressDeadlineSeconds": 60,
            "owners": (MANAGER,),
            "version": {"primary": "20", "canary": "30"}[role],
            **more,
        },
    )


def canary_object(changes: dict[str, Any] | None = None, generation: int = 1) -> dict[str, Any]:
    """Return the Canary of listing 5.1 as the API server stores it, with the values at some paths replaced."""
    raw = listing(changes)
    raw["metadata"] |= {
        "uid": OWNER_MARK.uid,
        "resourceVersion": "1",
        "generation": generation,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    return raw


def service(name: str, role: str = "", *, ours: bool = True, version: str = "40", **spec: Any) -> dict[str, Any]:
    """Return a Service of ours, or one a user made, over the pods of a role (empty: of any)."""
    metadata: dict[str, Any] = {"name": name, "namespace": NS, "uid": f"uid-{name}", "resourceVersion": version}
    if ours:
        metadata |= {"labels": to_object(pin(deployment(), 1), NAMES, OWNER_MARK)["metadata"]["labels"]}
        metadata |= {"annotations": {OWNER: OWNER_MARK.to_text()}}
    selector = {"app": "catalog", **({ROLE_LABEL: role} if role else {})}
    port = {"name": "http", "port": 80, "protocol": "TCP", "targetPort": 3000}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {"selector": selector, "ports": [port], **spec},
    }


def apex(role: str = "", *, adopted: bool = True, by: str = MANAGER) -> dict[str, Any]:
    """Return the user's apex Service, adopted by us or not."""
    made = service("catalog", role, ours=False, version="41")
    if adopted:
        marks = {OWNER: OWNER_MARK.to_text(), CHANGED: f'{{"selector": ["{ROLE_LABEL}"]}}'}
        made["metadata"]["annotations"] = marks
    made["metadata"]["managedFields"] = managed(by, field="f:selector")
    return made


def route(canary: int = 0, *, by: str = MANAGER, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return our VirtualService with this share for the canary, last written by ``by``."""
    made = make_route(Canary.parse(canary_object()).spec, NAMES, OWNER_MARK, Routing(canary))
    made["metadata"] |= {"uid": "uid-route", "resourceVersion": "50", "managedFields": managed(by, field="f:http")}
    made["metadata"]["annotations"] |= annotations or {}
    return made


def kept(*pods: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the revisions of templates as kept in the cluster."""
    found = []
    for number, pod in enumerate(pods, 1):
        obj = to_object(pin(deployment(pod=pod), number), NAMES, OWNER_MARK)
        obj["metadata"] |= {"uid": f"uid-revision-{number}", "resourceVersion": str(60 + number)}
        found.append(from_object(obj))
    return tuple(found)


def untouched(changes: dict[str, Any] | None = None, **parts: Any) -> Snapshot:
    """Return the world just after the Canary was applied: target and apex Service, nothing of ours."""
    raw = canary_object(changes)
    refused = tuple(map(str, refusals(raw)))
    found = Snapshot(
        key=KEY,
        names=NAMES,
        owner=OWNER_MARK,
        canary=raw,
        spec=None if refused else Canary.parse(raw).spec,
        refusals=refused,
        status=CanaryStatus(),
        target=deployment(),
        primary=None,
        candidate=None,
        apex=apex(adopted=False, by="kubectl"),
        primary_service=None,
        canary_service=None,
        rules={},
        route=None,
        revisions=(),
        scalers=(),
        neighbours=Neighbours(),
    )
    return with_status(replace(found, **parts), found.status)


def with_status(snapshot: Snapshot, status: CanaryStatus | None = None, **changes: Any) -> Snapshot:
    """Return the world with another status, stored in the Canary too."""
    new = (status or snapshot.status).model_copy(update=changes)
    raw = None
    if snapshot.canary is not None:
        raw = {**snapshot.canary, "status": to_wire(new)}
    return replace(snapshot, status=new, canary=raw)


def idle(phase: Phase = Phase.INITIALIZED, changes: dict[str, Any] | None = None, **parts: Any) -> Snapshot:
    """Return an initialised world in which nothing is under way."""
    world = untouched(changes)
    world = replace(
        world,
        target=deployment(replicas=0, generation=2, owners=(MANAGER,)),
        primary=clone("primary"),
        apex=apex("primary"),
        primary_service=service("catalog-primary", "primary"),
        canary_service=service("catalog-canary", "canary"),
        rules={},
        route=route(0),
        revisions=kept(V1),
    )
    status = CanaryStatus(
        phase=phase,
        revision=Revisions(primary=A, candidate=A),
        last_applied_spec=A,
        last_promoted_spec=A,
        last_transition_time=NOW,
        target=TargetSeen(uid="uid-catalog", generation=2),
        traffic=Traffic(primary=100, canary=0),
        replicas=Replicas(desired=2, primary=2),
        message="Initialization done",
    )
    settled = View(replace(world, status=status), (), NOW)
    first = decide(settled.snapshot, (), NOW).status or status
    return replace(with_status(world, first), **parts)


def new_target(pod: Mapping[str, Any] = V2, replicas: int = 0, generation: int = 3, **more: Any) -> Workload:
    """Return the target after a template was applied to it."""
    return deployment(pod=pod, replicas=replicas, generation=generation, version="11", **more)


def running(
    weight: int = 10,
    phase: Phase = Phase.PROGRESSING,
    *,
    pods: int = 1,
    ready: int | None = None,
    shown: int | None = None,
    changes: dict[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
    **parts: Any,
) -> Snapshot:
    """Return a run of V2 at a weight, entered and in force at NOW, whose next tick is one interval later."""
    world = idle(changes=changes)
    share = weight if shown is None else shown
    world = replace(
        world,
        target=new_target(),
        candidate=clone("canary", V2, pods, ready=ready),
        route=route(share),
        apex=apex("canary" if share == 100 else "primary"),
        revisions=kept(V1, V2),
    )
    step = StepStatus(index=weight // 10, count=5, started_at=NOW, next_tick_at=NOW + INTERVAL, in_force_at=NOW)
    values: dict[str, Any] = {
        "phase": phase,
        "canary_weight": weight if phase is Phase.PROGRESSING else 0,
        "revision": Revisions(primary=A, candidate=B),
        "last_applied_spec": B,
        "target": TargetSeen(uid="uid-catalog", generation=3),
        "traffic": Traffic(primary=100 - share, canary=share),
        "replicas": Replicas(desired=2, primary=2, canary=pods),
        "run": Run(started_at=at(-45), size=2),
        "step": step,
        "traffic_since": NOW if weight else None,
        "message": "Running",
        **(status or {}),
    }
    return replace(with_status(world, **values), **parts)


def promoting(share: int = 100, *, status: Mapping[str, Any] | None = None, **parts: Any) -> Snapshot:
    """Return the cut-over: V2 passed, the canary is at full size and the routes show ``share`` for it."""
    return running(share, Phase.PROMOTING, pods=2, status=status, **parts)


def rolled(**more: Any) -> Workload:
    """Return the primary with the candidate's template."""
    return clone("primary", V2, **{"generation": 2, **more})


def finalising(share: int = 0, *, status: Mapping[str, Any] | None = None, **parts: Any) -> Snapshot:
    """Return the last phase: the primary runs V2, the canary is still there."""
    return running(share, Phase.FINALISING, pods=2, status=status, **{"primary": rolled(), **parts})


def promotion_failed(**parts: Any) -> Snapshot:
    """Return a failed promotion: the canary serves, the primary is stuck half rolled."""
    stuck = rolled(ready=1, updated=1, stuck=True)
    return running(100, Phase.FAILED, pods=2, **{"primary": stuck, **parts})


def deleted(world: Snapshot | None = None, **parts: Any) -> Snapshot:
    """Return the world after the Canary was deleted."""
    found = replace(world or idle(), canary=None, spec=None, status=CanaryStatus(), neighbours=Neighbours())
    return replace(found, **parts)


def settled(role: Role | str, seconds: float = 15) -> dict[str, Any]:
    """Return the status change of a set that left the routes ``seconds`` before NOW + 60."""
    return {"drain": Drain(role=role, since=at(60 - seconds))}  # type: ignore[arg-type]


def waiting_since(seconds: float, available: int = 0, role: str = "canary") -> dict[str, Any]:
    """Return the status change of a set that made no progress since a moment."""
    return {"progress": Progress(role=role, since=at(seconds), available=available)}


def new_status(snapshot: Snapshot, decision: Decision) -> CanaryStatus:
    """Return the status after a decision, written or not."""
    return decision.status or snapshot.status


def find(actions: tuple[Action, ...], ref: Ref) -> Action | None:
    """Return the one action on an object, None without."""
    found = [a for a in actions if a.ref == ref]
    assert len(found) < 2, f"{ref} is written twice: {[a.why for a in found]}"
    return found[0] if found else None


def patch_of(actions: tuple[Action, ...], ref: Ref) -> Patch | None:
    """Return the patch of an object, None without."""
    found = find(actions, ref)
    assert found is None or isinstance(found, Patch), found
    return found


def spec_of(actions: tuple[Action, ...], ref: Ref) -> Mapping[str, Any]:
    """Return the spec an object is patched with, empty when it is not."""
    found = patch_of(actions, ref)
    return found.body.get("spec", {}) if found else {}


def names_of(actions: tuple[Action, ...]) -> list[str]:
    """Return the actions in words: verb, kind, name."""
    return [f"{type(a).__name__.lower()} {a.ref.resource.kind} {a.ref.name}" for a in actions]


def weights_of(actions: tuple[Action, ...]) -> tuple[int, ...] | None:
    """Return the weights an action gives the route, None when none does."""
    found = find(actions, NAMES.route_ref)
    if found is None or isinstance(found, Delete) or "http" not in found.body.get("spec", {}):
        return None
    return tuple(d["weight"] for d in found.body["spec"]["http"][0]["route"])


def role_of(actions: tuple[Action, ...]) -> str | None:
    """Return the role an action lets the apex Service select, None when none does."""
    found = find(actions, NAMES.apex_ref)
    if found is None or isinstance(found, Delete):
        return None
    role = found.body.get("spec", {}).get("selector", {}).get(ROLE_LABEL)
    return None if role is None else str(role)


def written(obj: Object | None, action: Action | None) -> Object | None:
    """Return an object after an action on it."""
    match action:
        case Create():
            return {**action.body, "metadata": {**action.body["metadata"], "uid": "uid-made", "resourceVersion": "90"}}
        case Patch():
            done: Object = apply_merge_patch(obj, action.body)
            return done
        case Delete():
            return None
    return obj


GUARDED = {(NAMES.route_ref, "50"), (NAMES.apex_ref, "41")}
"""What a write that shrinks or rolls rests on in these worlds."""
