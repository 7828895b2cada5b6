"""Labels, annotations and traffic distribution that the spec asks for on what we made."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest

from canary.core.actions import Patch
from canary.core.decide import decide
from canary.core.names import ASKED, CANARY_LABEL, OWNER
from canary.core.objects import Object, apply_merge_patch
from canary.core.routes.istio import plain_route
from canary.core.snapshot import Snapshot
from canary.core.view import View
from canary.core.warnings.plan import service_fields_unused
from tests.builders import NAMES, NOW, apex, at, idle, route, service

S = "spec.service"
ALL: dict[str, Any] = {
    f"{S}.apex": {"labels": {"team": "shop"}, "annotations": {"example.com/by": "apex"}},
    f"{S}.primary": {"annotations": {"example.com/by": "primary"}},
    f"{S}.canary": {"labels": {"track": "canary"}},
    f"{S}.trafficDistribution": "PreferClose",
}
OURS = {"apex": service("catalog", "primary")}
"""An apex Service that we made."""


def patches(world: Snapshot) -> dict[str, Any]:
    """Return what a world's decision writes to Services and the route, by kind and name."""
    written = [one for one in decide(world, (), at(60)).actions if isinstance(one, Patch)]
    return {f"{one.ref.resource.kind} {one.ref.name}": dict(one.body) for one in written}


def after(world: Snapshot) -> Snapshot:
    """Return the world with the writes of its decision done."""
    made = patches(world)

    def done(obj: Object | None, name: str) -> Any:
        return apply_merge_patch(obj, made.get(name, {})) if obj is not None else None

    return replace(
        world,
        apex=done(world.apex, "Service catalog"),
        primary_service=done(world.primary_service, "Service catalog-primary"),
        canary_service=done(world.canary_service, "Service catalog-canary"),
        route=done(world.route, "VirtualService catalog"),
    )


def asking(world: Snapshot, changes: dict[str, Any]) -> Snapshot:
    """Return the objects of a world under another spec."""
    wanted = idle(changes=changes)
    return replace(world, canary=wanted.canary, spec=wanted.spec)


def shown(obj: Object | None, kind: str, *keys: str) -> dict[str, str]:
    """Return some labels or annotations of an object."""
    assert obj is not None
    return {key: value for key, value in (obj["metadata"].get(kind) or {}).items() if key in keys}


def test_metadata_is_written_to_what_we_made_and_then_no_more() -> None:
    """Each object gets its own, the route the apex's; the next look finds nothing to write."""
    world = after(idle(changes=ALL, **OURS))
    both = ("team", "track", "example.com/by")
    assert shown(world.apex, "labels", *both) == {"team": "shop"}
    assert shown(world.route, "labels", *both) == {"team": "shop"}
    assert shown(world.canary_service, "labels", *both) == {"track": "canary"}
    assert shown(world.primary_service, "annotations", *both) == {"example.com/by": "primary"}
    services = (world.apex, world.primary_service, world.canary_service)
    assert {(one or {})["spec"]["trafficDistribution"] for one in services} == {"PreferClose"}
    assert "trafficDistribution" not in (world.route or {})["spec"]
    assert patches(world) == {}


def test_objects_are_as_before_once_nothing_is_asked_for() -> None:
    """What was taken out of the spec is taken off, and the memory with it; what others put there stays."""
    before = idle(**OURS)
    for obj in (before.apex, before.primary_service, before.canary_service, before.route):
        (obj or {})["metadata"]["labels"]["theirs"] = "1"
    gone = after(asking(after(asking(before, ALL)), {}))
    for field in ("apex", "primary_service", "canary_service", "route"):
        assert getattr(gone, field) == getattr(before, field)
    assert patches(gone) == {}


def test_edits_and_drift_are_followed() -> None:
    """A new value, a key renamed, another distribution; and a value that somebody else changed is put back."""
    world = after(idle(changes=ALL, **OURS))
    edited = ALL | {f"{S}.apex": {"labels": {"squad": "shop"}}, f"{S}.trafficDistribution": "PreferSameZone"}
    world = after(asking(world, edited))
    assert shown(world.apex, "labels", "team", "squad") == {"squad": "shop"}
    assert shown(world.apex, "annotations", "example.com/by") == {}
    assert (world.apex or {})["spec"]["trafficDistribution"] == "PreferSameZone"
    (world.canary_service or {})["metadata"]["labels"]["track"] = "stable"
    assert patches(world) == {"Service catalog-canary": {"metadata": {"labels": {"track": "canary"}}}}


