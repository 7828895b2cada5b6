"""The chart with one set of values after the other, linted and rendered by a real Helm."""

import json
import re
import shlex
from datetime import timedelta
from typing import Any

import pytest
import yaml

from canary.settings import Settings, load
from e2e.chart import CHART, NAME, NAMESPACE, Values, container_of, helm, lint, of_kind, render
from e2e.testbed import rights
from e2e.testbed.commands import CommandError
from e2e.testbed.kube import Object
from e2e.testbed.layout import REPOSITORY

ALWAYS = {"ClusterRole", "ClusterRoleBinding", "Deployment", "ServiceAccount"}
DEFINITION = "CustomResourceDefinition"
ROLES = {"Role", "RoleBinding"}
PLACED: Values = {
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "infra", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
    "priorityClassName": "system-cluster-critical",
}
RIGHT: dict[str, tuple[Values, set[str]]] = {
    "nothing": ({}, ALWAYS),
    "those of the book": (
        {"crd": {"create": False}, "meshProvider": "istio", "metricsServer": "http://prometheus:9090"},
        ALWAYS,
    ),
    "definitions": ({"crd": {"create": True}}, ALWAYS | {DEFINITION}),
    "definitions of both groups": ({"crd": {"create": True}, "flaggerCompat": True}, ALWAYS | {DEFINITION}),
    "some namespaces": ({"namespaces": ["shop", "bank"]}, ALWAYS | ROLES),
    "secrets": ({"pinSecrets": True}, ALWAYS),
    "the API": ({"api": True, "apiAudience": "canary"}, ALWAYS | {"Service"}),
    "an account and rights of the user's own": (
        {"serviceAccount": {"create": False, "name": "mine"}, "rbac": {"create": False}},
        {"Deployment"},
    ),
    "monitors": (
        {
            "podMonitor": {"enabled": True, "labels": {"release": "prom"}},
            "serviceMonitor": {"enabled": True, "namespace": "prometheus", "labels": {"release": "prom"}},
            "prometheusRule": {"enabled": True, "labels": {"release": "prom"}},
            "dashboard": {"enabled": True, "namespace": "grafana"},
        },
        ALWAYS | {"ConfigMap", "PodMonitor", "PrometheusRule", "Service", "ServiceMonitor"},
    ),
    "network and disruptions": (
        {
            "networkPolicy": {"enabled": True, "from": [{"namespaceSelector": {}}]},
            "podDisruptionBudget": {"enabled": True},
        },
        ALWAYS | {"NetworkPolicy", "PodDisruptionBudget"},
    ),
    "a place to run": (PLACED, ALWAYS),
    "two replicas": ({"replicas": 2, "leaderElection": {"enabled": True}}, ALWAYS | ROLES),
}
WRONG: dict[str, tuple[Values, str]] = {
    "a word that is no value": ({"metricServer": "http://prometheus:9090"}, "'metricServer' not allowed"),
    "a word that is no value, deeper": ({"crd": {"creat": True}}, "at '/crd': additional properties 'creat'"),
    "another mesh": ({"meshProvider": "linkerd"}, "at '/meshProvider': value must be 'istio'"),
    "two replicas without a lease": ({"replicas": 2}, "at '/leaderElection/enabled': value must be true"),
    "a metrics server that is no URL": ({"metricsServer": "prometheus:9090"}, "at '/metricsServer'"),
    "a namespace that is none": ({"namespaces": ["Shop"]}, "at '/namespaces/0'"),
    "a level that is none": ({"logLevel": "loud"}, "at '/logLevel': value must be one of 'debug'"),
    "a name that no object may have": (
        {"fullnameOverride": "My_Canary"},
        "at '/fullnameOverride'",
    ),
    "an account without a name": ({"serviceAccount": {"create": False}}, "serviceAccount.name: give the name"),
}
OWN_RULES = ("apiGroups", "resources", "resourceNames", "verbs")


@pytest.mark.parametrize("case", RIGHT)
def test_values_are_rendered(case: str) -> None:
    """Lint finds nothing, and what is made is what was asked for, no more."""
    values, kinds = RIGHT[case]
    assert "0 chart(s) failed" in lint(values)
    assert {one["kind"] for one in render(values)} == kinds


