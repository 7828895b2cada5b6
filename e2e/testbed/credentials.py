"""Make the users of the API server: one token each, so that the audit log tells their requests apart."""

from pathlib import Path

import yaml

ADMIN = "admin"
CONTROLLER = "canary-controller"
CONTROLLER_MANAGER = "kube-controller-manager"
ISTIOD = "istiod"
NODE = "testbed-node"
LOAD = "testbed-load"

MASTERS = "system:masters"
USERS = (ADMIN, CONTROLLER, CONTROLLER_MANAGER, ISTIOD, NODE, LOAD)


def token(user: str) -> str:
    """Return the token of a user."""
    return f"{user}-token"


def token_file(users: tuple[str, ...] = USERS) -> str:
    """Return the content of the API server's static token file: all but the controller may do everything."""
    return "".join(f'{token(user)},{user},{user},"{"" if user == CONTROLLER else MASTERS}"\n' for user in users)


def write_kubeconfig(path: Path, *, server: str, user: str, authority: Path | None) -> Path:
    """Write a kubeconfig for one user; `authority` is the certificate that signs the server's."""
    cluster = {"server": server}
    if authority is not None:
        cluster["certificate-authority"] = str(authority)
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": token(user)}}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": user}}],
        "current-context": "testbed",
    }
    path.write_text(yaml.safe_dump(content))
    return path
