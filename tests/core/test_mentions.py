"""The hosts and Gateways an object names, as Istio reads them."""

from __future__ import annotations

from typing import Any

import pytest

from canary.core.mentions import gateways_of, mentions
from canary.core.objects import (
    DEPLOYMENT,
    DESTINATION_RULE,
    FLAGGER_CANARY,
    NATIVE_CANARY,
    SERVICE,
    SIDECAR,
    VIRTUAL_SERVICE,
    Resource,
)
from canary.core.routes.hosts import covering, qualified, service_of

CART = "cart.web.svc.cluster.local"


@pytest.mark.parametrize(
    ("resource", "spec", "names"),
    [
        (VIRTUAL_SERVICE, {"hosts": ["cart", "shop.io"], "gateways": ["mesh", "g"]}, {CART, "shop.io", "web/g"}),
        (VIRTUAL_SERVICE, {"http": [{"route": [{"destination": {"host": "cart"}}]}, {"redirect": {}}]}, {CART}),
        (VIRTUAL_SERVICE, {"tls": [{"route": [{"destination": {"host": "a.b"}}]}], "tcp": [{}]}, {"a.b"}),
        (
            VIRTUAL_SERVICE,
            {"http": [{"delegate": {"name": "a"}}, {"delegate": {"name": "b", "namespace": "x"}}, {"delegate": {}}]},
            {"delegate:web/a", "delegate:x/b"},
        ),
        (DESTINATION_RULE, {"host": "cart"}, {CART}),
        (DESTINATION_RULE, {"host": "*.local"}, {"*.local"}),
        (SIDECAR, {"egress": [{"hosts": [f"./{CART}", "istio-system/*"]}]}, {CART, "*"}),
        (SIDECAR, {}, set()),
        (NATIVE_CANARY, {"service": {"virtualService": {"name": "shop", "namespace": "edge"}}}, {"named:edge/shop"}),
        (FLAGGER_CANARY, {"service": {"virtualService": {"name": "shop"}}}, {"named:web/shop"}),
        (NATIVE_CANARY, {"service": {"name": "shop"}}, {"pointed:web/shop"}),
        (NATIVE_CANARY, {"targetRef": {"name": "cart"}}, {"pointed:web/cart"}),
        (FLAGGER_CANARY, {"targetRef": "cart", "service": ["shop"]}, set()),
        (
            SERVICE,
            {"selector": {"canary.delivery/role": "canary", "tier": "1", "app": "cart"}},
            {"selected:web/app=cart"},
        ),
        (SERVICE, {"selector": {"canary.delivery/role": "canary"}}, {"selected:web/canary.delivery/role=canary"}),
        (SERVICE, {}, set()),
        (DEPLOYMENT, {"hosts": ["cart"]}, set()),
    ],
)
def test_object_mentions_what_it_names(resource: Resource, spec: dict[str, Any], names: set[str]) -> None:
    """Bare names are Services of the object's namespace, other hosts stay as they are."""
    assert mentions(resource, {"metadata": {"name": "x", "namespace": "web"}, "spec": spec}) == names


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("mesh", "mesh"),
        ("g", "web/g"),
        ("./g", "web/g"),
        ("edge/g", "edge/g"),
        ("g.edge", "edge/g"),
        ("g.edge.svc.cluster.local", "edge/g"),
    ],
)
def test_gateway_is_read_in_every_form(name: str, found: str) -> None:
    """A bare name is one of the same namespace; the form with dots is of old."""
    assert gateways_of([name], "web") == {found}


def test_route_without_gateways_holds_in_the_mesh() -> None:
    """None named means the sidecars."""
    assert gateways_of(None, "web") == gateways_of([], "web") == {"mesh"}


def test_service_is_read_from_its_qualified_host() -> None:
    """Name and namespace, and nothing for hosts that are no Service."""
    assert service_of(qualified("cart", "web")) == ("cart", "web")
    assert [service_of(one) for one in ("shop.io", "a.b.c.svc.cluster.local", "svc.cluster.local")] == [None] * 3


def test_wildcards_cover_a_host_from_the_widest_on() -> None:
    """Every ending of the host, down to its namespace."""
    inner = ("*", "*.local", "*.cluster.local", "*.svc.cluster.local", "*.web.svc.cluster.local")
    assert covering(CART) == inner
