"""Stay logged in: read rotated files again, and run a plug-in again before what it gave ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog

from canary.adapters.kube.login import Login, bearer_of

CHECK_SECONDS = 60.0
"""How often files are looked at; the kubelet rotates tokens long before they end."""

PAUSE_SECONDS = 10.0
"""The shortest time between two runs of a plug-in."""

SPENT = 0.8
"""The part of its life after which what a plug-in gave is replaced."""

Reconnect = Callable[[], Awaitable[None]]
"""Use the certificates of the settings for all connections from now on."""

_Stamp = tuple[int, int, int]

_log = structlog.get_logger(__name__)


class Credentials:
    """Keep the settings of a client such that the API server knows us."""

    def __init__(self, login: Login, *, check: float = CHECK_SECONDS, pause: float = PAUSE_SECONDS) -> None:
        self.settings = login.settings
        self._token_file = login.token_file
        self._plugin = login.plugin
        self._check = check
        self._pause = pause
        self._refused = asyncio.Event()
        self._certificates: dict[str, _Stamp | None] = {}
        self._certificates = self._stamps()
        self._ran = asyncio.get_running_loop().time()
        self._next_run = self._spent_at()

    def refused(self) -> None:
        """Note that the API server did not know us (401): look for something newer now."""
        self._refused.set()

    async def keep(self, reconnect: Reconnect) -> None:
        """Renew for as long as the process runs."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(min(self._check, max(self._next_run - loop.time(), 0.0))):
                    await self._refused.wait()
            except TimeoutError:
                pass
            refused = self._refused.is_set()
            self._refused.clear()
            try:
                await self._renew(refused, reconnect)
            except Exception as fault:
                # Whatever a plug-in or a half-written file did: what we have may still be good.
                _log.warning("login_not_renewed", error=f"{type(fault).__name__} {fault}".strip())

    async def _renew(self, refused: bool, reconnect: Reconnect) -> None:
        if self._token_file is not None:
            self._take(bearer_of(self._token_file))
        now = asyncio.get_running_loop().time()
        if self._plugin is not None and now >= (self._ran + self._pause if refused else self._next_run):
            self._ran, self._next_run = now, now + self._pause
            await self._plugin.load_from_exec_plugin()
            self._next_run = self._spent_at()
            self._take(getattr(self._plugin, "token", None))
            self.settings.cert_file = getattr(self._plugin, "cert_file", None)
            self.settings.key_file = getattr(self._plugin, "key_file", None)
        stamps = self._stamps()
        if stamps != self._certificates:
            await reconnect()
            self._certificates = stamps
            _log.info("certificates_renewed")

    def _take(self, bearer: str | None) -> None:
        if bearer is not None and bearer != self.settings.api_key.get("BearerToken"):
            self.settings.api_key["BearerToken"] = bearer
            _log.info("token_renewed")

    def _spent_at(self) -> float:
        """Return when to run the plug-in again: before what it gave ends, or never when it named no end."""
        end = self._plugin.ends if self._plugin is not None else None
        if end is None:
            return float("inf")
        left = (end - datetime.now(UTC)).total_seconds()
        return self._ran + max(SPENT * left, self._pause)

    def _stamps(self) -> dict[str, _Stamp | None]:
        paths = (self.settings.cert_file, self.settings.key_file, self.settings.ssl_ca_cert)
        # A file that is away for a moment, or for good, leaves what was read of it.
        return {path: _stamp(Path(path)) or self._certificates.get(path) for path in paths if path}


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
