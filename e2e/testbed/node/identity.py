"""Get a pod the certificate of its ServiceAccount from istiod's own authority, as Istio's agent does."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from e2e.testbed import addresses
from e2e.testbed.kube import AsyncKubeClient
from e2e.testbed.layout import VOLATILE
from e2e.testbed.node import wire

ISTIOD = "istiod.istio-system.svc"
"""The name in istiod's certificate."""
LIFETIME_SECONDS = 24 * 3600
"""Longer than a testbed lives: nothing here renews certificates."""

_AUDIENCE = "istio-ca"
_ROOT_PATH = "/api/v1/namespaces/istio-system/configmaps/istio-ca-root-cert"
_ROOT_FILE = VOLATILE / "istio-root.pem"
_METHOD = (
    f"https://{ISTIOD}:{addresses.ISTIOD_SECURE_DISCOVERY_PORT}/istio.v1.auth.IstioCertificateService/CreateCertificate"
)
# Key and request come out together; the name in the certificate is the token's, whatever the request says.
_NEW_KEY = "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -subj / -keyout -"
# Of the HTTP/2 clients at hand curl needs no further package; trailers with gRPC's status go to its errors.
_CALL = f"curl -sS --noproxy * --http2 --max-time 5 --dump-header /dev/stderr --cacert {_ROOT_FILE} --data-binary @-"
_PEM = re.compile(r"-----BEGIN ([A-Z ]+)-----.+?-----END \1-----\n", re.DOTALL)


class IdentityError(Exception):
    """Report a certificate that could not be had."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a proxy proves itself with and knows others by, as PEM."""

    chain: str
    key: str
    root: str


class CertificateAuthority:
    """Ask istiod's certificate authority in the name of ServiceAccounts."""

    def __init__(self, kube: AsyncKubeClient) -> None:
        self._kube = kube

    async def sign(self, namespace: str, service_account: str) -> Identity:
        """Make a key and have its certificate signed for a ServiceAccount."""
        root = (await self._kube.request("GET", _ROOT_PATH))["data"]["root-cert.pem"]
        if not _ROOT_FILE.exists():
            # Once only: the call for another pod may be reading it.
            _ROOT_FILE.write_text(root)
        made = {found[1]: found[0] for found in _PEM.finditer((await _run(_NEW_KEY.split())).decode())}
        token = await self._token(namespace, service_account)
        request = wire.field(1, made["CERTIFICATE REQUEST"]) + wire.field(3, LIFETIME_SECONDS)
        answer = await _call(request, token)
        chain = [certificate.decode() for certificate in wire.fields(answer)[1]]
        return Identity("".join(chain[:-1]), made["PRIVATE KEY"], root)

    async def _token(self, namespace: str, service_account: str) -> str:
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        kind = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"}
        body = {**kind, "spec": {"audiences": [_AUDIENCE], "expirationSeconds": 3600}}
        return str((await self._kube.request("POST", path, body))["status"]["token"])


async def _call(request: bytes, token: str) -> bytes:
    headers = {
        "content-type": "application/grpc",
        "te": "trailers",
        "authorization": f"Bearer {token}",
        "clusterid": "Kubernetes",
    }
    options = [option for name, value in headers.items() for option in ("--header", f"{name}: {value}")]
    route = ["--connect-to", f"{ISTIOD}::{addresses.LOOPBACK}:"]
    answer = await _run([*_CALL.split(), *route, *options, _METHOD], wire.frame(request))
    return wire.unframe(answer)


async def _run(command: Sequence[str], stdin: bytes = b"") -> bytes:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    output, errors = await process.communicate(stdin)
    if process.returncode != 0 or not output:
        raise IdentityError(f"{command[0]}: {errors.decode().strip()}")
    return output
