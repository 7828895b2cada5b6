"""Log in as kubectl does: read a kubeconfig or a pod's account, and say what cannot be renewed."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson
import structlog

from canary.adapters.kube.library import (
    SERVICE_TOKEN_FILENAME,
    ConfigException,
    Configuration,
    FileOrData,
    KubeConfigLoader,
    KubeConfigMerger,
    load_incluster_config,
    parse_rfc3339,
)
from canary.adapters.kube.plugin import Plugin

PLUGIN_SECONDS = 60.0

_log = structlog.get_logger(__name__)


class Loader(KubeConfigLoader):
    """Read a kubeconfig; what its exec plug-in answers is taken whole, with its end."""

    patience = PLUGIN_SECONDS
    ends: datetime | None = None
    cert_file: str | None
    key_file: str | None

    async def load_from_exec_plugin(self) -> bool:
        """Run the plug-in and take token, certificate and end of what it answers."""
        assert self._user is not None
        try:
            async with asyncio.timeout(self.patience):
                status = await Plugin(self._user["exec"]).run()
        except TimeoutError:
            raise ConfigException(f"exec: no answer within {self.patience:g} s") from None
        if "token" not in status and "clientCertificateData" not in status:
            raise ConfigException("exec: the plug-in answered with neither token nor clientCertificateData")
        if "token" in status:
            self.token = f"Bearer {status['token']}"
        if "clientCertificateData" in status:
            self.cert_file = _in_file(status, "clientCertificateData")
            self.key_file = _in_file(status, "clientKeyData")
        end = status.get("expirationTimestamp")
        self.ends = parse_rfc3339(end) if end else None
        return True

    @property
    def has_plugin(self) -> bool:
        """Return whether the user logs in by an exec plug-in."""
        return self._user is not None and "exec" in self._user

    @property
    def namespace(self) -> str:
        """Return the namespace of the context, empty when it names none."""
        found = self.current_context or {}
        return str(found.get("context", {}).get("namespace") or "")

    @property
    def token_file(self) -> Path | None:
        """Return the file with the user's token."""
        name = self._user.safe_get("tokenFile") if self._user is not None and not self.has_plugin else None
        return Path(self._get_base_path(self._user.path), name) if self._user is not None and name else None


def _in_file(status: dict[str, str], name: str) -> str | None:
    if name not in status:
        raise ConfigException(f"exec: the plug-in answered without {name}")
    return FileOrData(status, "", data_key_name=name, base64_file_content=False).as_file()


@dataclass(frozen=True, slots=True)
class Login:
    """Hold how to reach the API server, and where what proves who we are can be had again."""

    settings: Configuration
    token_file: Path | None = None
    plugin: Loader | None = None
    namespace: str = ""
    """Where the context, or the pod itself, is; empty when nothing says so."""


async def log_in(kubeconfig: str | None, context: str | None, *, patience: float = PLUGIN_SECONDS) -> Login:
    """Read a kubeconfig, or the pod's own account when None; send nothing, but run a plug-in if there is one.

    A plug-in that takes longer than ``patience`` seconds is given up.
    """
    settings = Configuration()
    if kubeconfig is None:
        load_incluster_config(settings, try_refresh_token=False)  # type: ignore[no-untyped-call]
        settings.api_key["BearerToken"] = bearer_of(Path(SERVICE_TOKEN_FILENAME))
        token = Path(SERVICE_TOKEN_FILENAME)
        return Login(settings, token, namespace=_text(token.with_name("namespace")))
    loader = Loader(KubeConfigMerger(kubeconfig).config, active_context=context, config_base_path=None)
    loader.patience = patience
    if loader.provider is not None:
        # The library would use up a refresh token that others need, and could do so at the start only.
        raise ConfigException(
            f"auth-provider '{loader.provider}' cannot be renewed while the controller runs; "
            "use an exec plug-in such as kubelogin, a token file or a client certificate"
        )
    await loader.load_and_set(settings)
    if loader.token_file is not None:
        settings.api_key["BearerToken"] = bearer_of(loader.token_file)
    elif not loader.has_plugin:
        _warn_of_end(settings.api_key.get("BearerToken"))
    return Login(settings, loader.token_file, loader if loader.has_plugin else None, loader.namespace)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def bearer_of(path: Path) -> str:
    """Return the header that a file with a token stands for."""
    token = path.read_text(encoding="utf-8").strip()
    if not token:
        raise ConfigException(f"{path} is empty")
    return f"Bearer {token}"


def _warn_of_end(bearer: str | None) -> None:
    """Log when a token ends that is written into the kubeconfig itself, so that nobody can renew it."""
    try:
        _, payload, _ = (bearer or "").split(".")
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        end = datetime.fromtimestamp(claims["exp"], UTC)
    except (ValueError, LookupError, TypeError, OverflowError):
        return
    remedy = "the controller cannot work after that; use tokenFile or an exec plug-in"
    _log.warning("token_ends", at=end.isoformat(), remedy=remedy)
