"""What the API server accepts and refuses, and what the controller says about what it cannot serve."""

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from canary.api.admission import refusals
from e2e.conftest import install_crd, remove_crd
from e2e.controller import Controller
from e2e.recorder import Recorder
from e2e.release import CANARY, MANIFESTS, Release, manifests
from e2e.testbed.commands import CommandError
from e2e.testbed.kube import Object
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

LONG = timedelta(seconds=120)
AT_ONCE = timedelta(seconds=2)
"""A second, and one more for a machine that has other things to do."""
BOOK = "istioinaction"
KINDS = "deployments,services,virtualservices,destinationrules,controllerrevisions"


@pytest.fixture
def book(testbed: Testbed, compat_crd: None) -> Iterator[Release]:
    """Offer the namespace of the book with a controller in compat mode."""
    testbed.create_namespace(BOOK)
    with Controller(testbed, [BOOK]), Recorder(testbed, BOOK) as recorder:
        yield Release(testbed, BOOK, recorder)
    testbed.delete_namespace(BOOK)


def test_listing_of_the_book_applies_byte_for_byte(book: Release) -> None:
    """kubectl creates listing 5.1 under Flagger's group and the controller begins to serve it."""
    book.kubectl("apply", "-f", str(MANIFESTS / "catalog-v1.yaml"))
    book.testbed.wait_ready(BOOK, "catalog")
    said = book.testbed.kubectl("apply", "-f", str(MANIFESTS / "listing-5.1.yaml"))
    assert said == "canary.flagger.app/catalog-release created\n"
    book.wait_for("Initializing")
    wait_until(lambda: book.find("virtualservice", "catalog"), LONG, lambda: str(book.status))
    assert book.weights == (100, 0)


@pytest.fixture
def own_group(testbed: Testbed, namespace: str) -> Iterator[Release]:
    """Offer a service released under our own group, by a controller without compat mode."""
    install_crd(testbed, "canary.delivery")
    with Controller(testbed, [namespace], flagger_compat=False), Recorder(testbed, namespace) as recorder:
        yield Release(testbed, namespace, recorder, group="canary.delivery")
    remove_crd(testbed, "canary.delivery")


def test_same_spec_under_our_own_group_does_a_whole_release(own_group: Release) -> None:
    """canary.delivery/v1beta1 serves the spec of listing 5.1 as Flagger's group does."""
    own_group.set_up(stepWeight=25)
    with own_group.load(rps=20) as (mesh, plain):
        own_group.apply(own_group.deployment("v2"))
        own_group.wait_for("Succeeded", within=LONG)
    assert mesh.summary().failed + plain.summary().failed == 0, f"{mesh.summary()} {plain.summary()}"
    assert [(r.phase, r.weight) for r in own_group.rows()][2:] == [
        *(("Progressing", weight) for weight in (0, 25, 50)),
        *((phase, 0) for phase in ("Promoting", "Finalising", "Succeeded")),
    ]


def changed(**parts: Any) -> Object:
    """Return listing 5.1 with parts of its spec replaced; None removes one."""
    found = copy.deepcopy(manifests("listing-5.1.yaml")[0])
    for path, value in parts.items():
        node = found["spec"]
        *parents, last = path.split("__")
        for part in parents:
            node = node[part]
        node[last] = value
        if value is None:
            del node[last]
    return found


