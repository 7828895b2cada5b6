"""The MetricTemplates that the checks of a Canary name, read from the cache."""

from __future__ import annotations

import json
from functools import lru_cache

from canary.api.admission import template_refusals
from canary.api.metric_template import MetricTemplate
from canary.core.mentions import named_templates
from canary.core.objects import CanaryKey, Object, Ref
from canary.core.snapshot import Template
from canary.ports import Cluster


def templates_of(cluster: Cluster, key: CanaryKey, canary: Object) -> dict[Ref, Template]:
    """Return what the MetricTemplates that a Canary names ask, or why they cannot."""
    return {ref: _template(cluster, ref) for ref in named_templates(key.ref.resource, canary)}


def _template(cluster: Cluster, ref: Ref) -> Template:
    found = cluster.get(ref)
    if found is None:
        return Template(seen=cluster.sees(ref.resource, ref.namespace))
    return read_template(found)


def read_template(template: Object) -> Template:
    """Return what a MetricTemplate asks, or what is wrong with it: it may be older than our definition."""
    return _read(json.dumps({"metadata": {"name": template["metadata"]["name"]}, "spec": template.get("spec")}))


@lru_cache(maxsize=256)
def _read(text: str) -> Template:
    raw = json.loads(text)
    if refused := tuple(str(one) for one in template_refusals(raw)):
        return Template(refusals=refused)
    return Template(MetricTemplate.parse(raw).spec)
