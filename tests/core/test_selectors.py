"""What selected the target's pods selects both clones' too: policies, disruption budgets, network rules (R-SEC-1)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.api.status import Revisions
from canary.core.decide import decide
from canary.core.due import due
from canary.core.names import REVISION_LABEL, ROLE_LABEL, Role
from canary.core.revisions import revision_id
from canary.core.snapshot import Snapshot
from canary.core.view import View
from canary.core.workload import Workload
from tests.answers import good
from tests.builders import (
    NAMES,
    at,
    clone,
    deployment,
    find,
    idle,
    kept,
    names_of,
    new_target,
    promoting,
    template,
    untouched,
    written,
)
from tests.builders import settled as drained

MANIFESTS = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: catalog-mtls}
spec:
  selector: {}
  mtls: {mode: STRICT}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: catalog-viewer}
spec:
  selector: {}
  action: ALLOW
  rules:
  - from: [{source: {principals: [cluster.local/ns/istioinaction/sa/webapp]}}]
    to: [{operation: {methods: [GET]}}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: catalog-tokens}
spec:
  selector: {}
  jwtRules:
  - {issuer: auth@istioinaction.io, jwks: '{"keys": []}'}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: catalog-egress}
spec:
  workloadSelector: {}
  egress:
  - hosts: [./*, istio-system/*]
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: catalog-rate-limit}
spec:
  workloadSelector: {}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND}
    patch: {operation: INSERT_BEFORE, value: {name: envoy.filters.http.ratelimit}}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: catalog-headers}
spec:
  selector: {}
  url: oci://registry.example/headers:1
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: catalog-traces}
spec:
  selector: {}
  tracing: [{randomSamplingPercentage: 10}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: catalog-from-webapp}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress: [{from: [{podSelector: {matchLabels: {app: webapp}}}]}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: catalog}
spec:
  minAvailable: 1
  selector: {}
"""

PLACES = {
    "PeerAuthentication": ("selector", "matchLabels"),
    "AuthorizationPolicy": ("selector", "matchLabels"),
    "RequestAuthentication": ("selector", "matchLabels"),
    "Sidecar": ("workloadSelector", "labels"),
    "EnvoyFilter": ("workloadSelector", "labels"),
    "WasmPlugin": ("selector", "matchLabels"),
    "Telemetry": ("selector", "matchLabels"),
    "NetworkPolicy": ("podSelector", "matchLabels"),
    "PodDisruptionBudget": ("selector", "matchLabels"),
}
"""Where each kind keeps the labels it selects pods by."""

POLICIES = {one["kind"]: one for one in yaml.safe_load_all(MANIFESTS)}
WITH_EXPRESSIONS = ("NetworkPolicy", "PodDisruptionBudget")

KEYS = ("app", "version", "tier", "app.kubernetes.io/name", "istio.io/rev", "security.istio.io/tlsMode")
VALUES = ("catalog", "v1", "v2", "web", "istio", "")

some_labels = st.dictionaries(st.sampled_from(KEYS[1:]), st.sampled_from(VALUES))
wanted_labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
expressions = st.builds(
    lambda key, operator, values: {
        "key": key,
        "operator": operator,
        **({"values": sorted(values)} if operator.endswith("In") else {}),
    },
    st.sampled_from(KEYS),
    st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist")),
    st.sets(st.sampled_from(VALUES), min_size=1),
)


def manifest(kind: str, labels: Mapping[str, str], terms: list[dict[str, Any]]) -> Any:
    """Return the object of a kind that selects pods by these labels, and by these expressions where it can."""
    found, (place, field) = deepcopy(POLICIES[kind]), PLACES[kind]
    found["spec"][place] = {field: dict(labels), **({"matchExpressions": terms} if kind in WITH_EXPRESSIONS else {})}
    return found


def selects(policy: Any, pod: Mapping[str, str]) -> bool:
    """Return whether an object of one of the kinds applies to pods with these labels."""
    place, field = PLACES[policy["kind"]]
    selector = policy["spec"][place]
    equal = all(pod.get(key) == value for key, value in selector[field].items())
    return equal and all(_meets(one, pod) for one in selector.get("matchExpressions", ()))


