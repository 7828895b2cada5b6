"""Which types are followed, and how much of each is asked for and kept."""

from __future__ import annotations

from dataclasses import dataclass

from canary.core.names import CANARY_LABEL
from canary.core.objects import (
    AUTOSCALER,
    CONTROLLER_REVISION,
    DEPLOYMENT,
    DESTINATION_RULE,
    FLAGGER_CANARY,
    NATIVE_CANARY,
    SERVICE,
    VIRTUAL_SERVICE,
    Object,
    Resource,
    labels_of,
)


@dataclass(frozen=True, slots=True)
class Watched:
    """One type and how it is followed.

    ``label``: only objects that carry it.  ``metadata_only``: bodies are neither sent nor kept.
    ``packed``: bodies are kept compressed, for types read by name of which a cluster has thousands.
    ``cluster_scoped``: its objects have no namespace.  ``optional``: an add-on that may never be installed.
    """

    resource: Resource
    label: str = ""
    metadata_only: bool = False
    packed: bool = False
    cluster_scoped: bool = False
    optional: bool = False

    def holds(self, obj: Object) -> bool:
        """Return whether an object is one of those asked for."""
        return not self.label or self.label in labels_of(obj)


CANARIES = (Watched(NATIVE_CANARY), Watched(FLAGGER_CANARY))
"""Those whose group is served; of the two definitions one may be missing."""

SHARED = (
    Watched(DEPLOYMENT, packed=True),
    Watched(SERVICE),
    # Those of StatefulSets and DaemonSets are not read.
    Watched(CONTROLLER_REVISION, label=CANARY_LABEL),
    Watched(VIRTUAL_SERVICE),
    Watched(DESTINATION_RULE),
    Watched(AUTOSCALER),
)
