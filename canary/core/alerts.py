"""Alerts as they are to be sent: by whom, about what, and with what a person on call needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from canary.api.alert_provider import AlertProviderSpec
from canary.api.hooks import Alert
from canary.api.status import CanaryStatus
from canary.core.actions import Event
from canary.core.alarm import SEVERITIES, Alarm, Severity, alarms
from canary.core.hooks import told_payload
from canary.core.mentions import alerts_of
from canary.core.objects import CanaryKey, Object, Ref, provider_ref
from canary.core.snapshot import Snapshot
from canary.core.view import View


@dataclass(frozen=True, slots=True)
class AlertCall:
    """One alert to send by one AlertProvider; `id` is the same however often it is sent."""

    id: str
    key: CanaryKey
    provider: Ref
    generation: int
    spec: AlertProviderSpec = field(repr=False)
    severity: Severity
    message: str
    facts: tuple[tuple[str, str], ...]
    """What a person on call needs, with names for it."""
    payload: Object
    """What a program needs."""


def alert_calls(
    snapshot: Snapshot, status: CanaryStatus, events: Sequence[Event], now: datetime
) -> tuple[AlertCall, ...]:
    """Return the alerts that a decision owes to those that the Canary names."""
    if snapshot.canary is None:
        return ()
    found = alarms(snapshot, status, events, now)
    return tuple(
        _call(replace(snapshot, status=status), alarm, ref, now)
        for alarm in found
        for ref in _receivers(snapshot, alarm.severity)
    )


def _receivers(snapshot: Snapshot, severity: Severity) -> Sequence[Ref]:
    """Return the AlertProviders that want to hear of something so loud and can be told, each once."""
    loud = SEVERITIES.index(severity)
    wanted = (one for one in alerts_of(snapshot.canary or {}) if SEVERITIES.index(one.severity or "info") <= loud)
    refs = dict.fromkeys(_named(snapshot.key, one) for one in wanted)
    return [ref for ref in refs if ref in snapshot.providers and snapshot.providers[ref].spec is not None]


def _named(key: CanaryKey, alert: Alert) -> Ref:
    return provider_ref(key, alert.provider_ref.namespace, alert.provider_ref.name)


def _call(snapshot: Snapshot, alarm: Alarm, ref: Ref, now: datetime) -> AlertCall:
    provider, event, view = snapshot.providers[ref], alarm.event, View(snapshot, (), now)
    assert provider.spec is not None
    identity = f"{snapshot.owner.uid} {ref} {now.isoformat()} {event.reason} {event.message}"
    facts = tuple(_facts(view, event))
    return AlertCall(
        id=hashlib.sha256(identity.encode()).hexdigest()[:32],
        key=snapshot.key,
        provider=ref,
        generation=provider.generation,
        spec=provider.spec,
        severity=alarm.severity,
        message=event.message,
        facts=facts,
        payload=_payload(view, alarm, facts),
    )


def _facts(view: View, event: Event) -> Iterator[tuple[str, str]]:
    """Yield what a person on call needs beside the message."""
    status, names, spec = view.status, view.snapshot.names, view.snapshot.spec
    yield "Reason", event.reason
    yield "Phase", str(status.phase) or "None"
    yield "Target", f"{view.kind} {names.target}"
    revision = status.revisions.pending or status.revisions.candidate
    if revision:
        yield "Revision", revision
    if status.traffic is not None:
        yield "Traffic", f"{status.traffic.primary} % primary, {status.traffic.canary} % canary"
    if spec is not None and not spec.skip_analysis:
        yield "Failed checks", f"{status.failed_checks} of {spec.analysis.threshold}"


def _payload(view: View, alarm: Alarm, facts: Sequence[tuple[str, str]]) -> Object:
    """Return the payload of Flagger's event hooks, and what a program needs beside it."""
    snapshot, traffic = view.snapshot, view.status.traffic
    primary, canary = (snapshot.names.workload(role).name for role in ("primary", "canary"))
    return {
        **told_payload(view, alarm.event),
        "severity": alarm.severity,
        "reason": alarm.event.reason,
        "message": alarm.event.message,
        "target": {"kind": view.kind, "name": snapshot.names.target},
        "primary": {"name": primary, "weight": traffic.primary if traffic is not None else None},
        "canary": {"name": canary, "weight": traffic.canary if traffic is not None else None},
        "fields": [{"name": name, "value": value} for name, value in facts],
    }
