"""The AlertProviders that a Canary names, read from the cache."""

from __future__ import annotations

import json
from functools import lru_cache

from canary.api.admission import provider_refusals
from canary.api.alert_provider import AlertProvider, AlertProviderSpec
from canary.api.rules import written
from canary.core.mentions import named_providers
from canary.core.objects import CanaryKey, Object, Ref
from canary.core.snapshot import Provider
from canary.ports import Cluster


def providers_of(cluster: Cluster, key: CanaryKey, canary: Object) -> dict[Ref, Provider]:
    """Return where the AlertProviders that a Canary names send to, or why they cannot."""
    return {ref: _provider(cluster, ref) for ref in named_providers(key.ref.resource, canary)}


def _provider(cluster: Cluster, ref: Ref) -> Provider:
    found = cluster.get(ref)
    if found is None:
        return Provider(seen=cluster.sees(ref.resource, ref.namespace))
    spec, refusals = _read(json.dumps({"metadata": {"name": ref.name}, "spec": found.get("spec")}))
    return Provider(spec, found["metadata"].get("generation", 0), refusals)


@lru_cache(maxsize=256)
def _read(text: str) -> tuple[AlertProviderSpec | None, tuple[str, ...]]:
    """Return the spec in JSON text, or what is wrong with it without its values: an address may be a secret."""
    raw = json.loads(text)
    if refused := provider_refusals(raw):
        return None, tuple(str(one).replace(written(one.value), "not right") for one in refused)
    return AlertProvider.parse(raw).spec, ()