@pytest.mark.parametrize("case", WRONG)
def test_wrong_values_are_refused(case: str) -> None:
    """The message names the value, and what would be right."""
    values, words = WRONG[case]
    with pytest.raises(CommandError) as refused:
        render(values)
    assert words in str(refused.value)


def settings_of(objects: list[Object]) -> Settings:
    """Return the settings that the container's environment makes."""
    variables = {one["name"]: one["value"] for one in container_of(objects)["env"]}
    assert {name.removeprefix("CANARY_").lower() for name in variables} <= Settings.model_fields.keys()
    return load({}, {**variables, "KUBERNETES_SERVICE_HOST": "10.96.0.1"})


RUNS = (
    {"maxConcurrentRuns": 20, "maxConcurrentRunsPerNamespace": 5},
    {"max_concurrent_runs": 20, "max_concurrent_runs_per_namespace": 5},
)
"""Limits on releases at once as values, and as settings."""


def test_values_become_settings() -> None:
    """The container's environment is one that the controller takes, with nothing lost on the way."""
    values = {
        "metricsServer": "http://prometheus.istio-system:9090/prefix",
        "namespaces": ["shop", "bank"],
        "flaggerCompat": True,
        "hookHosts": ["ci.example", "*.tools"],
        "pinSecrets": True,
        **RUNS[0],
        "replicas": 2,
        "leaderElection": {"enabled": True, "leaseDuration": "30s", "renewDeadline": "20s", "retryPeriod": "5s"},
        "api": True,
        "apiAudience": "canary",
        "logLevel": "debug",
        "logFormat": "console",
        "env": [{"name": "CANARY_HTTP_HOST", "value": "127.0.0.1"}],
        "args": ["--no-pin-secrets"],
    }
    objects = render(values)
    assert container_of(objects)["args"] == ["run", "--no-pin-secrets"]
    assert settings_of(objects).model_dump(exclude={"kubeconfig", "context", "lease_identity"}) == {
        "metrics_server": "http://prometheus.istio-system:9090/prefix",
        "namespaces": ("shop", "bank"),
        "flagger_compat": True,
        "leader_election": True,
        "lease_name": "canary",
        "lease_namespace": NAMESPACE,
        "lease_duration": timedelta(seconds=30),
        "renew_deadline": timedelta(seconds=20),
        "retry_period": timedelta(seconds=5),
        "hook_hosts": ("ci.example", "*.tools"),
        "pin_secrets": True,
        **RUNS[1],
        "api": True,
        "api_audience": "canary",
        "log_level": "debug",
        "log_format": "console",
        "http_host": "127.0.0.1",
        "http_port": 8080,
    }


def test_pod_has_no_privileges() -> None:
    """It is not root, cannot become it, writes nothing, and asks for its token itself."""
    objects = render({})
    (deployment,) = of_kind(objects, "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container_of(objects)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"]
    assert not of_kind(objects, "ServiceAccount")[0]["automountServiceAccountToken"]
    assert deployment["spec"]["template"]["metadata"]["labels"]["sidecar.istio.io/inject"] == "false"


