"""Files with Rollouts: what takes the place of which document."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

from canary.cli.lint import REFUSED, WARNING, Finding
from canary.cli.manifests import Document, Manifest
from canary.cli.rollouts.checks import KINDS, Template, read_template
from canary.cli.rollouts.reading import API_VERSION, Reading
from canary.cli.rollouts.rollout import KIND, Neighbours, convert_rollout


class _Writer(yaml.SafeDumper):
    """Write manifests as people do: nothing by reference, and lines as lines."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(writer: _Writer, text: str) -> yaml.ScalarNode:
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Writer.add_representer(str, _text)

Replaced = Sequence[tuple[Document, Sequence[dict[str, Any]]]]


def is_argo(document: Document) -> bool:
    """Return whether an object is one of Argo Rollouts."""
    return document.content.get("apiVersion") == API_VERSION


def convert_rollouts(manifests: Sequence[Manifest]) -> tuple[Replaced, list[Finding]]:
    """Return what takes the place of Rollouts and AnalysisTemplates in files, and what is to be told of them."""
    others = [one for manifest in manifests for one in manifest.others]
    found: list[Finding] = []
    argo = [one for one in others if is_argo(one) and _usable(one, found)]
    templates = [read_template(one) for one in argo if one.content.get("kind") in KINDS]
    services = {_identity(one): one.content for one in others if one.content.get("kind") == "Service"}
    known = {(one.reading.document.content["kind"], *_identity(one.reading.document)): one for one in templates}
    replaced: list[tuple[Document, Sequence[dict[str, Any]]]] = []
    for one in argo:
        if one.content.get("kind") == KIND:
            reading = Reading(one)
            replaced.append((one, convert_rollout(reading, Neighbours(known, services))))
            found += reading.found
        elif one.content.get("kind") not in KINDS:
            told = f"{one.content.get('kind')} has no counterpart here; it stays as it is"
            found.append(Finding(one.file, one.line_of("kind"), WARNING, told))
    for template in templates:
        replaced.append(_templates(template))
        found += template.reading.found
    return replaced, [*found, *_scalers(others)]


def _usable(document: Document, found: list[Finding]) -> bool:
    """Return whether an object can be replaced: it has a name, and a document of its own."""
    metadata, kind = document.content.get("metadata"), document.content.get("kind")
    told = ""
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
        told = f"metadata.name of {kind} is not given; it stays as it is"
    elif document.node.start_mark.column:
        told = f"{kind} begins inside of another object, and stays as it is; write it by itself"
    if told:
        found.append(Finding(document.file, document.line_of("kind"), REFUSED, told))
    return not told


def edits(replaced: Replaced, manifest: Manifest) -> Iterator[tuple[int, int, str]]:
    """Yield where in a file what is to be written instead: from, to, and the text."""
    for document, objects in replaced:
        if objects and any(one is document for one in manifest.documents):
            start, end = document.node.start_mark.index, document.node.end_mark.index
            text = "---\n".join(yaml.dump(one, Dumper=_Writer, sort_keys=False, width=120) for one in objects)
            yield start, end, text if manifest.text[start:end].endswith("\n") else text.rstrip("\n")


def _templates(template: Template) -> tuple[Document, Sequence[dict[str, Any]]]:
    return template.reading.document, [dict(one.template) for one in template.checks]


def _identity(document: Document) -> tuple[str, str]:
    metadata = document.content.get("metadata")
    named = metadata if isinstance(metadata, dict) else {}
    return str(named.get("namespace", "")), str(named.get("name"))


def _scalers(others: Sequence[Document]) -> Iterator[Finding]:
    """Yield the autoscalers that scale a Rollout."""
    for one in others:
        spec = one.content.get("spec")
        target = spec.get("scaleTargetRef") if isinstance(spec, dict) else None
        if isinstance(target, dict) and target.get("kind") == KIND:
            told = (
                f"spec.scaleTargetRef is Rollout {target.get('name')}: name the Deployment of apps/v1 there, and this "
                f"{one.content.get('kind')} in spec.autoscalerRef of the Canary"
            )
            yield Finding(one.file, one.line_of("spec.scaleTargetRef"), REFUSED, told)
