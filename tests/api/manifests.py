"""Canary manifests for the tests of the wire models."""

from collections.abc import Iterator
from copy import deepcopy
from enum import Enum
from typing import Any

import yaml

from canary.sim.manifests import LISTING_5_1

from .routes import ROUTES, route_cases


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

STEPS = "spec.analysis.steps[]"
STEP_KEYS = f"{STEPS} must have exactly one of setWeight, pause, match, mirror and analysis; given:"
MIRROR_LATE = (
    f"{STEPS}.mirror comes after a setWeight; mirror before the canary has a weight, "
    "when the copies are of requests to the primary alone"
)
EVERYBODY = "names nothing that a request must have, so that it would take them all; name a header or a path"
COHORT = [{"headers": {"x-user": {"exact": "tester"}}}]


def iterations(**more: Any) -> dict[str, Any]:
    """Return the changes that make listing 5.1 an A/B or blue/green release."""
    return {f"{A}.stepWeight": ABSENT, f"{A}.iterations": 10} | {f"{A}.{field}": value for field, value in more.items()}


def steps(*entries: dict[str, Any]) -> dict[str, Any]:
    """Return the changes that give listing 5.1 these steps."""
    return {f"{A}.stepWeight": ABSENT, f"{A}.steps": list(entries)}


def _string_match_cases() -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield what no text of a condition may be, for each text of each list of conditions."""
    texts = ["uri", "scheme", "method", "authority", "headers.x-user", "queryParams.x-user", "withoutHeaders.x-user"]
    for text in texts:
        for at in (f"{A}.match[]", f"{STEPS}.match[]"):
            path, general = f"{at.replace('[]', '[0]')}.{text}", f"{at}.{text.replace('x-user', '*')}"
            several = f"{general} must have at most one of exact, prefix and regex; given: prefix regex"
            yield _matching(at, text, {"prefix": "a", "regex": "b"}), path, several
            suffix = f'{general}.suffix is "-test", which Istio does not know; use regex'
            yield _matching(at, text, {"suffix": "-test"}), f"{path}.suffix", suffix


def _matching(at: str, text: str, given: dict[str, str]) -> dict[str, Any]:
    field, _, key = text.partition(".")
    condition = {field: {key: given} if key else given}
    return steps({"match": [condition]}) if at.startswith(STEPS) else iterations(match=[condition])


def _cookie_cases() -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield cookies that nobody could be given."""
    name = "it must be the name of a cookie: letters, digits and any of !#$&*+.^_|~-"
    path = "it must be a path that begins with / and has no space, percent sign or semicolon"
    for field, value, words in (
        ("cookieName", "a b", f'is "a b"; {name}'),
        ("primaryCookieName", "b;", f'is "b;"; {name}'),
        ("domain", "a.b; x", 'is "a.b; x"; it must be a domain, such as example.com'),
        ("path", "a", f'is "a"; {path}'),
        ("path", "/%20", f'is "/%20"; {path}'),
        ("maxAge", -1, "is -1; it must be at least 0"),
    ):
        at = f"{A}.sessionAffinity"
        yield {at: {"cookieName": "a", field: value}}, f"{at}.{field}", f"{at}.{field} {words}"


BUT = "with spec.service.appProtocol tcp Istio sees connections and no requests"
TCP = {f"{S}.appProtocol": "TCP", f"{M}": []}
"""The changes that make listing 5.1 a release of connections."""


