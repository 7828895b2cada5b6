"""Obstacles: each is told in one sentence that names object and cure, and nothing is touched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from canary.api.canary import Promotion
from canary.api.status import Phase
from canary.core.decide import decide, questions
from canary.core.names import ALLOW_CANARY, OWNER
from canary.core.objects import Object
from canary.core.snapshot import Neighbours, Snapshot, Surroundings
from tests.answers import good
from tests.builders import (
    NOW,
    NS,
    Workload,
    apex,
    at,
    canary_object,
    clone,
    deployment,
    idle,
    new_status,
    new_target,
    service,
    template,
    untouched,
)
from tests.scalers import scaler

Change = Callable[[Snapshot], Snapshot]


def beside(**neighbours: list[Object]) -> Change:
    """Put other objects into the namespace."""
    return lambda world: replace(world, neighbours=Neighbours(**neighbours))


def having(**parts: Any) -> Change:
    """Replace parts of the world."""
    return lambda world: replace(world, **parts)


def other_canary(name: str = "other", target: str = "catalog", apex: str = "catalog", age: str = "2025") -> Object:
    """Return another Canary, older unless told otherwise."""
    changes = {"metadata.name": name, "spec.targetRef.name": target, "spec.service.name": apex}
    made = canary_object(changes)
    made["metadata"] |= {"creationTimestamp": f"{age}-01-01T00:00:00Z", "uid": f"uid-{name}"}
    return made


def istio(kind: str, name: str, **spec: Any) -> Object:
    """Return an Istio object."""
    return {"kind": kind, "metadata": {"name": name, "namespace": NS}, "spec": spec}


def foreign(workload: Workload) -> Workload:
    """Return a Deployment without our marks."""
    metadata = {**workload.raw["metadata"], "labels": {}, "annotations": {}}
    return Workload({**workload.raw, "metadata": metadata})


def stray(allow: str = "", **selector: str) -> Object:
    """Return a Service of somebody else."""
    made = service("stray", ours=False, selector=selector or {"app": "catalog"})
    made["metadata"]["annotations"] = {ALLOW_CANARY: allow} if allow else {}
    return made


def users_apex(app: str, port: int, **fields: str) -> Object:
    """Return a user's apex Service over other pods or with another port."""
    return {
        **apex(adopted=False),
        "spec": {"selector": {"app": app}, "ports": [{"name": "http", "port": port, **fields}]},
    }


def machine(**labels: str) -> Change:
    """Put a WorkloadEntry into the namespace; labels of its metadata go before those of its spec."""
    spec = {"address": "10.0.0.9", "labels": {"app": "catalog"}}
    entry = {"metadata": {"name": "vm-1", "namespace": NS, "labels": labels}, "spec": spec}
    return having(surroundings=Surroundings(entries=[entry]))


def in_place(**strategy: str) -> Change:
    """Ask for a promotion in place of a target with a strategy."""

    def change(world: Snapshot) -> Snapshot:
        assert world.spec is not None
        spec = world.spec.model_copy(update={"promotion": Promotion(strategy="InPlace")})
        target = new_target if world.primary else deployment
        return replace(world, spec=spec, target=target(strategy=strategy))

    return change


AMBIENT = template(**{"istio.io/dataplane-mode": "ambient"})
HOST = istio("VirtualService", "theirs", hosts=["catalog.istioinaction.svc.cluster.local"])

ELSEWHERE = {"hosts": ["catalog"], "http": [{"name": "shop", "route": [{"destination": {"host": "shop"}}]}]}
FOREIGN_ROUTE = {
    "kind": "VirtualService",
    "metadata": {"name": "catalog", "namespace": NS, "resourceVersion": "50"},
    "spec": ELSEWHERE,
}

