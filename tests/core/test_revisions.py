"""Revisions: what is pinned, what is derived from it, and how it is kept."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.core.names import CANARY_LABEL, NOT_PRUNED, OWNER, REVISION_LABEL, ROLE_LABEL, Role
from canary.core.revisions import derive, from_object, pin, reconstruct, revision_id, to_object
from tests.builders import NAMES, NS, OWNER_MARK, V1, V2, clone, deployment, template

OWN = {"matchLabels": {"app": "catalog"}}
OTHERS = {"matchLabels": {"app": "webapp"}}


def spread(selector: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
    """Return a template with a selector, and more of the term, in each place that keeps pods apart."""
    pod = copy.deepcopy(template(tier="web"))
    term = {
        **more,
        "topologyKey": "kubernetes.io/hostname",
        **({"labelSelector": selector} if selector is not None else {}),
    }
    pod["spec"] |= {
        "affinity": {
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [copy.deepcopy(term)],
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "podAffinityTerm": copy.deepcopy(term)}
                ],
            },
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [copy.deepcopy(term)]},
        },
        "topologySpreadConstraints": [{"maxSkew": 1, **copy.deepcopy(term)}],
    }
    return pod


def selectors(pod: dict[str, Any]) -> list[Any]:
    """Return the selectors of anti-affinity and spread."""
    anti = pod["spec"]["affinity"]["podAntiAffinity"]
    return [
        anti["requiredDuringSchedulingIgnoredDuringExecution"][0].get("labelSelector"),
        anti["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"].get("labelSelector"),
        pod["spec"]["topologySpreadConstraints"][0].get("labelSelector"),
    ]


@pytest.mark.parametrize("role", ["primary", "canary"])
def test_derived_keeps_all_labels(role: Role) -> None:
    """Both sides carry the user's labels, so policies selecting them go on applying (R-SEC-1)."""
    pod = template(version="v1", team="shop")
    pod["metadata"]["annotations"] = {"prometheus.io/scrape": "true"}
    derived = derive(pod, role, "rev")
    added = {ROLE_LABEL: role, REVISION_LABEL: "rev"}
    assert derived["metadata"]["labels"] == {"app": "catalog", "version": "v1", "team": "shop", **added}
    assert derived["metadata"]["annotations"] == {"prometheus.io/scrape": "true"}
    assert derived["spec"] == pod["spec"]


@pytest.mark.parametrize("role", ["primary", "canary"])
def test_derived_keeps_apart_only_its_own_side(role: Role) -> None:
    """Anti-affinity and spread among the template's own pods are narrowed to the role."""
    pod = spread(OWN)
    derived = derive(pod, role, "rev")
    assert selectors(derived) == [{"matchLabels": {"app": "catalog", ROLE_LABEL: role}}] * 3
    assert derived["spec"]["affinity"]["podAffinity"] == pod["spec"]["affinity"]["podAffinity"]
    assert selectors(pod) == [OWN] * 3


@pytest.mark.parametrize(
    "expression",
    [
        {"key": "app", "operator": "In", "values": ["catalog", "webapp"]},
        {"key": "app", "operator": "Exists"},
        {"key": "app", "operator": "NotIn", "values": ["webapp"]},
        {"key": "nobody", "operator": "DoesNotExist"},
    ],
)
def test_derived_narrows_selectors_by_expression(expression: dict[str, Any]) -> None:
    """A selector that matches the template's own labels by expressions is narrowed too."""
    derived = derive(spread({"matchExpressions": [expression]}), "primary", "rev")
    wanted = {"matchExpressions": [expression], "matchLabels": {ROLE_LABEL: "primary"}}
    assert selectors(derived) == [wanted] * 3


