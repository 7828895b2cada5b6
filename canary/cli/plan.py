"""`canary plan`: the steps of a Canary in a file, with their times and the traffic that judges them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from canary.api.admission import refusals
from canary.api.canary import CanarySpec
from canary.api.duration import format_duration
from canary.cli.exits import Exit, Stopped
from canary.cli.manifests import Document, read_canaries
from canary.cli.terminal import show_table
from canary.core.forecast import Stage, stages

HEAD = ("AT", "ROUTES", "PODS", "REQUESTS", "STEP")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary plan`."""
    parser.description = (
        "Tell when each step of a release would begin if nothing failed, the canary's share of production's pods, and "
        "how many requests a second judge it; without a cluster."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="YAML that may hold other objects too; - is stdin")
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")


def main(args: argparse.Namespace) -> int:
    """Print the plan of each Canary and return the exit code."""
    try:
        documents = list(read_canaries(args.files))
        plans = [(document, stages(_spec(document))) for document in documents]
        if args.output == "json":
            print(json.dumps([_as_json(document, rows) for document, rows in plans], indent=2))
        else:
            for document, rows in plans:
                _show(document, rows)
    except Stopped as fault:
        print(f"canary plan: {fault}", file=sys.stderr)
        return fault.code
    return Exit.YES


def _spec(document: Document) -> CanarySpec:
    if found := refusals(document.content):
        at = f"{document.file}:{document.line_of(found[0].field)}"
        raise Stopped(f"{at}: {'; '.join(map(str, found))}", Exit.NO)
    return CanarySpec.model_validate(document.content["spec"])


def _show(document: Document, rows: Sequence[Stage]) -> None:
    last = rows[-1]
    paused = ", and as long as the plan pauses it" if any(one.paused for one in rows) else ""
    least = format_duration(last.after)
    print(f"Canary {document.content['metadata']['name']} ({document.file}): {least} at least{paused}\n")
    show_table(HEAD, [_row(one) for one in rows])
    print()


def _row(stage: Stage) -> tuple[object, ...]:
    name = f"{stage.name}, until somebody resumes the run" if stage.paused else stage.name
    return format_duration(stage.after), stage.weights.label, f"{stage.pods} %", requests(stage), name


def requests(stage: Stage) -> str:
    """Return how much traffic a step needs, in the unit that makes it a number one can read."""
    if stage.needed is None:
        return ""
    amount, unit = (stage.needed, "/s") if stage.needed >= 1 else (stage.needed * 60, "/min")
    return f"{amount:.3g}{unit}{' of the cohort' if stage.of_cohort else ''}"


def _as_json(document: Document, rows: Sequence[Stage]) -> dict[str, object]:
    keys = ("name", "pods", "paused")
    steps = [
        {
            "atSeconds": int(one.after.total_seconds()),
            "routes": one.weights.label,
            "requestsPerSecond": one.needed,
            "ofCohort": one.of_cohort,
            **{key: getattr(one, key) for key in keys},
        }
        for one in rows
    ]
    return {"file": document.file, "name": document.content["metadata"]["name"], "steps": steps}
