"""The chart on a cluster: installed, upgraded and uninstalled by Helm, its pod run with its own account and rights."""

import itertools
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from canary.adapters.kube.client import FIELD_MANAGER
from e2e.chart import CHART, NAME, Values, helm
from e2e.chart_tables import PAGE
from e2e.conftest import install_crd, keep_artefacts, remove_crd
from e2e.orphans import apply, orphan, wait_served
from e2e.recorder import Recorder
from e2e.release import CANARY, Release
from e2e.test_strategy_pages import table
from e2e.testbed import addresses, rights
from e2e.testbed.audit import AuditEntry
from e2e.testbed.commands import CommandError
from e2e.testbed.kube import Object
from e2e.testbed.load import Load
from e2e.testbed.testbed import Testbed
from e2e.testbed.waiting import wait_until

SYSTEM, SHOP, BANK = "chart-system", "chart-shop", "chart-bank"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:{NAME}"
GONE = timedelta(seconds=60)
LONG = timedelta(seconds=120)
FORBIDDEN = 403
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/canaries.canary.delivery"
VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
VALUES: Values = {"crd": {"create": True}, "metricsServer": addresses.PROMETHEUS_URL_FOR_PODS}
IN_THE_SHOP: Values = {**VALUES, "namespaces": [SHOP]}
TAKING_OVER = {("get", "roles"), ("get", "clusterroles"), ("list", "nodes"), ("create", "pods"), ("get", "pods/exec")}
"""Some of what a thief of the token would try, beside what is asked about each resource."""


@dataclass(frozen=True, slots=True)
class Released:
    """A release that the installed controller made."""

    release: Release
    since: datetime
    loads: tuple[Load, Load]


@pytest.fixture(scope="module")
def system(testbed: Testbed) -> Iterator[str]:
    """Create the namespace of the chart and those it serves; take away what is left of all at the end."""
    forget_definition(testbed)
    testbed.create_namespace(SYSTEM, {})
    for name in (SHOP, BANK):
        testbed.create_namespace(name)
    yield SYSTEM
    for name in (SHOP, BANK, SYSTEM):
        testbed.delete_namespace(name)
    forget_definition(testbed)
    for kind in ("clusterrole", "clusterrolebinding"):
        testbed.kubectl("delete", "--ignore-not-found", kind, f"{SYSTEM}-{NAME}")


def forget_definition(testbed: Testbed) -> None:
    """Remove our own definitions, whoever has installed them."""
    remove_crd(testbed, "canary.delivery")


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a chart of the version before, whose definition has no short name yet."""
    chart = tmp_path_factory.mktemp("older") / NAME
    shutil.copytree(CHART, chart)
    for name, now, then in (
        ("Chart.yaml", r"\nversion: .*", "\nversion: 0.0.1"),
        ("files/crds/canary.delivery_canaries.yaml", r"    shortNames:\n    - cn\n", ""),
    ):
        text, changed = re.subn(now, then, (chart / name).read_text())
        assert changed
        (chart / name).write_text(text)
    return chart


@pytest.fixture(scope="module")
def released(testbed: Testbed, system: str, older: Path) -> Iterator[Released]:
    """Install the chart for one namespace and make a release there, under load."""
    since = datetime.now(UTC)
    run_helm(testbed, "install", IN_THE_SHOP, str(older), "--wait")
    scrape(testbed)
    with Recorder(testbed, SHOP) as recorder:
        release = Release(testbed, SHOP, recorder, group="canary.delivery")
        try:
            release.set_up()
            with release.load() as loads:
                release.apply(release.deployment("v2"))
                release.wait_for("Succeeded", within=LONG)
        except BaseException:
            keep_artefacts(testbed, SHOP)
            keep_artefacts(testbed, SYSTEM)
            raise
        yield Released(release, since, loads)


def run_helm(testbed: Testbed, verb: str, values: Values | None, *words: str) -> str:
    """Run Helm on the testbed's cluster."""
    place = (f"--namespace={SYSTEM}", f"--kubeconfig={testbed.kubeconfig}", "--timeout=90s")
    return helm(verb, NAME, *words, *place, values=values)


def scrape(testbed: Testbed) -> None:
    """Have Prometheus scrape the controller's pod."""
    (pod,) = testbed.pods.list_pods(SYSTEM)
    path = testbed.layout.controllers
    part = path.with_suffix(".part")
    part.write_text(json.dumps([{"targets": [f"{pod['status']['podIP']}:8080"], "labels": {"namespace": SYSTEM}}]))
    part.rename(path)


def asked(testbed: Testbed, since: datetime) -> list[AuditEntry]:
    """Return what the chart's account asked of the API server."""
    return testbed.audit.requests(user=ACCOUNT, since=since)