def test_pod_runs_where_it_is_told_to() -> None:
    """Each value on the place of the pod reaches it."""
    (deployment,) = of_kind(render(PLACED), "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert {key: pod[key] for key in PLACED} == PLACED


def test_values_on_image_pod_and_account_reach_them() -> None:
    """Each is where Kubernetes looks for it; a digest decides over a tag."""
    digest = f"sha256:{'0' * 64}"
    values: Values = {
        "image": {"repository": "registry.example/canary", "tag": "v1", "digest": digest, "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "deploymentAnnotations": {"of": "deployment"},
        "podAnnotations": {"of": "pod"},
        "podLabels": {"team": "platform"},
        "serviceAccount": {"name": "mine", "annotations": {"of": "account"}},
        "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
        "terminationGracePeriodSeconds": 60,
    }
    objects = render(values)
    (deployment,), (account,) = of_kind(objects, "Deployment"), of_kind(objects, "ServiceAccount")
    pod, container = deployment["spec"]["template"], container_of(objects)
    assert (container["image"], container["imagePullPolicy"]) == (f"registry.example/canary:v1@{digest}", "Always")
    assert container["resources"] == {"requests": {"cpu": "1", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}
    assert pod["spec"]["imagePullSecrets"] == [{"name": "pull"}]
    assert pod["spec"]["terminationGracePeriodSeconds"] == 60
    assert deployment["metadata"]["annotations"] == {"of": "deployment"}
    assert (pod["metadata"]["annotations"], pod["metadata"]["labels"]["team"]) == ({"of": "pod"}, "platform")
    assert (account["metadata"]["name"], account["metadata"]["annotations"]) == ("mine", {"of": "account"})
    assert pod["spec"]["serviceAccountName"] == "mine"
    (binding,) = of_kind(objects, "ClusterRoleBinding")
    assert [one["name"] for one in binding["subjects"]] == ["mine"]


def rules_of(role: Object) -> list[dict[str, Any]]:
    """Return the rules of a rendered role."""
    return [{key: rule[key] for key in OWN_RULES if key in rule} for rule in role["rules"]]


def test_rights_are_those_listed() -> None:
    """One ClusterRole has them all, those of switches only with the switch."""
    for switches in ((), ("flaggerCompat",), ("pinSecrets",), ("api",), rights.SWITCHES):
        (role,) = of_kind(render(dict.fromkeys(switches, True)), "ClusterRole")
        wanted = rights.rules(*switches, everywhere=True) + rights.rules(*switches, everywhere=False)
        assert rules_of(role) == wanted


def test_rights_in_some_namespaces_are_roles_there() -> None:
    """Of the cluster only definitions and the namespaces themselves are read, and those by their names."""
    with_api = of_kind(render({"namespaces": ["shop"], "api": True}), "ClusterRole")[0]
    assert rules_of(with_api)[1:] == rights.rules("api", everywhere=True)[1:]
    objects = render({"namespaces": ["shop", "bank"]})
    roles = of_kind(objects, "Role")
    assert [role["metadata"]["namespace"] for role in roles] == ["shop", "bank"]
    assert all(rules_of(role) == rights.rules(everywhere=False) for role in roles)
    (role,) = of_kind(objects, "ClusterRole")
    namespaces, definitions = rules_of(role)
    assert namespaces.pop("resourceNames") == ["shop", "bank"]
    assert [namespaces, definitions] == rights.rules(everywhere=True)


def test_rights_to_the_lease_are_those_of_the_page() -> None:
    """One Lease of its own namespace, by its name but to make it; without election there are none."""
    election = {"replicas": 2, "leaderElection": {"enabled": True}}
    (role,) = of_kind(render(election), "Role")
    text = (REPOSITORY / "docs/high-availability.md").read_text()
    shown = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])
    assert (role["metadata"]["namespace"], NAME) == (NAMESPACE, settings_of(render(election)).lease_name)
    assert rules_of(role) == [
        {**rule, **({"resourceNames": [NAME]} if "resourceNames" in rule else {})} for rule in shown["rules"]
    ]
    (alone,), (shared,) = (of_kind(render(values), "Deployment") for values in ({}, election))
    assert (alone["spec"]["strategy"], shared["spec"].get("strategy")) == ({"type": "Recreate"}, None)


def test_no_right_is_for_everything_or_for_secrets() -> None:
    """Nothing is granted by a wildcard, and Secrets are out of reach by default."""
    roles = [one for values, _ in RIGHT.values() for one in render(values) if one["kind"] in ("ClusterRole", "Role")]
    assert len(roles) > len(RIGHT)
    for rule in (rule for role in roles for rule in role["rules"]):
        assert "*" not in (*rule["apiGroups"], *rule["resources"], *rule["verbs"])
    for values in ({}, {"namespaces": ["shop"]}, {"flaggerCompat": True}):
        resources = [rule["resources"] for one in render(values) for rule in one.get("rules", [])]
        assert resources
        assert not any("secret" in name for names in resources for name in names)


def test_everything_made_has_its_place_and_labels() -> None:
    """Objects are in the release's namespace, or in none, and the monitors choose what is there."""
    values = {key: value for values, _ in RIGHT.values() for key, value in values.items() if "ccount" not in key}
    objects = render({**values, "rbac": {"create": True}, "namespaces": []})
    for one in objects:
        if one["kind"] != DEFINITION:
            assert one["metadata"]["labels"]["app.kubernetes.io/name"] == "canary"
    (budget,), (policy,) = of_kind(objects, "PodDisruptionBudget"), of_kind(objects, "NetworkPolicy")
    (pod_monitor,), (service_monitor,) = of_kind(objects, "PodMonitor"), of_kind(objects, "ServiceMonitor")
    (deployment,), (service,) = of_kind(objects, "Deployment"), of_kind(objects, "Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for chosen in (pod_monitor["spec"]["selector"], budget["spec"]["selector"], policy["spec"]["podSelector"]):
        assert chosen["matchLabels"].items() <= labels.items()
    assert budget["spec"]["maxUnavailable"] == 1
    (ingress,) = policy["spec"]["ingress"]
    assert ingress == {"ports": [{"port": "http"}], "from": [{"namespaceSelector": {}}]}
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert service["spec"]["selector"].items() <= labels.items()
    assert service_monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert service_monitor["metadata"]["namespace"] == "prometheus"
    for monitor in (pod_monitor, service_monitor):
        assert monitor["metadata"]["labels"]["release"] == "prom"
        assert monitor["spec"]["namespaceSelector"] == {"matchNames": [NAMESPACE]}
    for endpoint in (*pod_monitor["spec"]["podMetricsEndpoints"], *service_monitor["spec"]["endpoints"]):
        assert (endpoint["path"], endpoint["honorLabels"]) == ("/metrics", True)
    (dashboard,) = of_kind(objects, "ConfigMap")
    assert (dashboard["metadata"]["namespace"], dashboard["metadata"]["labels"]["grafana_dashboard"]) == (
        "grafana",
        "1",
    )
    assert json.loads(dashboard["data"]["canary.json"]) == json.loads((CHART / "files/dashboard.json").read_text())
    (alerts,) = of_kind(objects, "PrometheusRule")
    assert alerts["metadata"]["labels"]["release"] == "prom"
    assert alerts["spec"] == yaml.safe_load((CHART / "files/alerts.yaml").read_text())


@pytest.mark.parametrize(
    ("flagger", "groups"), [(False, {"canary.delivery"}), (True, {"canary.delivery", "flagger.app"})]
)
def test_definitions_are_those_of_the_tree_and_kept(flagger: bool, groups: set[str]) -> None:
    """A release upgrades them, and its end leaves them: with a definition all its Canaries would go."""
    found = of_kind(render({"crd": {"create": True}, "flaggerCompat": flagger}), DEFINITION)
    assert {one["spec"]["group"] for one in found} == groups
    for one in found:
        assert one["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        name = f"{one['spec']['group']}_{one['spec']['names']['plural']}.yaml"
        assert one == yaml.safe_load((CHART / "../../crds" / name).read_text())


def commands() -> list[list[str]]:
    """Return the words of each Helm command on the pages that tell how to install."""
    text = "".join((REPOSITORY / page).read_text() for page in ("README.md", "docs/install.md"))
    lines = re.findall(r"^(helm .*)$", text, re.MULTILINE) + re.findall(r"`(helm [^`]* .*?)`", text)
    return [shlex.split(line)[1:] for line in lines]


def test_commands_on_pages_are_understood() -> None:
    """Each install renders, and each option of another command is one that Helm has."""
    verbs = [words[0] for words in commands()]
    assert {"install", "template", "upgrade", "uninstall"} == set(verbs)
    for verb, *words in commands():
        options = [word.split("=")[0] for word in words if word.startswith("--")]
        assert all(option in helm(verb, "--help") for option in options), words
        if verb in ("install", "template"):
            assert "kind: Deployment" in helm("template", *words)


def test_values_named_on_the_page_are_understood() -> None:
    """Each `--set` in running text renders."""
    named = re.findall(r"`(--set[-a-z]*) ([^`]*)`", (REPOSITORY / "docs/install.md").read_text())
    assert len(named) > 3
    for option, value in named:
        assert "kind: Deployment" in helm("template", NAME, str(CHART), option, value)