@pytest.mark.parametrize(
    "selector",
    [
        OTHERS,
        None,
        {},
        {"matchLabels": {"app": "catalog", "more": "x"}},
        {"matchExpressions": [{"key": "app", "operator": "In", "values": ["webapp"]}]},
        {"matchLabels": {"app": "catalog"}, "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
    ],
)
def test_derived_leaves_selectors_of_others(selector: dict[str, Any] | None) -> None:
    """Selectors that do not match the template's own pods are carried as they stand."""
    pod = spread(selector)
    assert derive(pod, "primary", "rev")["spec"] == pod["spec"]


@pytest.mark.parametrize(
    "term", [{"namespaceSelector": {}}, {"namespaces": ["staging"]}, {"namespaces": [NS, "staging"]}]
)
def test_derived_leaves_terms_about_other_namespaces(term: dict[str, Any]) -> None:
    """Pods of other namespaces carry no role: the user's term that names them holds as it stands."""
    pod = spread(OWN, **term)
    pod["spec"].pop("topologySpreadConstraints")
    assert pin(deployment(pod=pod), 1).primary["spec"] == pod["spec"]


def test_derived_narrows_a_term_that_names_its_own_namespace() -> None:
    """To name the namespace in which the pods run anyway makes no difference."""
    pod = spread(OWN, namespaces=[NS])
    assert selectors(dict(pin(deployment(pod=pod), 1).canary))[0]["matchLabels"][ROLE_LABEL] == "canary"


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=5))
def test_revision_id_names_the_content(extra: dict[str, Any]) -> None:
    """Equal templates have equal names whatever the order of keys; the name fits a label."""
    pod = {**V1, "extra": extra}
    turned = dict(reversed(list(pod.items())))
    assert revision_id(pod) == revision_id(turned)
    assert revision_id(pod) != revision_id({**pod, "more": 1})
    assert len(revision_id(pod)) <= 20


def test_kept_revision_comes_back_whole() -> None:
    """A ControllerRevision holds the template as read and both templates as written."""
    pinned = pin(deployment(pod=V2), 7)
    obj = to_object(pinned, NAMES, OWNER_MARK)
    found = from_object({**obj, "metadata": {**obj["metadata"], "uid": "u", "resourceVersion": "1"}})
    assert found is not None
    assert (found.id, found.template, found.number) == (revision_id(V2), V2, 7)
    assert found.derived("primary") == derive(V2, "primary", found.id)
    assert found.derived("canary") == derive(V2, "canary", found.id)
    assert obj["revision"] == 7


def test_kept_revision_carries_our_marks_alone() -> None:
    """No user label is on it: other controllers adopt matching orphans; GitOps tools do not prune it."""
    metadata = to_object(pin(deployment(pod=V1), 1), NAMES, OWNER_MARK)["metadata"]
    assert metadata["name"] == f"catalog-canary-{revision_id(V1)}"
    assert metadata["labels"] == {CANARY_LABEL: "catalog-release", REVISION_LABEL: revision_id(V1)}
    assert metadata["annotations"] == {OWNER: OWNER_MARK.to_text(), **NOT_PRUNED}


@pytest.mark.parametrize("drop", ["labels", "annotations", "data"])
def test_revision_of_others_is_not_read(drop: str) -> None:
    """A ControllerRevision without our marks or data is not one of ours."""
    obj = to_object(pin(deployment(), 1), NAMES, OWNER_MARK)
    if drop == "data":
        obj["data"] = {"spec": {}}
    else:
        obj["metadata"].pop(drop)
    assert from_object(obj) is None


@pytest.mark.parametrize(
    "pod",
    [
        V1,
        spread(OWN),
        spread(OTHERS),
        spread(OWN, namespaces=["x"]),
        spread({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
    ],
)
def test_revision_is_reconstructed_from_the_primary(pod: dict[str, Any]) -> None:
    """A record deleted by hand is made again from what the primary runs."""
    made = reconstruct(clone("primary", pod), 4)
    pinned = pin(deployment(pod=pod), 4)
    assert (made.id, made.template) == (pinned.id, pinned.template)
    assert (made.primary, made.canary) == (pinned.primary, pinned.canary)
