"""Canary manifests for the tests of the wire models."""

from copy import deepcopy
from enum import Enum
from typing import Any

import yaml

LISTING_5_1 = """\
apiVersion: flagger.app/v1beta1
kind: Canary
metadata:
  name: catalog-release
  namespace: istioinaction
spec:
  targetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: catalog
  progressDeadlineSeconds: 60
  service:
    name: catalog
    port: 80
    targetPort: 3000
    gateways:
    - mesh
    hosts:
    - catalog
  analysis:
    interval: 45s
    threshold: 5
    maxWeight: 50
    stepWeight: 10
    metrics:
    - name: request-success-rate
      thresholdRange:
        min: 99
        interval: 1m
    - name: request-duration
      thresholdRange:
        max: 500
        interval: 30s
"""


class Absent(Enum):
    """Stand for a field that is taken out."""

    ABSENT = "absent"


ABSENT = Absent.ABSENT


def listing(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return listing 5.1 with the values at dotted paths replaced, or removed when ABSENT."""
    manifest: dict[str, Any] = yaml.safe_load(LISTING_5_1)
    for path, value in (changes or {}).items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        node: Any = manifest
        for part in parents:
            node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
        if value is ABSENT:
            del node[last]
        else:
            node[last] = deepcopy(value)
    return manifest


A = "spec.analysis"
S = "spec.service"
M = "spec.analysis.metrics"
DURATION_WORDS = "a duration of at least 1s, such as 45s, 5m or 1h30m"
WEBHOOK = {"name": "load", "url": "http://loadtester/"}
ALERT = {"name": "team", "providerRef": {"name": "slack"}}
SCALER = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "catalog"}
PLANS = "spec.analysis must have exactly one of stepWeight, stepWeights, iterations and steps; given:"

# (changes to listing 5.1, field blamed, sentence): what no version accepts.
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({f"{A}.threshold": 0}, f"{A}.threshold", f"{A}.threshold is 0; it must be at least 1"),
    ({f"{A}.stepWeight": 150}, f"{A}.stepWeight", f"{A}.stepWeight is 150; it must be at most 100"),
    ({f"{A}.maxWeight": -1}, f"{A}.maxWeight", f"{A}.maxWeight is -1; it must be at least 0"),
    ({f"{S}.port": 70000}, f"{S}.port", f"{S}.port is 70000; it must be at most 65535"),
    (
        {f"{S}.targetPort": 0},
        f"{S}.targetPort",
        f"{S}.targetPort is 0; it must be a port from 1 to 65535 or the name of a container port",
    ),
    (
        {f"{S}.targetPort": "HTTP!"},
        f"{S}.targetPort",
        f'{S}.targetPort is "HTTP!"; it must be a port from 1 to 65535 or the name of a container port',
    ),
    ({f"{A}.interval": "45"}, f"{A}.interval", f'{A}.interval is "45"; it must be {DURATION_WORDS}'),
    ({f"{A}.interval": "0s"}, f"{A}.interval", f'{A}.interval is "0s"; it must be {DURATION_WORDS}'),
    ({f"{A}.interval": "500ms"}, f"{A}.interval", f'{A}.interval is "500ms"; it must be {DURATION_WORDS}'),
    (
        {f"{M}.0.thresholdRange.interval": "a minute"},
        f"{M}[0].thresholdRange.interval",
        f'{M}[].thresholdRange.interval is "a minute"; it must be {DURATION_WORDS}',
    ),
    ({f"{A}.stepWeight": ABSENT}, A, f"{PLANS} none"),
    ({f"{A}.stepWeight": 0}, A, f"{PLANS} none"),
    ({f"{A}.stepWeights": [1, 2]}, A, f"{PLANS} stepWeight stepWeights"),
    (
        {f"{A}.stepWeight": ABSENT, f"{A}.stepWeights": [10, 30, 30]},
        f"{A}.stepWeights",
        f"{A}.stepWeights is [10, 30, 30]; each weight must be greater than the one before it",
    ),
    (
        {f"{A}.stepWeight": ABSENT, f"{A}.stepWeights": [10, 120]},
        f"{A}.stepWeights[1]",
        f"{A}.stepWeights[] is 120; it must be at most 100",
    ),
    (
        {f"{M}.0.interval": "30s"},
        f"{M}[0].interval",
        f'{M}[].interval is "30s" and thresholdRange.interval is another; give one of them, or both alike',
    ),
    (
        {f"{M}.1.thresholdRange.min": 600},
        f"{M}[1].thresholdRange",
        f"{M}[].thresholdRange.min is 600, greater than its max; no value could pass, swap or correct them",
    ),
    (
        {"spec.provider": "linkerd"},
        "spec.provider",
        'spec.provider is "linkerd", which is not supported; use istio or remove it',
    ),
    (
        {"spec.targetRef.kind": "DaemonSet"},
        "spec.targetRef.kind",
        'spec.targetRef.kind is "DaemonSet", which is not supported; use Deployment',
    ),
    (
        {"spec.targetRef.apiVersion": "extensions/v1beta1"},
        "spec.targetRef.apiVersion",
        'spec.targetRef.apiVersion is "extensions/v1beta1", which is not supported; use apps/v1',
    ),
    (
        {f"{S}.name": "c" * 56},
        f"{S}.name",
        f'{S}.name (or else spec.targetRef.name) is "{"c" * 56}", longer than 55 characters; shorten it',
    ),
    (
        {f"{S}.name": "Catalog"},
        f"{S}.name",
        f'{S}.name (or else spec.targetRef.name) is "Catalog"; a Service name has lower case letters, '
        "digits and hyphens, and begins with a letter",
    ),
    (
        {"metadata.name": "c" * 64},
        "metadata.name",
        f'metadata.name is "{"c" * 64}", longer than 63 characters; shorten it',
    ),
    (
        {f"{A}.sessionAffinity": {"cookieName": "a", "primaryCookieName": "a"}},
        f"{A}.sessionAffinity.primaryCookieName",
        f'{A}.sessionAffinity.primaryCookieName is "a", as cookieName is; the two cookies need different names',
    ),
]

# As above: what a later version does.
UNSUPPORTED: list[tuple[dict[str, Any], str, str]] = [
    ({f"{A}.match": [{"headers": {"x": {"exact": "y"}}}]}, f"{A}.match", f"{A}.match is not supported yet"),
    (
        {f"{A}.stepWeight": ABSENT, f"{A}.iterations": 10},
        f"{A}.iterations",
        f"{A}.iterations is 10, which is not supported yet",
    ),
    (
        {f"{A}.stepWeight": ABSENT, f"{A}.steps": [{"setWeight": 20}]},
        f"{A}.steps",
        f"{A}.steps is not supported yet",
    ),
    ({f"{A}.mirror": True}, f"{A}.mirror", f"{A}.mirror is true, which is not supported yet"),
    ({f"{A}.mirrorWeight": 50}, f"{A}.mirrorWeight", f"{A}.mirrorWeight is 50, which is not"),
    ({f"{A}.stepWeightPromotion": 5}, f"{A}.stepWeightPromotion", f"{A}.stepWeightPromotion is 5, which"),
    ({f"{A}.sessionAffinity": {"cookieName": "a"}}, f"{A}.sessionAffinity", f"{A}.sessionAffinity is not"),
    ({f"{A}.webhooks": [WEBHOOK]}, f"{A}.webhooks", f"{A}.webhooks is not supported yet"),
    ({f"{A}.alerts": [ALERT]}, f"{A}.alerts", f"{A}.alerts is not supported yet"),
    ({f"{A}.primaryReadyThreshold": 50}, f"{A}.primaryReadyThreshold", f"{A}.primaryReadyThreshold is 50"),
    ({f"{A}.canaryReadyThreshold": 99}, f"{A}.canaryReadyThreshold", f"{A}.canaryReadyThreshold is 99"),
    ({f"{M}.0.query": "vector(1)"}, f"{M}[0].query", f"{M}[].query is not supported yet"),
    ({f"{M}.0.templateRef": {"name": "x"}}, f"{M}[0].templateRef", f"{M}[].templateRef is not"),
    ({f"{M}.0.name": "errors"}, f"{M}[0].name", f'{M}[].name is "errors", which is not supported yet'),
    (
        {"spec.promotion.strategy": "InPlace"},
        "spec.promotion.strategy",
        'spec.promotion.strategy is "InPlace"',
    ),
    ({"spec.promotion.bake": "10m"}, "spec.promotion.bake", 'spec.promotion.bake is "10m", which is not'),
    ({"spec.autoscalerRef": SCALER}, "spec.autoscalerRef", "spec.autoscalerRef is not supported yet"),
    ({"spec.skipAnalysis": True}, "spec.skipAnalysis", "spec.skipAnalysis is true, which is not supported"),
    ({"spec.suspend": True}, "spec.suspend", "spec.suspend is true, which is not supported yet"),
    ({"spec.paused": True}, "spec.paused", "spec.paused is true, which is not supported yet"),
    ({"spec.metricsServer": "http://p:9090"}, "spec.metricsServer", "spec.metricsServer is not supported"),
    ({f"{S}.delegation": True}, f"{S}.delegation", f"{S}.delegation is true, which is not supported yet"),
    ({f"{S}.portDiscovery": True}, f"{S}.portDiscovery", f"{S}.portDiscovery is true, which is not"),
    ({f"{S}.headless": True}, f"{S}.headless", f"{S}.headless is true, which is not supported yet"),
    ({f"{S}.trafficDistribution": "PreferClose"}, f"{S}.trafficDistribution", f"{S}.trafficDistribution is"),
    ({f"{S}.trafficPolicy": {"tls": {}}}, f"{S}.trafficPolicy", f"{S}.trafficPolicy is not supported yet"),
    ({f"{S}.appProtocol": "TCP"}, f"{S}.appProtocol", f'{S}.appProtocol is "TCP", which is not supported'),
    ({f"{S}.apex": {"labels": {"a": "b"}}}, f"{S}.apex", f"{S}.apex is not supported yet"),
    ({f"{S}.primary": {"labels": {"a": "b"}}}, f"{S}.primary", f"{S}.primary is not supported yet"),
    ({f"{S}.canary": {"annotations": {"a": "b"}}}, f"{S}.canary", f"{S}.canary is not supported yet"),
    (
        {f"{S}.unmanagedMetadata": {"labels": ["a"]}},
        f"{S}.unmanagedMetadata",
        f"{S}.unmanagedMetadata is not supported yet",
    ),
]

# What is accepted: values that mean nothing, and everything this version does.
ACCEPTED: list[dict[str, Any]] = [
    {},
    {"apiVersion": "canary.delivery/v1beta1"},
    {"spec.provider": "", "spec.skipAnalysis": False, "spec.suspend": False, "spec.paused": False},
    {"spec.provider": "istio", "spec.revertOnDeletion": True, "spec.metricsServer": ""},
    {f"{A}.match": [], f"{A}.webhooks": [], f"{A}.alerts": [], f"{A}.steps": [], f"{A}.stepWeights": []},
    {f"{A}.iterations": 0, f"{A}.mirror": False, f"{A}.mirrorWeight": 0, f"{A}.stepWeightPromotion": 0},
    {f"{A}.primaryReadyThreshold": 100, f"{A}.canaryReadyThreshold": 100, f"{A}.interval": ""},
    {f"{A}.stepWeight": ABSENT, f"{A}.stepWeights": [1, 2, 10, 80]},
    {f"{A}.canaryScale": "Full", f"{A}.drainSeconds": 0, f"{A}.onNoData": "Pass"},
    {f"{M}.0.interval": "60s", f"{M}.0.minSamples": 10, f"{M}.0.onNoData": "Fail"},
    {f"{M}.0.reporter": "source", f"{M}.1.reporter": "destination", f"{M}.1.threshold": 500},
    {f"{A}.metrics": ABSENT},
    {"spec.promotion": {"strategy": "CutOver", "bake": "0s"}},
    {f"{S}.name": ABSENT, f"{S}.hosts": ABSENT, f"{S}.gateways": ABSENT, f"{S}.targetPort": "http"},
    {f"{S}.gateways": ["istio-system/public"], f"{S}.hosts": ["*"], f"{S}.appProtocol": "grpc"},
    {f"{S}.apex": {}, f"{S}.primary": {"labels": {}}, f"{S}.unmanagedMetadata": {"labels": []}},
    {
        f"{S}.timeout": "1500ms",
        f"{S}.retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx"},
        f"{S}.match": [{"uri": {"prefix": "/"}}],
        f"{S}.headers": {"request": {"set": {"x": "y"}}},
        f"{S}.rewrite": {"uri": "/"},
        f"{S}.corsPolicy": {"allowOrigins": [{"exact": "*"}], "maxAge": "24h"},
        f"{S}.fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 0.1}}},
    },
]
