"""What Canaries of files lay claim to: of two for one target, Service or VirtualService one is never served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from canary.cli.manifests import Document


def find_doubles(documents: Sequence[Document]) -> Iterator[tuple[Document, str, str]]:
    """Yield each Canary that claims what one before it does, with the field and what is wrong.

    One of the same name is the same Canary in another file, such as for another cluster.
    """
    claimed: dict[str, Document] = {}
    for one in documents:
        if not one.is_canary:
            continue
        for place, claim, field in _claims(one):
            first = claimed.setdefault(f"{place} {claim}", one)
            if _identity(first) != _identity(one):
                written = f"{first.file}:{first.line_of('metadata.name')}"
                told = f"{claim} is already released by Canary {_identity(first)[1]} ({written}); delete one of the two"
                yield one, field, told
                break


def _claims(one: Document) -> Iterator[tuple[str, str, str]]:
    """Yield what a Canary claims: the namespace, the object, and the field that says so."""
    spec = one.content["spec"]
    target, service = spec["targetRef"], spec["service"]
    here = str(one.content["metadata"].get("namespace", ""))
    yield here, f"{target['kind']} {target['name']}", "spec.targetRef.name"
    yield here, f"Service {service.get('name') or target['name']}", "spec.service.name"
    if named := service.get("virtualService"):
        yield named.get("namespace") or here, f"VirtualService {named['name']}", "spec.service.virtualService"


def _identity(one: Document) -> tuple[str, str]:
    metadata = one.content["metadata"]
    return str(metadata.get("namespace", "")), str(metadata.get("name"))
