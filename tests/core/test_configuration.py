"""Configuration: what a template refers to, what is pinned of it, and what copies are called."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.core.configuration import (
    DIGEST,
    SOURCE,
    Configuration,
    Source,
    copies_of,
    copy_name,
    copy_object,
    digest_of,
    is_tracked,
    look,
    references,
)
from canary.core.names import CANARY_LABEL, OWNER, REVISION_LABEL
from canary.core.objects import CONFIG_MAP, SECRET, Object, Resource
from canary.core.revisions import derive, from_object, pin, reconstruct, revision_id, to_object
from tests.builders import NAMES, NS, OWNER_MARK, V1, deployment, template

MAP, KEY = Source(CONFIG_MAP, "settings"), Source(SECRET, "key")
ONE, TWO = "1" * 16, "2" * 16
NAME = "settings"
PLACES: dict[str, dict[str, Any]] = {
    "volume": {"volumes": [{"name": "v", "configMap": {"name": NAME}}]},
    "projected": {"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": NAME}}]}}]},
    "envFrom": {"containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": NAME}}]}]},
    "env": {
        "containers": [
            {"name": "c", "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": NAME, "key": "a"}}}]}
        ]
    },
    "init": {"initContainers": [{"name": "c", "envFrom": [{"prefix": "P_", "configMapRef": {"name": NAME}}]}]},
    "ephemeral": {"ephemeralContainers": [{"name": "c", "envFrom": [{"configMapRef": {"name": NAME}}]}]},
}
SECRET_PLACES: dict[str, dict[str, Any]] = {
    "volume": {"volumes": [{"name": "v", "secret": {"secretName": "key"}}]},
    "projected": {"volumes": [{"name": "v", "projected": {"sources": [{"secret": {"name": "key"}}]}}]},
    "envFrom": {"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": "key"}}]}]},
    "env": {"containers": [{"name": "c", "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "key"}}}]}]},
}


def pod(**spec: Any) -> dict[str, Any]:
    """Return a pod template with these parts."""
    return {"metadata": {"labels": {"app": "catalog"}}, "spec": spec}


def reading(name: str = NAME, **more: Any) -> dict[str, Any]:
    """Return a pod template that takes its environment from a ConfigMap."""
    return pod(containers=[{"name": "catalog", "envFrom": [{"configMapRef": {"name": name, **more}}]}])


def cached(name: str = NAME, digest: str = ONE, kind: str = "ConfigMap", **metadata: Any) -> dict[str, Any]:
    """Return a ConfigMap or Secret as caches keep it."""
    more = {"type": "Opaque"} if kind == "Secret" else {}
    return {"kind": kind, "metadata": {"name": name, "namespace": NS, **metadata}, DIGEST: digest, **more}


def looked(shown: dict[str, Any], *objects: Object, kinds: tuple[Resource, ...] = (CONFIG_MAP,)) -> Configuration:
    """Return what a template's references come to among some objects."""
    known = {(one["kind"], one["metadata"]["name"]): one for one in objects}
    return look(shown, kinds, lambda resource, name: known.get((resource.kind, name)))


@pytest.mark.parametrize("place", PLACES)
def test_reference_is_found_and_renamed_wherever_it_stands(place: str) -> None:
    """Volumes, projected volumes, envFrom and env of all kinds of containers; the user's template stays as it is."""
    template = pod(**PLACES[place])
    before = copy.deepcopy(template)
    assert references(template) == {MAP: True}
    derived = derive(template, "canary", "rev", {"ConfigMap": {NAME: ONE}})
    assert references(derived) == {Source(CONFIG_MAP, f"{NAME}-rev"): True}
    assert template == before


@pytest.mark.parametrize("place", SECRET_PLACES)
def test_reference_to_a_secret_is_found_and_renamed(place: str) -> None:
    """The same places take Secrets, under names of their own."""
    template = pod(**SECRET_PLACES[place])
    assert references(template) == {KEY: True}
    assert references(derive(template, "primary", "rev", {"Secret": {"key": ONE}})) == {Source(SECRET, "key-rev"): True}
    assert references(derive(template, "primary", "rev", {"ConfigMap": {"key": ONE}})) == {KEY: True}


