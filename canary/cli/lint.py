"""`canary lint`: what is wrong with what we serve in files, as far as no cluster is needed to know."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from canary.api.admission import provider_refusals, refusals, template_refusals
from canary.api.canary import Canary
from canary.api.warnings import warnings
from canary.cli.claims import find_doubles
from canary.cli.exits import Exit, Stopped
from canary.cli.manifests import Document, read_served
from canary.core.warnings.spec import spec_warnings

REFUSED, WARNING = "refused", "warning"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, and where it is written."""

    file: str
    line: int
    level: str
    message: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level}: {self.message}" + (f" ({self.reason})" if self.reason else "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary lint`."""
    parser.description = (
        "Tell what would be refused and what would be warned of, without a cluster. "
        "Exit code 0: nothing is refused; 1: something is, or with --strict warned of."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="YAML that may hold other objects too; - is stdin")
    parser.add_argument("--strict", action="store_true", help="take warnings as refusals")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text")


def main(args: argparse.Namespace) -> int:
    """Print the findings and return the exit code."""
    try:
        found = list(lint(args.files))
    except Stopped as fault:
        print(f"canary lint: {fault}", file=sys.stderr)
        return fault.code
    if args.output == "json":
        keys = ("file", "line", "level", "message", "reason")
        print(json.dumps([{key: getattr(one, key) for key in keys} for one in found], indent=2))
    else:
        for one in found:
            print(one)
    bad = found if args.strict else [one for one in found if one.level == REFUSED]
    return Exit.NO if bad else Exit.YES


def lint(files: Sequence[str]) -> Iterator[Finding]:
    """Yield what is wrong in files, in their order, and then what is wrong between them."""
    usable = []
    for document in read_served(files):
        found = list(findings(document))
        yield from found
        if not any(one.level == REFUSED for one in found):
            usable.append(document)
    for document, field, message in find_doubles(usable):
        yield Finding(document.file, document.line_of(field), REFUSED, message, "TargetTaken")


def findings(document: Document) -> Iterator[Finding]:
    """Yield what is wrong with one object: warnings only of a Canary, and when nothing is refused."""
    find = template_refusals if document.is_template else provider_refusals if document.is_provider else refusals
    refused = find(document.content)
    for one in refused:
        yield Finding(document.file, document.line_of(one.field), REFUSED, str(one))
    if refused or not document.is_canary:
        return
    spec = Canary.parse(document.content).spec
    for caution in (*warnings(document.content), *spec_warnings(spec)):
        line = document.line_of(caution.message.split(":")[0].split(" ")[0])
        yield Finding(document.file, line, WARNING, caution.message, caution.reason)
