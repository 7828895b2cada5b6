"""A Canary and what belongs to it as a tree of lines; takes objects, asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from canary.api.status import CanaryStatus, parse
from canary.cli.terminal import Branch
from canary.core.advance.readiness import SERVED
from canary.core.names import REVISION_LABEL
from canary.core.objects import Object, Ref, labels_of
from canary.core.routes.sections import EVERY


@dataclass(frozen=True, slots=True)
class Absent:
    """Something that cannot be shown, and why."""

    why: str


Pods = tuple[Object, ...] | Absent


@dataclass(frozen=True, slots=True)
class Side:
    """A workload with its pods."""

    ref: Ref
    workload: Object | Absent
    pods: Pods


@dataclass(frozen=True, slots=True)
class Portrait:
    """What is shown of one Canary."""

    canary: Object
    sides: Mapping[str, Side]
    routes: tuple[Object, ...] | Absent
    place: str = ""
    """Where it stands now among those that wait for a run, in words."""


def tree_of(portrait: Portrait) -> Branch:
    """Return the tree of a Canary."""
    canary = portrait.canary
    status, metadata = parse(canary.get("status")), canary["metadata"]
    group = canary["apiVersion"].split("/")[0]
    head = f"Canary {metadata['namespace']}/{metadata['name']} ({group}): {status.phase or 'no status yet'}"
    shares = {"primary": status.traffic.primary, "canary": status.traffic.canary} if status.traffic else {}
    below = (
        *_sentences(status),
        *([Branch(portrait.place)] if portrait.place else []),
        *(_side(role, side, shares.get(role)) for role, side in portrait.sides.items()),
        Branch("routes", tuple(_routes(portrait.routes))),
        *_step(status),
        Branch("checks", tuple(_checks(status)) or (Branch("none yet"),)),
        *([Branch("gates", tuple(_gates(status)))] if status.gates else []),
        *_command(status),
    )
    return Branch(head, below)


def _sentences(status: CanaryStatus) -> Iterator[Branch]:
    if status.message:
        yield Branch(status.message)
    for one in status.conditions:
        # What other conditions say stands in the message too; warnings stand beside it.
        if one.type == "Ready" and one.reason != SERVED and one.message != status.message:
            yield Branch(f"{one.type} {one.status} ({one.reason}): {one.message}")


def _side(role: str, side: Side, share: int | None) -> Branch:
    name = f"{role}: {side.ref.resource.kind} {side.ref.name}"
    if isinstance(side.workload, Absent):
        return Branch(f"{name}, {side.workload.why}")
    revision = labels_of(side.workload["spec"]["template"]).get(REVISION_LABEL)
    traffic = f"{share} % of traffic" if share is not None else ""
    if isinstance(side.pods, Absent):
        return Branch(_listed(name, revision and f"revision {revision}", traffic), (Branch(side.pods.why),))
    ready = f"{sum(map(_is_ready, side.pods))}/{len(side.pods)} pods ready"
    label = _listed(name, revision and f"revision {revision}", ready, traffic)
    return Branch(label, tuple(_pod(pod) for pod in sorted(side.pods, key=lambda one: str(one["metadata"]["name"]))))


def _pod(pod: Object) -> Branch:
    status = pod.get("status") or {}
    phase = "Terminating" if pod["metadata"].get("deletionTimestamp") else status.get("phase", "Unknown")
    containers = status.get("containerStatuses") or ()
    reasons = [(one.get("state") or {}).get("waiting", {}).get("reason") for one in containers]
    restarts = sum(one.get("restartCount", 0) for one in containers)
    ready = "ready" if _is_ready(pod) else "not ready"
    why = ", ".join(dict.fromkeys(filter(None, reasons)))
    return Branch(
        _listed(f"{pod['metadata']['name']}: {phase}", ready, why, f"{restarts} restarts" if restarts else "")
    )


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _routes(routes: tuple[Object, ...] | Absent) -> Iterator[Branch]:
    if isinstance(routes, Absent):
        yield Branch(routes.why)
        return
    for route in routes:
        label = f"VirtualService {route['metadata']['namespace']}/{route['metadata']['name']}"
        entries = [(name, entry) for name in EVERY for entry in (route.get("spec") or {}).get(name) or ()]
        yield Branch(label, tuple(_entry(name, number, entry) for number, (name, entry) in enumerate(entries, 1)))
    if not routes:
        yield Branch("none is shared out")


def _entry(section: str, number: int, entry: Object) -> Branch:
    to = [f"{one['destination']['host']} {one.get('weight', 100)} %" for one in entry.get("route") or ()]
    mirrors = [entry["mirror"]["host"]] if entry.get("mirror") else []
    mirrors += [one["destination"]["host"] for one in entry.get("mirrors") or ()]
    matched = "for some requests" if entry.get("match") else ""
    mirrored = f"mirrored to {', '.join(mirrors)}" if mirrors else ""
    name = f"{section} {entry.get('name') or number}"
    return Branch(_listed(f"{name}: {' and '.join(to) or 'no pods'}", mirrored, matched))


def place(status: CanaryStatus) -> str:
    """Return where in its plan a run is, empty outside of one."""
    step = status.step
    return step.description or f"{step.index} of {step.count}" if step is not None else ""


def _step(status: CanaryStatus) -> Iterator[Branch]:
    step = status.step
    if step is None:
        return
    started = f"since {step.started_at:%H:%M:%S} UTC" if step.started_at else ""
    judged = f"judged next at {step.next_tick_at:%H:%M:%S} UTC" if step.next_tick_at else ""
    failed = f"failed checks: {status.failed_checks}" if status.failed_checks else ""
    yield Branch(_listed(f"step {place(status)}", started, judged, failed))


def _checks(status: CanaryStatus) -> Iterator[Branch]:
    for one in status.checks:
        value = f"{one.value:g}" if one.value is not None else ""
        limits = f"wanted {one.threshold}" if one.threshold else ""
        samples = f"{one.samples} requests" if one.samples is not None else ""
        yield Branch(_listed(f"{one.name}: {one.verdict}", value, limits, samples, one.message))


def _gates(status: CanaryStatus) -> Iterator[Branch]:
    for one in status.gates:
        since = f"since {one.since:%H:%M:%S} UTC" if one.since else ""
        yield Branch(_listed(f"{one.name} ({one.type}): {one.state}", since, one.by and f"by {one.by}", one.message))


def _command(status: CanaryStatus) -> Iterator[Branch]:
    last = status.last_command
    if last is not None:
        at = f" at {last.at:%Y-%m-%d %H:%M:%S} UTC" if last.at else ""
        yield Branch(f"last command: {last.verb or 'unreadable'} of {last.by or 'someone'}{at}, {last.result}")


def _listed(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part)