def test_unmanaged_keys_keep_their_value() -> None:
    """One that is there is neither changed nor removed; one that is missing is written once."""
    free = ALL | {f"{S}.unmanagedMetadata": {"labels": ["track", "team"]}}
    world = after(idle(changes=free, **OURS))
    assert shown(world.canary_service, "labels", "track") == {"track": "canary"}
    (world.canary_service or {})["metadata"]["labels"]["track"] = "theirs"
    assert patches(world) == {}
    world = after(asking(world, {f"{S}.unmanagedMetadata": {"labels": ["track", "team"]}}))
    assert shown(world.canary_service, "labels", "track") == {"track": "theirs"}
    assert patches(world) == {}


def test_keys_of_ours_cannot_be_set() -> None:
    """Whatever the spec says, marks and what keeps tools from pruning are as we write them."""
    taken = {"canary.delivery/role": "x", "canary.delivery/canary": "x"}
    notes = {OWNER: "x", ASKED: "x", "kustomize.toolkit.fluxcd.io/prune": "enabled"}
    world = idle(changes={f"{S}.{one}": {"labels": taken, "annotations": notes} for one in ("apex", "primary")}, **OURS)
    assert patches(world) == {}


def test_services_and_routes_of_the_user_keep_theirs() -> None:
    """Nothing is written to them; a warning names what the Service lacks, until it is there."""
    users = copy.deepcopy(route())
    del users["metadata"]["labels"][CANARY_LABEL]
    world = idle(changes=ALL, route=users)
    assert "Service catalog" not in patches(world)
    assert "team" not in str(patches(world).get("VirtualService catalog"))
    assert service_fields_unused(View(world, (), NOW)) is not None
    same = apex("primary")
    same["metadata"] |= {"labels": {"team": "shop"}}
    same["metadata"]["annotations"] |= {"example.com/by": "apex"}
    same["spec"]["trafficDistribution"] = "PreferClose"
    assert service_fields_unused(View(replace(world, apex=same), (), NOW)) is None
    assert service_fields_unused(View(idle(changes=ALL, **OURS), (), NOW)) is None


def test_distribution_that_the_api_server_drops_is_not_written_for_ever() -> None:
    """An older one knows no such field: what was asked for once and is not there is left alone."""
    world = after(idle(changes={f"{S}.trafficDistribution": "PreferClose"}))
    del (world.primary_service or {})["spec"]["trafficDistribution"]
    assert patches(world) == {}


def test_distribution_of_others_stays() -> None:
    """One that was set by hand, and is not asked for, is not taken away."""
    found = service("catalog-primary", "primary", trafficDistribution="PreferClose")
    assert patches(idle(primary_service=found)) == {}


def test_metadata_waits_for_the_other_write_to_its_object() -> None:
    """What the API server may refuse of it must not keep a Service or a route from what serves callers."""
    broken = service("catalog-canary", "primary")
    assert patches(idle(changes=ALL, canary_service=broken))["Service catalog-canary"].keys() == {"spec"}


@pytest.mark.parametrize("text", ["{", "[]", '{"labels": 1}', "null"])
def test_memory_that_cannot_be_read_is_written_anew(text: str) -> None:
    """Somebody edited it: nothing is removed by it."""
    found = service("catalog-canary", "canary")
    found["metadata"]["labels"]["track"] = "canary"
    found["metadata"]["annotations"][ASKED] = text
    written = patches(idle(changes={f"{S}.canary": ALL[f"{S}.canary"]}, canary_service=found))
    assert written == {"Service catalog-canary": {"metadata": {"annotations": {ASKED: '{"labels":["track"]}'}}}}


def test_route_that_is_handed_on_remembers_nothing() -> None:
    """What was asked for stays on it, our mark does not."""
    back = plain_route(after(idle(changes=ALL, **OURS)).route or {}, NAMES)
    assert ASKED not in back["metadata"]["annotations"]
    assert back["metadata"]["annotations"]["example.com/by"] == "apex"
