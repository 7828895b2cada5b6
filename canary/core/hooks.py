"""The hooks of a Canary: which are owed now, and what they answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from canary.api.duration import parse_duration
from canary.api.hooks import Webhook
from canary.api.status import CanaryStatus, Phase
from canary.core.actions import Event
from canary.core.measurement import Answer, HookAnswer, HookCall, HookQuery, HookType, Unavailable
from canary.core.objects import Object
from canary.core.snapshot import Snapshot
from canary.core.view import STEPPING, View

Calls = tuple[HookCall, ...]
TIMEOUT = timedelta(seconds=10)
"""What Flagger gives an attempt that says nothing else."""
APPROVED = "Approved"
"""State of a gate that a command opened."""
NONE_ASKED = HookAnswer(passed=True)
"""What a release without hooks of a type is told."""


def hooks_of(view: View, kind: HookType) -> tuple[Webhook, ...]:
    """Return the hooks of one type in the order of the spec; one without a type is a `rollout` hook.

    A release without analysis may be kept outside or taken back, its end is told, and nothing else.
    """
    spec = view.snapshot.spec
    if view.skips_analysis and kind not in ("confirm-rollout", "rollback", "post-rollout"):
        return ()
    return tuple(one for one in spec.analysis.webhooks if (one.type or "rollout") == kind) if spec is not None else ()


def ask_hooks(view: View, *kinds: HookType | None) -> tuple[HookQuery, ...]:
    """Return the questions to the hooks of some types; those without hooks are not asked."""
    asked = ((kind, hooks_of(view, kind)) for kind in kinds if kind is not None and not approved(view, kind))
    return tuple(HookQuery(kind, tuple(_call(view, one) for one in hooks)) for kind, hooks in asked if hooks)


def heard(view: View, kind: HookType) -> HookAnswer | Unavailable | None:
    """Return what the hooks of a type answered just now, None when they were not asked."""
    if not hooks_of(view, kind) or approved(view, kind):
        return NONE_ASKED
    for measured in view.measurements:
        if isinstance(measured.query, HookQuery) and measured.query.type == kind:
            return _decision(measured.answer)
    return None


def approved(view: View, kind: HookType) -> bool:
    """Return whether the gate of a type is opened for its hooks, where the release stands now."""
    return any(gate.type == kind and gate.state == APPROVED for gate in view.status.gates)


def overdue(view: View, kind: HookType) -> Webhook | None:
    """Return the hook by which the gate of a type has been shut for too long: the first that names a time."""
    gate = next((one for one in view.status.gates if one.type == kind and one.state != APPROVED), None)
    timed = next((one for one in hooks_of(view, kind) if one.gate_timeout), None)
    if gate is None or timed is None or timed.gate_timeout is None or gate.since is None:
        return None
    return timed if view.now - gate.since >= parse_duration(timed.gate_timeout) else None


def said(kind: HookType, answer: HookAnswer | Unavailable) -> str:
    """Return in words what keeps a gate from being open."""
    if isinstance(answer, Unavailable):
        return f"{kind} is not answered: {answer.reason}"
    return f"{kind} hook {answer.name} says no: {answer.message}"


def gate_before(view: View) -> HookType | None:
    """Return the type of the gate before what follows the present step; None when there is none."""
    following = view.following
    if view.undoes is not None:
        return None
    if following is None:
        return "confirm-promotion"
    return "confirm-traffic-increase" if following.routing.canary > view.routing.canary else None


def judging_hook(view: View) -> HookType:
    """Return the type of the hooks that judge the present step."""
    return "pre-rollout" if view.place == 0 else "rollout"


def rollback_asked_at(view: View) -> datetime | None:
    """Return when the rollback hooks are to be asked next: each interval of a run that can be rolled back."""
    run, phase = view.status.run, view.status.phase
    runs = phase in STEPPING or (phase is Phase.PROMOTING and not view.primary_touched)
    # A hook that asks for the way back is no reason to end one.
    if run is None or not runs or view.undoes is not None or not hooks_of(view, "rollback"):
        return None
    return (run.hooks_asked_at or run.started_at) + view.interval


def post_rollout_at(view: View) -> datetime | None:
    """Return when the post-rollout hooks are to be called, again an interval after nobody answered."""
    owed = view.status.post_rollout
    if owed is None:
        return None
    return owed.since if owed.asked_at is None else owed.asked_at + view.interval


def event_calls(snapshot: Snapshot, status: CanaryStatus, events: Sequence[Event], now: datetime) -> Calls:
    """Return the calls that tell the events of a decision to the hooks that want to hear of all."""
    view, spec = View(replace(snapshot, status=status), (), now), snapshot.spec
    listening = [one for one in spec.analysis.webhooks if one.type == "event"] if spec is not None else []
    return tuple(_telling(_call(view, hook), event, view.now) for event in events for hook in listening)


def _telling(call: HookCall, event: Event, now: datetime) -> HookCall:
    return replace(call, payload=_with_event(call.payload, event, now))


def _with_event(payload: Object, event: Event, now: datetime) -> Object:
    told = {"eventMessage": event.message, "eventType": event.type, "timestamp": str(int(now.timestamp() * 1000))}
    return {**payload, "metadata": {**payload["metadata"], **told}}


def told_payload(view: View, event: Event) -> Object:
    """Return what an `event` hook without metadata of its own is told of an event."""
    return _with_event(_payload(view, {}), event, view.now)


def rollback_wanted(view: View) -> str | None:
    """Return which hook wants the run rolled back: the one whose type passes."""
    if not hooks_of(view, "rollback"):
        return None
    answer = heard(view, "rollback")
    passed = isinstance(answer, HookAnswer) and answer.passed
    return f"rollback hook {hooks_of(view, 'rollback')[0].name} asks for it" if passed else None


def _decision(answer: Answer) -> HookAnswer | Unavailable:
    return answer if isinstance(answer, (HookAnswer, Unavailable)) else Unavailable("it cannot be read")


def _call(view: View, hook: Webhook) -> HookCall:
    return HookCall(
        name=hook.name,
        url=hook.url,
        payload=_payload(view, hook.metadata or {}),
        timeout=parse_duration(hook.timeout) if hook.timeout else TIMEOUT,
        retries=hook.retries,
        verify=not hook.disable_tls,
        headers=tuple((one.name, one.value) for one in hook.headers),
        namespace=view.snapshot.key.namespace,
        secret=hook.secret_ref.name if hook.secret_ref is not None else "",
    )


def _payload(view: View, metadata: Mapping[str, str]) -> dict[str, object]:
    """Return Flagger's fields, and where the run stands."""
    status, key = view.status, view.snapshot.key
    waits = status.phase is Phase.WAITING
    revision = (view.shown if waits else status.revisions.candidate) or ""
    return {
        "name": key.name,
        "namespace": key.namespace,
        "phase": str(status.phase),
        "checksum": revision,
        "metadata": dict(metadata),
        "revision": revision,
        "weight": status.canary_weight,
        "step": status.step.index if status.step is not None else 0,
        "failedChecks": status.failed_checks,
    }