def test_reference_is_optional_only_where_all_are() -> None:
    """One place that needs the object makes it needed; empty parts and certificates of the cluster are none."""
    maybe = {"name": "c", "envFrom": [{"configMapRef": {"name": NAME, "optional": True}}]}
    assert references(pod(containers=[maybe])) == {MAP: False}
    needed = {"name": "v", "configMap": {"name": NAME}}
    assert references(pod(containers=[maybe], volumes=[needed, {"name": "e", "emptyDir": {}}])) == {MAP: True}
    roots = [{"name": "ca", "configMap": {"name": name}} for name in ("kube-root-ca.crt", "istio-ca-root-cert")]
    assert references(pod(volumes=roots, containers=[{"name": "c", "env": [{"name": "A", "value": "x"}]}])) == {}


def test_what_references_come_to() -> None:
    """Pinned, missing or live; kinds that are not followed are not spoken of."""
    assert looked(reading(), cached()) == Configuration({"ConfigMap": {NAME: ONE}})
    assert looked(reading()) == Configuration({"ConfigMap": {}}, missing=(MAP,))
    assert looked(reading(optional=True)) == Configuration({"ConfigMap": {}}, live=(MAP,))
    assert looked(pod(**SECRET_PLACES["envFrom"]), cached("key", kind="Secret")).pins == {"ConfigMap": {}}
    assert looked(pod(**SECRET_PLACES["envFrom"]), cached("key", kind="Secret"), kinds=(CONFIG_MAP, SECRET)).pins == {
        "ConfigMap": {},
        "Secret": {"key": ONE},
    }


@pytest.mark.parametrize(
    "obj",
    [
        cached(annotations={"canary.delivery/config-tracking": "disabled"}),
        cached(annotations={"flagger.app/config-tracking": "disabled"}),
        cached(annotations={"flagger.app/config-tracking": "disable"}),
        cached(labels={"config.openshift.io/inject-trusted-cabundle": "true"}),
        cached(labels={"trust.cert-manager.io/bundle": "roots"}),
        cached(annotations={"service.beta.openshift.io/inject-cabundle": "true"}),
        cached(labels={CANARY_LABEL: "other"}, annotations={OWNER: OWNER_MARK.to_text()}),
        {**cached(kind="Secret"), "type": "kubernetes.io/service-account-token"},
    ],
)
def test_object_that_is_not_to_be_copied_stays_live(obj: Object) -> None:
    """Opted out, injected by others, ours, or of a type that others renew."""
    assert not is_tracked(obj)
    assert is_tracked(cached(annotations={"flagger.app/config-tracking": "enabled"}))


def test_change_of_content_alone_is_a_change() -> None:
    """Digests are compared for the kinds that were pinned; what is missing is no change."""
    pinned = {"ConfigMap": {NAME: ONE}}
    assert looked(reading(), cached()).matches(pinned)
    assert not looked(reading(), cached(digest=TWO)).matches(pinned)
    assert looked(reading()).matches(pinned)
    assert not looked(reading(optional=True)).matches(pinned)
    assert not looked(reading(optional=True), cached()).matches({"ConfigMap": {}})
    assert looked(reading(), cached(digest=TWO)).matches({})
    assert looked(reading(), cached(), kinds=(CONFIG_MAP, SECRET)).matches(pinned)
    assert looked(reading(), kinds=()).matches(pinned)


def test_tracked_configs_are_named_as_flagger_does() -> None:
    """`configmap/NAME` with the digest, empty for what is not pinned, of the kinds asked for."""
    known = Configuration({"ConfigMap": {"a": ONE}, "Secret": {"b": TWO}}, missing=(MAP,), live=(KEY,))
    assert known.tracked(("ConfigMap",)) == {"configmap/a": ONE, "configmap/settings": ""}
    assert known.tracked(("Secret",)) == {"secret/b": TWO, "secret/key": ""}
    assert known.tracked(()) == {}


