"""Which pods a Service leads to, as its EndpointSlices have it: proxies know no others, however ready they are."""

from __future__ import annotations

from collections.abc import Iterable

from canary.core.objects import Object, labels_of
from canary.core.routes.hosts import qualified

SERVICE_NAME = "kubernetes.io/service-name"
"""The label by which an EndpointSlice names its Service."""


def service_host(endpoint_slice: Object) -> str:
    """Return the qualified host of the Service that an EndpointSlice belongs to; "" for one of nobody's."""
    service = labels_of(endpoint_slice).get(SERVICE_NAME, "")
    return qualified(service, endpoint_slice["metadata"].get("namespace", "")) if service else ""


def count_ready(slices: Iterable[Object]) -> int:
    """Return how many pods the EndpointSlices of one Service have as ready.

    A pod counts once, also with an address of each family in slices of their own.
    """
    pods = set()
    for one in slices:
        for endpoint in one.get("endpoints") or ():
            # Without a word about it an endpoint is to be taken as ready.
            if (endpoint.get("conditions") or {}).get("ready") is not False:
                pods.add((endpoint.get("targetRef") or {}).get("uid") or endpoint["addresses"][0])
    return len(pods)
