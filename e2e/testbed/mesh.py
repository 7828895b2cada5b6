"""Describe istiod as a part, outside any cluster, and Prometheus beside it."""

from datetime import timedelta

from e2e.testbed import addresses, credentials
from e2e.testbed.addresses import LOOPBACK
from e2e.testbed.cache import Cache
from e2e.testbed.kube import KubeClient, Object
from e2e.testbed.layout import CONFIG, Layout
from e2e.testbed.part import SPARING, Part, http_probe
from e2e.testbed.waiting import wait_until

VALIDATOR = "istio-validator-istio-system"
MTLS_LABEL = "security.istio.io/tlsMode"
ADMISSION_DEADLINE = timedelta(seconds=60)

_ISTIOD_ENVIRONMENT = {
    **SPARING,
    "POD_NAME": "istiod-testbed",
    "POD_NAMESPACE": "istio-system",
    "REVISION": "default",
    "CLUSTER_ID": "Kubernetes",
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "istio-validator",
    # Puts localhost into the webhook's certificate.
    "ISTIOD_CUSTOM_HOST": "localhost",
    # Mirrored requests carry the Host suffix "-shadow", as documented.
    "DISABLE_SHADOW_HOST_SUFFIX": "false",
    # Upstream Envoy has no istio.* extensions and would refuse every listener with them.
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    # What the testbed does not use.
    "PILOT_ENABLE_GATEWAY_API": "false",
    "PILOT_ENABLE_GATEWAY_API_STATUS": "false",
    "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER": "false",
    "PILOT_ENABLE_IP_AUTOALLOCATE": "false",
    "PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION": "false",
    "PILOT_ENABLE_WORKLOAD_ENTRY_HEALTHCHECKS": "false",
    "PILOT_DEBOUNCE_AFTER": "10ms",
    "GOMEMLIMIT": "512MiB",
}


def istiod(cache: Cache, layout: Layout) -> Part:
    """Build the istiod part with its validating webhook."""
    kubeconfig = credentials.write_kubeconfig(
        layout.root / "istiod.kubeconfig",
        server=addresses.API_SERVER_URL,
        user=credentials.ISTIOD,
        authority=layout.authority,
    )
    command = [
        str(cache.go_tool("pilot-discovery")),
        "discovery",
        f"--kubeconfig={kubeconfig}",
        f"--meshConfig={CONFIG / 'mesh.yaml'}",
        f"--httpAddr={LOOPBACK}:{addresses.ISTIOD_HTTP_PORT}",
        f"--httpsAddr={LOOPBACK}:{addresses.ISTIOD_WEBHOOK_PORT}",
        f"--grpcAddr=:{addresses.ISTIOD_DISCOVERY_PORT}",
        f"--secureGRPCAddr=:{addresses.ISTIOD_SECURE_DISCOVERY_PORT}",
        f"--monitoringAddr={LOOPBACK}:{addresses.ISTIOD_MONITORING_PORT}",
        "--domain=cluster.local",
        "--keepaliveMaxServerConnectionAge=24h",
        "--shutdownDuration=1s",
        "--ctrlz_port=0",
    ]
    probe = http_probe(f"http://{LOOPBACK}:{addresses.ISTIOD_HTTP_PORT}/ready")
    log = layout.logs / "istiod.log"
    return Part("istiod", command, log, probe, environment=_ISTIOD_ENVIRONMENT)


def prometheus(cache: Cache, layout: Layout) -> Part:
    """Build the Prometheus part; it scrapes every second what the node lists."""
    command = [
        str(cache.debian_program("prometheus")),
        f"--config.file={layout.prometheus_config}",
        f"--storage.tsdb.path={layout.data / 'prometheus'}",
        f"--web.listen-address={addresses.EVERY_ADDRESS}:{addresses.PROMETHEUS_PORT}",
    ]
    probe = http_probe(f"{addresses.PROMETHEUS_URL}/-/ready")
    return Part("prometheus", command, layout.logs / "prometheus.log", probe, environment=SPARING)


def wait_for_admission(kube: KubeClient) -> None:
    """Wait until Istio objects are checked and pods get what the injector writes into them."""
    registration = "/apis/admissionregistration.k8s.io/v1"
    validator = f"{registration}/validatingwebhookconfigurations/{VALIDATOR}"
    wait_until(
        lambda: kube.get(validator)["webhooks"][0]["failurePolicy"] == "Fail",
        ADMISSION_DEADLINE,
        "istiod has not taken over its validating webhook",
    )
    container = {"name": "any", "image": "any"}
    metadata = {"name": "any", "labels": {"sidecar.istio.io/inject": "true"}}
    pod: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
    wait_until(
        lambda: MTLS_LABEL in kube.create("/api/v1/namespaces/istio-system/pods?dryRun=All", pod)["metadata"]["labels"],
        ADMISSION_DEADLINE,
        "the API server does not yet apply the injector's policy to pods",
    )
