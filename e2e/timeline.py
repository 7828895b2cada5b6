"""What the recorder saw of a service under release, in the order of the API server's versions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from canary.core.endpoints import SERVICE_NAME, count_ready
from e2e.recorder import Recorder, Row, Seen
from e2e.release import Release, weights_of
from e2e.testbed.kube import Object
from e2e.testbed.load import Load

ROLE = "canary.delivery/role"
REVISION = "canary.delivery/revision"
ROW_LATE = timedelta(seconds=2)
"""How late a row may be."""
FOLLOWED = ("deployments", "services", "virtualservices", "endpointslices")


@dataclass(frozen=True, slots=True)
class Moment:
    """The world after one change: routes, apex Service, Deployments and endpoints as they stood then."""

    version: int
    at: datetime
    changed: str
    weights: tuple[int, int] | None
    apex_role: str | None
    deployments: Mapping[str, Object]
    slices: Mapping[str, Object]

    def ready(self, name: str) -> int:
        """Return how many ready pods a Deployment had."""
        return count(self.deployments.get(name), "readyReplicas")

    def reached(self, name: str) -> int:
        """Return how many ready pods a Service led to."""
        return count_ready(s for s in self.slices.values() if s["metadata"]["labels"][SERVICE_NAME] == name)

    def template(self, name: str) -> Object | None:
        """Return a Deployment's pod template without the labels by which the two sides differ."""
        found = self.deployments.get(name)
        return None if found is None else bare_template(found)

    def __str__(self) -> str:
        """Say it in one line."""
        ready = {n: f"{self.ready(n)}/{d['spec'].get('replicas')}" for n, d in self.deployments.items()}
        return f"{self.at:%H:%M:%S.%f} {self.changed}: routes {self.weights}, apex {self.apex_role}, ready {ready}"


def count(deployment: Object | None, name: str) -> int:
    """Return one count of a Deployment's status."""
    return int(((deployment or {}).get("status") or {}).get(name) or 0)


def bare_template(deployment: Object) -> Object:
    """Return a Deployment's pod template without role and revision labels."""
    template: Object = deployment["spec"]["template"]
    labels = template["metadata"].get("labels") or {}
    kept = {key: value for key, value in labels.items() if key not in (ROLE, REVISION)}
    return {**template, "metadata": {**template["metadata"], "labels": kept}}


def version_of(deployment: Object) -> str:
    """Return the VERSION that the pods of a Deployment are told."""
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return next(str(entry["value"]) for entry in env if entry["name"] == "VERSION")


def moments(recorder: Recorder, since: datetime | None = None, apex: str = "catalog") -> list[Moment]:
    """Return the world after each change of a Deployment, Service or route, oldest first."""
    changes = {
        int(seen.object["metadata"]["resourceVersion"]): seen for kind in FOLLOWED for seen in recorder.seen(kind)
    }
    weights: tuple[int, int] | None = None
    role: str | None = None
    deployments: dict[str, Object] = {}
    slices: dict[str, Object] = {}
    found = []
    for version, seen in sorted(changes.items()):
        gone = seen.type == "DELETED"
        if seen.kind == "deployments":
            deployments = _after(deployments, seen)
        elif seen.kind == "endpointslices":
            slices = _after(slices, seen)
        elif seen.name == apex and seen.kind == "virtualservices":
            weights = None if gone else weights_of(seen.object)
        elif seen.name == apex:
            role = None if gone else str((seen.object["spec"].get("selector") or {}).get(ROLE, ""))
        if since is None or seen.at >= since:
            found.append(Moment(version, seen.at, f"{seen.kind}/{seen.name}", weights, role, deployments, slices))
    return found


def _after(known: dict[str, Object], seen: Seen) -> dict[str, Object]:
    rest = {name: one for name, one in known.items() if name != seen.name}
    return rest if seen.type == "DELETED" else {**rest, seen.name: seen.object}


def settled(release: Release) -> datetime:
    """Wait until everything up to now is recorded; return the time from which on all that comes is later."""
    return release.recorder.settled()


def weight_changes(history: list[Moment]) -> list[Moment]:
    """Return the moments at which the routes' weights became others, the first known ones included."""
    shown = [m for m in history if m.weights is not None]
    return shown[:1] + [new for old, new in pairwise(shown) if new.weights != old.weights]


def template_changes(history: list[Moment], name: str) -> list[Moment]:
    """Return the moments at which a Deployment was given another template."""
    present = [m for m in history if name in m.deployments]
    return [new for old, new in pairwise(present) if old.template(name) != new.template(name)]


def assert_rhythm(rows: Sequence[Row], interval: timedelta) -> None:
    """Check that one beat of this interval has a row for each of its strokes, none early and none over 2 s late.

    When the beat began nobody knows, since the first row was told late as well: so the rows may be apart from
    theirs by 2 s at most, over the whole run and not only from one row to the next.
    """
    off = {f"{row.phase} {row.weight}": row.at - rows[0].at - number * interval for number, row in enumerate(rows)}
    assert max(off.values()) - min(off.values()) <= ROW_LATE, {row: by.total_seconds() for row, by in off.items()}


def assert_none_failed(*loads: Load) -> None:
    """Check that no caller got an error."""
    for load in loads:
        assert load.summary().failed == 0, str(load.summary())


def assert_capacity_precedes_weight(history: list[Moment], size: int) -> None:
    """Check that no side ever got a larger share than its ready pods, as its Service leads to them, can carry (I8)."""
    for old, new in pairwise(history):
        if new.weights is None:
            continue
        for side, name in enumerate(("catalog-primary", "catalog-canary")):
            if new.weights[side] > (old.weights or (0, 0))[side]:
                need = math.ceil(size * new.weights[side] / 100)
                assert old.ready(name) >= need, f"{name} has too few pods for {new.weights}: {old}"
                assert old.reached(name) >= need, f"Service {name} leads to {old.reached(name)} pods of {need}: {old}"
