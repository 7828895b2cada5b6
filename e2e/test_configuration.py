"""ConfigMaps that pods read: an edit is released like a template, and production keeps what it was promoted with."""

import base64
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
import yaml

from e2e.controller import Controller
from e2e.recorder import Recorder
from e2e.release import CANARY, Release, manifests
from e2e.testbed import credentials, rights
from e2e.testbed.kube import Object
from e2e.testbed.layout import REPOSITORY
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until
from e2e.timeline import assert_none_failed, settled

LONG = timedelta(seconds=120)
SOON = timedelta(seconds=2)
CONFIGURATION = REPOSITORY / "docs/configuration.md"
FILES = "/run/catalog"
BINARY = base64.b64encode(bytes(range(256))).decode()


def config_map(version: str, fail_percent: int = 0, name: str = "catalog-config") -> Object:
    """Return the ConfigMap of the service: its version and how many requests fail, and something binary."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"version": version, "failures": str(fail_percent)},
        "binaryData": {"blob": BINARY},
    }


def configured(release: Release, version: str = "v1", source: str = "configMap") -> Object:
    """Return a Deployment that takes its version from a file, and its behaviour from a variable."""
    found = release.deployment(version)
    pod = found["spec"]["template"]["spec"]
    container = pod["containers"][0]
    container["env"] = [{"name": "VERSION_FILE", "value": f"{FILES}/version"}]
    key = {"name": "catalog-config", "key": "failures"}
    container["env"].append({"name": "FAIL_PERCENT", "valueFrom": {f"{source}KeyRef": key}})
    container["volumeMounts"] = [{"name": "files", "mountPath": FILES}]
    named = "secretName" if source == "secret" else "name"
    pod["volumes"] = [{"name": "files", source: {named: "catalog-config"}}]
    return found


def set_up(release: Release) -> None:
    """Bring the configured service up and wait until it is initialised."""
    release.bring_up(config_map("v1"), configured(release), *manifests("catalog-service.yaml"))
    release.apply(release.canary(stepWeight=25))
    release.wait_for("Initialized")


def read_by(release: Release, name: str) -> tuple[str, str]:
    """Return the ConfigMaps a Deployment's volume and variable refer to."""
    pod = release.get("deployment", name)["spec"]["template"]["spec"]
    variable = next(one for one in pod["containers"][0]["env"] if one["name"] == "FAIL_PERCENT")
    return pod["volumes"][0]["configMap"]["name"], variable["valueFrom"]["configMapKeyRef"]["name"]


def copies(release: Release, kind: str = "configmaps") -> list[str]:
    """Return the names of the copies there are."""
    listed = release.kubectl("get", kind, "-l", f"canary.delivery/canary={CANARY}", "-o", "name")
    return sorted(line.partition("/")[2] for line in listed.split())


def test_edit_is_released_and_promoted(release: Release) -> None:
    """Pods of canary and primary really read the copy, a run begins within two seconds, and nobody notices."""
    set_up(release)
    first = f"catalog-config-{release.status['revision']['primary']}"
    assert read_by(release, "catalog-primary") == (first, first)
    assert read_by(release, "catalog") == ("catalog-config", "catalog-config")
    with release.load() as (mesh, plain):
        since = settled(release)
        release.apply(config_map("v2"))
        release.wait_for("Progressing", within=SOON)
        release.wait_for("Progressing", 25)
        assert read_by(release, "catalog-primary") == (first, first)
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(mesh, plain)
    assert mesh.answers()[-1].version == plain.answers()[-1].version == "v2"
    assert {one.version for one in mesh.answers()} == {"v1", "v2"}
    second = f"catalog-config-{release.status['revision']['primary']}"
    assert read_by(release, "catalog-primary") == (second, second)
    copy = release.get("configmap", second)
    assert (copy["data"], copy["binaryData"]) == (config_map("v2")["data"], {"blob": BINARY})
    assert (copy["immutable"], copies(release)) == (True, sorted((first, second)))
    rows = [(row.phase, row.weight) for row in release.rows(since)]
    assert rows[:3] == [("Progressing", 0), ("Progressing", 25), ("Progressing", 50)]


