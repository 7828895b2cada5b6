"""What belongs to a Canary by the marks that objects bear, wherever they are."""

from __future__ import annotations

from canary.core.names import Names, Owner, key_of, owner_of
from canary.core.objects import (
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    DESTINATION_RULE,
    SECRET,
    SERVICE,
    VIRTUAL_SERVICE,
    CanaryKey,
    Object,
)
from canary.core.routes.choice import choose_route
from canary.core.scaler import FIELDS
from canary.ports import Cluster

SCALERS = tuple(one.resource for one in FIELDS.values())
OWNED = (
    DAEMON_SET,
    DEPLOYMENT,
    SERVICE,
    VIRTUAL_SERVICE,
    DESTINATION_RULE,
    CONTROLLER_REVISION,
    CONFIG_MAP,
    SECRET,
    *SCALERS,
)


def find_owner(cluster: Cluster, key: CanaryKey) -> Owner | None:
    """Return the owner mark that objects bear which name this Canary; of several the longest settle time counts.

    An object that was not written since the Canary was edited still bears the mark of before.
    """
    marks = (owner_of(obj) for resource in OWNED for obj in cluster.list(resource, key.namespace))
    found = [mark for mark in marks if mark is not None and mark.key(key.namespace) == key]
    return max(found, key=lambda mark: mark.drain_seconds, default=None)


def find_route(cluster: Cluster, key: CanaryKey, names: Names, owner: Owner) -> Object | None:
    """Return the VirtualService that is shared out for a Canary, or is to be.

    One of another namespace is believed to be this Canary's when something here says so too: whoever writes
    there must not decide what happens here.
    """
    told = (cluster.get(names.service("primary")), cluster.get(names.apex_ref))
    marks = (owner_of(obj) for obj in told if obj is not None and key_of(obj) == key)
    refs = dict.fromkeys(ref for ref in (names.named, *(mark.route for mark in marks if mark)) if ref is not None)
    found = [route for ref in refs if (route := cluster.get(ref)) is not None]
    return choose_route((*found, *cluster.list(VIRTUAL_SERVICE, key.namespace)), names, owner)