WRONG = {
    "no plan": changed(analysis__stepWeight=None),
    "weight above 100": changed(analysis__maxWeight=150),
    "duration without unit": changed(analysis__interval="45"),
    "target of another kind": changed(targetRef__kind="StatefulSet"),
    "time for no gate": changed(analysis__webhooks=[{"name": "load", "url": "http://load", "gateTimeout": "1m"}]),
    "hook without an address": changed(analysis__webhooks=[{"name": "gate", "url": "gate:80"}]),
    "misspelt field": changed(analysis__stepWieght=10),
    "unknown metric": changed(analysis__metrics=[{"name": "error-rate", "thresholdRange": {"max": 1}}]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_manifest_is_refused_in_our_words(testbed: Testbed, namespace: str, compat_crd: None, wrong: str) -> None:
    """The API server answers with the sentence that the simulator prints, and nothing is stored."""
    manifest = WRONG[wrong]
    manifest["metadata"]["namespace"] = namespace
    sentences = [refusal.message for refusal in refusals(manifest)]
    assert sentences
    with pytest.raises(CommandError) as answer:
        testbed.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    for sentence in sentences:
        assert sentence in str(answer.value).replace('\\"', '"')
    assert testbed.kubectl("-n", namespace, "get", "canaries.flagger.app") == ""


def world(release: Release) -> dict[str, Object]:
    """Return what the namespace's objects say, without what the API server and its controllers write."""
    items = json.loads(release.kubectl("get", KINDS, "-o", "json"))["items"]
    return {f"{one['kind']}/{one['metadata']['name']}": said(one) for one in items}


def said(one: Object) -> Object:
    """Return an object's specification with its labels and annotations, its revision number aside."""
    metadata = one["metadata"]
    annotations = {k: v for k, v in metadata.get("annotations", {}).items() if not k.startswith("deployment.")}
    return {
        "uid": metadata["uid"],
        "labels": metadata.get("labels"),
        "annotations": annotations,
        "spec": one.get("spec"),
    }


def canary_named(release: Release, name: str) -> Object:
    """Read a Canary."""
    return release.get("canaries.flagger.app", name)


def ready(release: Release, name: str = CANARY) -> Object:
    """Return condition Ready of a Canary, empty before it has one."""
    conditions = canary_named(release, name).get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Ready"), {})


def wait_refused(release: Release, reason: str, name: str = CANARY) -> str:
    """Wait until a Canary says at once why it is not served; return the sentence."""
    wait_until(lambda: ready(release, name).get("reason") == reason, AT_ONCE, lambda: str(ready(release, name)))
    condition = ready(release, name)
    assert condition["status"] == "False", condition
    return str(condition["message"])


def test_missing_target_is_named_and_its_arrival_recovers(release: Release) -> None:
    """Without its Deployment a Canary says so and makes nothing; with it all goes on."""
    before = world(release)
    release.apply(release.canary())
    message = wait_refused(release, "TargetMissing")
    assert "Deployment catalog not found" in message
    assert release.wait_told("TargetMissing") == [message]
    assert world(release) == before
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"))
    release.wait_for("Initialized")
    assert ready(release)["status"] == "True"


def test_foreign_deployment_under_our_name_is_left_alone(release: Release) -> None:
    """A name that is taken stops everything, and everything goes on once it is free."""
    foreign = release.deployment("v1", 1)
    foreign["metadata"]["name"] = "catalog-primary"
    foreign["spec"]["selector"]["matchLabels"] = {"app": "foreign"}
    foreign["spec"]["template"]["metadata"]["labels"] = {"app": "foreign"}
    release.bring_up(release.deployment("v1"), *manifests("catalog-service.yaml"), foreign)
    release.testbed.wait_ready(release.namespace, "catalog-primary")
    before = world(release)
    with release.load(rps=20) as loads:
        release.apply(release.canary())
        message = wait_refused(release, "NameTaken")
        assert "Deployment catalog-primary exists and is not ours" in message
        assert world(release) == before
        release.kubectl("delete", "deployment", "catalog-primary")
        release.wait_for("Initialized")
    for load in loads:
        assert load.summary().failed == 0, str(load.summary())
    assert ready(release)["status"] == "True"


def test_second_canary_on_a_target_waits_until_the_first_is_deleted(release: Release) -> None:
    """The older Canary goes on as if alone; the newcomer is told why not, and takes over when it may."""
    release.set_up()
    wait_until(lambda: release.find("service", "catalog-target") is None, LONG, "the initialisation leaves its Service")
    before = world(release)
    newcomer = release.canary()
    newcomer["metadata"]["name"] = "catalog-second"
    with release.load(rps=20) as loads:
        release.apply(newcomer)
        message = wait_refused(release, "TargetTaken", "catalog-second")
        assert "Deployment catalog is already released by Canary catalog-release" in message
        assert world(release) == before
        assert ready(release)["status"] == "True"
        release.kubectl("delete", f"canaries.flagger.app/{CANARY}")
        wait_until(
            lambda: ready(release, "catalog-second").get("status") == "True",
            LONG,
            lambda: str(canary_named(release, "catalog-second").get("status")),
        )
        for load in loads:
            assert load.next_window(AT_ONCE).by_version["v1"] > 0
    for load in loads:
        assert load.summary().failed == 0, str(load.summary())
    assert canary_named(release, "catalog-second")["status"]["phase"] == "Initialized"
    assert release.weights == (100, 0)


@pytest.mark.parametrize(
    "labels", [{"app": "catalog"}, {"app": "catalog", "version": "v1", "tier": "shop"}], ids=["one label", "several"]
)
def test_changed_env_value_alone_starts_a_run(release: Release, labels: dict[str, str]) -> None:
    """Neither image tag nor version label tells a new revision: any change of the template does (R-DR-3, R-DR-4)."""
    first, second = (catalog_with(release, version, labels) for version in ("v1", "v2"))
    assert json.dumps(first).replace('"value": "v1"', '"value": "v2"') == json.dumps(second)
    release.bring_up(first, *manifests("catalog-service.yaml"))
    release.apply(release.canary())
    release.wait_for("Initialized")
    with release.load(rps=20) as (mesh, plain):
        at = datetime.now(UTC)
        release.apply(second)
        release.wait_for("Progressing", 0, within=AT_ONCE)
        release.wait_for("Progressing", 10)
        release.wait_for("Progressing", 20)
    assert mesh.summary(at).by_version["v2"] > 0, str(mesh.summary(at))
    assert mesh.summary().failed + plain.summary().failed == 0, f"{mesh.summary()} {plain.summary()}"
    for role in ("primary", "canary"):
        spec = release.get("deployment", f"catalog-{role}")["spec"]
        assert spec["selector"]["matchLabels"] == {**labels, "canary.delivery/role": role}
        assert labels.items() <= spec["template"]["metadata"]["labels"].items()


def catalog_with(release: Release, version: str, labels: dict[str, str]) -> Object:
    """Return the catalog selected by labels that stay, its version told by one variable alone."""
    found = release.deployment("v1")
    found["spec"]["selector"]["matchLabels"] = dict(labels)
    template = found["spec"]["template"]
    template["metadata"]["labels"] = {"version": "v1", **labels}
    assert template["spec"]["containers"][0]["image"].endswith(":latest")
    template["spec"]["containers"][0]["env"] = [{"name": "VERSION", "value": version}]
    return found
