"""What can be told of a spec alone, with nothing of the cluster known."""

from __future__ import annotations

from datetime import UTC, datetime

from canary.api.canary import Canary
from canary.api.status import CanaryStatus
from canary.api.warnings import Caution
from canary.core.names import Names, Owner, workloads_of
from canary.core.objects import CanaryKey, Object
from canary.core.snapshot import Neighbours, Snapshot
from canary.core.view import View
from canary.core.warnings.plan import nothing_to_judge, retries_outlast_timeout

ALONE = (nothing_to_judge, retries_outlast_timeout)
"""The warnings that look at nothing but the spec while there is no VirtualService."""
NEVER = datetime.min.replace(tzinfo=UTC)


def spec_warnings(raw: Object) -> tuple[Caution, ...]:
    """Return what may spoil the releases of a Canary, of which nothing is refused."""
    view = View(_alone(raw), (), NEVER)
    return tuple(found for finder in ALONE if (found := finder(view)) is not None)


def _alone(raw: Object) -> Snapshot:
    """Return the Canary with nothing around it."""
    canary = Canary.parse(raw)
    metadata, spec = canary.metadata, canary.spec
    group, _, _ = canary.api_version.partition("/")
    target, workloads = spec.target_ref.name, workloads_of(spec.target_ref.kind)
    return Snapshot(
        key=CanaryKey(group, metadata.namespace, metadata.name),
        names=Names(metadata.namespace, target, spec.apex, workloads),
        owner=Owner(group, metadata.name, metadata.uid, target, spec.apex, 0, workloads=workloads),
        canary=raw,
        spec=spec,
        refusals=(),
        status=CanaryStatus(),
        target=None,
        primary=None,
        candidate=None,
        apex=None,
        primary_service=None,
        canary_service=None,
        route=None,
        rules={},
        revisions=(),
        scalers=(),
        neighbours=Neighbours(),
    )
