"""Whether a workload of Flagger's runs what its target says: the template, and the configuration it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from canary.core.configuration import Configuration
from canary.core.workload import Workload

SUFFIX = "-primary"
_RENAMED = frozenset(
    {
        "labels",
        "affinity",
        "topologySpreadConstraints",
        "configMap",
        "configMapRef",
        "configMapKeyRef",
        "secret",
        "secretName",
        "secretRef",
        "secretKeyRef",
    }
)
"""The fields in which Flagger puts its suffix behind names of the target's template."""
_STAMP = "flagger-id"
_TOOLKIT = "toolkit.fluxcd.io"


def find_difference(target: Workload, primary: Workload) -> str | None:
    """Return the field in which Flagger's primary does not run what the target says; None when it does."""
    return next(_differences(_stripped(target.template), _stripped(primary.template), "spec.template", False), None)


def find_edited(target: Configuration, primary: Configuration) -> str | None:
    """Return the configuration that is no longer what Flagger's primary reads a copy of; None when all is."""
    for kind, pins in target.pins.items():
        copies = primary.pins.get(kind, {})
        for name, digest in sorted(pins.items()):
            # Without a copy both read the same object, and what nobody may read cannot be compared.
            if name not in copies and copies.get(name + SUFFIX, digest) != digest:
                return f"{kind} {name}"
    return None


def _stripped(template: Mapping[str, Any]) -> dict[str, Any]:
    """Return a template without what Flagger adds to it or leaves out of it on purpose."""
    metadata = dict(template.get("metadata") or {})
    notes = {k: v for k, v in (metadata.pop("annotations", None) or {}).items() if k != _STAMP and _TOOLKIT not in k}
    labels = {k: v for k, v in (metadata.pop("labels", None) or {}).items() if _TOOLKIT not in k}
    metadata.pop("creationTimestamp", None)
    return {**template, "metadata": {**metadata, "annotations": notes, "labels": labels}}


def _differences(one: Any, other: Any, path: str, renamed: bool) -> Iterator[str]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted(one.keys() | other.keys()):
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}", renamed or key in _RENAMED)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _differences(*pair, f"{path}[{number}]", renamed)
    elif one != other and not (renamed and isinstance(one, str) and other == one + SUFFIX):
        yield path
