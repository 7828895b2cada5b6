"""A Canary with nothing around it: what its spec alone decides."""

from __future__ import annotations

from canary.api.canary import Canary
from canary.api.status import CanaryStatus
from canary.core.names import Names, Owner, workloads_of
from canary.core.objects import CanaryKey, Object
from canary.core.snapshot import Neighbours, Snapshot


def alone(raw: Object) -> Snapshot:
    """Return a Canary with no status and nothing around it; pydantic.ValidationError for an unusable one."""
    canary = Canary.parse(raw)
    metadata, spec = canary.metadata, canary.spec
    group, _, _ = canary.api_version.partition("/")
    target, workloads = spec.target_ref.name, workloads_of(spec.target_ref.kind)
    return Snapshot(
        key=CanaryKey(group, metadata.namespace, metadata.name),
        names=Names(metadata.namespace, target, spec.apex, workloads),
        owner=Owner(
            group, metadata.name, metadata.uid, target, spec.apex, spec.analysis.drain_seconds, workloads=workloads
        ),
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