def may(testbed: Testbed, namespace: str, group: str, resource: str, verb: str, name: str = "") -> bool:
    """Ask the API server whether the account may do something, with one object or with any."""
    plural, _, part = resource.partition("/")
    attributes = {"namespace": namespace, "group": group, "resource": plural, "subresource": part, "verb": verb}
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{SYSTEM}", "system:authenticated"]
    spec = {"user": ACCOUNT, "groups": groups, "resourceAttributes": {**attributes, "name": name}}
    answer = testbed.kube.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
    return bool(answer["status"]["allowed"])


def served(testbed: Testbed) -> set[tuple[str, str]]:
    """Return group and name of every resource of the API server, with its parts."""
    groups = testbed.kube.get("/apis")["groups"]
    paths = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    found = set()
    for path in paths:
        listed: list[dict[str, Any]] = testbed.kube.get(path)["resources"]
        group = path.split("/")[2] if path.startswith("/apis/") else ""
        found |= {(group, one["name"]) for one in listed}
    return found


def granted(rules: list[Object]) -> set[tuple[str, str, str]]:
    """Return group, resource and verb of all that is granted for objects of any name."""
    return {
        one
        for rule in rules
        if "resourceNames" not in rule
        for one in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }


def test_definition_that_was_applied_by_hand_is_not_taken_over(testbed: Testbed, system: str) -> None:
    """Helm says so and installs nothing; an uninstall could not tell whose it is."""
    install_crd(testbed, "canary.delivery")
    with pytest.raises(CommandError, match=r"\.canary\.delivery.* cannot be imported"):
        run_helm(testbed, "install", IN_THE_SHOP, str(CHART))
    assert testbed.pods.list_pods(SYSTEM) == []
    forget_definition(testbed)


def test_installed_controller_releases_with_its_own_rights(testbed: Testbed, released: Released) -> None:
    """No caller notices, nothing is refused to the account, and it asked for nothing outside of its namespace."""
    for load in released.loads:
        assert load.summary().failed == 0, str(load.summary())
    assert released.loads[0].answers()[-1].version == "v2"
    requests = asked(testbed, released.since)
    assert len(requests) > 50
    assert [entry for entry in requests if entry.status == FORBIDDEN] == []
    of_the_cluster = {"customresourcedefinitions", "namespaces"}
    assert {entry.namespace for entry in requests if entry.resource not in of_the_cluster} == {SHOP}


def test_pod_of_the_controller_is_confined_and_ready(testbed: Testbed, released: Released) -> None:
    """It has one container and no sidecar, runs without capabilities and cannot write to its root."""
    (pod,) = testbed.pods.list_pods(SYSTEM)
    (status,) = pod["status"]["containerStatuses"]
    assert (status["ready"], status["restartCount"]) == (True, 0)
    pid = int((testbed.layout.pods / f"{SYSTEM}_{pod['metadata']['name']}" / "controller.pid").read_text())
    process = Path(f"/proc/{pid}")
    assert "\nCapEff:\t0000000000000000\n" in (process / "status").read_text()
    assert "\nNoNewPrivs:\t1\n" in (process / "status").read_text()
    (root,) = [line for line in (process / "mountinfo").read_text().splitlines() if line.split()[4] == "/"]
    assert "ro" in root.split()[5].split(",")


def test_what_is_not_granted_is_refused(testbed: Testbed, released: Released) -> None:
    """Of all resources of the API server, each verb is allowed exactly where a rule says so."""
    wanted = granted(rights.rules(everywhere=False))
    resources = served(testbed) | {(group, resource) for group, resource, _ in wanted}
    asked_for = set(itertools.product(sorted(resources), VERBS))
    assert len(asked_for) > 300
    allowed = {(*one, verb) for one, verb in asked_for if may(testbed, SHOP, *one, verb)}
    # Whoever has logged in may ask what he may do.
    assert {one for one in allowed if not one[1].startswith("selfsubject")} == wanted