def test_bad_edit_is_rolled_back_while_production_keeps_its_copy(release: Release) -> None:
    """The primary is never written, its pods made anew read the old copy, and the edit taken back starts nothing."""
    set_up(release)
    before = release.get("deployment", "catalog-primary")
    release.apply(config_map("v2", fail_percent=100))
    with release.load() as (mesh, plain):
        release.wait_for("Failed", within=LONG)
        release.kubectl("delete", "pods", "-l", "canary.delivery/role=primary")
        release.testbed.wait_ready(release.namespace, "catalog-primary")
    assert {one.version for one in (*mesh.summary().failures, *plain.summary().failures)} <= {"v2", ""}
    after = release.get("deployment", "catalog-primary")
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert mesh.answers()[-1].version == "v1"
    release.apply(config_map("v1"))
    release.wait_for("Initialized")
    assert release.told("RevisionDetected")[1:] == []


def test_deleted_canary_leaves_no_copy_and_the_live_reference(release: Release) -> None:
    """The target is given back as its user wrote it; what it reads that was not promoted is told."""
    set_up(release)
    release.apply(config_map("v2"))
    release.wait_for("Progressing", 25)
    with release.load() as loads:
        release.kubectl("delete", "canaries.flagger.app", CANARY)
        wait_until(lambda: copies(release) == [], LONG, lambda: f"copies left: {copies(release)}")
    assert_none_failed(*loads)
    assert read_by(release, "catalog") == ("catalog-config", "catalog-config")
    assert release.find("deployment", "catalog-primary") is None
    assert any("catalog-config" in message for message in release.told("ConfigNotPromoted"))


@pytest.fixture
def with_secrets(testbed: Testbed, namespace: str, compat_crd: None) -> Iterator[Release]:
    """Offer a service under a controller that is told to pin Secrets, with the chart's rights for it."""
    with Controller(testbed, [namespace], flags=["--pin-secrets"]), Recorder(testbed, namespace) as recorder:
        yield Release(testbed, namespace, recorder)


def secret(version: str) -> Object:
    """Return the same configuration as a Secret."""
    data = {"version": version, "failures": "0"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "catalog-config"}, "stringData": data}


def documented_rights() -> dict[str, list[str]]:
    """Return the verbs by resource in the role that the page on configuration shows."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", CONFIGURATION.read_text(), re.MULTILINE | re.DOTALL)
    (role,) = (one for one in map(yaml.safe_load, blocks) if one["kind"] == "ClusterRole")
    return {resource: rule["verbs"] for rule in role["rules"] for resource in rule["resources"]}


def test_secret_is_pinned_with_the_documented_rights_and_no_other(with_secrets: Release) -> None:
    """With the setting an edit of a Secret is a release like any other, and each right to Secrets is made use of."""
    release = with_secrets
    release.bring_up(secret("v1"), configured(release, source="secret"), *manifests("catalog-service.yaml"))
    release.apply(release.canary(stepWeight=50))
    release.wait_for("Initialized")
    with release.load() as loads:
        release.apply(secret("v2"))
        release.wait_for("Progressing", within=SOON)
        release.wait_for("Succeeded", within=LONG)
    assert_none_failed(*loads)
    volume = release.get("deployment", "catalog-primary")["spec"]["template"]["spec"]["volumes"][0]
    assert volume["secret"]["secretName"] == f"catalog-config-{release.status['revision']['primary']}"
    assert volume["secret"]["secretName"] in copies(release, "secrets")
    release.kubectl("delete", "canaries.flagger.app", CANARY)
    wait_until(lambda: copies(release, "secrets") == [], LONG, lambda: f"left: {copies(release, 'secrets')}")
    documented = documented_rights()
    granted = {resource: rule["verbs"] for rule in rights.rules("pinSecrets") for resource in rule["resources"]}
    assert documented == {resource: granted[resource] for resource in ("configmaps", "secrets")}
    asked = release.testbed.audit.requests(user=credentials.CONTROLLER, namespace=release.namespace)
    # A list is only asked for where a watch does not begin with one.
    assert {one.verb for one in asked if one.resource == "secrets"} | {"list"} == set(documented["secrets"])
