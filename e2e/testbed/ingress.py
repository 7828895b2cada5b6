"""Run an ingress gateway and call it as customers outside the mesh do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from e2e.testbed.commands import run_command
from e2e.testbed.layout import VOLATILE
from e2e.testbed.load import Load, Rate, header_arguments
from e2e.testbed.node import network
from e2e.testbed.testbed import Testbed

NAMESPACE = "istio-ingress"
DEPLOYMENT = "istio-ingressgateway"

_NEW_CERTIFICATE = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2"


@dataclass(frozen=True, slots=True)
class Ingress:
    """A gateway at one of its host names, whose customers find it by a hosts file.

    ``identity`` is the file with certificate and key that they show, when the gateway asks for them.
    """

    testbed: Testbed
    host: str
    hosts_file: Path
    certificate: Path
    identity: Path | None = None

    @property
    def outside(self) -> list[str]:
        """Return the command prefix of a customer: the name is known and the certificate trusted."""
        return ["env", f"SSL_CERT_FILE={self.certificate}", *network.names_command(self.hosts_file)]

    def load(self, scheme: str, path: str, rate: Rate, **headers: str) -> Load:
        """Start a load from outside, connections kept open."""
        options = [f"--url={scheme}://{self.host}{path}", *rate.arguments(), *header_arguments(headers)]
        options += [f"--identity={self.identity}"] if self.identity else []
        command = self.testbed.client_command(*options)
        return Load([*self.outside, *command], self.testbed.load_output(f"ingress-{scheme}"))

    def ask(self, url: str) -> str:
        """Ask once from outside; return the answer with its headers."""
        trust = ["--noproxy", "*", "--cacert", str(self.certificate)]
        shown = ["--cert", str(self.identity)] if self.identity else []
        return run_command([*self.outside, "curl", "--silent", "--show-error", "--include", *trust, *shown, url])

    def asking_for_certificates(self, host: str, credential: str) -> "Ingress":
        """Let customers of another host be known by a certificate alone: put it into a Secret beside the host's own."""
        identity, key = (VOLATILE / f"customer.{kind}" for kind in ("crt", "key"))
        run_command([*_NEW_CERTIFICATE.split(), "-subj", "/CN=customer", "-keyout", str(key), "-out", str(identity)])
        own = (f"tls.crt={self.certificate}", f"tls.key={self.certificate.with_suffix('.key')}", f"ca.crt={identity}")
        files = [f"--from-file={one}" for one in own]
        self.testbed.kubectl("-n", NAMESPACE, "create", "secret", "generic", credential, *files)
        both = VOLATILE / "customer.pem"
        both.write_text(identity.read_text() + key.read_text())
        return replace(self, host=host, identity=both)


def start_ingress(testbed: Testbed, hosts: Sequence[str], credential: str, *manifests: Path) -> Ingress:
    """Start a gateway with a certificate for the hosts in a Secret, and wait until it is ready; return its first."""
    host = hosts[0]
    certificate, key = (VOLATILE / f"{host}.{kind}" for kind in ("crt", "key"))
    names = ",".join(f"DNS:{one}" for one in hosts)
    name = ["-subj", f"/CN={host}", "-addext", f"subjectAltName={names}"]
    run_command([*_NEW_CERTIFICATE.split(), *name, "-keyout", str(key), "-out", str(certificate)])
    testbed.create_namespace(NAMESPACE, {})
    inside = ["-n", NAMESPACE]
    testbed.kubectl(*inside, "create", "secret", "tls", credential, f"--cert={certificate}", f"--key={key}")
    testbed.kubectl(*inside, "apply", *(f"--filename={manifest}" for manifest in manifests))
    testbed.wait_ready(NAMESPACE, DEPLOYMENT)
    pod = testbed.pods.list_pods(NAMESPACE)[0]
    hosts_file = VOLATILE / f"{host}.hosts"
    hosts_file.write_text(f"127.0.0.1 localhost\n{pod['status']['podIP']} {' '.join(hosts)}\n")
    return Ingress(testbed, host, hosts_file, certificate)
