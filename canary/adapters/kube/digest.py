"""Keep configuration of which a cluster has thousands, and whose content need not be known, in little memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from canary.core.configuration import DIGEST, MARKS, digest_of
from canary.core.names import PREFIX
from canary.core.objects import Object

_METADATA = ("name", "namespace", "uid", "resourceVersion", "deletionTimestamp")


def digested(obj: Object) -> dict[str, Any]:
    """Return a ConfigMap or Secret with a digest in place of its content, and the labels and annotations we read."""
    whole = obj["metadata"]
    metadata = {name: whole[name] for name in _METADATA if name in whole}
    for kind in ("labels", "annotations"):
        if kept := _told(whole.get(kind) or {}):
            metadata[kind] = kept
    kept_type = {"type": obj["type"]} if "type" in obj else {}
    return {
        "apiVersion": obj["apiVersion"],
        "kind": obj["kind"],
        "metadata": metadata,
        **kept_type,
        DIGEST: digest_of(obj),
    }


def _told(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if key.startswith(PREFIX) or key in MARKS}