def _connection_cases() -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield what takes requests, beside a service of connections."""
    field, copied, cohort = (
        *("a route of connections has no such field, remove it", "connections cannot be copied, remove it"),
        "nobody can be told apart, remove it",
    )
    yield TCP | {f"{S}.timeout": "2s"}, f"{S}.timeout", f'{S}.timeout is "2s": {BUT}; {field}'
    for name in ("retries", "rewrite", "headers", "corsPolicy", "fault"):
        yield TCP | {f"{S}.{name}": {}}, f"{S}.{name}", f"{S}.{name} is given: {BUT}; {field}"
    delegation = "Istio delegates routes of requests alone, remove it and name hosts and gateways here"
    given: dict[str, Any] = {f"{S}.delegation": True, f"{S}.hosts": [], f"{S}.gateways": []}
    yield TCP | given, f"{S}.delegation", f"{S}.delegation is true: {BUT}; {delegation}"
    yield TCP | iterations(match=COHORT), f"{A}.match", f"{A}.match is given: {BUT}; {cohort}"
    yield TCP | {f"{A}.mirror": True}, f"{A}.mirror", f"{A}.mirror is true: {BUT}; {copied}"
    cookies = {f"{A}.sessionAffinity": {"cookieName": "a"}}
    words = f"{A}.sessionAffinity is given: {BUT}; there are no cookies, remove it"
    yield TCP | cookies, f"{A}.sessionAffinity", words
    yield TCP | steps({"match": COHORT}), f"{A}.steps", f"{STEPS}.match is given: {BUT}; {cohort}"
    yield TCP | steps({"mirror": {}}), f"{A}.steps", f"{STEPS}.mirror is given: {BUT}; {copied}"
    cure = "it counts requests, remove it; without metrics the readiness of the canary's pods alone is judged"
    for name in ("request-success-rate", "request-duration"):
        only = {f"{S}.appProtocol": "tcp", M: [{"name": name}]}
        yield only, f"{A}.metrics", f'{M}[].name is "{name}": {BUT}; {cure}'


ABOVE = "they are those of the VirtualService that delegates, remove them here"

# (changes to listing 5.1, field blamed, sentence): what no version accepts.
WRONG: list[tuple[dict[str, Any], str, str]] = [
    (
        {"spec.promotion": {"strategy": "InPlace", "bake": "5m"}},
        "spec.promotion.bake",
        'spec.promotion.bake is "5m" beside strategy InPlace, which never gives the canary all the traffic; '
        "remove it, or use CutOver",
    ),
    ({f"{A}.threshold": 0}, f"{A}.threshold", f"{A}.threshold is 0; it must be at least 1"),
    ({f"{A}.stepWeight": 150}, f"{A}.stepWeight", f"{A}.stepWeight is 150; it must be at most 100"),
    ({f"{A}.maxWeight": -1}, f"{A}.maxWeight", f"{A}.maxWeight is -1; it must be at least 0"),
    (
        {f"{S}.delegation": True},
        f"{S}.delegation",
        f"{S}.delegation is true beside hosts and gateways; {ABOVE}",
    ),
    (
        {f"{S}.delegation": True, f"{S}.hosts": ABSENT},
        f"{S}.delegation",
        f"{S}.delegation is true beside gateways; {ABOVE}",
    ),
    (
        {f"{S}.delegation": True, f"{S}.gateways": []},
        f"{S}.delegation",
        f"{S}.delegation is true beside hosts; {ABOVE}",
    ),
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
        {"spec.autoscalerRef": {**SCALER, "kind": "VerticalPodAutoscaler"}},
        "spec.autoscalerRef.kind",
        'spec.autoscalerRef.kind is "VerticalPodAutoscaler", which is not supported; '
        "use HorizontalPodAutoscaler or ScaledObject",
    ),
    (
        {"spec.autoscalerRef": {**SCALER, "primaryScalerReplicas": {"minReplicas": 5, "maxReplicas": 4}}},
        "spec.autoscalerRef.primaryScalerReplicas.minReplicas",
        "spec.autoscalerRef.primaryScalerReplicas.minReplicas is 5, greater than its maxReplicas; swap or correct them",
    ),
    (
        {"spec.targetRef.kind": "StatefulSet"},
        "spec.targetRef.kind",
        'spec.targetRef.kind is "StatefulSet", which is not supported; use Deployment or DaemonSet',
    ),
    (
        {"spec.targetRef.kind": "DaemonSet", "spec.autoscalerRef": SCALER},
        "spec.autoscalerRef",
        "spec.autoscalerRef is for a Deployment, a DaemonSet has one pod on each node; remove it",
    ),
    (
        {"spec.targetRef.kind": "DaemonSet", "spec.promotion": {"strategy": "InPlace"}},
        "spec.promotion.strategy",
        'spec.promotion.strategy is "InPlace", which takes pods off nodes that have no other of a DaemonSet; '
        "use CutOver",
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
    *_cookie_cases(),
    *_connection_cases(),
    *route_cases(),
    (
        {f"{A}.webhooks": [WEBHOOK, {**WEBHOOK, "gateTimeout": "30m"}]},
        f"{A}.webhooks[1].gateTimeout",
        f'{A}.webhooks[].gateTimeout is "30m" at a hook that keeps no gate; remove it, or use type confirm-rollout, '
        "confirm-traffic-increase or confirm-promotion",
    ),
    (
        {f"{A}.webhooks": [{**WEBHOOK, "type": "confirm-rollout", "onTimeout": "Reject"}]},
        f"{A}.webhooks[0].onTimeout",
        f'{A}.webhooks[].onTimeout is "Reject" without gateTimeout; say how long the gate may stay shut, such as 30m',
    ),
    (
        {f"{A}.webhooks": [{**WEBHOOK, "headers": [{"name": "X-Team", "value": "a"}, {"name": "Host", "value": "b"}]}]},
        f"{A}.webhooks[0].headers[1].name",
        f'{A}.webhooks[].headers[].name is "Host", which the controller or a proxy sets; remove it',
    ),
    (
        {f"{A}.webhooks": [{**WEBHOOK, "headers": [{"name": "X Team", "value": "a"}]}]},
        f"{A}.webhooks[0].headers[0].name",
        f'{A}.webhooks[].headers[].name is "X Team"; it must be the name of a header: letters, digits and any of _.-',
    ),
    (
        {f"{A}.match": COHORT},
        f"{A}.match",
        f"{A}.match needs iterations; for weights after a cohort use steps[].match",
    ),
    (
        {**steps({"setWeight": 5}), f"{A}.match": COHORT},
        f"{A}.match",
        f"{A}.match needs iterations; for weights after a cohort use steps[].match",
    ),
    ({f"{A}.iterations": 10}, A, f"{PLANS} stepWeight iterations"),
    ({f"{A}.iterations": 10, f"{A}.steps": [{"setWeight": 5}]}, A, f"{PLANS} stepWeight iterations steps"),
    (
        iterations() | {f"{A}.iterations": 10001},
        f"{A}.iterations",
        f"{A}.iterations is 10001; it must be at most 10000",
    ),
    ({f"{A}.mirrorWeight": 101}, f"{A}.mirrorWeight", f"{A}.mirrorWeight is 101; it must be at most 100"),
    (steps({"setWeight": 5}, {}), f"{A}.steps[1]", f"{STEP_KEYS} none"),
    (steps({"match": []}), f"{A}.steps[0]", f"{STEP_KEYS} none"),
    (
        steps({"setWeight": 5, "pause": {"duration": "1m"}}),
        f"{A}.steps[0]",
        f"{STEP_KEYS} setWeight pause",
    ),
    (
        steps({"match": COHORT, "mirror": {}, "analysis": {"duration": "5m"}}),
        f"{A}.steps[0]",
        f"{STEP_KEYS} match mirror analysis",
    ),
    (steps({"setWeight": 0}), f"{A}.steps[0].setWeight", f"{STEPS}.setWeight is 0; it must be at least 1"),
    (steps({"setWeight": 101}), f"{A}.steps[0].setWeight", f"{STEPS}.setWeight is 101; it must be at most 100"),
    (
        steps({"setWeight": 20}, {"analysis": {"duration": "5m"}}, {"setWeight": 10}, {"setWeight": 50}),
        f"{A}.steps",
        f"{STEPS}.setWeight is in turn [20, 10, 50]; no weight may be lower than the one before it",
    ),
    (iterations(match=[{}]), f"{A}.match[0]", f"{A}.match[] {EVERYBODY}"),
    (iterations(match=[*COHORT, {"uri": {}, "name": "x"}]), f"{A}.match[1]", f"{A}.match[] {EVERYBODY}"),
    (steps({"match": [{"headers": {}}]}), f"{A}.steps[0].match[0]", f"{STEPS}.match[] {EVERYBODY}"),
    (steps({"setWeight": 5}, {"mirror": {"percentage": 50}}), f"{A}.steps", MIRROR_LATE),
    (steps({"mirror": {}}, {"setWeight": 5}, {"match": COHORT}, {"mirror": {}}), f"{A}.steps", MIRROR_LATE),
    (
        steps({"mirror": {"percentage": 0}}),
        f"{A}.steps[0].mirror.percentage",
        f"{STEPS}.mirror.percentage is 0; it must be at least 1",
    ),
    (
        steps({"pause": {"duration": "ten"}}),
        f"{A}.steps[0].pause.duration",
        f'{STEPS}.pause.duration is "ten"; it must be {DURATION_WORDS}',
    ),
    (
        steps({"analysis": {"duration": ""}}),
        f"{A}.steps[0].analysis.duration",
        f'{STEPS}.analysis.duration is ""; say how long to stay, such as 5m',
    ),
    (
        {"spec.promotion.bake": "ten"},
        "spec.promotion.bake",
        'spec.promotion.bake is "ten"; it must be 0s or a duration such as 45s, 5m or 1h30m',
    ),
    (
        iterations(match=[{"port": 0}]),
        f"{A}.match[0].port",
        f"{A}.match[].port is 0; it must be at least 1",
    ),
    *_string_match_cases(),
    (
        {f"{M}.0.name": "errors"},
        f"{M}[0].name",
        f'{M}[].name is "errors", which nobody knows; use request-success-rate or request-duration, or say by a '
        "templateRef or query what to ask",
    ),
    (
        {f"{M}.1.name": "errors", f"{M}.1.query": 'x{a="\n{{ revision }}"}'},
        f"{M}[1].query",
        f"{M}[].query has {{{{ revision }}}} at line 2, column 1, which stands for no value; known are name, "
        "namespace, target, primary, canary, service, ingress, route, interval and variables.KEY",
    ),
    (
        {"spec.metricsServer": "prometheus:9090"},
        "spec.metricsServer",
        'spec.metricsServer is "prometheus:9090"; it must be an address that begins with http:// or https://',
    ),
]

# As above: what a later version does.
UNSUPPORTED: list[tuple[dict[str, Any], str, str]] = [
    ({f"{S}.headless": True}, f"{S}.headless", f"{S}.headless is true, which is not supported yet"),
]

EVERY_CONDITION = {
    "name": "testers",
    "uri": {"prefix": "/items"},
    "scheme": {"exact": "https"},
    "method": {"regex": "GET|HEAD"},
    "authority": {"exact": "catalog.example.com"},
    "headers": {"cookie": {"regex": "^(.*?;)?(type=insider)(;.*)?$"}, "x-user": {}},
    "port": 80,
    "sourceLabels": {"app": "webapp"},
    "gateways": ["mesh"],
    "queryParams": {"test": {"exact": ""}},
    "ignoreUriCase": True,
    "withoutHeaders": {"x-bot": {}},
    "sourceNamespace": "istioinaction",
}

COOKIES = {
    "cookieName": "flagger-cookie",
    "primaryCookieName": "__Secure-primary",
    "domain": ".example.com",
    "path": "/app/(one)",
    "sameSite": "None",
    "secure": True,
    "httpOnly": True,
    "partitioned": True,
    "maxAge": 21600,
}
"""Every attribute of the cookies of a session."""

# What is accepted: values that mean nothing, and everything this version does.
ACCEPTED: list[dict[str, Any]] = [
    {f"{S}.virtualService": {"name": "shop-routes"}},
    {f"{S}.virtualService": {"name": "shop-routes", "namespace": "edge"}},
    {"spec.targetRef.kind": "DaemonSet"},
    {"spec.autoscalerRef": {**SCALER, "primaryScalerReplicas": {"minReplicas": 2, "maxReplicas": 2}}},
    {"spec.autoscalerRef": {**SCALER, "kind": "ScaledObject", "primaryScalerQueries": {"rps": "vector(1)"}}},
    {},
    {"apiVersion": "canary.delivery/v1beta1"},
    {"spec.provider": "", "spec.skipAnalysis": False, "spec.suspend": False, "spec.paused": False},
    {"spec.provider": "istio", "spec.revertOnDeletion": True, "spec.metricsServer": ""},
    {f"{A}.match": [], f"{A}.webhooks": [], f"{A}.alerts": [], f"{A}.steps": [], f"{A}.stepWeights": []},
    {f"{A}.alerts": [ALERT, {**ALERT, "severity": "warn", "providerRef": {"name": "x", "namespace": "y"}}]},
    {f"{A}.iterations": 0, f"{A}.mirror": False, f"{A}.mirrorWeight": 0, f"{A}.stepWeightPromotion": 0},
    {f"{A}.primaryReadyThreshold": 100, f"{A}.canaryReadyThreshold": 100, f"{A}.interval": ""},
    {f"{A}.primaryReadyThreshold": 0, f"{A}.canaryReadyThreshold": 99},
    {f"{A}.stepWeight": ABSENT, f"{A}.stepWeights": [1, 2, 10, 80]},
    {f"{A}.canaryScale": "Full", f"{A}.drainSeconds": 0, f"{A}.onNoData": "Pass"},
    {f"{M}.0.interval": "60s", f"{M}.0.minSamples": 10, f"{M}.0.onNoData": "Fail"},
    {f"{M}.0.reporter": "source", f"{M}.1.reporter": "destination", f"{M}.1.threshold": 500},
    {f"{A}.metrics": ABSENT},
    {f"{M}.0.name": "errors", f"{M}.0.query": "errors{a='{{ target }}'}", f"{M}.0.templateVariables": {"a": "b"}},
    {f"{M}.0.name": "errors", f"{M}.0.templateRef": {"name": "errors", "namespace": "shared"}},
    {f"{M}.0.templateRef": {"name": "errors"}, f"{M}.0.query": "up", f"{M}.0.minSamples": 3},
    {"spec.metricsServer": "https://prometheus.example/shop"},
    {"spec.promotion": {"strategy": "CutOver", "bake": "0s"}},
    {"spec.promotion": {"strategy": "InPlace", "bake": "0s"}},
    {"spec.promotion.bake": "10m", "spec.suspend": True, "spec.paused": True},
    {"spec.skipAnalysis": True, f"{A}.stepWeight": ABSENT},
    {f"{A}.stepWeightPromotion": 25},
    {"spec.skipAnalysis": True},
    {f"{A}.sessionAffinity": {"cookieName": "flagger-cookie", "maxAge": 0, "sameSite": "", "primaryCookieName": ""}},
    {f"{A}.sessionAffinity": COOKIES},
    {f"{A}.mirror": True, f"{A}.mirrorWeight": 20},
    {f"{A}.mirrorWeight": 20},
    iterations(),
    iterations(mirror=True, mirrorWeight=0),
    iterations(match=COHORT),
    iterations(match=[EVERY_CONDITION, *COHORT]),
    steps({"match": [EVERY_CONDITION]}),
    steps(
        {"mirror": {"percentage": 50}},
        {"match": COHORT},
        {"mirror": {}},
        {"pause": {"duration": "10m"}},
        {"pause": {}},
        {"pause": {"duration": ""}},
        {"setWeight": 10},
        {"analysis": {"duration": "5m"}},
        {"match": COHORT},
        {"setWeight": 10},
        {"setWeight": 100},
    ),
    {f"{S}.name": ABSENT, f"{S}.hosts": ABSENT, f"{S}.gateways": ABSENT, f"{S}.targetPort": "http"},
    {f"{S}.delegation": True, f"{S}.hosts": ABSENT, f"{S}.gateways": []},
    {f"{S}.delegation": False},
    {f"{S}.gateways": ["istio-system/public"], f"{S}.hosts": ["*"], f"{S}.appProtocol": "grpc"},
    TCP,
    TCP | {"spec.skipAnalysis": True, f"{A}.stepWeight": ABSENT},
    TCP | {f"{S}.match": [{"port": 31400}], f"{S}.timeout": "", f"{S}.delegation": False},
    TCP | iterations(match=[], mirror=False),
    TCP | steps({"setWeight": 10}, {"pause": {"duration": "1m"}}, {"analysis": {"duration": "1m"}}),
    {f"{S}.apex": {}, f"{S}.primary": {"labels": {}}, f"{S}.unmanagedMetadata": {"labels": []}},
    {
        f"{S}.apex": {"labels": {"team": "shop"}, "annotations": {"example.com/contact": "#shop"}},
        f"{S}.primary": {"annotations": {"prometheus.io/scrape": "true"}},
        f"{S}.canary": {"labels": {"team": "shop"}},
        f"{S}.unmanagedMetadata": {"labels": ["argocd.argoproj.io/instance"], "annotations": ["example.com/seen"]},
        f"{S}.trafficDistribution": "PreferClose",
        f"{S}.portDiscovery": True,
    },
    {
        f"{S}.timeout": "1500ms",
        f"{S}.retries": {"attempts": 3, "perTryTimeout": "2s", "retryOn": "5xx"},
        f"{S}.match": [{"uri": {"prefix": "/"}}],
        f"{S}.headers": {"request": {"set": {"x": "y"}}},
        f"{S}.rewrite": {"uri": "/"},
        f"{S}.corsPolicy": {"allowOrigins": [{"exact": "*"}], "maxAge": "24h"},
        f"{S}.fault": {"delay": {"fixedDelay": "1s", "percentage": {"value": 0.1}}},
    },
    *ROUTES,
]
