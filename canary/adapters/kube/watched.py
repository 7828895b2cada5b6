"""Which types are followed, and how much of each is asked for and kept."""

from __future__ import annotations

from dataclasses import dataclass

from canary.core.names import CANARY_LABEL, ROLE_LABEL
from canary.core.objects import (
    AUTOSCALER,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    DAEMON_SET,
    DEPLOYMENT,
    DESTINATION_RULE,
    ENDPOINT_SLICE,
    FLAGGER_CANARY,
    FLAGGER_PROVIDER,
    FLAGGER_TEMPLATE,
    GATEWAY,
    NAMESPACE,
    NATIVE_CANARY,
    NATIVE_PROVIDER,
    NATIVE_TEMPLATE,
    PEER_AUTHENTICATION,
    POD,
    SCALED_OBJECT,
    SECRET,
    SERVICE,
    SIDECAR,
    VIRTUAL_SERVICE,
    WORKLOAD_ENTRY,
    Object,
    Resource,
    labels_of,
)


@dataclass(frozen=True, slots=True)
class Watched:
    """One type and how it is followed.

    ``label``: only objects that carry it.  ``metadata_only``: bodies are neither sent nor kept.
    ``digested``: of bodies a digest is kept, to see changes by.  ``packed``: bodies are kept compressed,
    for types read by name of which a cluster has thousands.
    ``cluster_scoped``: its objects have no namespace; a controller for some namespaces follows those of their names.
    ``optional``: it may be that it is never installed, or that nobody gives us the right to read it.
    """

    resource: Resource
    label: str = ""
    metadata_only: bool = False
    digested: bool = False
    packed: bool = False
    cluster_scoped: bool = False
    optional: bool = False

    def holds(self, obj: Object) -> bool:
        """Return whether an object is one of those asked for."""
        return not self.label or self.label in labels_of(obj)


CANARIES = (Watched(NATIVE_CANARY), Watched(FLAGGER_CANARY))
"""Those whose group is served; of the two definitions one may be missing."""

NAMED = (
    Watched(NATIVE_TEMPLATE, optional=True),
    Watched(FLAGGER_TEMPLATE, optional=True),
    Watched(NATIVE_PROVIDER, optional=True),
    Watched(FLAGGER_PROVIDER, optional=True),
)
"""Those whose group is served."""

SHARED = (
    Watched(DEPLOYMENT, packed=True),
    Watched(DAEMON_SET, packed=True, optional=True),
    Watched(SERVICE),
    # Those of our own Services, whose labels they bear.
    Watched(ENDPOINT_SLICE, label=CANARY_LABEL),
    # Those of StatefulSets and DaemonSets are not read.
    Watched(CONTROLLER_REVISION, label=CANARY_LABEL),
    Watched(VIRTUAL_SERVICE),
    Watched(DESTINATION_RULE),
    Watched(AUTOSCALER),
    Watched(CONFIG_MAP, digested=True),
    Watched(SCALED_OBJECT, optional=True),
    # Warnings rest on these alone.
    Watched(GATEWAY, metadata_only=True, optional=True),
    Watched(NAMESPACE, metadata_only=True, cluster_scoped=True, optional=True),
    Watched(SIDECAR, optional=True),
    Watched(PEER_AUTHENTICATION, optional=True),
    Watched(WORKLOAD_ENTRY, optional=True),
    # Those of our own sets.
    Watched(POD, label=ROLE_LABEL, metadata_only=True, optional=True),
)

SECRETS = Watched(SECRET, digested=True)
"""Followed when the user allows it."""
