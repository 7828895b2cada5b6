"""Canaries whose alerts nobody gets, and in which words they say so."""

from __future__ import annotations

from dataclasses import replace

from canary.api.alert_provider import AlertProviderSpec
from canary.core.objects import FLAGGER_PROVIDER, Ref
from canary.core.snapshot import Delivery, Provider, Snapshot
from tests.builders import NS, idle

ON_CALL = Ref(FLAGGER_PROVIDER, NS, "on-call")
ALERTED = {"spec.analysis.alerts": [{"name": "x", "providerRef": {"name": ON_CALL.name}}]}
SLACK = Provider(AlertProviderSpec(type="slack", address="https://hooks.test/"), 1)
REASON = "AlertsUndelivered"


def alerting(provider: Provider, delivery: Delivery | None = None) -> Snapshot:
    """Return a world that alerts by a provider, of which the last alert ended so."""
    deliveries = {ON_CALL: delivery} if delivery is not None else {}
    return replace(idle(changes=ALERTED), providers={ON_CALL: provider}, deliveries=deliveries)


UNTOLD: list[tuple[Snapshot, str, str]] = [
    (
        alerting(Provider()),
        REASON,
        f"alerts cannot be sent: AlertProvider {NS}/on-call not found; create it, or correct providerRef",
    ),
    (
        alerting(Provider(seen=False)),
        REASON,
        f"AlertProvider {NS}/on-call cannot be seen; apply the CustomResourceDefinition alertproviders.flagger.app",
    ),
    (
        alerting(Provider(refusals=("spec.address is not given",))),
        REASON,
        f"alerts cannot be sent: AlertProvider {NS}/on-call: spec.address is not given",
    ),
    (
        alerting(SLACK, Delivery(1, "Secret a/b has no key address")),
        REASON,
        "the last alert did not arrive: Secret a/b has no key address",
    ),
]
