"""`canary check`: ask by hand what the checks of a Canary ask by a MetricTemplate, and judge the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from canary.adapters.asking import Asker
from canary.adapters.checks import CheckMeasurer
from canary.adapters.kube.client import KubeClient
from canary.adapters.kube.cluster import KubeCluster
from canary.api import status as wire_status
from canary.api.admission import refusals
from canary.api.status import Check
from canary.core.alone import alone
from canary.core.checks import custom_questions, template_of
from canary.core.judge import judge_custom
from canary.core.measurement import CustomQuery
from canary.core.mentions import named_templates
from canary.core.names import Role
from canary.core.objects import FLAGGER_CANARY, NATIVE_CANARY, CanaryKey, Object, Ref, template_ref
from canary.core.snapshot import Snapshot, Template
from canary.core.view import View
from canary.engine.metric_templates import read_template
from canary.ports import Cluster, Measurer
from canary.version import version

PASSED, FAILED, UNKNOWN = 0, 1, 3
"""Exit codes: every check passed, one failed, or one has no answer."""


class CheckError(Exception):
    """What was asked for cannot be checked; the text is one line for the person who typed it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Which template of which Canary is to be asked about which side."""

    template: str
    namespace: str
    canary: str | None
    group: str
    side: Role


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check asked, and what came of it."""

    text: str
    check: Check


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """Return what tells a program how the checks ended."""
    verdicts = {one.check.verdict for one in outcomes}
    return FAILED if "Fail" in verdicts else UNKNOWN if verdicts - {"Pass"} else PASSED


async def run(client: KubeClient, asked: Asked) -> int:
    """Ask, print what came of it and return the exit code; raise CheckError or ``ClusterError``."""
    cluster = KubeCluster(client, groups=(asked.group,))
    measurer = CheckMeasurer("", cluster.read, Asker(f"canary-check/{version()}"))
    try:
        outcomes = await outcomes_of(cluster, measurer, asked, datetime.now(UTC))
    finally:
        await measurer.close()
    for one in outcomes:
        print("\n".join(filter(None, (one.text.strip(), f"{one.check.verdict}: {one.check.message}"))))
    return exit_code(outcomes)


async def outcomes_of(cluster: Cluster, measurer: Measurer, asked: Asked, now: datetime) -> list[Outcome]:
    """Ask what the checks of a Canary ask by a template; raise CheckError or ``ClusterError``."""
    ref = template_ref(CanaryKey(asked.group, asked.namespace, ""), asked.namespace, asked.template)
    found = await cluster.read(ref)
    if found is None:
        raise CheckError(f"{ref} not found; name one of namespace {asked.namespace}, or another by -n")
    canary = await _canary(cluster, asked, ref)
    view = View(_snapshot(canary, {ref: read_template(found)}), (), now)
    outcomes = []
    for metric, question in custom_questions(view, asked.side):
        if template_of(view, metric) == ref:
            answer = (await measurer.measure(question)).answer if isinstance(question, CustomQuery) else question
            text = question.text if isinstance(question, CustomQuery) else ""
            outcomes.append(Outcome(text, judge_custom(metric, answer, now)))
    return outcomes


async def _canary(cluster: Cluster, asked: Asked, template: Ref) -> Object:
    """Return the Canary that is named, else the only one of the namespace that names the template."""
    resource = NATIVE_CANARY if asked.group == NATIVE_CANARY.group else FLAGGER_CANARY
    known = await cluster.select(resource, asked.namespace, {})
    asking = [one for one in known if template in named_templates(resource, one)]
    names = [one["metadata"]["name"] for one in asking]
    wanted = [one for one in asking if asked.canary in (None, one["metadata"]["name"])]
    if len(wanted) == 1:
        return wanted[0]
    if asked.canary is not None:
        who = f"those that do: {', '.join(names)}" if names else "no Canary does"
        raise CheckError(f"Canary {asked.canary} of namespace {asked.namespace} does not name {template}; {who}")
    if not names:
        raise CheckError(f"no Canary of namespace {asked.namespace} names {template}; give one a templateRef")
    raise CheckError(f"{len(names)} Canaries name {template}; choose by --canary one of {', '.join(names)}")


def _snapshot(raw: Object, templates: dict[Ref, Template]) -> Snapshot:
    """Return what questions rest on: the Canary, its status and the template."""
    if wrong := refusals(raw):
        raise CheckError(f"Canary {raw['metadata']['name']}: {'; '.join(str(one) for one in wrong)}")
    status = wire_status.parse(raw.get("status"))
    return replace(alone({**raw, "status": {}}), canary=raw, status=status, templates=templates)
