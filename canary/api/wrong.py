"""What no version accepts: rules over more than one field, and rules over time."""

import re

from canary.api.connections import CONNECTION_RULES
from canary.api.duration import PATTERN, parse_duration
from canary.api.gates import GATE_RULES
from canary.api.metric import BUILT_IN
from canary.api.plans import PLAN_RULES
from canary.api.query import form_rule
from canary.api.rules import NOTHING, Node, Rule, Unquoted, quoted

SCALED_OBJECT = "ScaledObject"
TARGETS = ("Deployment", "DaemonSet")
SCALERS = ("HorizontalPodAutoscaler", SCALED_OBJECT)
LONGEST_APEX, LONGEST_CANARY = 55, 63
SERVICE_NAME = "^[a-z]([-a-z0-9]*[a-z0-9])?$"
ADDRESS = ("hosts", "gateways")
_ADDRESSED = {field: f"has(self.{field}) && size(self.{field}) > 0" for field in ADDRESS}
_APEX = "(has(self.service.name) && self.service.name != '' ? self.service.name : self.targetRef.name)"
_OLD_APEX = _APEX.replace("self.", "oldSelf.")


def window_given_twice(metric: Node) -> object:
    """Find a window given beside and inside thresholdRange, with different values."""
    beside = metric.get("interval") or ""
    inside = (metric.get("thresholdRange") or {}).get("interval") or ""
    if not (beside and inside and re.fullmatch(PATTERN, beside) and re.fullmatch(PATTERN, inside)):
        return NOTHING
    return NOTHING if parse_duration(beside) == parse_duration(inside) else beside


def bounds_crossed(metric: Node) -> object:
    """Find a range that no value is in."""
    bounds = metric.get("thresholdRange") or {}
    low, high = bounds.get("min"), bounds.get("max")
    return NOTHING if low is None or high is None or low <= high else float(low)


def check_unknown(metric: Node) -> object:
    """Find a check that neither we nor the user know."""
    known = metric["name"] in BUILT_IN or metric.get("templateRef") or metric.get("query")
    return NOTHING if known else metric["name"]


def bakes_in_place(promotion: Node) -> object:
    """Find a bake at 100 % of a canary that never gets there."""
    bake = promotion.get("bake") or "0s"
    return bake if promotion.get("strategy") == "InPlace" and bake != "0s" else NOTHING


def provider_not_istio(spec: Node) -> object:
    """Find another provider than Istio."""
    return NOTHING if spec.get("provider") in (None, "", "istio") else spec["provider"]


def target_of_another_kind(target: Node) -> object:
    """Find another kind of target than those that can be released."""
    return NOTHING if target["kind"] in TARGETS else target["kind"]


def scaler_of_a_daemon_set(spec: Node) -> object:
    """Find an autoscaler for what has no number of pods."""
    daemons = (spec.get("targetRef") or {}).get("kind") == "DaemonSet"
    return spec["autoscalerRef"] if daemons and spec.get("autoscalerRef") is not None else NOTHING


def daemon_set_in_place(spec: Node) -> object:
    """Find a primary to be rolled under traffic of which a node has one pod alone."""
    daemons = (spec.get("targetRef") or {}).get("kind") == "DaemonSet"
    strategy = (spec.get("promotion") or {}).get("strategy")
    return strategy if daemons and strategy == "InPlace" else NOTHING


def target_not_in_apps_v1(target: Node) -> object:
    """Find another API version of the target than apps/v1."""
    return NOTHING if target["apiVersion"] == "apps/v1" else target["apiVersion"]


def scaler_of_another_kind(scaler: Node) -> object:
    """Find another kind of autoscaler than the known ones."""
    return NOTHING if scaler["kind"] in SCALERS else scaler["kind"]


def scaler_bounds_crossed(bounds: Node) -> object:
    """Find bounds that no size is in."""
    low, high = bounds.get("minReplicas"), bounds.get("maxReplicas")
    return NOTHING if low is None or high is None or low <= high else low


def apex_too_long(spec: Node) -> object:
    """Find an apex name from which no other names can be made."""
    return apex(spec) if len(apex(spec)) > LONGEST_APEX else NOTHING


