"""Schedules of faults: read from JSON, played, and judged by how the system serves in the end."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from canary.core.advance.tick import PAUSED
from canary.core.objects import SERVICE, Ref
from canary.sim.actions import ACTIONS, act
from canary.sim.alerter import alert_provider, every_alert
from canary.sim.checks import custom_metrics, healthy, metric_template
from canary.sim.driver import Simulation, simulate
from canary.sim.flagger import ask, left_by_flagger
from canary.sim.hooks import every_hook
from canary.sim.manifests import config_map, reading
from canary.sim.outcome import wrong_at_rest
from canary.sim.report import Report, report_of
from canary.sim.scenario import (
    STAFF,
    TRIAL,
    Scenario,
    delegating,
    elsewhere,
    initialise,
    listing_5_1,
    namesake,
    naming,
    of_connections,
    on_each_node,
    own_route,
    release,
    root_route,
    scaled,
    serve,
)
from canary.sim.stage import Stage

QUIET = 330.0
"""Seconds without any change after which a system is at rest; retries of a contested field come before."""

PATIENCE = 3600.0
"""Seconds in which a system has to come to rest after the last entry and fault."""

LAST_LOOK = 30.0
"""Seconds at the end in which no request may fail because of the release."""

LATE_ONES = 0.1
"""The share of pods that Services lead to late in every schedule."""

SETTLE = 5.0
"""Seconds between the first initialisation and the release that is disturbed."""

SCENES = ("release", "initialisation", "take-over")


@dataclass(slots=True)
class Entry:
    """One thing that happens, `at` seconds after the change was seen or the Canary was applied."""

    at: float
    do: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Schedule:
    """What happens in one release, in the initialisation before the first, or in the take-over of what Flagger left."""

    seed: int = 0
    replicas: int = 2
    rps: float = 20.0
    disturbed: str = "release"
    analysis: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    """Fields of the spec beside its analysis."""
    configured: bool = False
    """Whether the Deployment reads a ConfigMap."""
    adopted: bool = False
    """Whether the user has a VirtualService of their own."""
    scaled: tuple[int, int] | None = None
    """Bounds of an autoscaler on the target."""
    delegated: bool = False
    """Whether another VirtualService of the user's, for the host, delegates to the Canary's."""
    named: bool = False
    """Whether the user's own VirtualService is in another namespace, and the Canary names it."""
    connections: bool = False
    """Whether connections are shared out instead of requests."""
    daemons: bool = False
    """Whether the target is a DaemonSet, on as many nodes as there would be replicas."""
    hooked: bool = False
    """Whether the release asks a hook of each type."""
    alerted: bool = False
    """Whether somebody is told of everything."""
    checked: bool = False
    """Whether the release asks checks of the user's, by a MetricTemplate and by a query."""
    electing: int = 0
    """How many controllers share a lease; none: one runs alone."""
    entries: list[Entry] = field(default_factory=list)

    def as_json(self) -> str:
        """Return the schedule as a file has it."""
        return json.dumps(asdict(self))

    @property
    def scenario(self) -> Scenario:
        """Return the release the schedule disturbs."""
        hooks = {"webhooks": every_hook()} if self.hooked else {}
        alerts = {"alerts": every_alert()} if self.alerted else {}
        canary = listing_5_1(**self.analysis, **hooks, **alerts)
        if self.checked:
            given = canary["spec"]["analysis"].get("metrics") or ()
            canary["spec"]["analysis"]["metrics"] = [*given, *custom_metrics()]
        canary["spec"] |= self.spec
        canary = of_connections(canary) if self.connections else canary
        if self.daemons:
            canary = on_each_node(canary)
        canary = naming(canary, "edge") if self.named else canary
        routes = [own_route(canary)] if self.adopted else []
        routes = [namesake(canary), elsewhere(canary)] if self.named else routes
        roots = [root_route(canary)] if self.delegated else []
        if self.delegated:
            canary = delegating(canary)
            for route in routes:
                del route["spec"]["hosts"]
        scaler = None
        if self.scaled:
            canary, scaler = scaled(canary, *self.scaled)
        later = (TRIAL,) if TRIAL[0][0] in json.dumps(self.analysis) else ()
        scenario = Scenario(
            canary, rps=self.rps, replicas=self.replicas, routes=routes, scaler=scaler, cohorts=(STAFF, *later)
        )
        scenario.roots = roots
        scenario.templates = [metric_template(canary)] if self.checked else []
        scenario.providers = [alert_provider(canary)] if self.alerted else []
        if self.configured:
            scenario.given = [reading(scenario.workload, "catalog-config")]
            scenario.configuration = [config_map(mode="one")]
        return scenario