def _meets(term: Mapping[str, Any], pod: Mapping[str, str]) -> bool:
    match term["operator"]:
        case "In":
            return pod.get(term["key"]) in term["values"]
        case "NotIn":
            return pod.get(term["key"]) not in term["values"]
        case "Exists":
            return term["key"] in pod
    return term["key"] not in pod


def pods_of(snapshot: Snapshot, role: Role) -> dict[str, str]:
    """Return the labels of one side's pods after what the controller decides on a moment."""
    decided = decide(snapshot, good(due(View(snapshot, (), at(60)))), at(60))
    clones = {"primary": snapshot.primary, "canary": snapshot.candidate}
    before = clones[role].raw if clones[role] is not None else None
    after = written(before, find(decided.actions, NAMES.workload(role)))
    assert after is not None, f"{role} is not made: {names_of(decided.actions)}"
    return Workload(after).pod_labels


def clones_of(labels: Mapping[str, str], former: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Return the labels of pods of a template in each way a clone comes by it, after one with other labels."""
    pod, old = template("catalog:v2", **labels), template("catalog:v1", **former)
    target, known = new_target(pod), {"revisions": kept(old, pod)}
    ids = Revisions(primary=revision_id(old), candidate=revision_id(pod))
    status = {"revision": ids, "last_applied_spec": ids.candidate}
    left = clone("canary", old, 0)
    first = idle(target=target, **known)
    cut_over = promoting(status={**status, **drained("primary")}, target=target, primary=clone("primary", old), **known)
    return {
        "primary, made": pods_of(untouched(target=deployment(pod=pod)), "primary"),
        "canary, made": pods_of(first, "canary"),
        "canary, replaced": pods_of(replace(first, candidate=left), "canary"),
        "primary, promoted": pods_of(replace(cut_over, candidate=clone("canary", pod)), "primary"),
    }


@settings(max_examples=40, deadline=None)
@given(labels=some_labels, former=some_labels, wanted=wanted_labels, terms=st.lists(expressions, max_size=2))
def test_policies_apply_to_both_clones_as_to_the_target(
    labels: dict[str, str], former: dict[str, str], wanted: dict[str, str], terms: list[dict[str, Any]]
) -> None:
    """A selector over the user's labels matches the pods of both sides when it matches the target's, and only then."""
    own = template(**labels)["metadata"]["labels"]
    some = dict(list(own.items())[: len(wanted)])
    sides = clones_of(labels, former)
    for kind in PLACES:
        assert selects(manifest(kind, some, []), own)
        for policy in (manifest(kind, wanted, terms), manifest(kind, some, terms), manifest(kind, some, [])):
            for side, found in sides.items():
                assert selects(policy, found) == selects(policy, own), f"{policy} and {side}: {found}"


@settings(max_examples=20, deadline=None)
@given(labels=some_labels, former=some_labels)
def test_clones_differ_from_the_target_in_our_two_labels_alone(labels: dict[str, str], former: dict[str, str]) -> None:
    """Every label of the template is on both sides' pods, none of a former template stays, and ours are prefixed."""
    own = template(**labels)["metadata"]["labels"]
    for side, found in clones_of(labels, former).items():
        ours = {ROLE_LABEL: side.partition(",")[0], REVISION_LABEL: revision_id(template("catalog:v2", **labels))}
        assert found == {**own, **ours}


def test_policy_for_one_version_follows_the_label_and_not_the_side() -> None:
    """A policy that selects a version by its label holds for the side that runs it, as in a rolling update."""
    old, new = template(version="v1"), template("catalog:v2", version="v2")
    sides = {"primary": clone("primary", old).pod_labels, "canary": clone("canary", new).pod_labels}
    for version, holds in (("v1", {"primary"}), ("v2", {"canary"})):
        policy = manifest("AuthorizationPolicy", {"app": "catalog", "version": version}, [])
        assert {side for side, pod in sides.items() if selects(policy, pod)} == holds
