"""Names, labels and annotations we put on objects, and how an object says whose it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from canary.core.objects import (
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    DESTINATION_RULE,
    SERVICE,
    VIRTUAL_SERVICE,
    CanaryKey,
    Object,
    Ref,
    Resource,
    annotations_of,
    labels_of,
)

PREFIX = "canary.delivery/"
CANARY_LABEL = PREFIX + "canary"
ROLE_LABEL = PREFIX + "role"
REVISION_LABEL = PREFIX + "revision"
OWNER = PREFIX + "owner"
CHANGED = PREFIX + "changed"
WISH = PREFIX + "replicas"
TARGET = PREFIX + "target-uid"
"""On the primary: the uid of the target it was taken from; one made later is the user's own affair."""
ALLOW_CANARY = PREFIX + "allow-canary"
DRAINED_FROM = PREFIX + "draining-since"
ROLLED_BACK = PREFIX + "rolled-back"
ROUTE_FIELDS = PREFIX + "route-fields"
CARRIES = PREFIX + "carries"
"""On a VirtualService whose connections are shared out, not its requests."""
ASKED = PREFIX + "metadata"
"""On what we made: which of its labels, annotations and fields the spec asked for besides ours."""
MANAGER = "canary-controller"
ROOT_NAMESPACE = "istio-system"
"""Where Istio looks for what holds in the whole mesh, as it is installed."""

# A GitOps tool must not take what we made for something of its own that was deleted.
NOT_PRUNED = {
    "argocd.argoproj.io/sync-options": "Prune=false",
    "kustomize.toolkit.fluxcd.io/prune": "disabled",
}

Role = Literal["primary", "canary"]
_COHORT = "-cohort"


@dataclass(frozen=True, slots=True)
class Names:
    """The names that follow from one Canary's target and apex."""

    namespace: str
    target: str
    apex: str
    workloads: Resource = DEPLOYMENT
    """What runs the pods: the type of the target and of its clones."""
    named: Ref | None = None
    """The VirtualService that the spec names, or the one elsewhere that was adopted."""

    def __hash__(self) -> int:
        return hash((self.namespace, self.target, self.apex))

    @property
    def kind(self) -> str:
        """Return the kind of the target and of its clones."""
        return self.workloads.kind

    def workload(self, role: Role) -> Ref:
        """Return the workload of one side."""
        return Ref(self.workloads, self.namespace, f"{self.target}-{role}")

    def service(self, role: Role) -> Ref:
        """Return the Service of one side."""
        return Ref(SERVICE, self.namespace, f"{self.apex}-{role}")

    @property
    def keeper(self) -> Ref:
        """Return the Service of the target's pods while production leaves them."""
        return Ref(SERVICE, self.namespace, f"{self.apex}-target")

    def cohort_service(self, number: int) -> Ref:
        """Return the Service by which requests of one cohort of the plan are told from all others of the canary."""
        return Ref(SERVICE, self.namespace, f"{self.apex}{_COHORT}{number}")

    def cohort_rule(self, number: int) -> Ref:
        """Return the DestinationRule of that Service."""
        return Ref(DESTINATION_RULE, self.namespace, f"{self.apex}{_COHORT}{number}")

    def cohort_of(self, host: object) -> int | None:
        """Return the number of the cohort whose Service a host, or a name, means; None for any other."""
        name, _, _ = str(host).partition(".")
        number = name.removeprefix(f"{self.apex}{_COHORT}")
        return int(number) if number != name and number.isdecimal() else None

    def rule(self, role: Role) -> Ref:
        """Return the DestinationRule of one side."""
        return Ref(DESTINATION_RULE, self.namespace, f"{self.apex}-{role}")

    @property
    def target_ref(self) -> Ref:
        """Return the user's workload."""
        return Ref(self.workloads, self.namespace, self.target)

    @property
    def apex_ref(self) -> Ref:
        """Return the Service users call."""
        return Ref(SERVICE, self.namespace, self.apex)

    @property
    def route_ref(self) -> Ref:
        """Return the VirtualService of the apex."""
        return self.named or Ref(VIRTUAL_SERVICE, self.namespace, self.apex)

    @property
    def routed_from_elsewhere(self) -> bool:
        """Return whether the VirtualService is in another namespace, where a bare name means another Service."""
        return self.named is not None and self.named.namespace != self.namespace

    def revision(self, revision: str) -> Ref:
        """Return the ControllerRevision that keeps a revision."""
        return Ref(CONTROLLER_REVISION, self.namespace, f"{self.target}-canary-{revision}")