def parse(text: str) -> Schedule:
    """Read a schedule; ValueError says what is wrong with it."""
    try:
        raw = json.loads(text)
        entries = [Entry(**one) for one in raw.pop("entries", [])]
        schedule = Schedule(**raw, entries=entries)
    except (TypeError, AttributeError) as fault:
        raise ValueError(f"no schedule: {fault}") from None
    if schedule.disturbed not in SCENES:
        raise ValueError(f'no schedule: "{schedule.disturbed}" is none of {", ".join(SCENES)}')
    for entry in schedule.entries:
        if entry.do not in ACTIONS:
            raise ValueError(f'no schedule: "{entry.do}" is none of {", ".join(sorted(ACTIONS))}')
    return schedule


def play(schedule: Schedule) -> Report:
    """Play a schedule and return its report; raise when a rule breaks or the system does not serve in the end."""
    _, report = watch(schedule)
    return report


def watch(schedule: Schedule) -> tuple[Simulation, Report]:
    """Play a schedule and return all there is to see of it."""
    found: list[Report] = []

    async def story(sim: Simulation) -> None:
        scenario = schedule.scenario
        sim.endpoints.late_ones = LATE_ONES
        begun = await _begin(sim, schedule, scenario)
        stage = Stage(sim, scenario)
        for entry in schedule.entries:
            sim.at(entry.at, lambda entry=entry: act(stage, entry.do, entry.arguments))  # type: ignore[misc]
        await sim.rest(max((entry.at for entry in schedule.entries), default=0.0) + 1)
        await come_to_rest(sim, scenario)
        await _serve_to_the_end(sim, scenario)
        if wrong := wrong_at_rest(sim, scenario):
            raise AssertionError(f"{wrong}\n{sim.picture()}")
        found.append(report_of(sim, scenario.ref, begun))

    return simulate(story, seed=schedule.seed, electing=schedule.electing), found[0]


async def _begin(sim: Simulation, schedule: Schedule, scenario: Scenario) -> float:
    if schedule.disturbed == "release":
        await initialise(sim, scenario, settle=SETTLE)
        return await release(sim, scenario, f"{scenario.target.name}:v2")
    if schedule.disturbed == "take-over":
        await left_by_flagger(sim, scenario)
        sim.start_controller()
        ask(sim, scenario)
        return sim.now
    await serve(sim, scenario)
    sim.start_controller()
    sim.user.apply(scenario.canary)
    return sim.now


async def come_to_rest(sim: Simulation, scenario: Scenario) -> None:
    """Wait until faults are over and nothing happens any more; somebody resumes what is paused."""
    await sim.rest(max(0.0, sim.faults.over_at() - sim.now))
    sim.dataplane.settle()
    sim.dataplane.silent.clear()
    sim.behaviours.heal()
    sim.hooks.states.clear()
    sim.alerter.faults.clear()
    sim.measurer.numbers.update(healthy(scenario.canary))
    if sim.process is None:
        sim.start_controller()
    deadline = sim.now + PATIENCE
    await sim.rest(QUIET)
    while (left := sim.history.changes[-1].at + QUIET - sim.now) > 0 or _waits_for_a_person(sim, scenario):
        assert sim.now < deadline, f"the system does not come to rest\n{sim.picture()}"
        if _waits_for_a_person(sim, scenario):
            sim.user.command(scenario.ref, "resume")
        await sim.rest(max(left, 1.0))


def _waits_for_a_person(sim: Simulation, scenario: Scenario) -> bool:
    """Return whether the run is paused, by its plan or by a command."""
    conditions = sim.status(scenario.ref).get("conditions") or () if sim.world.find(scenario.ref) else ()
    return any((one["type"], one["reason"]) == ("Held", PAUSED) for one in conditions)


async def _serve_to_the_end(sim: Simulation, scenario: Scenario) -> None:
    """Look at callers once more; whoever deletes the Canary and what they call has taken it away."""
    if (
        sim.world.find(scenario.ref) is None
        and sim.world.find(Ref(SERVICE, scenario.ref.namespace, scenario.apex)) is None
    ):
        return
    sim.dataplane.settle()
    before = sim.dataplane.requests.as_dict()
    await sim.rest(LAST_LOOK)
    sim.dataplane.settle()
    after = sim.dataplane.requests.as_dict()
    assert after["sent"] > before["sent"], "no requests are sent"
    assert after["harmed"] == before["harmed"], f"requests still fail in the end\n{sim.picture()}"


def replay(args: argparse.Namespace) -> int:
    """Run `canary simulate --schedule FILE`."""
    try:
        schedule = parse(Path(args.schedule).read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        print(f"canary simulate: {args.schedule}: {fault}", file=sys.stderr)
        return 2
    try:
        report = play(schedule)
    except AssertionError as failure:
        print("\n".join([str(failure), *getattr(failure, "__notes__", [])]), file=sys.stderr)
        return 1
    print(report.as_json() if args.output == "json" else report.as_table())
    return 0
