"""What the references of a target come to, and the copies that were made of that."""

from __future__ import annotations

from dataclasses import replace

from canary.core.configuration import Configuration, copies_of, look
from canary.core.flagger.remains import former_primary, is_asked
from canary.core.names import CANARY_LABEL, is_ours
from canary.core.objects import CONFIG_MAP, SECRET, Object, Ref, Resource, labels_of
from canary.core.snapshot import Snapshot
from canary.ports import Cluster

PINNED = (CONFIG_MAP,)
"""The kinds of configuration that revisions pin unless told otherwise."""


def configured(cluster: Cluster, snapshot: Snapshot, pinned: tuple[Resource, ...]) -> Snapshot:
    """Return a snapshot with what the target's references come to, and the copies made of that before."""
    namespace = snapshot.key.namespace
    template = snapshot.target.template if snapshot.target is not None else {}
    needed = {one.name for r in snapshot.revisions for one in copies_of(r.pins, r.id)}
    copies = tuple(
        obj
        for resource in (CONFIG_MAP, SECRET)
        for obj in cluster.list(resource, namespace)
        if obj["metadata"]["name"] in needed or (labels_of(obj).get(CANARY_LABEL) == snapshot.key.name and is_ours(obj))
    )

    def find(resource: Resource, name: str) -> Object | None:
        return cluster.get(Ref(resource, namespace, name))

    configuration = look(template, pinned, find)
    former = former_primary(snapshot) if is_asked(snapshot) else None
    served = look(former.template, pinned, find) if former is not None else Configuration()
    return replace(snapshot, configuration=configuration, served_configuration=served, copies=copies)
