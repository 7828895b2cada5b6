"""What a Canary asks for in vain, and in which words it is told."""

from typing import Any

import pytest

from canary.api.warnings import WARNINGS, warnings

from .manifests import ABSENT, COOKIES, SCALER, A, M, S, iterations, listing, steps

WIDE = {"gateways": ["mesh"], "sourceLabels": {"app": "web"}}
BESIDE = {"gateways": ["mesh", "edge/public"], "sourceNamespace": "web"}
NO_CEILING = {f"{A}.maxWeight": ABSENT}
PLAN = {**steps({"setWeight": 5}), f"{A}.maxWeight": ABSENT}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({f"{A}.stepWeight": ABSENT, f"{A}.stepWeights": [1, 5]}, f"{A}.maxWeight is 50 and is ignored: the last"),
        ({f"{A}.stepWeight": ABSENT, f"{A}.iterations": 3}, f"{A}.maxWeight is 50 and is ignored: iterations have no"),
        (steps({"setWeight": 5}), f"{A}.maxWeight is 50 and is ignored: steps say their weights"),
        ({f"{A}.mirrorWeight": 20}, f"{A}.mirrorWeight is 20 and is ignored: mirror is not true"),
        ({**PLAN, f"{A}.mirror": True}, f"{A}.mirror is true and is ignored: steps says when"),
        ({**PLAN, f"{A}.mirrorWeight": 20}, f"{A}.mirrorWeight is 20 and is ignored: steps says"),
        (
            {"spec.autoscalerRef": {**SCALER, "primaryScalerQueries": {"rps": "vector(1)"}}},
            "spec.autoscalerRef.primaryScalerQueries is ignored: a HorizontalPodAutoscaler has no triggers",
        ),
        (
            iterations(match=[{"uri": {"exact": "/"}}, WIDE]) | NO_CEILING,
            f"{A}.match[1].sourceLabels is ignored: Istio",
        ),
        (steps({"match": [WIDE]}) | NO_CEILING, f"{A}.steps[0].match[0].sourceLabels is ignored: Istio heeds none"),
        (
            {f"{S}.match": [BESIDE]},
            f"{S}.match[0].sourceNamespace is ignored: Istio heeds none beside gateways; remove",
        ),
        (
            iterations(match=[{"uri": {"exact": "/"}}, {"uri": {"exact": "items"}}]) | NO_CEILING,
            f'{A}.match[1].uri.exact is "items", which no request meets: begin it with /',
        ),
        (
            steps({"match": [{"uri": {"prefix": "api/"}}]}) | NO_CEILING,
            f'{A}.steps[0].match[0].uri.prefix is "api/", which no request meets: begin it with /',
        ),
        (
            {f"{S}.match": [{"method": {"exact": "Get"}}]},
            f'{S}.match[0].method.exact is "Get", which no request meets: write it in upper case',
        ),
        ({"spec.revertOnDeletion": True}, "spec.revertOnDeletion is true and is ignored"),
        (
            {f"{M}.0.thresholdRange.interval": "10s"},
            f'{M}[0].interval is "10s": a window shorter than twice the scrape interval has no rate',
        ),
        ({f"{M}.0.thresholdRange": ABSENT}, f"{M}[0] (request-success-rate) has neither min nor max"),
        (
            {**iterations(sessionAffinity={"cookieName": "a"}), f"{A}.maxWeight": ABSENT},
            f"{A}.sessionAffinity is ignored: the plan gives the canary no weight",
        ),
        (
            {f"{A}.sessionAffinity": {"cookieName": "a", "sameSite": "None"}},
            f'{A}.sessionAffinity.sameSite is "None" without secure: browsers keep no such cookie; set secure',
        ),
        (
            {f"{A}.sessionAffinity": {"cookieName": "a", "partitioned": True}},
            f"{A}.sessionAffinity.partitioned is true without secure: browsers keep no such cookie; set secure",
        ),
        (
            {f"{A}.sessionAffinity": {"cookieName": "__Secure-shop"}},
            f'{A}.sessionAffinity.cookieName is "__Secure-shop" without secure: browsers keep no such cookie; set',
        ),
        (
            {
                f"{A}.sessionAffinity": {
                    "cookieName": "a",
                    "primaryCookieName": "__Host-b",
                    "secure": True,
                    "path": "/b",
                }
            },
            f'{A}.sessionAffinity.primaryCookieName is "__Host-b" beside path "/b": browsers keep no such cookie',
        ),
        (
            {f"{A}.sessionAffinity": {"cookieName": "__host-b", "secure": True, "domain": "shop.io"}},
            f'{A}.sessionAffinity.cookieName is "__host-b" beside domain "shop.io": browsers keep no such cookie',
        ),
        ({f"{S}.backendTimeout": "3s"}, f"{S}.backendTimeout is ignored"),
        (
            {f"{M}.0.templateRef": {"name": "x"}, f"{M}.0.query": "up"},
            f"{M}[0].query is ignored: the MetricTemplate of templateRef says what to ask",
        ),
        ({f"{M}.0.query": "up", f"{M}.0.minSamples": 5}, f"{M}[0].minSamples is 5 and is ignored: a custom check has"),
        ({f"{M}.0.query": "up", f"{M}.0.reporter": "source"}, f'{M}[0].reporter is "source" and is ignored: the query'),
    ],
    ids=str,
)
def test_spec_warns_of_what_is_asked_in_vain(changes: dict[str, Any], words: str) -> None:
    """Warn once of what has no effect."""
    (warning,) = warnings(listing(changes))
    assert warning.message.startswith(words)
    assert warning.reason in {reason for reason, _ in WARNINGS}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {f"{A}.sessionAffinity": COOKIES},
        {f"{A}.sessionAffinity": {"cookieName": "__Host-a", "secure": True, "path": "/"}},
        {f"{A}.mirror": True, f"{A}.mirrorWeight": 20},
        {f"{A}.mirrorWeight": 0},
        {f"{S}.match": [{"gateways": ["mesh"]}, {"sourceLabels": {"app": "web"}, "sourceNamespace": "shop"}]},
        {**PLAN, **steps({"mirror": {}})},
        {f"{S}.match": [{"uri": {"prefix": "/api"}, "method": {"exact": "GET"}}, {"uri": {"exact": "*"}}]},
        {f"{S}.match": [{"uri": {"regex": ".*/api"}, "method": {"regex": "(?i)get"}}, {"scheme": {"exact": "http"}}]},
        {f"{S}.match": [{"headers": {"x-group": {"exact": "staff"}}, "queryParams": {"uri": {"exact": "a"}}}]},
    ],
)
def test_spec_has_no_warning_for_what_has_an_effect(changes: dict[str, Any]) -> None:
    """Say nothing about listing 5.1, and nothing about a mirror that is used."""
    assert warnings(listing(changes)) == ()
