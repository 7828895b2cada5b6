"""`canary simulate`: a release on a virtual clock, with an invented cluster and traffic."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import structlog

from canary.api.admission import refusals, template_refusals
from canary.core.objects import NATIVE_TEMPLATE, VIRTUAL_SERVICE
from canary.core.refusal import READY
from canary.sim import options
from canary.sim.behaviour import Behaviour
from canary.sim.checks import healthy, templates_named
from canary.sim.dataplane import Requests
from canary.sim.driver import NotReachedError, Simulation, simulate
from canary.sim.faults import MetricsFault
from canary.sim.manifests import configuration_of
from canary.sim.report import Report, report_of
from canary.sim.scenario import CANARY_API, Scenario, initialise, release
from canary.sim.user import ref_of_manifest
from canary.yaml_files import UnreadableError, read_yaml

BACK_AFTER = 5.0
"""Seconds a restarted controller is away."""

PATIENCE = 3 * 3600.0
"""Seconds after which a release that does not end is called unfinished."""

IDLE_PATIENCE = 900.0
"""Seconds without a new row after which a release is called unfinished."""


class WrongInput(Exception):
    """A file or option cannot be used; the text is one line for the person who typed it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary simulate`."""
    parser.description = "Play a release in virtual time with an invented cluster and traffic."
    parser.add_argument("files", nargs="*", metavar="FILE", help="YAML with a Canary; other objects if any")
    parser.add_argument("--rps", type=options.rate, default=50.0, metavar="N", help="requests per second (50)")
    cohort = "callers whose requests carry these headers, for a match; may be repeated"
    parser.add_argument(
        "--cohort", type=options.header, nargs="+", action="append", metavar="'x-group: staff'", help=cohort
    )
    share = "requests of each cohort, as a share of --rps and beside them (25%%)"
    parser.add_argument("--cohort-share", type=options.percent, default=25.0, metavar="5%%", help=share)
    found = "what a custom check finds instead of something healthy, nothing after =; may be repeated"
    parser.add_argument("--check", type=options.finding, action="append", metavar="NAME=NUMBER", help=found)
    wrong, slow = "how many answers of the canary are errors (0%%)", "how much longer the canary takes to answer (0)"
    parser.add_argument("--canary-errors", type=options.percent, default=0.0, metavar="2%%", help=wrong)
    parser.add_argument("--canary-latency", type=options.latency, default=0.0, metavar="+300ms", help=slow)
    parser.add_argument("--kill-canary-at", type=options.moment, metavar="90s", help="all pods of the canary die")
    parser.add_argument("--metrics-down", type=options.span, metavar="60s..120s", help="Prometheus does not answer")
    dies = "the controller is killed and starts again"
    parser.add_argument("--restart-controller-at", type=options.moment, metavar="100s", help=dies)
    asked = "ask something of the controller; may be repeated"
    parser.add_argument("--command", type=options.command, action="append", metavar="abort@90s", help=asked)
    parser.add_argument("--seed", type=int, default=0, help="equal seeds give equal runs (0)")
    parser.add_argument("--schedule", metavar="FILE", help="replay a schedule of faults (JSON)")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")


def main(args: argparse.Namespace) -> int:
    """Run `canary simulate` and return its exit code."""
    # The engine logs every decision; here the report tells.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        if args.schedule:
            from canary.sim.replay import replay

            return replay(args)
        scenario = _read(args.files)
        report = _play(scenario, args, _findings(scenario, args))
    except WrongInput as fault:
        print(f"canary simulate: {fault}", file=sys.stderr)
        return 2
    print(report.as_json() if args.output == "json" else report.as_table())
    return 0 if report.verdict in ("Succeeded", "Failed") else 1


def _read(files: Sequence[str]) -> Scenario:
    if not files:
        raise WrongInput("name a file that holds a Canary")
    objects = [obj for name in files for obj in _load(name)]
    canaries = [obj for obj in objects if (obj.get("apiVersion"), obj.get("kind")) in CANARY_API]
    where = ", ".join(files)
    if len(canaries) != 1:
        known = " or ".join(sorted(api for api, _ in CANARY_API))
        raise WrongInput(f"{where}: {len(canaries)} Canaries found, needed is one of {known}")
    if found := refusals(canaries[0]):
        raise WrongInput("; ".join(str(one) for one in found))
    given = [obj for obj in objects if obj.get("kind") in ("DaemonSet", "Deployment", "Service")]
    scenario = Scenario(canary=canaries[0], given=given)
    scenario.routes = _routes(scenario, objects)
    if scenario.named is not None and not scenario.routes:
        at = f"{scenario.named.namespace}/{scenario.named.name}"
        raise WrongInput(f"{where}: VirtualService {at}, named in spec.service.virtualService, is not there; add it")
    scenario.configuration = configuration_of(scenario.workload, (one for one in objects if "metadata" in one))
    scenario.templates = _templates(scenario, objects)
    return scenario


def _findings(scenario: Scenario, args: argparse.Namespace) -> dict[str, tuple[float, ...]]:
    """Return what custom checks find."""
    findings, known = dict(args.check or ()), healthy(scenario.canary)
    if unknown := findings.keys() - known.keys():
        names = f"those of the Canary are {', '.join(sorted(known))}" if known else "the Canary has none"
        raise WrongInput(f'--check "{min(unknown)}" is no custom check; {names}')
    return findings


def _templates(scenario: Scenario, objects: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the MetricTemplates that the Canary names."""
    given = {ref_of_manifest(one): one for one in objects if one.get("kind") == NATIVE_TEMPLATE.kind}
    named = templates_named(scenario.canary)
    for ref in named:
        if ref not in given:
            raise WrongInput(f"{ref}, named in spec.analysis.metrics, is not there; add it")
        if wrong := template_refusals(given[ref]):
            raise WrongInput(f"{ref}: {'; '.join(str(one) for one in wrong)}")
    return [given[ref] for ref in dict.fromkeys(named)]


def _routes(scenario: Scenario, objects: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the VirtualService that the Canary names, of whatever version of its API."""
    routes = (one for one in objects if one.get("kind") == VIRTUAL_SERVICE.kind)
    known = ({**one, "apiVersion": VIRTUAL_SERVICE.api_version} for one in routes)
    return [one for one in known if ref_of_manifest(one) == scenario.named]


def _load(name: str) -> list[dict[str, Any]]:
    try:
        found = [content for _, content in read_yaml(name).documents]
    except UnreadableError as fault:
        raise WrongInput(str(fault)) from None
    for one in found:
        if not isinstance(one, dict) or not isinstance(one.get("metadata", {}), dict):
            raise WrongInput(f"{name}: a Kubernetes object is a mapping with kind and metadata")
    return found


def _play(scenario: Scenario, args: argparse.Namespace, findings: dict[str, tuple[float, ...]]) -> Report:
    scenario.rps = args.rps
    scenario.cohorts = tuple(map(tuple, args.cohort or ()))
    scenario.cohort_share = args.cohort_share / 100
    found: list[Report] = []

    async def story(sim: Simulation) -> None:
        sim.measurer.numbers |= findings
        begun = await _begin(sim, scenario, args)
        _plan_faults(sim, scenario, args)
        await _finish(sim, scenario)
        sim.dataplane.settle()
        found.append(report_of(sim, scenario.ref, begun))

    simulate(story, seed=args.seed, judge=False)
    return found[0]


async def _begin(sim: Simulation, scenario: Scenario, args: argparse.Namespace) -> float:
    """Initialise the Canary, apply a new image and return when it was seen."""
    image = f"{scenario.image.rpartition(':')[0] or scenario.image}:next"
    try:
        await initialise(sim, scenario)
        sim.dataplane.settle()
        sim.dataplane.requests = Requests()
        sim.behaviours.put(Behaviour(errors=args.canary_errors, extra_latency=args.canary_latency), image=image)
        return await release(sim, scenario, image)
    except NotReachedError:
        conditions = sim.status(scenario.ref).get("conditions") or ()
        said = next((one["message"] for one in conditions if one["type"] == READY), "the Canary says nothing")
        raise WrongInput(f"no release begins: {said}") from None


def _plan_faults(sim: Simulation, scenario: Scenario, args: argparse.Namespace) -> None:
    if args.kill_canary_at is not None:
        name = f"{scenario.target.name}-canary"
        sim.at(args.kill_canary_at, lambda: sim.kill_pods(scenario.ref.namespace, name))
    for verb, at in args.command or ():
        sim.at(at, partial(sim.user.command, scenario.ref, verb))
    if args.metrics_down is not None:
        start, end = args.metrics_down
        sim.faults.metrics.append(MetricsFault("down", sim.now + start, sim.now + end))
    if args.restart_controller_at is not None:
        sim.at(args.restart_controller_at, sim.kill_controller)
        sim.at(args.restart_controller_at + BACK_AFTER, sim.start_controller)


async def _finish(sim: Simulation, scenario: Scenario) -> None:
    """Wait for the end of the release, or until it is clear that none comes."""
    deadline = sim.now + PATIENCE
    faults = max((one.end for one in sim.faults.metrics), default=0.0)

    def over() -> bool:
        rows = sim.history.rows(scenario.ref)
        idle = sim.now - max(faults, rows[-1].at) > IDLE_PATIENCE
        return sim.state(scenario.ref)[0] in ("Succeeded", "Failed") or idle or sim.now > deadline

    while not over():
        await sim.rest(1)
    if sim.state(scenario.ref)[0] == "Failed":
        await sim.rest(30)