def test_neither_secrets_nor_everything_nor_other_namespaces(testbed: Testbed, released: Released) -> None:
    """A thief of the token reads no Secret, gets no other rights, and nothing at all elsewhere."""
    for verb in ("*", *VERBS):
        assert not may(testbed, SHOP, "", "secrets", verb)
        assert not may(testbed, SHOP, "*", "*", verb)
        assert not may(testbed, BANK, "apps", "deployments", verb)
        assert not may(testbed, SYSTEM, "", "configmaps", verb)
        assert not may(testbed, "", "canary.delivery", "canaries", verb)
    definitions = ("apiextensions.k8s.io", "customresourcedefinitions")
    assert may(testbed, "", *definitions, "get", "canaries.canary.delivery")
    assert not may(testbed, "", *definitions, "get", "certificates.cert-manager.io")
    assert not may(testbed, "", *definitions, "patch", "canaries.canary.delivery")
    assert may(testbed, SHOP, "", "namespaces", "watch", SHOP)
    assert not may(testbed, BANK, "", "namespaces", "watch", BANK)
    for verb, resource in TAKING_OVER:
        group = "rbac.authorization.k8s.io" if resource.endswith("roles") else ""
        assert not may(testbed, SHOP, group, resource, verb)


def written_fields(node: Object, path: tuple[str, ...] = ()) -> set[str]:
    """Return the fields that a manager of an object has written, from its managedFields."""
    inner = {name.removeprefix("f:"): part for name, part in node.items() if name.startswith("f:")}
    if not inner:
        return {".".join(path)}
    return {found for name, part in inner.items() for found in written_fields(part, (*path, name))}


@pytest.mark.parametrize(("title", "kind"), [("the Deployment", "deployment"), ("the Service", "service")])
def test_fields_written_on_objects_of_the_user_are_those_of_the_page(
    testbed: Testbed, released: Released, title: str, kind: str
) -> None:
    """What docs/install.md has a GitOps tool ignore is what the controller writes there, no more and no less."""
    (fields,) = [row[1] for row in table(PAGE, "GitOps") if row[0] == title]
    managers = released.release.get(kind, "catalog")["metadata"]["managedFields"]
    ours = [one["fieldsV1"] for one in managers if one["manager"] == FIELD_MANAGER and "subresource" not in one]
    assert {path for one in ours for path in written_fields(one)} == set(re.findall(r"`([^`]+)`", fields))


def answered(testbed: Testbed, expression: str) -> list[dict[str, str]]:
    """Return the labels of what a query of the dashboard finds at any time since the release began."""
    here = {"$namespace": SHOP, "$canary": CANARY, "$target": "catalog", "$__rate_interval": "30s"}
    for name, value in here.items():
        expression = expression.replace(name, value)
    return [found["metric"] for found in testbed.prom_query(f"last_over_time(({expression})[10m:1s])")]


def test_dashboard_shows_the_release(testbed: Testbed, released: Released) -> None:
    """Every query of every panel has data, and what is to be chosen from is there."""
    dashboard = json.loads((CHART / "files/dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(queries) > 15
    assert [query for query in queries if not answered(testbed, query)] == []
    for name, value in (("namespace", SHOP), ("canary", CANARY), ("target", "catalog-primary")):
        (variable,) = [one for one in dashboard["templating"]["list"] if one["name"] == name]
        ((series, label),) = re.findall(r"^label_values\((.+), (\w+)\)$", variable["definition"])
        assert value in {found[label] for found in answered(testbed, series)}


def test_upgrade_to_the_whole_cluster_starts_nothing(testbed: Testbed, released: Released) -> None:
    """The Roles become one ClusterRole, the definition is the new one, and the release that was stays as it was."""
    before = released.release.status
    assert "shortNames" not in testbed.kube.get(DEFINITION)["spec"]["names"]
    since = datetime.now(UTC)
    run_helm(testbed, "upgrade", {"namespaces": []}, str(CHART), "--wait", "--reset-then-reuse-values")
    assert testbed.kube.get(DEFINITION)["spec"]["names"]["shortNames"] == ["cn"]
    elsewhere = orphan("elsewhere", BANK, "canary.delivery")
    apply(testbed, elsewhere)
    wait_served(testbed, elsewhere)
    assert released.release.status == before
    assert testbed.kube.get(f"/apis/rbac.authorization.k8s.io/v1/namespaces/{SHOP}/roles")["items"] == []
    assert [entry for entry in asked(testbed, since) if entry.status == FORBIDDEN] == []


def test_uninstall_leaves_applications_serving_and_canaries_there(testbed: Testbed, released: Released) -> None:
    """No request fails, definitions and Canaries stay, and another install goes on with them."""
    release = released.release
    before = release.status
    with release.load() as loads:
        run_helm(testbed, "uninstall", None, "--wait")
        wait_until(lambda: not testbed.pods.list_pods(SYSTEM), GONE, "the controller's pod does not end")
        assert release.status == before
        since = datetime.now(UTC)
        run_helm(testbed, "install", VALUES, str(CHART), "--wait")
        wait_until(lambda: asked(testbed, since), GONE, "the new controller asks for nothing")
        assert release.status == before
    for load in loads:
        assert load.summary().failed == 0, str(load.summary())