ANY_TIME: list[tuple[Change, str, str]] = [
    (having(target=None), "TargetMissing", "Deployment catalog not found; create it, or make the Canary again with"),
    (
        in_place(type="Recreate"),
        "StrategyRecreate",
        "Deployment catalog has strategy Recreate, which ends all pods of a primary that rolls under its traffic; "
        "use RollingUpdate there, or CutOver as spec.promotion.strategy",
    ),
    (having(target=deployment(pod=AMBIENT)), "AmbientMode", "pods of Deployment catalog are in ambient mode"),
    (beside(routes=[HOST]), "HostTaken", "VirtualService theirs routes host catalog too"),
    (having(scalers=(scaler(),)), "AutoscalerPresent", "sizes scales Deployment catalog; name it"),
    (
        having(apex=users_apex("catalog", 80, name="tcp-web")),
        "PortOpaque",
        "port 80 of Service catalog has name tcp-web: Istio takes it for tcp, in which it sees no requests",
    ),
    (having(apex=users_apex("catalog", 80, appProtocol="HTTPS")), "PortOpaque", "has appProtocol HTTPS: Istio takes"),
    (machine(), "WorkloadEntrySelected", "Service catalog selects WorkloadEntry vm-1, which a release would take out"),
    (beside(services=[stray()]), "ForeignService", 'annotate it canary.delivery/allow-canary: "true"'),
    (
        having(canary_service=service("catalog-canary", ours=False)),
        "NameTaken",
        "Service catalog-canary exists and is not ours",
    ),
    (
        having(route=FOREIGN_ROUTE),
        "RouteNotAdoptable",
        "VirtualService catalog cannot be adopted: has no http route to host catalog; add one",
    ),
    (
        having(primary=foreign(clone("primary"))),
        "NameTaken",
        "Deployment catalog-primary exists and is not ours; delete or rename it",
    ),
    (having(candidate=foreign(clone("canary"))), "NameTaken", "Deployment catalog-canary exists and is not ours"),
]

BEFORE_ALONE: list[tuple[Change, str, str]] = [
    (beside(canaries=[other_canary()]), "TargetTaken", "Deployment catalog is already released by Canary other"),
    (
        beside(canaries=[other_canary(target="x")]),
        "TargetTaken",
        "Service catalog is already released by Canary other; delete one",
    ),
    (having(target=deployment(selector={})), "TargetUnselectable", "selects its pods without matchLabels"),
    (
        having(target=deployment(replicas=0)),
        "ReplicasUnknown",
        "Deployment catalog has 0 replicas and no wish is known; scale it up or annotate it canary.delivery/replicas",
    ),
    (
        having(apex=users_apex("catalog", 8080)),
        "PortMismatch",
        "Service catalog has ports 8080, spec.service.port is 80",
    ),
    (
        having(apex=users_apex("shop", 80)),
        "ApexSelectsOthers",
        "Service catalog does not select the pods of Deployment catalog",
    ),
]


@pytest.mark.parametrize(("change", "reason", "words"), ANY_TIME + BEFORE_ALONE)
def test_obstacle_before_initialisation_touches_nothing(change: Change, reason: str, words: str) -> None:
    """Before anything is ours, an obstacle is a condition, a message and one event, and no write."""
    world = change(untouched())
    decision = decide(world, (), NOW)
    status = new_status(world, decision)
    ready = status.condition("Ready")
    assert ready is not None
    assert (ready.status, ready.reason) == ("False", reason)
    assert words in ready.message
    assert status.message == ready.message
    assert (status.phase, decision.urgent, decision.actions) == (Phase.INITIALIZING, (), ())
    assert [(e.reason, e.type) for e in decision.events] == [(reason, "Warning")]


@pytest.mark.parametrize(("change", "reason", "words"), ANY_TIME + BEFORE_ALONE)
def test_obstacle_is_told_once(change: Change, reason: str, words: str) -> None:
    """The same obstacle seen again writes and says nothing (I19)."""
    world = change(untouched())
    first = new_status(world, decide(world, (), NOW))
    again = decide(replace(world, status=first), (), at(100))
    assert (again.status, again.events, again.actions, again.requeue_after) == (None, (), (), None)


@pytest.mark.parametrize(("change", "reason", "words"), ANY_TIME)
def test_obstacle_keeps_a_run_from_starting(change: Change, reason: str, words: str) -> None:
    """Once initialised, production goes on, no run begins, and a condition says why (I15)."""
    world = change(idle(target=new_target()))
    if world.target is not None and world.target.replicas:
        world = replace(world, target=new_target(AMBIENT))
    decision = decide(world, good(questions(world, NOW)), NOW)
    status = new_status(world, decision)
    ready = status.condition("Ready")
    assert ready is not None
    assert ready.reason == reason
    assert words in ready.message
    assert status.phase is Phase.INITIALIZED
    assert reason in {e.reason for e in decision.events}


