"""How our workloads and Services are written, and the patches that bring them back to that."""

from __future__ import annotations

from typing import Any

from canary.api.status import Phase
from canary.core.converge.ports import PORT_FIELDS, wanted_ports
from canary.core.names import OWNER, REVISION_LABEL, ROLE_LABEL, TARGET, WISH, Role, owned_metadata
from canary.core.objects import SERVICE, Object, annotations_of, combined, merge_patch
from canary.core.revisions import Revision
from canary.core.view import View
from canary.core.workload import Workload

_FOLLOWED = ("strategy", "updateStrategy", "minReadySeconds", "revisionHistoryLimit")


def base_selector(view: View) -> dict[str, str]:
    """Return the user's own matchLabels, without our role."""
    workload = view.target or view.primary
    selector = workload.selector if workload is not None else {}
    return {k: v for k, v in selector.items() if k != ROLE_LABEL}


def make_clone(view: View, role: Role, revision: Revision, replicas: int) -> dict[str, Any]:
    """Return the workload of one side."""
    ref = view.snapshot.names.workload(role)
    daemons = view.snapshot.daemons
    metadata = owned_metadata(ref.name, ref.namespace, view.snapshot.owner, role=role, revision=revision.id)
    if role == "primary":
        metadata["annotations"] |= {**({} if daemons else {WISH: str(replicas)}), **_taken_from(view)}
    return {
        "apiVersion": ref.resource.api_version,
        "kind": ref.resource.kind,
        "metadata": metadata,
        "spec": {
            **({} if daemons else {"replicas": replicas}),
            "selector": {"matchLabels": {**base_selector(view), ROLE_LABEL: role}},
            "template": revision.derived(role),
            **followed_fields(view, role),
        },
    }


def _taken_from(view: View) -> dict[str, str]:
    return {TARGET: view.target.uid} if view.target is not None else {}


def followed_fields(view: View, role: Role) -> dict[str, Any]:
    """Return the rollout settings that clones take over from the target and the Canary.

    While a primary rolls in place, it takes over no strategy that would end all its pods.
    """
    target = view.target
    fields = {k: target.raw["spec"][k] for k in _FOLLOWED if k in target.raw["spec"]} if target else {}
    rolls = role == "primary" and view.in_place and view.status.phase in (Phase.PROMOTING, Phase.FAILED)
    if rolls and view.primary and target and not target.keeps_serving(view.primary.replicas):
        fields.pop("strategy", None)
    shortest = int(fields.get("minReadySeconds", 0)) + 1
    if view.snapshot.spec is not None and not view.snapshot.daemons:
        fields["progressDeadlineSeconds"] = max(view.snapshot.spec.progress_deadline_seconds, shortest)
    return fields


def clone_patch(view: View, clone: Workload, revision: Revision | None, replicas: int | None) -> dict[str, Any]:
    """Return the merge patch that brings a clone to a revision and size; empty when it is there.

    Only the fields we set are compared; what others added to it stays.
    """
    role: Role = "primary" if clone.labels.get(ROLE_LABEL) == "primary" else "canary"
    spec: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    if revision is not None:
        if template := merge_patch(clone.template, revision.derived(role)):
            spec["template"] = template
        if clone.labels.get(REVISION_LABEL) != revision.id:
            metadata["labels"] = {REVISION_LABEL: revision.id}
    for key, value in followed_fields(view, role).items():
        present = clone.raw["spec"].get(key)
        if isinstance(value, dict) and isinstance(present, dict):
            if inner := merge_patch(present, value):
                spec[key] = inner
        elif present != value and not (key == "minReadySeconds" and not present and not value):
            spec[key] = value
    if replicas is not None:
        spec = combined(spec, clone.resized(replicas))
    if annotations_of(clone.raw).get(OWNER) != view.snapshot.owner.to_text():
        metadata["annotations"] = {OWNER: view.snapshot.owner.to_text()}
    if role == "primary" and not _taken_from(view).items() <= annotations_of(clone.raw).items():
        metadata["annotations"] = {**metadata.get("annotations", {}), **_taken_from(view)}
    return {k: v for k, v in (("metadata", metadata), ("spec", spec)) if v}


def make_service(view: View, name: str, role: Role) -> dict[str, Any]:
    """Return a Service over the pods of one side."""
    namespace = view.snapshot.names.namespace
    return {
        "apiVersion": SERVICE.api_version,
        "kind": SERVICE.kind,
        "metadata": owned_metadata(name, namespace, view.snapshot.owner, role=role),
        "spec": {"selector": {**base_selector(view), ROLE_LABEL: role}, "ports": wanted_ports(view)},
    }


def service_patch(view: View, service: Object, role: Role) -> dict[str, Any]:
    """Return the merge patch that brings a Service of ours back to what we wrote; empty when it is there."""
    body = service.get("spec") or {}
    spec: dict[str, Any] = {}
    if selector := merge_patch(body.get("selector") or {}, {**base_selector(view), ROLE_LABEL: role}):
        spec["selector"] = selector
    ports = wanted_ports(view)
    shown = [{k: p[k] for k in PORT_FIELDS if k in p} for p in body.get("ports") or []]
    if ports and shown != ports:
        spec["ports"] = ports
    patch: dict[str, Any] = {"spec": spec} if spec else {}
    if annotations_of(service).get(OWNER) != view.snapshot.owner.to_text():
        patch["metadata"] = {"annotations": {OWNER: view.snapshot.owner.to_text()}}
    return patch
