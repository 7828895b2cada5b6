"""Describe etcd, kube-apiserver and kube-controller-manager as parts."""

import http.client
import ssl
import subprocess

from e2e.testbed import addresses, credentials
from e2e.testbed.addresses import LOOPBACK
from e2e.testbed.cache import Cache
from e2e.testbed.layout import CONFIG, Layout
from e2e.testbed.part import SPARING, Part, Probe, http_probe

CONTROLLERS = (
    "deployment-controller",
    "daemonset-controller",
    "replicaset-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "horizontal-pod-autoscaler-controller",
    "disruption-controller",
)


def etcd(cache: Cache, layout: Layout) -> Part:
    """Build the etcd part; its data does not outlive the run."""
    client = f"http://{LOOPBACK}:{addresses.ETCD_CLIENT_PORT}"
    peer = f"http://{LOOPBACK}:{addresses.ETCD_PEER_PORT}"
    command = [
        str(cache.debian_program("etcd-server")),
        f"--data-dir={layout.data / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync=true",
        # As kubeadm sets it: without it bookmarks of quiet resources stay old.
        "--experimental-watch-progress-notify-interval=5s",
    ]
    return Part("etcd", command, layout.logs / "etcd.log", http_probe(f"{client}/health"))


def api_server(cache: Cache, layout: Layout) -> Part:
    """Build the kube-apiserver part: RBAC on, static tokens, every request in the audit log."""
    folder = layout.certificates
    _write_service_account_key(layout)
    _write_certificate(layout)
    (folder / "tokens.csv").write_text(credentials.token_file())
    command = [
        str(cache.go_tool("kube-apiserver")),
        f"--etcd-servers=http://{LOOPBACK}:{addresses.ETCD_CLIENT_PORT}",
        f"--bind-address={addresses.EVERY_ADDRESS}",
        f"--secure-port={addresses.API_SERVER_PORT}",
        f"--advertise-address={LOOPBACK}",
        f"--cert-dir={folder}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        f"--service-account-key-file={folder / 'sa.pub'}",
        f"--service-account-signing-key-file={folder / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={addresses.SERVICE_RANGE}",
        "--authorization-mode=RBAC",
        # The node mounts tokens by itself: no controller publishes a root certificate to mount.
        "--disable-admission-plugins=ServiceAccount",
        "--endpoint-reconciler-type=none",
        f"--audit-policy-file={CONFIG / 'audit-policy.yaml'}",
        f"--audit-log-path={layout.audit_log}",
        # A rotated log would lose requests from the count.
        "--audit-log-maxsize=100000",
    ]
    log = layout.logs / "kube-apiserver.log"
    return Part("kube-apiserver", command, log, _api_server_probe(), environment=SPARING)


def controller_manager(cache: Cache, layout: Layout) -> Part:
    """Build the kube-controller-manager part with only the controllers that a release needs."""
    kubeconfig = credentials.write_kubeconfig(
        layout.root / "controller-manager.kubeconfig",
        server=addresses.API_SERVER_URL,
        user=credentials.CONTROLLER_MANAGER,
        authority=layout.authority,
    )
    command = [
        str(cache.go_tool("kube-controller-manager")),
        f"--kubeconfig={kubeconfig}",
        f"--service-account-private-key-file={layout.certificates / 'sa.key'}",
        f"--bind-address={LOOPBACK}",
        f"--secure-port={addresses.CONTROLLER_MANAGER_PORT}",
        f"--cert-dir={layout.certificates / 'controller-manager'}",
        f"--controllers={','.join(CONTROLLERS)}",
        "--leader-elect=false",
        # The defaults (20 and 30) make roll-outs of several tests wait for each other.
        "--kube-api-qps=500",
        "--kube-api-burst=1000",
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--authorization-always-allow-paths=/healthz",
    ]
    probe = _secure_probe(addresses.CONTROLLER_MANAGER_PORT, "/healthz")
    log = layout.logs / "kube-controller-manager.log"
    return Part("kube-controller-manager", command, log, probe, environment=SPARING)


def _write_service_account_key(layout: Layout) -> None:
    key = layout.certificates / "sa.key"
    for command in (
        ["openssl", "genrsa", "-out", str(key), "2048"],
        ["openssl", "rsa", "-in", str(key), "-pubout", "-out", str(layout.certificates / "sa.pub")],
    ):
        subprocess.run(command, check=True, capture_output=True)


def _write_certificate(layout: Layout) -> None:
    """Make the certificate that the API server finds in its folder; by itself it makes an RSA one.

    A tenth of the server's work was signing for each new connection with that.
    """
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", str(layout.authority_key)]
    alternatives = f"subjectAltName=IP:{LOOPBACK},IP:{addresses.NODE_ADDRESS}"
    name = ["-subj", "/CN=kube-apiserver", "-addext", alternatives]
    command = ["openssl", "req", "-x509", "-days", "2", *key, *name, "-out", str(layout.authority)]
    subprocess.run(command, check=True, capture_output=True)


def _api_server_probe() -> Probe:
    return _secure_probe(addresses.API_SERVER_PORT, "/readyz")


def _secure_probe(port: int, path: str) -> Probe:
    # Only readiness of our own process on the loopback interface is asked for.
    context = ssl._create_unverified_context()
    headers = {"Authorization": f"Bearer {credentials.token(credentials.ADMIN)}"}

    def probe() -> str | None:
        connection = http.client.HTTPSConnection(LOOPBACK, port, context=context, timeout=2)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return None if answer.status == 200 else f"{path} answered {answer.status}: {answer.read(300)!r}"
        except (OSError, http.client.HTTPException) as error:
            return f"port {port}: {error}"
        finally:
            connection.close()

    return probe
