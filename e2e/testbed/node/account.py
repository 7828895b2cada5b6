"""Give containers what proves who they are to the API server: the token of their ServiceAccount, bound to the pod."""

import shutil
from pathlib import Path

from e2e.testbed.kube import AsyncKubeClient, Object

PLACE = Path("/run/secrets/kubernetes.io/serviceaccount")
"""Where clients look for it; /run is the enclosure's own."""
_LIFETIME_SECONDS = 3607


async def mounts(kube: AsyncKubeClient, authority: Path, pod: Object, folder: Path) -> list[tuple[Path, Path]]:
    """Write token, certificate and namespace for a pod that asks for them, and return what is mounted where."""
    if not pod["spec"].get("automountServiceAccountToken"):
        return []
    return [(_write(pod, await _token(kube, pod), authority, folder / "account"), PLACE)]


def _write(pod: Object, token: str, authority: Path, folder: Path) -> Path:
    for made in (folder, PLACE):
        made.mkdir(parents=True, exist_ok=True)
    (folder / "token").write_text(token)
    (folder / "namespace").write_text(pod["metadata"]["namespace"])
    shutil.copy(authority, folder / "ca.crt")
    return folder


async def _token(kube: AsyncKubeClient, pod: Object) -> str:
    metadata, name = pod["metadata"], pod["spec"]["serviceAccountName"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    spec = {"audiences": [], "expirationSeconds": _LIFETIME_SECONDS, "boundObjectRef": bound}
    path = f"/api/v1/namespaces/{metadata['namespace']}/serviceaccounts/{name}/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return str((await kube.request("POST", path, body))["status"]["token"])
