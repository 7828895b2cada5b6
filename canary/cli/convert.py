"""`canary convert`: manifests of Flagger and Argo Rollouts as ours, nothing else of them changed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

import yaml

from canary.api.groups import FLAGGER, NATIVE
from canary.cli.exits import Exit, Stopped
from canary.cli.lint import REFUSED, WARNING, Finding, findings
from canary.cli.manifests import Manifest, read_manifest, value_of
from canary.cli.rollouts.manifests import Replaced, convert_rollouts, edits


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `canary convert`."""
    parser.description = (
        "Print Canaries, MetricTemplates and AlertProviders of flagger.app as those of canary.delivery; comments, "
        "order and other objects stay as they are. A Rollout of argoproj.io becomes a Deployment and a Canary, and "
        "AnalysisTemplates become MetricTemplates. What has no counterpart is told on stderr. "
        "Exit code 0: all can be served; 1: something is refused."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="YAML that may hold other objects too; - is stdin")


def main(args: argparse.Namespace) -> int:
    """Print the converted files and return the exit code."""
    try:
        manifests = [read_manifest(name) for name in args.files]
    except Stopped as fault:
        print(f"canary convert: {fault}", file=sys.stderr)
        return fault.code
    replaced, told = convert_rollouts(manifests)
    texts = [converted(one, replaced) for one in manifests]
    print("---\n".join(one if one.endswith("\n") else f"{one}\n" for one in texts), end="")
    found = [*(one for manifest in manifests for one in _found(manifest)), *told]
    for one in sorted(found, key=lambda one: (args.files.index(one.file), one.line)):
        print(one, file=sys.stderr)
    return Exit.NO if any(one.level == REFUSED for one in found) else Exit.YES


def converted(manifest: Manifest, replaced: Replaced) -> str:
    """Return the text of a file with the group of what is served changed, and Rollouts replaced."""
    text = manifest.text
    for start, end, written in sorted([*_groups(manifest), *edits(replaced, manifest)], reverse=True):
        text = text[:start] + written + text[end:]
    return text


def _groups(manifest: Manifest) -> Iterator[tuple[int, int, str]]:
    """Yield where the group of Flagger is written, with ours."""
    for document in manifest.served:
        written = value_of(document.node, "apiVersion")
        if document.content["apiVersion"] == FLAGGER.api_version and isinstance(written, yaml.ScalarNode):
            yield written.start_mark.index, written.end_mark.index, NATIVE.api_version


def _found(manifest: Manifest) -> Iterator[Finding]:
    """Yield what of a file cannot be served, or is served otherwise."""
    for document in manifest.served:
        yield from findings(document)
    for one in manifest.others:
        group, _, _ = str(one.content.get("apiVersion", "")).partition("/")
        if group == FLAGGER.group:
            line = one.line_of("kind")
            yield Finding(
                one.file, line, WARNING, f"{one.content.get('kind')} has no counterpart here; it stays as it is"
            )