def test_refused_spec_is_told_in_words() -> None:
    """A spec that cannot be used is named field by field."""
    world = untouched({"spec.analysis.stepWeight": 500})
    ready = new_status(world, decide(world, (), NOW)).condition("Ready")
    assert ready is not None
    assert ready.reason == "SpecInvalid"
    assert "spec.analysis.stepWeight" in ready.message
    assert "500" in ready.message


@pytest.mark.parametrize(
    ("change"),
    [
        beside(canaries=[other_canary(age="2027")]),
        beside(canaries=[other_canary(target="web", apex="web")]),
        beside(routes=[istio("VirtualService", "web", hosts=["web"])]),
        beside(routes=[istio("VirtualService", "far", hosts=["catalog.elsewhere.svc.cluster.local"])]),
        beside(rules=[istio("DestinationRule", "web", host="web")]),
        having(scalers=(scaler("catalog-primary"), scaler(kind="StatefulSet"))),
        beside(services=[stray("true"), stray(app="web"), service("bare", ours=False, selector={})]),
        beside(services=[stray(app="catalog", tier="x")]),
        having(apex=None),
        machine(app="web"),
    ],
)
def test_neighbours_in_nobodys_way_are_no_obstacle(change: Change) -> None:
    """Objects that do not concern this release do not stop it."""
    world = change(untouched())
    assert decide(world, (), NOW).actions != ()


def test_newcomer_is_refused_whatever_its_age() -> None:
    """Of two Canaries on one target, the one that our objects name goes on (resource.md)."""
    older = beside(canaries=[other_canary()])(idle())
    ready = new_status(older, decide(older, (), NOW)).condition("Ready")
    assert ready is not None
    assert ready.reason == "Served"


def test_newcomer_with_empty_status_takes_nothing_over() -> None:
    """A second Canary that finds the first one's primary is refused and writes nothing."""
    owner = replace(untouched().owner, name="other")
    theirs = clone("primary")
    metadata = {**theirs.raw["metadata"], "annotations": {OWNER: owner.to_text()}}
    theirs = Workload({**theirs.raw, "metadata": metadata})
    world = beside(canaries=[other_canary(age="2027")])(untouched(primary=theirs))
    decision = decide(world, (), NOW)
    status = new_status(world, decision)
    ready = status.condition("Ready")
    assert ready is not None
    assert ready.reason == "TargetTaken"
    assert (status.phase, decision.actions, decision.urgent) == (Phase.INITIALIZING, (), ())


def test_foreign_primary_of_an_initialised_canary_is_not_touched() -> None:
    """When somebody replaced our primary by one of theirs, it is not written."""
    world = idle(primary=foreign(clone("primary", replicas=5)))
    decision = decide(world, (), NOW)
    assert [a for a in (*decision.urgent, *decision.actions) if a.ref.name == "catalog-primary"] == []
    ready = new_status(world, decision).condition("Ready")
    assert ready is not None
    assert ready.reason == "NameTaken"


@pytest.mark.parametrize("name", ["tcp", "tls-shop", "https", "mysql-db"])
def test_port_of_the_spec_is_read_as_istio_reads_it(name: str) -> None:
    """The Service that we would make is told as one of the user's is."""
    world = replace(untouched({"spec.service.portName": name}), apex=None)
    ready = new_status(world, decide(world, (), NOW)).condition("Ready")
    assert ready is not None
    assert ready.message.startswith(f"port 80 of Service catalog has name {name}: Istio takes it for")


A = "spec.analysis"
ALONE = {f"{A}.stepWeight": None, f"{A}.maxWeight": 0, f"{A}.iterations": 3, f"{A}.metrics": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"spec.service.portName": "tcp-shop", "spec.service.appProtocol": "http"},
        {"spec.service.portName": "grpc-web-shop"},
        {"spec.service.portName": "shop-tcp"},
        {"spec.service.portName": "tcp-shop", **ALONE},
        {"spec.service.portName": "tcp-shop", "spec.skipAnalysis": True},
    ],
)
def test_port_is_no_obstacle_when_requests_are_seen_or_not_asked_for(changes: dict[str, Any]) -> None:
    """A Service moves as a whole whatever its protocol."""
    assert decide(replace(untouched(changes), apex=None), (), NOW).actions != ()