def test_digest_is_of_content_alone_and_of_all_of_it() -> None:
    """Metadata does not count, text, bytes and type do; the value never changes, or an upgrade would start runs."""
    body = {"metadata": {"name": NAME}, "data": {"a": "1", "b": "ü"}, "binaryData": {"c": "AAE="}}
    assert digest_of(body) == digest_of({**body, "metadata": {"name": "x"}, "immutable": True})
    assert digest_of(body) == "444486db3b6128e9"
    assert digest_of({}) == digest_of({"data": {}}) == digest_of({"data": None})
    others = [{"data": {"a": "2"}}, {"binaryData": {"c": "AAI="}}, {"data": {"a": "1", "b": "ü"}}, {"type": "x"}]
    assert len({digest_of(one) for one in (body, {}, *others)}) == 6


@given(st.text(alphabet="abc-.", min_size=1, max_size=253).map(lambda text: f"a{text[:251]}z"))
def test_copy_names_fit_and_differ(name: str) -> None:
    """Names are as long as the API allows at most, and end in the revision."""
    made = copy_name(name, "0123456789")
    assert len(made) <= 253
    assert made.endswith("-0123456789")
    assert (made == f"{name}-0123456789") == (len(name) <= 242)
    assert copy_name(f"{'a' * 250}b", "r" * 10) != copy_name(f"{'a' * 250}c", "r" * 10)


def test_cut_copy_name_has_no_dot_before_its_hash() -> None:
    """A name cut after a dot would be refused."""
    assert ".-" not in copy_name("a." * 126, "0123456789")


def test_copy_is_immutable_wholly_ours_and_says_what_it_was() -> None:
    """No label or annotation of the user's, all of the content."""
    (wanted,) = copies_of({"ConfigMap": {NAME: ONE}}, "rev")
    source = {
        "metadata": {"name": NAME, "labels": {"app": "x"}, "annotations": {"a": "b"}},
        "data": {"a": "1"},
        "binaryData": {"b": "AA=="},
    }
    made = copy_object(wanted, source, NS, OWNER_MARK, "rev")
    assert (made["apiVersion"], made["kind"], made["immutable"]) == ("v1", "ConfigMap", True)
    assert (made["data"], made["binaryData"]) == (source["data"], source["binaryData"])
    assert made["metadata"]["labels"] == {CANARY_LABEL: OWNER_MARK.name, REVISION_LABEL: "rev"}
    assert made["metadata"]["annotations"][SOURCE] == NAME
    assert "a" not in made["metadata"]["annotations"]
    assert str(wanted.ref(NS)) == f"ConfigMap {NS}/settings-rev"


def test_revision_is_named_by_its_configuration_too() -> None:
    """Without references the name is that of the template, as it always was."""
    assert revision_id(V1, {"ConfigMap": {}}) == revision_id(V1, {}) == revision_id(V1)
    names = {revision_id(V1, {"ConfigMap": {NAME: digest}}) for digest in (ONE, TWO)}
    assert len({*names, revision_id(V1)}) == 3


def test_kept_revision_knows_its_configuration() -> None:
    """Pins come back from the record; one written before there were any has none, so that its references are live."""
    pins = {"ConfigMap": {NAME: ONE}}
    record = to_object(pin(deployment(pod=reading()), 1, pins), NAMES, OWNER_MARK)
    found = from_object(record)
    assert found is not None
    assert (found.pins, found.template) == (pins, reading())
    data = {name: part for name, part in record["data"].items() if name != "configuration"}
    old = from_object({**record, "data": data})
    assert old is not None
    assert old.pins == {}


def test_reconstructed_revision_refers_to_what_was_copied() -> None:
    """The copies say what they are of, when the record was deleted by hand."""
    pins = {"ConfigMap": {NAME: ONE}}
    made = pin(deployment(pod=reading()), 1, pins)
    (wanted,) = copies_of(pins, made.id)
    copied = copy_object(wanted, {"data": {}}, NS, OWNER_MARK, made.id)
    found = reconstruct(deployment("catalog-primary", made.primary), 1, ({**copied, DIGEST: ONE},))
    assert (found.id, found.template, found.pins, found.canary) == (made.id, reading(), pins, made.canary)


def test_templates_without_references_are_derived_as_before() -> None:
    """Configuration of others changes nothing."""
    assert derive(template(), "canary", "rev", {"ConfigMap": {NAME: ONE}}) == derive(template(), "canary", "rev")