def apex_not_a_service_name(spec: Node) -> object:
    """Find an apex name that no Service can have."""
    return NOTHING if re.fullmatch(SERVICE_NAME.strip("^$"), apex(spec)) else apex(spec)


def canary_name_too_long(canary: Node) -> object:
    """Find a Canary name that is no label value."""
    name = canary["metadata"]["name"]
    return name if len(name) > LONGEST_CANARY else NOTHING


def cookies_with_one_name(affinity: Node) -> object:
    """Find two cookies that share one name."""
    name = affinity.get("cookieName")
    return name if name == affinity.get("primaryCookieName") else NOTHING


def addressed_delegate(service: Node) -> object:
    """Find hosts or gateways beside delegation."""
    given = [field for field in ADDRESS if service.get(field)]
    return Unquoted(" and ".join(given)) if service.get("delegation") and given else NOTHING


def nothing_at_once(_: Node) -> object:
    """Find nothing: a rule over time is seen by the API server only."""
    return NOTHING


def apex(spec: Node) -> str:
    """Return the apex name of a well-typed raw spec."""
    return str(spec["service"].get("name") or spec["targetRef"]["name"])


WRONG: tuple[Rule, ...] = (
    Rule(
        "",
        "metadata.name",
        canary_name_too_long,
        f"metadata.name is {{value}}, longer than {LONGEST_CANARY} characters; shorten it",
        f"oldSelf.hasValue() || size(self.metadata.name) <= {LONGEST_CANARY}",
        quoted("self.metadata.name"),
        create_only=True,
    ),
    *PLAN_RULES,
    *GATE_RULES,
    *CONNECTION_RULES,
    Rule(
        "spec.promotion",
        "bake",
        bakes_in_place,
        "spec.promotion.bake is {value} beside strategy InPlace, which never gives the canary all the traffic; "
        "remove it, or use CutOver",
        "!has(self.strategy) || self.strategy != 'InPlace' || !has(self.bake) || self.bake in ['', '0s']",
        quoted("self.bake"),
    ),
    Rule(
        "spec.analysis.metrics[]",
        "interval",
        window_given_twice,
        "spec.analysis.metrics[].interval is {value} and thresholdRange.interval is another; "
        "give one of them, or both alike",
        "!has(self.interval) || !has(self.thresholdRange) || !has(self.thresholdRange.interval) || "
        "self.interval == '' || self.thresholdRange.interval == '' || "
        f"!self.interval.matches('{PATTERN}') || !self.thresholdRange.interval.matches('{PATTERN}') || "
        "duration(self.interval) == duration(self.thresholdRange.interval)",
        quoted("self.interval"),
    ),
    Rule(
        "spec.analysis.metrics[]",
        "thresholdRange",
        bounds_crossed,
        "spec.analysis.metrics[].thresholdRange.min is {value}, greater than its max; "
        "no value could pass, swap or correct them",
        "!has(self.thresholdRange) || !has(self.thresholdRange.min) || !has(self.thresholdRange.max) || "
        "self.thresholdRange.min <= self.thresholdRange.max",
        "self.thresholdRange.min",
    ),
    Rule(
        "spec.analysis.metrics[]",
        "name",
        check_unknown,
        "spec.analysis.metrics[].name is {value}, which nobody knows; "
        f"use {' or '.join(BUILT_IN)}, or say by a templateRef or query what to ask",
        f"self.name in {list(BUILT_IN)} || has(self.templateRef) || (has(self.query) && self.query != '')",
        quoted("self.name"),
    ),
    form_rule("spec.analysis.metrics[]"),
    Rule(
        "spec",
        "provider",
        provider_not_istio,
        "spec.provider is {value}, which is not supported; use istio or remove it",
        "!has(self.provider) || self.provider in ['', 'istio']",
        quoted("self.provider"),
    ),
    Rule(
        "spec.targetRef",
        "kind",
        target_of_another_kind,
        f"spec.targetRef.kind is {{value}}, which is not supported; use {' or '.join(TARGETS)}",
        f"self.kind in {list(TARGETS)}",
        quoted("self.kind"),
    ),
    Rule(
        "spec",
        "promotion.strategy",
        daemon_set_in_place,
        "spec.promotion.strategy is {value}, which takes pods off nodes that have no other of a DaemonSet; use CutOver",
        "self.targetRef.kind != 'DaemonSet' || !has(self.promotion) || !has(self.promotion.strategy) || "
        "self.promotion.strategy != 'InPlace'",
        quoted("self.promotion.strategy"),
    ),
    Rule(
        "spec",
        "autoscalerRef",
        scaler_of_a_daemon_set,
        "spec.autoscalerRef is for a Deployment, a DaemonSet has one pod on each node; remove it",
        "!has(self.autoscalerRef) || self.targetRef.kind != 'DaemonSet'",
    ),
    Rule(
        "spec.targetRef",
        "apiVersion",
        target_not_in_apps_v1,
        "spec.targetRef.apiVersion is {value}, which is not supported; use apps/v1",
        "self.apiVersion == 'apps/v1'",
        quoted("self.apiVersion"),
    ),
    Rule(
        "spec.autoscalerRef",
        "kind",
        scaler_of_another_kind,
        f"spec.autoscalerRef.kind is {{value}}, which is not supported; use {' or '.join(SCALERS)}",
        f"self.kind in {list(SCALERS)}",
        quoted("self.kind"),
    ),
    Rule(
        "spec.autoscalerRef.primaryScalerReplicas",
        "minReplicas",
        scaler_bounds_crossed,
        "spec.autoscalerRef.primaryScalerReplicas.minReplicas is {value}, greater than its maxReplicas; "
        "swap or correct them",
        "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
        "self.minReplicas",
    ),
    Rule(
        "spec",
        "service.name",
        apex_too_long,
        "spec.service.name (or else spec.targetRef.name) is {value}, "
        f"longer than {LONGEST_APEX} characters; shorten it",
        f"size({_APEX}) <= {LONGEST_APEX}",
        quoted(_APEX),
    ),
    Rule(
        "spec",
        "service.name",
        apex_not_a_service_name,
        "spec.service.name (or else spec.targetRef.name) is {value}; a Service name has lower case letters, "
        "digits and hyphens, and begins with a letter",
        f"{_APEX}.matches('{SERVICE_NAME}')",
        quoted(_APEX),
    ),
    Rule(
        "spec.service",
        "delegation",
        addressed_delegate,
        "spec.service.delegation is true beside {value}; they are those of the VirtualService that delegates, "
        "remove them here",
        f"!has(self.delegation) || !self.delegation || !({' || '.join(map('({})'.format, _ADDRESSED.values()))})",
        f"({' && '.join(_ADDRESSED.values())}) ? 'hosts and gateways' : ({_ADDRESSED['hosts']}) ? 'hosts' : 'gateways'",
    ),
    Rule(
        "spec.analysis.sessionAffinity",
        "primaryCookieName",
        cookies_with_one_name,
        "spec.analysis.sessionAffinity.primaryCookieName is {value}, as cookieName is; "
        "the two cookies need different names",
        "!has(self.primaryCookieName) || self.primaryCookieName != self.cookieName",
        quoted("self.primaryCookieName"),
    ),
    Rule(
        "spec",
        "targetRef",
        nothing_at_once,
        "spec.targetRef cannot change; delete this Canary and make another",
        "self.targetRef == oldSelf.targetRef",
    ),
    Rule(
        "spec",
        "service.name",
        nothing_at_once,
        "spec.service.name cannot change; delete this Canary and make another",
        f"!has(oldSelf.service) || {_APEX} == {_OLD_APEX}",
    ),
    Rule(
        "spec",
        "service.virtualService",
        nothing_at_once,
        "spec.service.virtualService cannot change; delete this Canary, which leaves the route as it was, and make "
        "another",
        "!has(oldSelf.service) || (has(self.service.virtualService) == has(oldSelf.service.virtualService) && "
        "(!has(self.service.virtualService) || self.service.virtualService == oldSelf.service.virtualService))",
    ),
)