@dataclass(frozen=True, slots=True)
class Owner:
    """What the owner annotation says: whose an object is, and what is needed to give it back."""

    group: str
    name: str
    uid: str
    target: str
    apex: str
    drain_seconds: int
    primary_threshold: int = 100
    workloads: Resource = DEPLOYMENT
    route: Ref | None = None
    """The VirtualService that the spec named."""
    namespace: str = ""
    """Where the Canary is, told beside a route that was named; without it where the object is."""

    def to_text(self) -> str:
        """Return the annotation's value."""
        return _written(self)

    def key(self, namespace: str) -> CanaryKey:
        """Return the Canary an object in this namespace belongs to."""
        return CanaryKey(self.group, self.namespace or namespace, self.name)


def named_route(canary: Object) -> Ref | None:
    """Return the VirtualService that a Canary names, whether its spec can be used or not."""
    service = (canary.get("spec") or {}).get("service")
    found = service.get("virtualService") if isinstance(service, Mapping) else None
    if not isinstance(found, Mapping) or not found.get("name"):
        return None
    place = found.get("namespace") or canary["metadata"].get("namespace", "")
    return Ref(VIRTUAL_SERVICE, str(place), str(found["name"]))


@lru_cache(maxsize=1024)
def _written(owner: Owner) -> str:
    # What is as ever is left out: a new version of the controller writes no mark anew (I5).
    lowered = {"primaryReadyThreshold": owner.primary_threshold} if owner.primary_threshold != 100 else {}
    kind = {"kind": owner.workloads.kind} if owner.workloads != DEPLOYMENT else {}
    named = {"route": f"{owner.route.namespace}/{owner.route.name}"} if owner.route is not None else {}
    place = {"namespace": owner.namespace} if owner.namespace else {}
    return json.dumps(
        {
            "group": owner.group,
            "name": owner.name,
            "uid": owner.uid,
            "target": owner.target,
            "apex": owner.apex,
            "drainSeconds": owner.drain_seconds,
            **lowered,
            **kind,
            **named,
            **place,
        },
        separators=(",", ":"),
    )


def workloads_of(kind: object) -> Resource:
    """Return the type of a target by its kind; one that is not known is refused elsewhere."""
    return DAEMON_SET if kind == DAEMON_SET.kind else DEPLOYMENT


def key_of(obj: Object) -> CanaryKey | None:
    """Return the Canary whose mark an object bears."""
    owner = owner_of(obj)
    return owner.key(obj["metadata"].get("namespace", "")) if owner is not None else None


def owner_of(obj: Object) -> Owner | None:
    """Return whose an object is; None for objects without our mark or with an unreadable one."""
    text = annotations_of(obj).get(OWNER)
    return _read_owner(text) if text else None


@lru_cache(maxsize=1024)
def _read_owner(text: str) -> Owner | None:
    try:
        raw = json.loads(text)
        return Owner(
            group=str(raw["group"]),
            name=str(raw["name"]),
            uid=str(raw["uid"]),
            target=str(raw["target"]),
            apex=str(raw["apex"]),
            drain_seconds=int(raw["drainSeconds"]),
            primary_threshold=int(raw.get("primaryReadyThreshold", 100)),
            workloads=workloads_of(raw.get("kind")),
            route=_read_route(raw.get("route")),
            namespace=str(raw.get("namespace", "")),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _read_route(text: object) -> Ref | None:
    namespace, slash, name = str(text or "").partition("/")
    return Ref(VIRTUAL_SERVICE, namespace, name) if slash else None


def owned_metadata(name: str, namespace: str, owner: Owner, **labels: str) -> dict[str, Any]:
    """Return the metadata of an object that is wholly ours: our labels alone, never a user's."""
    extra = {PREFIX + key: value for key, value in labels.items()}
    return {
        "name": name,
        "namespace": namespace,
        "labels": {CANARY_LABEL: owner.name, **extra},
        "annotations": {OWNER: owner.to_text(), **NOT_PRUNED},
    }


def is_ours(obj: Object) -> bool:
    """Return whether we made this object (adopted ones carry the owner mark but not the label)."""
    return CANARY_LABEL in labels_of(obj) and owner_of(obj) is not None
